"""Four ways to keep activations: what the equations say at their ends, and against slow, obvious counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import UnknownNameError
from ridgeline.training.rematerialisation import METHODS, activation_bytes, best_segment, reversing_saves, root, work

LAYERS, PARTS = st.integers(1, 200), st.integers(1, 40)


def counted(layers: int, inside: int, boundary: int, segment: int) -> int:
    """Bytes at the worst moment of a backward pass that walks over segments, last first."""
    starts = range(0, layers, segment)
    most = 0
    for i, start in reversed(list(enumerate(starts))):
        inputs = (i + 1) * boundary
        again = (min(segment, layers - start)) * inside - boundary
        most = max(most, inputs + again)
    return most


@given(LAYERS, PARTS, st.integers(1, 30), st.integers(1, 200))
def test_segments_equal_a_walk_over_them_where_the_last_is_full(layers, inside, boundary, segment):
    """An uneven last segment is shorter: there the equation is an upper bound."""
    inside += boundary
    law = activation_bytes("sqrt", layers, inside, boundary, segment=segment)
    walked = counted(layers, inside, boundary, segment)
    assert law == walked if layers % segment == 0 or segment >= layers else law >= walked


@given(LAYERS, PARTS)
def test_all_ways_are_ordered_and_meet_at_one_layer(layers, inside):
    kept = {method: activation_bytes(method, layers, inside + 1.0, 1.0) for method in METHODS}
    assert kept["full"] <= kept["none"]
    assert kept["sqrt"] <= kept["none"]
    assert kept["reversible"] <= kept["full"] + 1.0  # of one layer, both streams are kept and only one is needed
    assert kept["full"] - kept["reversible"] == pytest.approx(reversing_saves(layers, 1.0))
    assert activation_bytes("sqrt", layers, inside + 1.0, 1.0, segment=1) == kept["full"]
    assert activation_bytes("sqrt", layers, inside + 1.0, 1.0, segment=layers) == kept["none"]


@given(LAYERS, PARTS)
def test_best_segment_keeps_least_of_all_segments(layers, inside):
    """All lengths tried, with segments that may be uneven on average; the ceiling of the last moves it by one."""
    k = np.arange(1, layers + 1)
    smooth = layers / k + k * (inside + 1.0)
    best = best_segment(layers, inside + 1.0, 1.0)
    assert smooth[int(best) - 1] == pytest.approx(smooth.min())


def test_a_law_serves_many_points_as_one():
    layers = np.arange(1, 130)
    for method in METHODS:
        many = activation_bytes(method, layers, 17.0, 1.0)
        assert many.tolist() == [activation_bytes(method, n, 17.0, 1.0) for n in range(1, 130)]
    assert root(layers).tolist() == [round(n**0.5) for n in range(1, 130)]


def test_boundary_term_of_llama_405b():
    """126 layers of 16,384 wide vectors in bf16, 8,192 tokens: 34 GB of inputs (33.3 GB beyond two of them)."""
    boundary = 2 * 8192 * 16384
    assert 126 * boundary == pytest.approx(34e9, rel=0.01)
    assert reversing_saves(126, boundary) == pytest.approx(33.3e9, rel=0.01)


def test_what_is_computed_again_costs_a_third():
    assert work("none") == 1.0
    assert {work(method) for method in METHODS[1:]} == {4 / 3}
    assert work("full", outside=0.25) == pytest.approx(1.25)  # embedding and head are not computed again


@pytest.mark.parametrize("law", [lambda: activation_bytes("sqr", 1, 1.0, 1.0), lambda: work("sqr")])
def test_another_method_is_refused_by_name(law):
    with pytest.raises(UnknownNameError, match="did you mean sqrt"):
        law()
