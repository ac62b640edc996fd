"""The menu of prices that a deployment's costs imply: what to charge for each kind of token, and what lies beneath.

    price = cost / (1 - margin)          cost of chips = their price over the share of the time in which they work

    input, output     what the tokens of all requests cost on average; in steps of the length: `menu_steps.py`
    cache write       input, and keeping it for a guaranteed time in the tier where that and one use cost least
    cached read       what fetching from that tier costs
    fast, slow        the same tokens on the deployments of `menu_modes.py`
    batch             slow, in the hours that interactive requests leave idle: cost times utilisation over its own

Storage is at bare media prices and has one value; all else has floor, estimate and interval. A tier that takes longer
than computing the prompt anew is no cache. Knows no demand, no competitor, and no cost besides chips and media.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.cache import Reuse
from ridgeline.errors import InputError
from ridgeline.planner.kept import Kept, Media, Recompute, kept
from ridgeline.pricing.menu_modes import Operations
from ridgeline.pricing.menu_steps import Lengths, Steps, steps
from ridgeline.pricing.operation import Cost, Costs, Operation
from ridgeline.serving import Evaluator
from ridgeline.units import show

GROUPS, FEW = 128, 16
"""Groups of lengths behind standard and its context steps; behind the other modes."""
BANDS = (0.5, 0.9, 0.99, 1.0)
"""Shares of all requests, shortest prompts first, up to which a band of the cross-subsidy goes."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One price."""

    name: str
    cost: Cost
    price: float
    """$/tok."""
    note: str = ""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Requests of a range of lengths under one price for all, and under context steps."""

    longest: float
    """Tokens of the longest prompt."""
    requests: float
    """Share of all requests."""
    cost: float
    """Share of the whole cost."""
    per_request: float
    """$ of cost."""
    pays: tuple[float, ...]
    """What they pay over what they cost, with 1, 2, ... tiers."""


class Menu(msgspec.Struct, frozen=True, kw_only=True):
    """All prices of one deployment."""

    found: Operations
    lengths: Lengths
    costs: Costs
    """Of standard, by length."""
    margin: float
    lines: tuple[Line, ...]
    """Input and output first."""
    steps: tuple[Steps, ...]
    """Best 1, 2, ... tiers, at cost."""
    bands: tuple[Band, ...]
    tiers: tuple[Kept, ...]
    unfit: float
    """Share of requests too long for memory or for the time per output token: left out."""

    def line(self, name: str) -> Line:
        """The line of a name."""
        return next(each for each in self.lines if each.name == name)


def menu(
    found: Operations,
    lengths: Lengths,
    *,
    margin: float = 0.0,
    tiers: int = 3,
    ttls: Sequence[float] = (300.0, 3600.0),
    law: Reuse | None = None,
    media: Media | None = None,
    batch_utilisation: float = 1.0,
) -> Menu:
    """Prices of requests of some lengths on known deployments.

    Parameters
    ----------
    margin
        Share of a price that is not cost.
    tiers
        Most context tiers.
    ttls
        Guaranteed times of cache writes, s.
    law
        When prompts come back, for a cache that decides by itself what to keep.
    batch_utilisation
        Share of the time in which chips work if batch requests fill what interactive ones leave.

    Raises
    ------
    InputError
        For values out of their range, and if no request fits.
    """
    if not 0 <= margin < 1:
        raise InputError(f"--margin {margin:g}", "a share of the price from 0 to below 1", 'such as "60%"')
    if not 1 <= tiers <= 16:
        raise InputError(f"--tiers {tiers}", "from 1 to 16")
    if not all(0 < t < math.inf for t in ttls):
        raise InputError("--ttl", "times above 0", 'such as "5min,1h"')
    utilisation = found.scenario.utilisation
    if not utilisation <= batch_utilisation <= 1:
        raise InputError(
            f"--batch-utilisation {batch_utilisation:g}",
            f"from --utilisation, {utilisation:g}, to 1",
            "batch requests come on top",
        )
    few = lengths.coarser(FEW)
    lengths = lengths.coarser(GROUPS)
    costs = found.standard.costs(lengths.isl, lengths.osl, lengths.share)
    if not costs.can.any():
        raise InputError(
            f"requests from {lengths.longest[0]:,.0f} tokens on {found.standard.decode.layout}",
            "some that fit in memory and within the time per output token",
            "more chips per replica, more time, or shorter requests",
        )
    lengths, costs = lengths.rows(costs.can), costs.rows(costs.can)
    tokens = _tokens(found, lengths)
    stepped = steps(lengths.longest, tokens, np.stack([costs.input.estimate, costs.output.estimate]), tiers)
    keeping = _storage(found, costs.input.mean(tokens[0]), tokens, lengths, media or Media(), law)

    def line(name: str, cost: Cost, note: str = "") -> Line:
        return Line(name=name, cost=cost, price=float(cost.estimate) / (1.0 - margin), note=note)

    base = costs.input.mean(tokens[0]), costs.output.mean(tokens[1])
    lines = [line("input", base[0]), line("output", base[1])]
    lines += [line(name, cost, note) for name, cost, note in _cached(keeping, base[0], ttls, law)]
    standard = found.standard.costs(few.isl, few.osl, few.share)
    slow = _mode(found, found.slow, few, standard, base)
    for mode in found.fast:
        lines += [
            line(f"{mode.name}, {part}", cost, note) for part, cost, note in _mode(found, mode, few, standard, base)
        ]
    lines += [line(f"slow, {part}", cost, note) for part, cost, note in slow]
    filled = utilisation / batch_utilisation
    for part, cost, _ in slow:
        lines.append(line(f"batch, {part}", cost * filled, f"slow, chips at work {batch_utilisation:.0%}"))
    return Menu(
        found=found,
        lengths=lengths,
        costs=costs,
        margin=margin,
        lines=tuple(lines),
        steps=stepped,
        bands=_bands(lengths, tokens, costs, stepped),
        tiers=keeping,
        unfit=1.0 - float(lengths.share.sum()),
    )


def _tokens(found: Operations, lengths: Lengths) -> np.ndarray:
    """Tokens that each group computes and writes, per request of all."""
    s = found.scenario
    return np.stack([lengths.share * lengths.isl * float(1 - s.prefix / s.isl), lengths.share * lengths.osl])


def _mode(
    found: Operations, mode: Operation, few: Lengths, standard: Costs, base: tuple[Cost, Cost]
) -> list[tuple[str, Cost, str]]:
    """Input and output of a mode: what a few lengths cost in it over what they cost in standard, times standard."""
    own = mode.costs(few.isl, few.osl, few.share)
    can = own.can & standard.can
    tokens, own, other = _tokens(found, few.rows(can)), own.rows(can), standard.rows(can)
    if not can.any():
        return []
    out = []
    for part, weight, whole in zip(("input", "output"), tokens, base, strict=True):
        over, under = (getattr(each, part).mean(weight) for each in (own, other))
        ratio = Cost(**{name: getattr(over, name) / getattr(under, name) for name in Cost.__struct_fields__})
        cost = Cost(**{name: getattr(whole, name) * getattr(ratio, name) for name in Cost.__struct_fields__})
        out.append((part, cost, f"{float(ratio.estimate):.2f}x standard"))
    return out


def _storage(
    found: Operations, cost: Cost, tokens: np.ndarray, lengths: Lengths, media: Media, law: Reuse | None
) -> tuple[Kept, ...]:
    """All tiers for a prompt of mean length, against computing it anew on the standard deployment."""
    pool, mean = found.standard.prefill, float(lengths.share @ lengths.isl / lengths.share.sum())
    alone = Evaluator(msgspec.structs.replace(pool.scenario, isl=mean, cached=0, hit=0.0, context=0), pool.subject)
    first, times = alone.alone(pool.layout)
    seconds = float(alone.estimate(first, pool.layout).seconds * times)
    again = Recompute(cost=float(cost.estimate), seconds=seconds, chips=pool.layout.chips)
    most = min(float(found.scenario.ttft) or math.inf, seconds)
    waits = pool.rate / pool.scenario.utilisation
    return kept(pool.subject, pool.rate, mean, again, media, law=law, most=most, waiting=waits)


def _cached(
    tiers: tuple[Kept, ...], base: Cost, ttls: Sequence[float], law: Reuse | None
) -> list[tuple[str, Cost, str]]:
    """Reads and writes: each guaranteed time in the tier where keeping and one use cost least."""
    quick = [each for each in tiers if each.quick]
    out: list[tuple[str, Cost, str]] = []
    read: dict[str, tuple[Kept, list[str]]] = {}
    zero = base * 0.0
    for ttl in ttls:
        best, span = min(quick, key=lambda each: each.cost(ttl)), show(ttl, "s")
        if best.cost(ttl) >= base.estimate:
            out.append((f"cache write, {span}", base, "not worth keeping: computing anew costs less"))
            continue
        read.setdefault(best.tier.name, (best, []))[1].append(span)
        out.append((f"cache write, {span}", base + best.premium(ttl), f"in {best.tier.name}"))
    reads = [
        ("cached read" if len(read) == 1 else f"cached read, {' and '.join(spans)}", zero + best.fetch, f"from {name}")
        for name, (best, spans) in read.items()
    ]
    if law is not None:
        best = max(quick, key=lambda each: each.saved)
        life = best.lifetime
        if life and life.ttl:
            back = life.hit * law.returns
            own = (life.cost - float(base.estimate) * (law.returns - back)) / back
            kept_for = show(life.ttl, "s") if math.isfinite(life.ttl) else "for ever"
            note = f"kept {kept_for} in {best.tier.name} for nothing, {life.hit:.0%} of returns hit"
            reads.append(("cached read, automatic", zero + own, note))
    return [*reads, *out]


def _bands(lengths: Lengths, tokens: np.ndarray, costs: Costs, stepped: tuple[Steps, ...]) -> tuple[Band, ...]:
    """Who pays for whom."""
    spent = (tokens * np.stack([costs.input.estimate, costs.output.estimate])).sum(axis=0)
    paid = [each.paid(tokens) for each in stepped]
    upto = np.cumsum(lengths.share) / lengths.share.sum()
    ends = np.unique(np.minimum(np.searchsorted(upto, np.array(BANDS) - 1e-9) + 1, len(upto)))
    out = []
    for a, b in zip(np.append(0, ends[:-1]), ends, strict=True):
        own, share = spent[a:b].sum(), lengths.share[a:b].sum()
        out.append(
            Band(
                longest=float(lengths.longest[b - 1]),
                requests=float(share / lengths.share.sum()),
                cost=float(own / spent.sum()),
                per_request=float(own / share),
                pays=tuple(float(each[a:b].sum() / own) for each in paid),
            )
        )
    return tuple(out)
