"""Where a model's prompts are kept between two uses: every tier against computing them anew.

    recompute R = dollars per prompt token of the cheapest prefill, as estimated

Two rules choose a tier for a hold time: drain time nearest to it (equal shares of capacity and bandwidth), and least
cost; where they differ, the second is cheaper by definition. Tiers' costs are in `kept.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.cache import Reuse, device_share, drain_match, implied_bytes, premium_line
from ridgeline.errors import InputError
from ridgeline.planner.kept import Kept, Media, Recompute, bytes_per_token, kept
from ridgeline.planner.search import plan
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator
from ridgeline.serving.point import chip_price
from ridgeline.subject import Subject, subject

RECOMPUTE = "recompute"
"""In the place of a tier: computing anew costs least."""


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
    back: float | None
    """Share of what ever comes back that has done so by then, under the law of reuse; None without one."""


class Caches(msgspec.Struct, frozen=True, kw_only=True):
    """All tiers of one question."""

    scenario: Scenario
    """Of the prompt's prefill: its layout and its length as `isl`."""
    subject: Subject
    context: float
    kv_bytes: float
    """Per token of this context."""
    again: Recompute
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


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, and the deployment that computes it most cheaply: all that a search is needed for."""

    scenario: Scenario
    subject: Subject
    context: float
    rate: float
    """$/s of a chip."""
    again: Recompute


def prompt(scenario: Scenario) -> Prompt:
    """The cheapest prefill of a scenario's prompts: `context` tokens, or `isl` where no context is given.

    Raises
    ------
    InputError
        Without a chip price, or if nothing fits.
    """
    context = scenario.context or scenario.isl
    rate = chip_price(scenario, subject(scenario)) or 0.0
    if not rate:
        raise InputError(
            f"the price of a chip of {scenario.system}", "one above 0: holding has no cost without it", 'such as "$2/h"'
        )
    asked = msgspec.structs.replace(scenario, isl=context, osl=1, context=0, ttft=0.0, pools="aggregated")
    best = plan(asked, top=1, ask=False).plans[0]
    cost, found = best.usd_per_input_token, best.point.subject
    assert cost is not None
    evaluator = Evaluator(best.point.scenario, found)
    first, times = evaluator.alone(best.layout)
    seconds = float(evaluator.estimate(first, best.layout).seconds * times)
    return Prompt(
        scenario=msgspec.structs.replace(best.point.scenario, context=0),
        subject=found,
        context=float(context),
        rate=rate,
        again=Recompute(cost=cost, seconds=seconds, chips=best.layout.chips, layout=best.name),
    )


def caches(
    asked: Scenario | Prompt,
    *,
    media: Media | None = None,
    holds: Sequence[float] = (60.0, 300.0, 3600.0, 86400.0),
    law: Reuse | None = None,
    premiums: Sequence[tuple[float, float]] = (),
    ttft: float = 0.0,
) -> Caches:
    """Every tier for the prompts of a scenario, or for a prompt whose deployment is known.

    Parameters
    ----------
    holds
        Hold times to decide, s.
    law
        When prompts come back.
    premiums
        A price sheet's guaranteed times, s, with their write premiums, $/tok.
    ttft
        Longest time of a fetch, s; 0: as the scenario says.

    Raises
    ------
    InputError
        For an unknown or unpriced medium, a model that keeps nothing per token, no chip price, nothing that fits, and
        values out of their range.
    """
    if not holds or not all(0 < t < math.inf for t in holds):
        raise InputError("--hold", "times above 0", 'such as "5min,1h"')
    if isinstance(asked, Scenario):
        ttft = ttft or float(asked.ttft)
        asked = prompt(asked)
    tiers = kept(asked.subject, asked.rate, asked.context, asked.again, media or Media(), law=law, most=ttft)
    line = premium_line(*zip(*premiums, strict=True)) if premiums else None
    size = bytes_per_token(asked.subject, asked.context)
    return Caches(
        scenario=asked.scenario,
        subject=asked.subject,
        context=asked.context,
        kv_bytes=size,
        again=asked.again,
        tiers=tiers,
        holds=tuple(_held(float(t), tiers, size, asked.again.cost, law) for t in holds),
        law=law,
        premium=line,
        implied=tuple(float(implied_bytes(line[1], t.tier.capacity, t.tier.rent)) for t in tiers) if line else (),
    )


def _held(seconds: float, tiers: tuple[Kept, ...], size: float, recompute: float, law: Reuse | None) -> Held:
    near = tiers[int(drain_match(np.array(seconds), np.array([each.tier.drain for each in tiers])))]
    quick = [each for each in tiers if each.quick]
    least = min(quick, key=lambda each: each.cost(seconds))
    keep = least.cost(seconds) <= recompute
    return Held(
        seconds=seconds,
        matched=near.tier.name,
        matched_cost=near.cost(seconds),
        best=least.tier.name if keep else RECOMPUTE,
        best_cost=least.cost(seconds) if keep else recompute,
        premiums=tuple(each.premium(seconds) for each in tiers),
        shares=tuple(device_share(size, seconds, each.tier.capacity, each.tier.read) for each in tiers),
        back=float(law.returned(np.array([seconds]))[0] / law.returns) if law else None,
    )
