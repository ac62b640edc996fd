"""Contexts: the pruned search against trying every batch, monotony, and limits that the deployments found keep."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from ridgeline import InputError, Scenario, load_model, plan
from ridgeline.model.architecture import Recurrent
from ridgeline.model.variant import KINDS, variant
from ridgeline.planner.contexts import compared, contexts, grid, longest
from ridgeline.subject import subject

SMALL = Scenario(model="llama-3-8b", system="hgx-h100", chips=4)


@pytest.mark.parametrize("tpot", [0.0, 0.012])
@pytest.mark.parametrize("context", [3000, 60_000])
def test_the_cheapest_is_the_plans(tpot: float, context: int) -> None:
    """`plan` searches decode at a context by other means: a grid of batches, then bisection at its edge."""
    scenario = msgspec.structs.replace(SMALL, tpot=tpot)
    found = contexts(scenario, subject(scenario), "", [float(context)]).points[0]
    best = plan(msgspec.structs.replace(scenario, context=context, osl=1), top=1, ask=False)
    least = best.candidates.usd[best.candidates.feasible].min()
    assert found.cost == pytest.approx(least, rel=0.01)
    assert found.fastest == pytest.approx(best.candidates.tpot.min())
    assert found.cost_floor <= found.cost
    assert found.fastest_floor <= found.fastest


def test_longer_is_never_cheaper_nor_faster_and_limits_hold() -> None:
    """Each wall lies between a context that keeps the limit and one that does not."""
    scenario = msgspec.structs.replace(SMALL, tpot=0.01)
    limit = 1e-6
    for found in compared(scenario, list(KINDS), [], grid(1e3, 1e7), cost=limit):
        for name in ("cost", "fastest", "reading", "ttft"):
            series = np.array([getattr(point, name) for point in found.points])
            known = series[np.isfinite(series)]
            assert (np.diff(known) >= -1e-3 * known[1:]).all(), (found.label, name)
            assert np.isfinite(series[: len(known)]).all()
        for point in found.points:
            edges = (found.fits, found.within_tpot, found.within_cost)
            if any(abs(point.context / edge - 1) < 0.002 for edge in edges if edge and math.isfinite(edge)):
                continue  # nearer to an edge than it is searched to
            assert found.within_tpot is not None
            assert found.within_cost is not None
            assert (point.context <= found.fits) == math.isfinite(point.fastest)
            assert (point.context <= found.within_tpot) == (point.fastest <= 0.01)
            assert (point.context <= found.within_cost) == (point.cost <= limit)
            assert not point.tpot > 0.01 * (1 + 1e-9)
            assert point.read <= point.stored * 2


def test_a_variant_changes_attention_and_nothing_else() -> None:
    model = load_model("deepseek-v3")
    for kind in KINDS:
        made = variant(model, kind)
        assert len(made.layers) == len(model.layers)
        assert [layer.feedforwards for layer in made.layers] == [layer.feedforwards for layer in model.layers]
    assert variant(model, "published") is model
    assert variant(model, "latent").parameters == model.parameters  # its own dimensions
    hybrid = [isinstance(layer.mixers[0], Recurrent) for layer in variant(model, "hybrid").layers]
    assert hybrid[:8] == [True, True, True, False] * 2
    dense = load_model("llama-3-8b")
    assert variant(dense, "dense").parameters == dense.parameters


def test_search_of_a_limit() -> None:
    assert longest(lambda c: c <= 12_345) == pytest.approx(12_345, rel=0.001)
    assert longest(lambda c: False) == 0
    assert longest(lambda c: True) == math.inf


def test_what_cannot_be_is_named() -> None:
    for kinds, models, message in (
        (["nosuch"], [], "unknown attention"),
        (["dense", "dense"], [], "each once"),
        ([], [], "at least one kind"),
        ([], ["nosuch"], "nosuch"),
    ):
        with pytest.raises(InputError, match=message):
            compared(SMALL, kinds, models, [1e4])
    with pytest.raises(InputError, match="weights do not fit"):
        compared(msgspec.structs.replace(SMALL, model="llama-3.1-405b"), ["dense"], [], [1e4])
    with pytest.raises(InputError, match="contexts"):
        contexts(SMALL, subject(SMALL), "", [0.5])
