"""Modes, comparisons, sensitivities and racks: each holds to a law that the lecture states or that follows from one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from ridgeline import InputError, Scenario, plan, step
from ridgeline.planner import Modes, modes
from ridgeline.planner.compare import compare
from ridgeline.planner.racks import racks
from ridgeline.planner.sensitivity import sensitivities
from ridgeline.subject import subject


@pytest.fixture(scope="module")
def found() -> Modes:
    """Modes of DeepSeek-V3 on one rack."""
    return modes(Scenario(model="deepseek-v3", system="gb200-nvl72", pools="aggregated"))


def test_modes_lie_on_one_frontier(found: Modes) -> None:
    """Faster is dearer; standard is 1 x 1; slow saves little of what runs at twice the balance batch (C035)."""
    named = {each.name: each for each in found.modes}
    assert (named["standard"].speed_ratio, named["standard"].cost_ratio) == (1.0, 1.0)
    for slower, faster in pairwise(found.modes):
        assert slower.tpot >= faster.tpot
        assert slower.cost <= faster.cost
    assert named["fast 2.5x"].speed_ratio >= 2.5
    assert found.offer_cost == pytest.approx(named["fast 2.5x"].cost_ratio)
    assert all(each.low <= each.tpot <= each.high for each in found.modes)
    two = next(each for each in found.balanced if each.kappa == 2)
    assert 0 <= two.saving < 0.15
    assert named["floor"].speed_ratio < 20  # no price buys any speed: the floor is hard (C034)


def test_balance_batch_and_contexts_scale_as_the_laws_say(found: Modes) -> None:
    """B* grows with sparsity (C039), not with the model at one sparsity; long contexts cost in proportion (C143)."""
    for less, more in pairwise(found.sparsities):
        assert more.balance_batch / less.balance_batch == pytest.approx(more.value / less.value, rel=0.05)
    far = [each for each in found.contexts if each.value >= 32_000]
    assert far[1].cost / far[0].cost == pytest.approx(far[1].value / far[0].value, rel=0.25)


def test_modes_need_request_lengths() -> None:
    with pytest.raises(InputError, match="modes with --context"):
        modes(Scenario(model="llama-3-8b", system="hgx-h100", context=8000))


def test_compare_is_the_plans_side_by_side() -> None:
    """A case equals its own plan; one that is impossible says why and the others go on."""
    question = Scenario(model="", system="", chips=8, tpot="30 ms")
    cases = compare(question, ["llama-3-70b"], ["hgx-h100", "hgx-h200", "rtx-3090"])
    for case in cases[:2]:
        alone = plan(Scenario(model="llama-3-70b", system=case.scenario.system, chips=8, tpot="30 ms"), top=1)
        assert case.result is not None
        assert case.result.plans[0].usd == alone.plans[0].usd
    assert cases[2].result is None
    assert "rtx-3090" in cases[2].refused
    with pytest.raises(InputError, match="compare of 1 cases"):
        compare(question, ["llama-3-70b"], ["hgx-h100"])


def test_elasticities_of_a_bandwidth_bound_step() -> None:
    """Euler's theorem: all rates together times two halve all but the fixed times, so elasticities sum to above -1."""
    found = sensitivities(Scenario(model="llama-3-70b", system="hgx-h100", tpot="25 ms"))
    rows = {row.name: row for row in found.rows}
    rates = [row.tpot for name, row in rows.items() if name not in ("isl", "osl", "chip.hbm_capacity")]
    assert all(slope <= 1e-9 for slope in rates)
    assert -1 < sum(rates) < -0.5
    assert rows["isl"].ttft > 0.5
    for row in found.rows:
        if row.name.startswith("chip.peak") or row.name.endswith("bandwidth"):
            assert row.halved >= 1 - 1e-9 >= row.doubled - 1e-6 or math.isnan(row.halved)


def test_elasticity_is_the_slope_of_the_law() -> None:
    """Against a step with the input moved by 2%."""
    found = sensitivities(Scenario(model="llama-3-70b", system="hgx-h100", tpot="25 ms"))
    scenario = found.base.point.scenario
    now, more = (
        step(Scenario(**{**{n: getattr(scenario, n) for n in scenario.__struct_fields__}, "set": text})).expected
        for text in ("", "chip.hbm_bandwidth=1.02x")
    )
    assert now is not None
    assert more is not None
    slope = math.log(float(more.tpot) / float(now.tpot)) / math.log(1.02)
    assert next(row for row in found.rows if row.name == "chip.hbm_bandwidth").tpot == pytest.approx(slope, rel=0.05)


def test_racks_answer_the_lecture() -> None:
    """Off-rack share (C048); weights per chip fall with stages and caches do not (C070, C071)."""
    found = racks(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="40 ms"))
    assert [row.off_rack for row in found.spread] == [0.0, 0.5, 0.75, 0.875]
    assert all(a.rate > b.rate for a, b in pairwise(found.spread))
    first, *others = found.stages
    for row in others:
        assert row.weights < first.weights * 1.6 / row.racks + 5e9
        assert row.cache == pytest.approx(first.cache, rel=0.06)
        assert row.slow_hop - row.tpot == pytest.approx(row.racks * 2e-3)
        assert row.hop < 1e-3
    whole = next(row for row in found.capacities if (row.capacity, row.racks) == (1.0, 1))
    half = next(row for row in found.capacities if (row.capacity, row.racks) == (0.5, 1))
    assert 0.8 * whole.rate < half.rate <= whole.rate  # half of the memory went unused
    small, piped = (next(r for r in found.capacities if (r.capacity, r.racks) == (0.25, p)) for p in (1, 2))
    assert piped.rate > small.rate  # less memory is made up for by stages (the MatX idea)
    reads = {row.domain: row.weight_read for row in found.domains}
    assert reads[8] / reads[576] == pytest.approx(72)


def test_what_if_changes_the_value_and_its_source() -> None:
    question = Scenario(
        model="deepseek-v3", system="gb200-nvl72", set="chip.hbm_bandwidth=2x,experts.count=512,domain.size=144"
    )
    found, plain = subject(question), subject(Scenario(model="deepseek-v3", system="gb200-nvl72"))
    assert found.system.chip.hbm_bandwidth == 2 * plain.system.chip.hbm_bandwidth
    assert (found.system.domain.size, found.chips) == (144, 144)
    assert found.sources["chip.hbm_bandwidth"].source == "--set"
    assert found.model.parameters > 1.9 * plain.model.parameters
    assert found.model.active_parameters == pytest.approx(plain.model.active_parameters, rel=0.01)


def test_what_if_has_nothing_to_multiply() -> None:
    with pytest.raises(InputError, match="none to multiply"):
        subject(Scenario(model="llama-3-8b", system="hgx-h100", set="chip.peak.fp4=2x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chip.hbm_bandwith=2x", "did you mean chip.hbm_bandwidth"),
        ("chip.hbm_bandwidth", "PATH=VALUE"),
        ("chip.hbm_bandwidth=3", "no unit"),
        ("domain.size=1.5", "a whole number"),
        ("experts.active=100x", "800 active of 256"),
        ("domain.topology=ring", "Invalid enum"),
    ],
)
def test_what_if_refuses_what_it_cannot_read(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        subject(Scenario(model="deepseek-v3", system="gb200-nvl72", set=text))
