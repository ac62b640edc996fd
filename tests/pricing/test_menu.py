"""The menu: agrees with the plan it is made from, recovers the cost of a mix, follows the lecture's rules of prices."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline import InputError, Scenario
from ridgeline.pricing.menu import Menu, menu
from ridgeline.pricing.menu_modes import operations
from ridgeline.pricing.menu_steps import Lengths, grouped
from ridgeline.pricing.operation import largest
from ridgeline.serving import Evaluator
from ridgeline.subject import subject

DENSE = Scenario(model="llama-3-70b", system="hgx-h100", isl=6000, osl=500)


def _mix(most: int = 64) -> Lengths:
    rng = np.random.default_rng(1)
    prompt = np.clip(rng.lognormal(8, 1.2, 5000), 20, 60_000).astype(int)
    return grouped(prompt, rng.integers(100, 900, 5000), most)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tpot": 0.04},
        {"tpot": 0.04, "pools": "aggregated", "hit": 0.4},
        {"model": "deepseek-v3", "system": "gb200-nvl72", "chips": 24, "tpot": 0.025, "utilisation": 0.5},
        {"model": "gpt-oss-120b", "tpot": 0.02, "overlap": "two-batch"},
    ],
)
def test_costs_at_the_planned_lengths_are_the_plans(changes: dict) -> None:
    """Chips left over and pools that wait for each other are paid for too: input and output add up to the request.

    Of plans within 1% of each other the search takes the faster, with a smaller batch than could be had.
    """
    scenario = msgspec.structs.replace(DENSE, **changes)
    found = operations(scenario, ())
    assert found.plan is not None
    out = found.standard.served(scenario.isl, scenario.osl)
    new = scenario.isl * (1 - scenario.hit)
    cost = out.input.estimate[0] * new + out.output.estimate[0] * scenario.osl
    assert found.plan.usd_per_input_token is not None
    assert cost == pytest.approx(found.plan.usd, rel=0.01)
    assert out.input.estimate[0] * new == pytest.approx(found.plan.usd_per_input_token * scenario.isl, rel=0.01)
    assert out.tpot[0] <= found.standard.tpot * (1 + 1e-6)


@pytest.mark.parametrize("tpot", [math.inf, 0.05])
def test_a_mix_pays_for_its_replica(tpot: float) -> None:
    """By Little's law: put each length's share of sequences in one replica; what they pay is what the replica costs.

    This is what makes the price of a long request more than a rule of thumb: memory or time that it takes from others
    is in it. Exact where a step's time is affine in its sequences; kernels are so within a few per cent.
    """
    lengths = _mix(24)
    mean = float(lengths.share @ lengths.isl)
    scenario = msgspec.structs.replace(DENSE, tp=8, isl=mean, tpot=0.0 if math.isinf(tpot) else tpot)
    standard = operations(scenario, ()).standard
    costs = standard.costs(lengths.isl, lengths.osl, lengths.share)
    assert costs.can.all()
    usd = standard.decode.usd
    prefill = lengths.share @ (costs.input.estimate * lengths.isl) / usd  # seconds of the replica per request
    decode = lengths.share @ (costs.output.estimate * lengths.osl) / usd
    rate = 1.0 / (prefill + decode)  # requests per second that pay for the replica
    # the replica of all lengths together at that rate: sequences in flight, their mean context, one step's time
    step = (1 - rate * prefill) * tpot if math.isfinite(tpot) else None
    stay = costs.tpot * (lengths.osl - 1)
    flight = rate * lengths.share * stay  # Little
    context = flight @ (lengths.isl + lengths.osl / 2) / flight.sum()
    one = msgspec.structs.replace(scenario, context=float(context), tpot=0.0, batch=1)
    evaluate = Evaluator(one, subject(one))
    made = evaluate.estimate(evaluate.decode(one.layout, float(flight.sum())), one.layout).seconds
    if step is not None:
        assert made == pytest.approx(step, rel=0.04)
    else:
        held = evaluate.memory(one.layout, float(flight.sum()))
        assert held.used == pytest.approx(held.capacity, rel=0.03)


def _menu() -> Menu:
    return menu(operations(DENSE, (1.5,)), _mix(), margin=0.6)


def test_prices_are_costs_and_a_margin() -> None:
    """A margin of 60% leaves 40% of each price for its cost; the floor is below, the interval around the estimate."""
    found = _menu()
    for line in found.lines:
        assert line.cost.estimate == pytest.approx(0.4 * line.price)
        assert line.cost.floor <= line.cost.estimate
        assert line.cost.low <= line.cost.estimate <= line.cost.high
    assert found.line("input").price < found.line("output").price
    assert found.line("cached read, 5 min").price < 0.1 * found.line("input").price
    writes = [found.line(f"cache write, {t}") for t in ("5 min", "1 h")]
    assert found.line("input").price < writes[0].price < writes[1].price < 1.3 * found.line("input").price


def test_half_price_batches_are_idle_hours() -> None:
    """Claim C035: a slow mode alone saves nothing where batches are large; half-used chips are the Batch API's half."""
    busy = msgspec.structs.replace(DENSE, utilisation=0.5)
    found = menu(operations(busy, ()), _mix())
    for part in ("input", "output"):
        assert found.line(f"slow, {part}").cost.estimate == pytest.approx(found.line(part).cost.estimate, rel=0.01)
        half = found.line(f"batch, {part}").cost.estimate / found.line(part).cost.estimate
        assert half == pytest.approx(0.5, rel=0.01)


def test_faster_is_dearer_and_long_ones_are_paid_by_short_ones() -> None:
    """One price for all: the shortest half pays more than it costs, the longest hundredth less; tiers mend it."""
    scenario = msgspec.structs.replace(DENSE, tpot=0.05)
    found = menu(operations(scenario, (1.5,)), _mix())
    assert found.line("fast 1.5x, output").price > found.line("output").price > found.line("slow, output").price
    first, last = found.bands[0], found.bands[-1]
    assert first.pays[0] > 1 > last.pays[0]
    assert [abs(first.pays[k] - 1) for k in (0, 1, 2)] == sorted((abs(p - 1) for p in first.pays), reverse=True)
    for k in range(len(found.steps)):
        assert sum(band.pays[k] * band.cost for band in found.bands) == pytest.approx(1.0)
    top = found.steps[-1].tiers
    assert top[0].prices[0] < top[-1].prices[0]
    assert top[0].prices[1] < top[-1].prices[1]


def test_the_search_for_a_batch_is_exact() -> None:
    rng = np.random.default_rng(0)
    most = np.floor(10 ** rng.uniform(0, 5, 37))
    edge = np.floor(rng.uniform(0, 1.2, 37) * most)
    assert largest(lambda b: b <= edge, most).tolist() == np.clip(edge, 1, most).tolist()


def test_what_cannot_be_priced_is_named() -> None:
    known = operations(DENSE, ())
    cases: list[tuple[dict[str, Any], str]] = [
        ({"margin": 1.0}, "below 1"),
        ({"tiers": 0}, "from 1 to 16"),
        ({"ttls": (0.0,)}, "times above 0"),
        ({"batch_utilisation": 0.5}, "--batch-utilisation"),
    ]
    for wrong, message in cases:
        with pytest.raises(InputError, match=message):
            menu(known, _mix(), **wrong)
    long = Lengths(share=np.ones(1), isl=np.full(1, 1e8), osl=np.full(1, 9.0), longest=np.full(1, 1e8))
    with pytest.raises(InputError, match="fit in memory"):
        menu(known, long)
    for changes, message in (
        ({"tp": 8, "tpot": 1e-6}, "a TPOT of 0.001 ms"),
        ({"tp": 16}, "at most the 8 chips"),
        ({"context": 8000}, "--isl and --osl"),
    ):
        with pytest.raises(InputError, match=message):
            operations(msgspec.structs.replace(DENSE, **changes), ())
    with pytest.raises(InputError, match="--fast 1"):
        operations(DENSE, (1.0,))
