"""Hold, fetch, recompute: the lecture's numbers, public price sheets, and the envelope against brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import InputError
from ridgeline.cache import (
    LIFE,
    break_even,
    chip_tier,
    device_share,
    drain_match,
    hold_cost,
    implied_bytes,
    medium_tier,
    move_time,
    occupy_cost,
    premium_line,
    spans,
)
from ridgeline.catalog import BUILT_IN
from ridgeline.hardware import load_chip, load_medium

HOUR = 3600.0
MTOK = 1e6


def test_hbm_breaks_even_at_balance_context_times_drain() -> None:
    """R. Pope's lecture (D. Patel, 2026): t* = L* M / W, 200k tokens x 20 ms = 4,000 s; 5 min costs 7.5%, 1 h 90%.

    With R = N_a p / C and L* = N_a W / (C k) the price, the model and the arithmetic all cancel.
    """
    active, rate, capacity, bandwidth, price = 100e9, 1e15, 160e9, 8e12, 2 / HOUR
    kv = active * bandwidth / (rate * 200_000)  # bytes per token that put L* at 200k
    recompute, hold = active * price / rate, hold_cost(kv, capacity, price)
    assert break_even(recompute, 0.0, hold) == pytest.approx(200_000 * capacity / bandwidth)
    assert break_even(recompute, 0.0, hold) == pytest.approx(4000)
    assert hold * 300 / recompute == pytest.approx(0.075)
    assert hold * HOUR / recompute == pytest.approx(0.90)


def test_published_write_premiums_are_a_line() -> None:
    """Anthropic's list for Opus 4.5: input 5, cache write 6.25 (5 min) and 10 (1 h) $/Mtok: 0.91 + 4.09 per hour.

    https://docs.anthropic.com/en/docs/about-claude/pricing. Gemini Pro lists storage at $4.50/Mtok/h
    (https://ai.google.dev/gemini-api/docs/pricing): within 10% of that slope; in the
    HBM of an H100 at $2/h they pay for 164 and 180 kB per token.
    """
    base, slope = premium_line([300.0, HOUR], [(6.25 - 5) / MTOK, (10 - 5) / MTOK])
    assert base * MTOK == pytest.approx(0.909, abs=5e-4)
    assert slope * MTOK * HOUR == pytest.approx(4.09, abs=5e-3)
    chip = load_chip("h100-sxm").value
    sizes = [implied_bytes(s, chip.hbm_capacity, 2 / HOUR) for s in (slope, 4.50 / MTOK / HOUR)]
    assert sizes == pytest.approx([163.6e3, 180e3], rel=1e-3)
    assert hold_cost(sizes[1], chip.hbm_capacity, 2 / HOUR) * MTOK * HOUR == pytest.approx(4.50)


def test_drives_of_today_drain_in_minutes_to_hours_and_disks_in_a_day() -> None:
    """The lecture's "flash a minute, disk an hour" holds for parts of 1 TB; data sheets: 4 min to 5 h, and 23 h."""
    media = [load_medium(name).value for name in BUILT_IN.names("media")]
    flash = [m.drain for m in media if m.kind.startswith("NVMe")]
    assert min(flash) == pytest.approx(229, abs=1)
    assert 4.5 * HOUR < max(flash) < 5 * HOUR
    assert [m.drain / HOUR for m in media if m.kind == "HDD"] == pytest.approx([23.4], abs=0.05)


def test_shares_of_a_device_are_equal_at_the_drain_time() -> None:
    """The matching rule: capacity and bandwidth are used alike when t = capacity / read; it picks the nearest."""
    tiers = [medium_tier(load_medium(name).value) for name in ("ddr5", "nvme", "hdd")]
    for tier in tiers:
        assert device_share(1.0, tier.drain, tier.capacity, tier.read) == pytest.approx(2.0 / tier.read)
    drains = [tier.drain for tier in tiers]
    assert drain_match(np.array([1.0, 1800.0, 86400.0]), drains).tolist() == [0, 1, 2]


def test_flash_of_three_drive_writes_a_day_must_keep_bytes_for_eight_hours() -> None:
    """Micron's data sheet of the 9550 MAX: 3 drive writes per day over 5 years, so a byte a third of a day."""
    tier = medium_tier(load_medium("nvme").value)
    assert tier.residence == pytest.approx(8 * HOUR)
    assert tier.wear * 140.16e15 == pytest.approx(tier.rent * LIFE)  # all its writes cost one drive


@given(
    st.lists(
        st.tuples(st.floats(0, 2), st.floats(1e-6, 1.0), st.floats(0, 2), st.floats(0.1, 1.0)), min_size=1, max_size=6
    ),
    st.floats(0.01, 4),
    st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20),
)
def test_spans_are_where_a_tier_is_the_cheapest(
    tiers: list[tuple[float, float, float, float]], recompute: float, times: list[float]
) -> None:
    """The envelope agrees with comparing all costs at each time, and covers all times once."""
    once, hold, wear, own = (np.array(column) for column in zip(*tiers, strict=True))
    found = spans(once, hold, recompute, wear, own)
    assert found[0].begin == 0
    assert found[-1].end == math.inf
    assert [a.end for a in found[:-1]] == [b.begin for b in found[1:]]
    for t in times:
        costs = [*(once + (1 - own) * hold * t + np.maximum(own * hold * t, wear)), recompute]
        here = next(span for span in found if span.begin <= t <= span.end)
        assert costs[here.tier] <= min(costs) * (1 + 1e-6) + 1e-9


def test_a_tier_may_be_the_cheapest_twice() -> None:
    """One that is dear to store in but wears out little takes over while the other's rent passes its wear."""
    twice = spans(np.array([1.0, 0.0]), np.array([1.0, 1.1]), 100.0, np.array([0.0, 5.0]))
    assert [span.tier for span in twice] == [0, 1, 0, 2]
    assert [span.begin for span in twice] == pytest.approx([0.0, 4.0, 10.0, 99.0])  # 1 + t, max(5, 1.1 t), 100


def test_a_drive_is_paid_for_once() -> None:
    """A full drive whose bytes stay for t is written over life / t times: by hand its price over what it holds.

    Rent and wear were once added: twice too much for a stay at which the drive is worn out just as it is written off.
    """
    for overhead in (1.0, 2.5):
        tier = medium_tier(load_medium("nvme").value, overhead=overhead)
        price = tier.rent * tier.own * LIFE
        for stay in (tier.residence / 10, tier.residence, tier.residence * 10):
            lasts = min(LIFE, LIFE * stay / tier.residence)  # until written off or worn out
            around = tier.rent * (1 - tier.own) * LIFE
            by_hand = (price / lasts + around / LIFE) * stay / tier.capacity
            hold = hold_cost(1.0, tier.capacity, tier.rent)
            assert occupy_cost(hold, stay, tier.wear, tier.own) == pytest.approx(by_hand)
            once = by_hand / 3
            back = break_even(once + by_hand * (1 + 1e-12), once, hold, tier.wear, tier.own)
            assert back == pytest.approx(stay if stay >= tier.residence or overhead > 1 else tier.residence)


def test_laws_broadcast_and_move_through_the_narrower_link() -> None:
    sizes = np.array([1e9, 2e9])
    assert move_time(sizes, 14e9, 7e9).tolist() == pytest.approx([1 / 7, 2 / 7])
    assert move_time(1e9, 14e9, math.inf) == pytest.approx(1 / 14)
    assert break_even(np.array([1.0, 3.0]), 2.0, 0.5).tolist() == [0.0, 2.0]


def test_tiers_refuse_what_they_cannot_price() -> None:
    """No price in the catalogue, no life, less than the device itself: named."""
    with pytest.raises(InputError, match="has no usd_per_byte"):
        medium_tier(load_medium("cxl").value)
    assert medium_tier(load_medium("cxl").value, usd_per_byte=5e-9).rent > 0
    for wrong in ({"life": 0.0}, {"overhead": 0.5}):
        with pytest.raises(InputError):
            medium_tier(load_medium("hdd").value, **wrong)
    chip = load_chip("h100-sxm").value
    assert chip_tier(chip, 1.0).drain == chip.drain
