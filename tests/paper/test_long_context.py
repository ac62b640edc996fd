"""What the lecture says of long contexts (R. Pope in D. Patel's lecture on serving, 2026), against the laws here.

Where published models differ from what was said, both numbers stand.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from ridgeline import Scenario, load_model
from ridgeline.model.kv import total_read, total_stored
from ridgeline.model.variant import KINDS, variant
from ridgeline.planner.contexts import compared, contexts
from ridgeline.serving import Evaluator
from ridgeline.subject import subject

MODEL = "llama-3-70b"


@pytest.mark.parametrize(
    ("kind", "growth"),
    [("dense", 500.0), ("block", math.sqrt(500)), ("sliding", 1.0), ("linear", 1.0), ("hybrid", 496.0)],
)
def test_growth_from_200k_to_100m(kind: str, growth: float) -> None:
    """C140, C141: what a step reads grows 500 times when dense, 22.4 times under a square root, not with a window."""
    model = variant(load_model(MODEL), kind)
    ratio = float(total_read(model, 1e8, 2.0) / total_read(model, 2e5, 2.0))
    assert ratio == pytest.approx(growth, rel=0.01)


def test_published_sparse_attention_is_linear_in_its_indexer() -> None:
    """C038: DeepSeek-V3.2 reads 2,048 tokens and all indexer keys: no root, but a slope of 11% of the latent's."""
    sparse, dense = (load_model(name) for name in ("deepseek-v3.2", "deepseek-v3"))
    slope = float((total_read(sparse, 2e8, 2.0) - total_read(sparse, 1e8, 2.0)) / 1e8)
    full = float(total_read(dense, 1e8, 2.0) / 1e8)
    assert slope / full == pytest.approx(132 / 1152, rel=0.05)


def test_100m_tokens_are_terabytes() -> None:
    """C140: 167 GB at the 1,667 B per token that the lecture reads off prices, 7.0 TB as DeepSeek-V3 keeps them."""
    assert pytest.approx(167e9, rel=0.01) == 1e8 * 1667
    assert float(total_stored(load_model("deepseek-v3"), 1e8, 2.0)) == pytest.approx(7.03e12, rel=0.001)
    assert float(total_stored(load_model("lecture-frontier"), 1e8, 1.0)) == pytest.approx(167e9, rel=0.01)


def test_sparse_reading_saves_no_memory() -> None:
    """Capacity is a wall of its own: block and top-k attention keep all tokens, so that batches fall as when dense."""
    model = load_model(MODEL)
    kept = {kind: float(total_stored(variant(model, kind), 1e7, 2.0)) for kind in KINDS}
    assert kept["block"] == pytest.approx(kept["dense"], rel=0.01)
    assert kept["topk"] > kept["latent"]
    assert kept["hybrid"] == pytest.approx(kept["dense"] / 4, rel=0.01)
    scenario = Scenario(model=MODEL, system="hgx-h100")
    dense, block = compared(scenario, ["dense", "block"], [], [1e5, 1e6])
    assert block.points[1].batch == dense.points[1].batch == 1
    assert block.points[1].cost / block.points[0].cost > math.sqrt(10) * 2  # the root is of bandwidth only


def test_cost_is_flat_and_then_linear() -> None:
    """C143: on the lecture's model the floor of a large batch is flat below the balance context and linear above it.

    C110 and C010: at twice the balance context a token costs twice as much, with weight reads negligible.
    """
    scenario = Scenario(model="lecture-frontier", system="gb200-nvl72", context=1)
    found = subject(scenario)
    at = np.array([0.01, 0.1, 0.5, 2.0, 4.0])
    result = contexts(scenario, found, "frontier", [1e5])
    balance = result.balance_context
    assert balance == pytest.approx(200e3, rel=0.1)
    evaluate = Evaluator(Scenario(model="lecture-frontier", system="gb200-nvl72", context=balance * at), found)
    huge = 1e7
    layout = evaluate.scenario.layout
    step = evaluate.decode(layout, np.full(5, huge))
    cost = np.maximum(step.time.math, step.time.memory)
    assert cost[1] / cost[0] == pytest.approx(1.0, abs=0.01)
    assert cost[3] / cost[2] == pytest.approx(2.0, rel=0.1)
    assert cost[4] / cost[3] == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(
    ("model", "system", "tokens"), [("deepseek-v3", "gb200-nvl72", 1.8e3), ("llama-3-70b", "hgx-h100", 1.43e3)]
)
def test_open_models_meet_bandwidth_a_hundred_times_sooner(model: str, system: str, tokens: float) -> None:
    """C112, C117: a step at 200k would need 1,667 B per token; open models keep 42 to 197 times as much."""
    scenario = Scenario(model=model, system=system)
    found = contexts(scenario, subject(scenario), model, [1e4])
    assert found.balance_context == pytest.approx(tokens, rel=0.1)
