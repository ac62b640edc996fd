"""Deployments that teams have published are found again, or are close to the best by the search's own count.

DeepSeek-V3 on H800, "Day 6: One More Thing, DeepSeek-V3/R1 Inference System Overview" (2025-03): prefill with routed
experts over 32 GPUs, decode over 144 GPUs with 32 redundant experts and two micro-batches that overlap; mean context
4,989 tokens, 56.3% of input tokens from the cache, 20 to 22 tokens per second of a user.
"""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline import Scenario, plan, step
from ridgeline.layout import Layout
from ridgeline.planner.pools import Fleet, prefills
from ridgeline.planner.replicas import CHUNKS
from ridgeline.scenario import TWO_BATCH
from ridgeline.subject import subject

CLOSE = 1.2


def flat(space: Layout, ep: int) -> np.ndarray:
    """Layouts of `ep` ranks, each with its own sequences and its share of the experts."""
    return (space.dp == ep) & (space.ep == ep) & (space.tp * space.pp * space.cp == 1)


def decode_ratio(overlap: str) -> float:
    """Cost of the cheapest decode on EP144 within 50 ms over the cheapest of any layout on 144 chips."""
    question = Scenario(
        model="deepseek-v3", system="hgx-h800", chips=144, context=4989, tpot="50 ms", engine="sglang", overlap=overlap
    )
    c = plan(question, top=1).candidates
    theirs = c.feasible & flat(c.layout, 144)
    return float(c.chip_seconds[theirs].min() / c.chip_seconds[c.feasible].min())


def test_ep144_decode_is_close_to_the_best_with_overlap() -> None:
    """And not without: then its messages over the slow network are what 36 ranks on fewer nodes save."""
    assert decode_ratio(TWO_BATCH) < CLOSE < decode_ratio("")


def test_day_six_decode_takes_what_was_published() -> None:
    """266,400 tokens/s per unit of 18 nodes at 21 tokens/s per user: 12,700 sequences, 47.6 ms a token."""
    question = Scenario(
        model="deepseek-v3", system="hgx-h800", chips=144, dp=144, ep=144, redundant=32, batch=12_700, context=4989,
        overlap=TWO_BATCH,
    )  # fmt: skip
    found = step(question).estimate
    assert found.low <= 47.6e-3 <= found.high
    assert found.seconds == pytest.approx(47.6e-3, rel=0.1)


@pytest.mark.parametrize("engine", ["", "sglang"])
def test_ep32_prefill_is_close_to_the_best(engine: str) -> None:
    """Of all prefill replicas on up to 32 chips, by chip-seconds per prompt."""
    question = Scenario(
        model="deepseek-v3",
        system="hgx-h800",
        isl=4000,
        hit=0.563,
        chips=32,
        engine=engine,
        overlap=TWO_BATCH,
        redundant=32,
    )
    found = prefills(question, subject(question), CHUNKS, Fleet(33, 0, 0, 50e9))
    cost = found.chips * found.per_prompt
    assert cost[flat(found.layout, 32)].min() < CLOSE * cost.min()


@pytest.mark.parametrize("pools", ["aggregated", "disaggregated"])
def test_a_rack_decodes_a_mixture_without_stages(pools: str) -> None:
    """NVL72: wide expert parallelism inside the rack, no pipeline."""
    layout = plan(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="25 ms", pools=pools)).plans[0].layout
    assert layout.pp == 1
    assert 32 <= layout.ep <= 72


def test_a_box_serves_70b_with_tensor_parallelism() -> None:
    """Llama-3-70B on eight H100: TP8 without stages, as every engine's guide has it."""
    best = plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="25 ms")).plans[0]
    assert (best.mode, best.layout.tp, best.layout.pp) == ("aggregated", 8, 1)
