"""Prefill in pieces and two-batch overlap, held against doing the same step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline import Scenario
from ridgeline.layout import Layout
from ridgeline.serving import Evaluator
from ridgeline.subject import subject
from ridgeline.timing import step
from ridgeline.work import Segment


@pytest.mark.parametrize("hit", [0.0, 0.5])
@pytest.mark.parametrize(("model", "tp"), [("llama-3-70b", 8), ("mixtral-8x7b", 4)])
def test_the_middle_piece_is_the_mean_of_all(model: str, tp: int, hit: float) -> None:
    """A prompt of 32,768 tokens in chunks of 4,096: piece by piece, each with all before it in the cache."""
    scenario = Scenario(model=model, system="hgx-h100", isl=32_768, hit=hit, chunk=4096)
    found, layout = subject(scenario), Layout(tp=tp)
    evaluate = Evaluator(scenario, found)
    first, often = evaluate.alone(layout)
    start = int(hit * 32_768)
    total = 0.0
    for past in range(start, 32_768, 4096):
        piece = Segment(seqs=1, new=4096, past=past, prefill=True)
        total += evaluate.estimate(step(found.model, found.system, layout, [piece], found.precision), layout).seconds
    assert evaluate.estimate(first, layout).seconds * often == pytest.approx(total, rel=0.01)


def test_a_long_chunk_is_one_piece() -> None:
    scenario = Scenario(model="llama-3-8b", system="hgx-h100", isl=3000, chunk=4096)
    first, often = Evaluator(scenario, subject(scenario)).alone(Layout())
    assert (first.tokens, often) == (3000, 1.0)


@settings(max_examples=20)
@given(
    system=st.sampled_from(["hgx-h800", "hgx-h200", "gb200-nvl72"]),
    ranks=st.sampled_from([8, 16, 32]),
    context=st.integers(100, 50_000),
)
def test_overlap_never_slows_and_keeps_the_floor(system: str, ranks: int, context: int) -> None:
    """It hides at most the messages; t(b) still does not fall and t(b) / b does not rise."""
    plain = Scenario(model="deepseek-v3", system=system, chips=ranks, context=context)
    found, layout = subject(plain), Layout(dp=ranks, ep=ranks)
    batch = np.unique(np.round(np.geomspace(1, 20_000, 200)))
    alone, both = (Evaluator(replace(plain, overlap=text), found) for text in ("", "two-batch"))
    without = alone.estimate(alone.decode(layout, batch), layout)
    within = both.estimate(both.decode(layout, batch), layout)
    assert (within.seconds <= without.seconds).all()
    assert (within.seconds >= within.floor).all()
    messages = without.terms.parts(without.engine)["messages"]
    assert (within.seconds >= without.seconds - messages - 1e-12).all()
    assert (np.diff(within.seconds) >= -1e-12).all()
    assert (np.diff(within.seconds / batch) <= 1e-15).all()
