"""What the lecture says of prices (R. Pope, D. Patel, 2026) against public sheets and against costs here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ridgeline import Scenario
from ridgeline.cache import chip_tier, hold_cost, premium_line
from ridgeline.hardware import load_chip
from ridgeline.planner.caches import caches
from ridgeline.pricing.menu import menu
from ridgeline.pricing.menu_beside import beside
from ridgeline.pricing.menu_modes import operations
from ridgeline.pricing.menu_steps import Lengths
from ridgeline.pricing.spelling import find_sheet, sheets

MTOK = 1e6
ALONE = Lengths(share=np.ones(1), isl=np.full(1, 4000.0), osl=np.full(1, 1000.0), longest=np.full(1, 4000.0))


def test_a_faster_mode_has_a_smaller_batch_by_price_times_speed() -> None:
    """C031: on the same chips cost = t / B, so B0 / Bf = price ratio x speed ratio (15 for 6x at 2.5x the speed)."""
    scenario = Scenario(model="llama-3-70b", system="hgx-h100", tp=8, isl=4000, osl=1000, pools="aggregated")
    found = operations(scenario, (1.5, 2.0))
    first = found.standard.costs(ALONE.isl, ALONE.osl)
    prefill = found.standard.prefill.usd
    for mode in found.fast:
        fast = mode.costs(ALONE.isl, ALONE.osl)
        busy = first.input.estimate * ALONE.isl / prefill  # seconds of a prefill: the same in both
        steps = [(c.tpot - c.batch * busy / 999) / c.batch for c in (first, fast)]
        assert fast.output.estimate / first.output.estimate == pytest.approx(steps[1] / steps[0])
        assert fast.batch < first.batch / 1.5
        assert fast.output.estimate > first.output.estimate


def test_speed_has_a_floor_that_no_price_buys() -> None:
    """C034: reading the weights bounds the speed: 100 times as fast cannot be had, whatever is paid."""
    scenario = Scenario(model="llama-3-70b", system="hgx-h100", isl=4000, osl=1000, tpot=0.05)
    assert operations(scenario, (100.0,)).too_fast == ("fast 100x",)


def test_ratios_of_public_sheets() -> None:
    """C111, C121, C125, C126: output 1.5x and input 2x above 200k; output 5 and 6 times input; hits a tenth."""
    gemini, opus = find_sheet("gemini-3.1-pro"), find_sheet("claude-opus-4.5")
    step = gemini.steps[0]
    assert step.above == 200_000
    assert (step.output / gemini.output, step.input / gemini.input) == pytest.approx((1.5, 2.0))
    assert (gemini.ratio, opus.ratio) == pytest.approx((6.0, 5.0))
    assert step.output / step.input == pytest.approx(4.5)
    for sheet in (gemini, opus):
        assert sheet.cached is not None
        assert sheet.cached / sheet.input == pytest.approx(0.1)
    assert {write.hold: write.price * MTOK for write in opus.writes} == pytest.approx({300: 6.25, 3600: 10.0})
    base, slope = premium_line(*zip(*[(w.hold, w.price - opus.input) for w in opus.writes], strict=True))
    assert (base * MTOK, slope * MTOK * 3600) == pytest.approx((0.909, 4.09), abs=0.005)
    assert gemini.storage is not None
    assert gemini.storage * MTOK * 3600 == pytest.approx(4.5)


def test_guaranteed_times_are_no_drain_times_of_todays_media() -> None:
    """C134 to C137: by drain time 5 minutes is a small drive and 1 hour a large one, neither memory nor disk."""
    found = caches(Scenario(model="llama-3-70b", system="hgx-h100", isl=8000))
    by_time = {held.seconds: held.matched for held in found.holds}
    assert by_time[300].startswith("nvme")
    assert by_time[3600].startswith("nvme")
    assert by_time[86400].startswith("hdd")
    chip = load_chip("h100-sxm").value
    five = hold_cost(1667.0, chip.hbm_capacity, 2 / 3600) * 300
    anew = 100e9 * 2 / 1979e12 * 2 / 3600  # C127: $0.056 per million tokens of a 100B model at peak
    assert anew * MTOK == pytest.approx(0.056, abs=0.001)
    assert five / anew == pytest.approx(0.06, abs=0.02)  # C137: affordable in HBM by cost, though not by drain
    assert chip_tier(chip, 2 / 3600).drain < 0.1


def test_prices_are_far_from_cost() -> None:
    """C120: list prices are several times what chips cost: DeepSeek's own report of March 2025 says 6.5 times in all.

    https://github.com/deepseek-ai/open-infra-index, day 6: $87,072 a day of chips at $2/h, $562,027 at list prices.
    """
    scenario = Scenario(model="deepseek-v3", system="hgx-h800", chips=144, price="$2/h", isl=4000, osl=1000, tpot=0.05,
                        pools="aggregated", hit=0.56)  # fmt: skip
    found = menu(operations(scenario, ()), ALONE)
    first = min((each for each in sheets() if each.name == "deepseek-reasoner"), key=lambda each: each.date)
    assert (first.input * MTOK, first.output * MTOK) == pytest.approx((0.55, 2.19))
    then = {each.name: each for each in beside(found, first)}
    now = {each.name: each for each in beside(found, find_sheet("deepseek-reasoner"))}
    assert 0.7 < then["output"].leaves < 0.95  # price over cost of 3 to 20
    assert 0.7 < then["input"].leaves < 0.95
    assert now["output"].leaves < 0.3  # the same chips at the price of a year later


def test_a_sheets_steps_are_held_against_their_own_requests() -> None:
    """Requests above 200k cost more than the 1.5x that is asked of them; a menu of one length has only one step."""
    isl = np.array([20e3, 100e3, 250e3, 400e3])
    mix = Lengths(share=np.array([0.7, 0.2, 0.06, 0.04]), isl=isl, osl=np.full(4, 500.0), longest=isl)
    scenario = Scenario(model="llama-3-70b", system="hgx-h100", isl=float(mix.share @ isl), osl=500, tp=8)
    found = menu(operations(scenario, (1.5,)), mix)
    laid = {each.name: each for each in beside(found, find_sheet("gemini-3.1-pro"))}
    low, high = (laid[f"output, {part} 200 ktok"] for part in ("up to", "above"))
    assert high.cost > 2 * low.cost > 0
    assert high.leaves < low.leaves
    assert laid["batch, input"].price == pytest.approx(1e-6)
    assert laid["priority, output"].cost == found.line("fast 1.5x, output").cost.estimate
    assert math.isclose(laid["output, up to 200 ktok"].price, 12e-6)
