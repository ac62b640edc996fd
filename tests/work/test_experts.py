"""Distinct experts: never all at batch 1, never only k at batch 1,000 (both are mistakes of published tools)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.messages import distinct_groups
from ridgeline.work.experts import distinct_experts, load_imbalance, popularity, routed, touched_copies
from ridgeline.work.operation import Routing

shapes = st.tuples(st.integers(2, 256), st.integers(1, 16)).map(lambda t: (t[0], min(t[0], t[1])))


@pytest.mark.parametrize(("tokens", "gigabytes"), [(1, 37.5), (32, 434.0), (4096, 671.0)])
def test_deepseek_v3_reads_what_its_batch_touches(tokens: int, gigabytes: float) -> None:
    """Weights of DeepSeek-V3 in fp8 that a step touches: 37.5 GB at batch 1, 434 at 32, all 671 at large batches."""
    expert, layers, total = 3 * 7168 * 2048, 58, 671.03e9
    always = total - layers * 256 * expert
    touched = always + layers * distinct_experts(tokens, 256, 8) * expert
    assert touched / 1e9 == pytest.approx(gigabytes, rel=0.025)


@pytest.mark.parametrize("skew", [0.0, 0.7])
def test_expectation_is_that_of_drawing(skew: float) -> None:
    """Against drawing: each of 64 experts is visited by each of 20 tokens with its own probability."""
    chances = np.array(popularity(64, 4, skew))
    drawn = np.random.default_rng(0).random((4000, 20, 64)) < chances
    assert drawn.any(axis=1).sum(axis=1).mean() == pytest.approx(distinct_experts(20, 64, 4, skew), rel=0.01)


@given(shape=shapes, tokens=st.integers(1, 10_000), skew=st.floats(0, 2))
def test_bounds(shape: tuple[int, int], tokens: int, skew: float) -> None:
    count, active = shape
    distinct = distinct_experts(tokens, count, active, skew)
    assert distinct <= min(count, tokens * active) * (1 + 1e-9)
    assert distinct >= active * (1 - 1e-9)
    assert distinct <= distinct_experts(tokens, count, active) * (1 + 1e-9), "skew never touches more experts"


@given(shape=shapes, skew=st.floats(0, 2))
def test_popularity_sums_to_the_visits_of_a_token(shape: tuple[int, int], skew: float) -> None:
    count, active = shape
    chances = popularity(count, active, skew)
    assert sum(chances) == pytest.approx(active)
    assert max(chances) <= 1
    assert list(chances) == sorted(chances, reverse=True)


def test_imbalance_is_one_for_uniform_routing_and_grows_with_skew() -> None:
    values = [load_imbalance(256, 8, 32, skew) for skew in (0.0, 0.3, 0.6, 1.0)]
    assert values[0] == 1.0
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("groups", "count", "active", "expected"), [(64, 256, 8, 7.68), (1, 256, 8, 1.0), (256, 256, 8, 8.0)]
)
def test_distinct_groups(groups: int, count: int, active: int, expected: float) -> None:
    """7.68 of 64 devices for 8 of 256 experts; one device gets one copy however many of its experts are visited."""
    assert distinct_groups(groups, count, active) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("variance", [0.3, 1.0, 2.0])
def test_uneven_experts_are_those_of_drawn_popularity(variance: float) -> None:
    """Gamma-distributed popularity, drawn: as many experts met, and the busiest of 8 ranks within a tenth."""
    rng = np.random.default_rng(1)
    for crowd in (0.2, 2.0, 64.0):
        loads = rng.poisson(crowd * rng.gamma(1 / variance, variance, size=(4000, 128)))
        read, busiest = routed(Routing(experts=128, ranks=8.0, crowd=crowd), variance)
        assert (loads > 0).mean() == pytest.approx(read * (1 - np.exp(-crowd)), rel=0.01)
        ranks = loads.reshape(4000, 8, 16).sum(axis=2)
        drawn = (ranks.max(axis=1) / ranks.mean(axis=1).clip(1e-9)).mean()
        assert busiest == pytest.approx(drawn, rel=0.1)


@given(shape=shapes, crowd=st.floats(1e-3, 1e4), variance=st.floats(0.01, 10))
def test_uneven_experts_are_bounded(shape: tuple[int, int], crowd: float, variance: float) -> None:
    """Never more experts than under uniform routing; the busiest rank between the mean and everything."""
    read, busiest = routed(Routing(experts=shape[0], ranks=4.0, crowd=crowd), variance)
    assert 0 < read <= 1 + 1e-9
    assert 1 <= busiest <= 4


@given(tokens=st.floats(1, 1e5), redundant=st.integers(0, 256), skew=st.sampled_from([0.0, 0.5]))
def test_copies_take_turns(tokens: float, redundant: int, skew: float) -> None:
    """Between as many reads as without copies and all slots; two copies of each are two models at half the tokens."""
    one = distinct_experts(tokens, 256, 8, skew)
    touched = touched_copies(tokens, 256, 8, skew, redundant)
    assert one - 1e-9 <= touched <= 256 + redundant + 1e-9
    whole = touched_copies(tokens, 256, 8, skew, 256)
    assert whole == pytest.approx(2 * distinct_experts(tokens / 2, 256, 8, skew))


def test_copies_of_the_hottest_even_out_the_load() -> None:
    """What redundant experts are for: the busiest rank comes closer to the mean."""
    values = [load_imbalance(256, 8, 32, 0.8, redundant) for redundant in (0, 32, 64, 256)]
    assert values[0] > values[1] > values[2] > 1
    assert load_imbalance(256, 8, 32, 0.0, 32) == 1.0
    many = load_imbalance(256, 8, np.array([32, 32]), 0.8, np.array([0, 32]))
    assert many.tolist() == pytest.approx(values[:2])


def test_copies_let_uneven_experts_be_placed_evenly() -> None:
    """The busiest of 144 ranks: several times the mean without copies, near it with DeepSeek's 32."""
    ranks = [routed(Routing(experts=256, ranks=144.0, crowd=100.0, copies=n), 2.0)[1] for n in (0.0, 16.0, 32.0)]
    assert ranks[0] > 3 > ranks[1] > ranks[2]
    assert ranks[2] < 1.25
