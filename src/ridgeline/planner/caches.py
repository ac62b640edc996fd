"""Where a model's prompts are kept between two uses: every tier against computing them anew.

    recompute R = dollars per prompt token of the cheapest prefill, as estimated     hit price = fetch cost F
    write premium for a guaranteed time t = store + hold t                           storage = hold, $/Mtok/h

The chip's own HBM is rented at the chip's price, other media at their purchase price over their life. While a chip
fetches over the link to its host it is paid for `stall` of the time; what it stores goes beside its work. Two rules
choose a tier for a hold time: drain time nearest to it (equal shares of capacity and bandwidth), and least cost; where
they differ, the second is cheaper by definition. Knows no demand: tiers are full of what pays.
Tiers that take longer than `ttft` for a prompt are never the cheapest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.cache import (
    LIFE,
    Lifetime,
    Reuse,
    Tier,
    best_lifetime,
    break_even,
    cheapest,
    chip_tier,
    device_share,
    drain_match,
    hold_cost,
    implied_bytes,
    medium_tier,
    move_cost,
    move_time,
    premium_line,
    reign,
)
from ridgeline.catalog import Catalog
from ridgeline.errors import InputError
from ridgeline.hardware import format_bytes, load_medium
from ridgeline.model.kv import total_stored
from ridgeline.planner.search import plan
from ridgeline.scenario import Scenario, Subject, subject
from ridgeline.serving import Evaluator
from ridgeline.serving.point import chip_price
from ridgeline.units import parse

MEDIA = ("ddr5", "nvme", "qlc", "hdd")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One tier's costs of this model's tokens."""

    tier: Tier
    hold: float
    """$/tok/s."""
    store: float
    """$/tok, wear included."""
    fetch: float
    """$/tok: the device's time and the waiting chip's; of HBM 0."""
    wear: float
    """$/tok, of a write."""
    fetch_time: float
    """Seconds for the prompt."""
    break_even: float
    """Seconds up to which keeping costs less than recomputing."""
    begin: float
    """Hold times from here to `end` cost least in this tier; begin >= end: none."""
    end: float
    quick: bool
    """Whether a prompt is fetched within `ttft`."""
    lifetime: Lifetime | None
    """The best time to live under the law of reuse that was given."""
    saved: float
    """Share of the cost without a cache that it saves; 0 without a law."""
    worn_out: float
    """Seconds until the full device is worn out at that time to live; infinite where it lasts or nothing wears."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One hold time by both rules; costs of store, hold and fetch in $/tok."""

    seconds: float
    matched: str
    """Tier whose drain time is nearest."""
    matched_cost: float
    best: str
    """Tier of least cost; "recompute" where that costs least."""
    best_cost: float
    premiums: tuple[float, ...]
    """Write premium of each tier: store and hold."""
    shares: tuple[float, ...]
    """Device-seconds per token of each tier."""


class Caches(msgspec.Struct, frozen=True, kw_only=True):
    """All tiers of one question."""

    scenario: Scenario
    """Of the prompt's prefill: its layout and its length as `isl`."""
    subject: Subject
    context: float
    kv_bytes: float
    """Per token of this context."""
    recompute: float
    """$/tok."""
    recompute_time: float
    """Seconds of the prompt alone, as estimated."""
    layout: str
    tiers: tuple[Kept, ...]
    holds: tuple[Held, ...]
    law: Reuse | None
    premium: tuple[float, float] | None
    """Intercept ($/tok) and slope ($/tok/s) of a price sheet's write premiums."""
    implied: tuple[float, ...]
    """Bytes per token at which each tier's hold cost is that slope."""

    @property
    def best(self) -> Kept:
        """The tier that saves most under the law of reuse, of those that are quick enough."""
        return max((each for each in self.tiers if each.quick), key=lambda each: each.saved)


def caches(
    scenario: Scenario,
    *,
    media: Sequence[str] = MEDIA,
    holds: Sequence[float] = (60.0, 300.0, 3600.0, 86400.0),
    law: Reuse | None = None,
    premiums: Sequence[tuple[float, float]] = (),
    life: float = LIFE,
    overhead: float = 1.0,
    stall: float = 1.0,
    devices: int = 1,
) -> Caches:
    """Every tier for the prompts of a scenario: `context` tokens, or `isl` where no context is given.

    Parameters
    ----------
    media
        Names of the catalogue, each with a price where it has none or another: "cxl=$5/GB".
    holds
        Hold times to decide, s.
    law
        When prompts come back.
    premiums
        A price sheet's guaranteed times, s, with their write premiums, $/tok.
    life, overhead
        As of `cache.medium_tier`.
    stall
        Share of the fetch over the link that the chip is paid for; 1 is the upper bound, 0 if all is overlapped.
    devices
        Devices that a prompt is striped over, of each medium.

    Raises
    ------
    InputError
        For an unknown or unpriced medium, a model that keeps nothing per token, no chip price, nothing that fits, and
        values out of their range.
    """
    if not 0 <= stall <= 1:
        raise InputError(f"--stall {stall:g}", "a share from 0 to 1")
    if devices < 1:
        raise InputError(f"--devices {devices}", "a whole number, 1 or more")
    if not holds or not all(0 < t < math.inf for t in holds):
        raise InputError("--hold", "times above 0", 'such as "5min,1h"')
    context = scenario.context or scenario.isl
    rate = chip_price(scenario, subject(scenario)) or 0.0
    if not rate:
        raise InputError(
            f"the price of a chip of {scenario.system}", "one above 0: holding has no cost without it", 'such as "$2/h"'
        )
    asked = msgspec.structs.replace(scenario, isl=context, osl=1, context=0, ttft=0.0, pools="aggregated")
    result = plan(asked, top=1, ask=False)
    best, found = result.plans[0], result.subject
    recompute = best.usd_per_input_token
    assert recompute is not None
    kv_bytes = float(total_stored(found.model, float(context), format_bytes(found.precision.kv))) / context
    if not kv_bytes:
        raise InputError(f"{found.model.name}", "a model that keeps keys and values or a state")
    evaluator = Evaluator(best.point.scenario, found)
    first, times = evaluator.alone(best.layout)
    own = chip_tier(found.system.chip, rate)
    path = found.system.chip.host_link or math.inf
    tiers = [own, *(_medium(text, found.catalog, path, life, overhead) for text in media)]
    names = [tier.name for tier in tiers]
    if len(set(names)) < len(names):
        raise InputError(f"--medium {','.join(media)}", "each medium once")
    hold = np.array([hold_cost(kv_bytes, tier.capacity, tier.rent) for tier in tiers])
    wear = np.array([kv_bytes * tier.wear for tier in tiers])
    store = np.array([0.0, *(move_cost(kv_bytes, tier.write, tier.rent) for tier in tiers[1:])]) + wear
    fetch = np.array(
        [0.0, *(move_cost(kv_bytes, t.read, t.rent) + stall * move_cost(kv_bytes, t.path, rate) for t in tiers[1:])]
    )
    chips = best.layout.chips
    move = [0.0, *(move_time(kv_bytes * context, devices * t.read, chips * t.path) for t in tiers[1:])]
    quick = np.flatnonzero([not scenario.ttft or t <= scenario.ttft for t in move])
    begin, end = np.full(len(tiers), np.inf), np.zeros(len(tiers))
    begin[quick], end[quick] = reign((store + fetch)[quick], hold[quick], recompute)
    kept: list[Kept] = []
    for i, tier in enumerate(tiers):
        lifetime = None
        if law is not None:
            lifetime = best_lifetime(law, hold=hold[i], fetch=fetch[i], store=store[i], recompute=recompute)
        kept.append(
            Kept(
                tier=tier,
                hold=float(hold[i]),
                store=float(store[i]),
                fetch=float(fetch[i]),
                wear=float(wear[i]),
                fetch_time=float(move[i]),
                break_even=float(break_even(recompute, store[i] + fetch[i], hold[i])),
                begin=float(begin[i]),
                end=float(end[i]),
                quick=i in quick,
                lifetime=lifetime,
                saved=1.0 - lifetime.cost / (law.returns * recompute) if lifetime and law else 0.0,
                worn_out=_worn_out(tier, lifetime, law, life),
            )
        )
    line = premium_line(*zip(*premiums, strict=True)) if premiums else None
    return Caches(
        scenario=msgspec.structs.replace(best.point.scenario, context=0),
        subject=found,
        context=float(context),
        kv_bytes=kv_bytes,
        recompute=recompute,
        recompute_time=float(evaluator.estimate(first, best.layout).seconds * times),
        layout=best.name,
        tiers=tuple(kept),
        holds=_holds(np.array(holds, float), tiers, quick, kv_bytes, store, fetch, hold, recompute),
        law=law,
        premium=line,
        implied=tuple(float(implied_bytes(line[1], tier.capacity, tier.rent)) for tier in tiers) if line else (),
    )


def _holds(
    seconds: np.ndarray,
    tiers: list[Tier],
    quick: np.ndarray,
    kv_bytes: float,
    store: np.ndarray,
    fetch: np.ndarray,
    hold: np.ndarray,
    recompute: float,
) -> tuple[Held, ...]:
    matched = drain_match(seconds, [tier.drain for tier in tiers])
    best = np.append(quick, len(tiers))[cheapest(seconds, (store + fetch)[quick], hold[quick], recompute)]
    names = [*(tier.name for tier in tiers), "recompute"]
    out: list[Held] = []
    for t, near, least in zip(seconds.tolist(), matched.tolist(), best.tolist(), strict=True):
        cost = [*(store + fetch + hold * t).tolist(), recompute]
        out.append(
            Held(
                seconds=t,
                matched=names[near],
                matched_cost=cost[near],
                best=names[least],
                best_cost=cost[least],
                premiums=tuple((store + hold * t).tolist()),
                shares=tuple(device_share(kv_bytes, t, tier.capacity, tier.read) for tier in tiers),
            )
        )
    return tuple(out)


def _medium(text: str, catalog: Catalog, path: float, life: float, overhead: float) -> Tier:
    name, equals, price = text.partition("=")
    usd = parse(price, "USD/B", f"--medium {name}") if equals else 0.0
    if equals and not usd:
        raise InputError(f"--medium {text}", "a price above 0", f"such as {name}=$0.10/GB")
    return medium_tier(load_medium(name, catalog).value, path=path, usd_per_byte=usd, life=life, overhead=overhead)


def _worn_out(tier: Tier, best: Lifetime | None, law: Reuse | None, life: float) -> float:
    """Seconds that a full device lasts when each write stays for `held` after each of its 1 / (1 - G) uses."""
    if best is None or law is None or not best.ttl or not tier.residence:
        return math.inf
    ends = 1.0 - best.hit * law.returns
    stays = best.held / ends if ends > 0 else math.inf
    return life * stays / tier.residence if stays < tier.residence else math.inf
