"""The vectorised search against a loop over single points, and what it says when nothing is possible."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline import InputError, Scenario, load_model, plan, step
from ridgeline.layout import Divisors, Layout
from ridgeline.planner import OBJECTIVES, PlanResult
from ridgeline.planner.replicas import CHUNKS
from ridgeline.planner.space import layouts
from ridgeline.serving import Evaluator, as_time
from ridgeline.subject import subject


def test_space_is_every_valid_layout() -> None:
    """Against trying all degrees one by one."""
    model = load_model("mixtral-8x7b")
    can = Divisors.of(model)
    valid = set()
    for tp, pp, dp, ep, cp in product(range(1, 9), range(1, 9), range(1, 9), range(1, 9), (1, 2, 4, 8)):
        if tp * pp * dp * cp > 8:
            continue
        for redundant in range(9):  # the fewest copies that make the experts divide, and one more per rank
            try:
                can.check(Layout(tp=tp, pp=pp, dp=dp, ep=ep, cp=cp, redundant=redundant), model.name)
            except InputError:
                continue
            valid.add((tp, pp, dp, ep, cp, redundant))
            if ep > 1 and redundant == 0:
                valid.add((tp, pp, dp, ep, cp, ep))
            break
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
    scenario = Scenario.read(question | {"tpot": tpot, "pools": "aggregated"})
    result = answer(scenario)
    if result is None:
        return
    c = result.candidates
    rows = np.random.default_rng(0).integers(0, result.evaluated, 10)
    for row in rows:
        found = {"batch": int(c.batch[row]), "chunk": int(c.chunk[row])}
        one = step(Scenario.read(question | found | c.degrees(row)))
        assert one.expected is not None
        assert one.expected.tpot == pytest.approx(c.tpot[row])
        assert one.expected.ttft == pytest.approx(c.ttft[row])
        assert one.expected.chip_seconds == pytest.approx(c.chip_seconds[row])
    best = result.plans[0].point.expected
    assert best is not None
    assert best.chip_seconds <= c.chip_seconds[c.feasible].min() * 1.0101
    if scenario.tpot:
        assert all(p.point.expected.tpot <= scenario.tpot * (1 + 1e-9) for p in result.plans if p.point.expected)


@settings(max_examples=15)
@given(
    name=st.sampled_from(["llama-3-8b", "mixtral-8x7b", "gpt-oss-20b"]),
    chips=st.sampled_from([1, 2, 3, 4]),
    isl=st.integers(200, 9_000),
    osl=st.integers(2, 2_000),
    tpot=st.floats(4e-3, 60e-3),
    ttft=st.floats(0.05, 3.0),
    e2e=st.floats(1.0, 60.0),
)
def test_no_batch_that_the_grid_misses_is_better(
    name: str, chips: int, isl: int, osl: int, tpot: float, ttft: float, e2e: float
) -> None:
    """Brute force over every layout, every whole batch and every chunk: the same least cost within three limits."""
    question: dict[str, Any] = {
        "model": name, "system": "hgx-h100", "chips": chips, "isl": isl, "osl": osl, "tpot": tpot, "ttft": ttft,
        "e2e": e2e, "pools": "aggregated",
    }  # fmt: skip
    scenario = Scenario(**question)
    found, least = subject(scenario), np.inf
    space = layouts(found.model, chips)
    for row, chunk in product(range(len(space.tp)), CHUNKS):
        layout = Layout(**{d: int(getattr(space, d)[row]) for d in space.__struct_fields__})
        evaluate = Evaluator(replace(scenario, chunk=chunk), found)
        one = evaluate.memory(layout, 1)
        most = int(evaluate.memory(layout, 1e9).most_sequences * layout.dp) if one.most_sequences >= 1 else 0
        batch = np.arange(1.0, most + 1)
        batch = batch[evaluate.memory(layout, batch).fits] if most else batch
        if not len(batch):
            continue
        alone, often = evaluate.alone(layout)
        out = evaluate.expect(
            layout,
            batch,
            as_time(evaluate.estimate(evaluate.decode(layout, batch), layout)),
            as_time(evaluate.estimate(evaluate.prefill(layout), layout)),
            as_time(evaluate.estimate(alone, layout)) * often,
        )
        keeps = (out.tpot <= tpot) & (out.ttft <= ttft) & (out.ttft + max(osl - 1, 1) * out.tpot <= e2e)
        least = min(least, out.chip_seconds[keeps].min(initial=np.inf))
    result = answer(scenario)
    if result is None:
        assert least == np.inf
        return
    assert result.candidates.chip_seconds[result.candidates.feasible].min() == pytest.approx(least, rel=1e-12)


@settings(max_examples=60)
@given(case=st.data())
def test_longer_steps_for_larger_batches_but_less_per_sequence(case: st.DataObject) -> None:
    """What the search's proof rests on: t(b) does not fall and t(b) / b does not rise, for every layout."""
    name = case.draw(
        st.sampled_from(["deepseek-v3", "llama-3-70b", "mixtral-8x7b", "gpt-oss-120b", "qwen3-next-80b-a3b"])
    )
    system = case.draw(st.sampled_from(["hgx-h100", "gb200-nvl72", "mi300x-8"]))
    scenario = Scenario(model=name, system=system, context=case.draw(st.integers(0, 100_000)))
    found = subject(scenario)
    space = layouts(found.model, 16)
    row = case.draw(st.integers(0, len(space.tp) - 1))
    layout = Layout(**{d: int(getattr(space, d)[row]) for d in space.__struct_fields__})
    if not found.system.reaches(layout.chips):
        return
    evaluate = Evaluator(scenario, found)
    batch = np.unique(np.round(np.geomspace(1, 20_000, 400)))
    seconds = evaluate.estimate(evaluate.decode(layout, batch), layout).seconds
    assert (np.diff(seconds) >= -1e-12 * seconds[1:]).all()
    assert (np.diff(seconds / batch) <= 1e-12 * (seconds / batch)[1:]).all()


def test_front_is_not_dominated() -> None:
    """No point is better in both objectives, and every point is on the front or beaten by one that is."""
    result = plan(Scenario(model="deepseek-v3", system="hgx-h200"))
    c = result.candidates
    for first, second in (("speed", "cost"), ("throughput", "speed"), ("ttft", "energy"), ("e2e", "throughput")):
        x, y = getattr(c, OBJECTIVES[first]), getattr(c, OBJECTIVES[second])
        front = result.front(first, second)
        assert len(front) > 3
        for row in front:
            better = (x <= x[row]) & (y <= y[row])
            assert not (better & ((x < x[row]) | (y < y[row]))).any()
        at = np.searchsorted(x[front], x, side="right") - 1
        assert (at >= 0).all()
        assert (y[front][at] <= y).all()


def test_batch_at_the_limit_is_exact() -> None:
    """The largest batch that keeps the TPOT: one more sequence would not."""
    found = plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="20 ms", pools="aggregated")).plans[0].point
    assert found.expected is not None
    beyond = step(replace(found.scenario, batch=found.scenario.batch + 1)).expected
    assert beyond is not None
    assert found.expected.tpot <= 20e-3 < beyond.tpot


def test_runners_up_say_why_they_lose() -> None:
    result = plan(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="20 ms"))
    assert [bool(p.why) for p in result.plans] == [False, True, True, True, True]
    assert {p.mode for p in result.plans} == {"aggregated", "disaggregated"}


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


def test_limits_that_only_together_are_too_much_are_named() -> None:
    """Each can be kept; the message names the pair, not the third limit that is innocent."""
    with pytest.raises(InputError, match=r"--tpot 18 ms with --ttft 1\.2 s .* each can be kept, not together") as error:
        plan(Scenario(model="llama-3-70b", system="hgx-h100", isl=32000, tpot="18 ms", ttft="1.2 s", e2e=60.0))
    assert "--e2e" not in str(error.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"budget": "$0.1/h"}, r"--budget .* allows no chip"),
        ({"power": "100 W"}, r"--power 100 W: allows no chip"),
        ({"context": 8000, "ttft": "1 s"}, r"--ttft 1 s with --context"),
        ({"context": 8000, "pools": "disaggregated"}, r"--pools disaggregated with --context"),
        ({"prefill_chips": 8}, r"--prefill-chips 8: fewer than all 8 chips"),
        ({"prefill_chips": 4, "pools": "aggregated"}, r"--pools aggregated with a prefill pool"),
        ({"pools": "three"}, r"unknown pools 'three'"),
        ({"hit": "50%", "cached": 100}, r"--cached and --hit: one of them"),
        ({"accepted": 2, "verify": 3, "acceptance": 0.5}, r"--accepted and --acceptance"),
        ({"tpot": "1 us"}, r"reading its weights alone takes"),
    ],
)
def test_contradictions_are_named(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(Scenario(model="llama-3-70b", system="hgx-h100", **asked))


def test_what_would_do_does() -> None:
    """A remedy in a message is one that a search has found to work."""
    with pytest.raises(InputError, match=r"what would do: --weights nvfp4 or --chips 16"):
        plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="10 ms"))
    assert plan(Scenario(model="llama-3-70b", system="hgx-h100", tpot="10 ms", chips=16)).plans


def test_budget_and_power_are_chips() -> None:
    """$10/h at $1.3/h pays for seven chips, 3 kW of 700 W boards power as many as fit."""
    assert plan(Scenario(model="llama-3-8b", system="hgx-h100", budget=10 / 3600)).subject.chips == 7
    chip = subject(Scenario(model="llama-3-8b", system="hgx-h100")).system.chip
    assert chip.power is not None
    assert plan(Scenario(model="llama-3-8b", system="hgx-h100", power=3.5 * chip.power)).subject.chips == 3


def test_drafts_and_formats_are_searched_together() -> None:
    """Where the TPOT is short drafts pay; the best of all variants is no dearer than any of them alone."""
    base = Scenario(model="mimo-7b", system="hgx-h100", chips=2, tpot="5 ms", pools="aggregated")
    both = plan(replace(base, acceptance=0.7), over={"weights": ["bf16", "fp8"]}, top=1)
    assert len(both.variants) == 10
    assert both.plans[0].point.scenario.verify > 1
    for variant in both.variants:
        alone = answer(variant)
        if alone is not None:
            least = alone.candidates.usd[alone.candidates.feasible].min()
            assert both.candidates.usd[both.candidates.feasible].min() <= least * (1 + 1e-12)


def test_any_format_is_what_the_chip_multiplies() -> None:
    """H100 has no fp4 unit; GB200 has one; a model published in fp8 has no wider format."""
    base = Scenario(model="llama-3-8b", system="hgx-h100", context=8000)
    assert [v.weights for v in plan(base, over={"weights": ["any"]}).variants] == ["", "fp8"]
    assert [v.kv for v in plan(base, over={"kv": ["any"]}).variants] == ["", "fp8"]
    rack = Scenario(model="deepseek-v3", system="gb200-nvl72", chips=8, context=8000)
    assert [v.weights for v in plan(rack, over={"weights": ["any"]}).variants] == ["", "nvfp4"]
    with pytest.raises(InputError, match="stands for formats"):
        plan(base, over={"engine": ["any"]})
