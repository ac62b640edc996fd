"""The vectorised search against a loop over single points, and what it says when nothing is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline import InputError, Scenario, load_model, plan, step
from ridgeline.layout import Divisors, Layout
from ridgeline.planner import PlanResult
from ridgeline.planner.space import layouts


def test_space_is_every_valid_layout() -> None:
    """Against trying all degrees one by one."""
    model = load_model("mixtral-8x7b")
    can = Divisors.of(model)
    valid = set()
    for tp in range(1, 9):
        for pp in range(1, 9):
            for dp in range(1, 9):
                for ep in range(1, 9):
                    for cp in (1, 2, 4, 8):
                        if tp * pp * dp * cp > 8:
                            continue
                        try:
                            can.check(Layout(tp=tp, pp=pp, dp=dp, ep=ep, cp=cp), model.name)
                        except InputError:
                            continue
                        valid.add((tp, pp, dp, ep, cp))
    space = layouts(model, 8)
    found = list(zip(*(getattr(space, d).tolist() for d in space.__struct_fields__), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == valid


def answer(scenario: Scenario) -> PlanResult | None:
    """The plan, or None if there is an honest reason that there is none."""
    try:
        return plan(scenario)
    except InputError as refused:
        reason = str(refused)
    assert "does not fit" in reason or "not reachable" in reason
    return None


@settings(max_examples=25)
@given(
    name=st.sampled_from(["llama-3-8b", "mixtral-8x7b", "gpt-oss-20b"]),
    chips=st.sampled_from([1, 2, 4]),
    isl=st.integers(1, 20_000),
    osl=st.integers(1, 4_000),
    tpot=st.sampled_from([0, "8 ms", "20 ms"]),
)
def test_search_equals_a_loop(name: str, chips: int, isl: int, osl: int, tpot: str) -> None:
    """Every candidate's numbers are those of the single step; the best is the cheapest of those that keep the TPOT."""
    question = {"model": name, "system": "hgx-h100", "chips": chips, "isl": isl, "osl": osl}
    scenario = Scenario.read(question | {"tpot": tpot})
    result = answer(scenario)
    if result is None:
        return
    c = result.candidates
    rows = np.random.default_rng(0).integers(0, result.evaluated, 10)
    for row in rows:
        degrees = {d: int(getattr(c.layout, d)[row]) for d in c.layout.__struct_fields__}
        one = step(Scenario.read(question | {"batch": int(c.batch[row])} | degrees))
        assert one.expected is not None
        assert one.expected.tpot == pytest.approx(c.tpot[row])
        assert one.expected.chip_seconds == pytest.approx(c.chip_seconds[row])
    best = result.plans[0].point.expected
    assert best is not None
    assert best.chip_seconds <= c.chip_seconds[c.feasible].min() * 1.0101
    if scenario.tpot:
        assert all(p.point.expected.tpot <= scenario.tpot * (1 + 1e-9) for p in result.plans if p.point.expected)


def test_front_is_not_dominated() -> None:
    result = plan(Scenario(model="deepseek-v3", system="hgx-h200"))
    c, front = result.candidates, result.front()
    assert len(front) > 3
    for row in front:
        better = (c.tpot <= c.tpot[row]) & (c.chip_seconds <= c.chip_seconds[row])
        strictly = better & ((c.tpot < c.tpot[row]) | (c.chip_seconds < c.chip_seconds[row]))
        assert not strictly.any()


def test_batch_at_the_limit_is_exact() -> None:
    """The largest batch that keeps the TPOT: one more sequence would not."""
    best = plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="20 ms")).plans[0].point
    assert best.expected is not None
    more = Scenario(
        model="llama-3-70b", system="hgx-h100", tp=best.scenario.tp, pp=best.scenario.pp, batch=best.scenario.batch + 1
    )
    beyond = step(more).expected
    assert beyond is not None
    assert best.expected.tpot <= 20e-3 < beyond.tpot


def test_runners_up_say_why_they_lose() -> None:
    result = plan(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="20 ms"))
    assert [bool(p.why) for p in result.plans] == [False, True, True, True, True]


def test_model_that_does_not_fit_says_by_how_much_and_what_would() -> None:
    with pytest.raises(
        InputError, match=r"does not fit on 1 chip of hgx-h100.*67\.3 GB too much.*about 3 chips or --weights fp8"
    ):
        plan(Scenario(model="llama-3-70b", system="hgx-h100", chips=1))


def test_unreachable_tpot_names_the_nearest_miss() -> None:
    with pytest.raises(InputError, match=r"--tpot 1 us .* not reachable: the lowest TPOT is .* \(.*tp="):
        plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="1 us"))


def test_idle_chips_are_paid_for() -> None:
    """64 of 72 chips in use cost 72: the ratio of paid to working chips is in the price of a token."""
    point = step(Scenario(model="deepseek-v3", system="gb200-nvl72", dp=64, ep=64, batch=2400, context="4k"))
    alone = step(Scenario(model="deepseek-v3", system="gb200-nvl72", chips=64, dp=64, ep=64, batch=2400, context="4k"))
    ratio = point.numbers["usd_per_output_token"].value / alone.numbers["usd_per_output_token"].value
    assert ratio == pytest.approx(72 / 64)
