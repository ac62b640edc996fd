"""Intervals of left-out errors: they hold what they promise, from few errors and from few places."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.validate.heldout import ENOUGH, OTHERS, PREFILL_STATIC, Error, Errors, held_out, spread


def interval(errors: list[Error]) -> tuple[float, float]:
    by_level: Errors = {"online/tpot_s": {"measured kernels": errors}}
    return spread(by_level, {})["online/tpot_s"]["measured kernels"]


@pytest.mark.parametrize("n", [ENOUGH, 14, 40])
def test_four_of_five_to_come_lie_inside(n: int) -> None:
    """The error to come is one more of the same kind: percentiles of the n seen ones alone would hold 64% at n = 9."""
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        seen = [(float(error), ("a", str(i))) for i, error in enumerate(rng.normal(0.0, 0.3, n))]
        low, high = interval(seen)
        held.append(low <= rng.normal(0.0, 0.3) <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.03)


def test_a_large_place_does_not_speak_for_all() -> None:
    """A thousand rows of one model and system, all right, beside twenty of others that are 40% off."""
    one = [(0.001 * i / 1000, ("a", "x")) for i in range(1000)]
    others = [(0.4, ("b", str(i))) for i in range(20)]
    assert interval(one + others)[1] > 0.3


@pytest.mark.parametrize("places", [3, 8, 30])
def test_four_of_five_rows_of_a_new_place_lie_inside(places: int) -> None:
    """Places a deviation of 0.3 apart, their rows 0.1: as many rows as one likes do not make three places thirty."""
    rng, held = np.random.default_rng(1), []
    for _ in range(400):
        means = rng.normal(0.0, 0.3, places + 1)
        seen = [(float(m + e), ("a", str(i))) for i, m in enumerate(means[1:]) for e in rng.normal(0.0, 0.1, 12)]
        low, high = interval(seen)
        held.append(low <= means[0] + rng.normal(0.0, 0.1) <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.06)


def test_an_engine_that_errs_more_has_a_wider_interval() -> None:
    """Three places prove three fifths: an engine with four times the errors is given 4^(3/5) of the interval."""
    usual = [(0.1 * sign, ("a", str(i))) for i in range(200) for sign in (-1, 1)]
    wild = [(0.4 * sign, ("b", str(i))) for i in range(3) for sign in (-1, 1) for _ in range(3)]
    errors: Errors = {"online/tpot_s": {"pooled": usual + wild}, "online/tpot_s, sglang": {"pooled": wild}}
    found = spread(errors, {})
    ratio = found["online/tpot_s, sglang"]["pooled"][1] / found["online/tpot_s"]["pooled"][1]
    assert ratio == pytest.approx(4 ** (3 / 5), rel=0.01)


def test_an_engine_has_its_own_interval_from_three_places() -> None:
    """Time to first token of one engine is known better than that of another; two places do not tell."""
    errors = [(0.1 * i, ("a", str(i % 3))) for i in range(12)]
    near: Errors = {"online/ttft_s, vllm": {"fitted": errors}, "online/ttft_s, other": {"fitted": errors[::3] * 3}}
    assert list(spread({}, near)) == ["online/ttft_s, vllm"]


def test_too_few_errors_make_no_interval() -> None:
    assert spread({"online/tpot_s": {"measured kernels": [(0.1, ("a", "x"))] * (ENOUGH - 1)}}, {}) == {}


def test_sets_that_join_modes_or_engines_count_each_row_once() -> None:
    """The scoreboard's sets of several modes had no held-out error of their own: only their parts had."""
    where = ("model", "system")
    part: dict[str, list[Error]] = {"measured kernels": [(0.1, where)] * 6}
    names = ("prefill/ttft_s", "prefill/ttft_s, vllm", "static/e2e_s", "online/ttft_s, sglang", "online/ttft_s, trtllm")
    found = held_out(dict.fromkeys((*names, "online/ttft_s, vllm", "online/ttft_s", "ttft_s", "all"), part))
    assert {name: each.n for name, each in found.items()} == {PREFILL_STATIC: 12, OTHERS: 12}
    assert found[OTHERS].bias == pytest.approx(np.expm1(-0.1), abs=1e-4)
