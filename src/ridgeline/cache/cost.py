"""What it costs to keep a token's keys and values, to fetch them, and to compute them anew; and where that breaks even.

    hold      h = k rent / capacity                                       [$/tok/s]
    fetch     F = k rent / read  + k stall p / path                       [$/tok]
    store     w = k rent / write                                          [$/tok]
    occupy    H(t) = (1 - o) h t + max(o h t, e)                          [$/tok]
    keep for t and use once       c(t) = w + H(t) + F                     [$/tok]       recompute: R
    break-even with recompute     t* : H(t*) = R - w - F                  [s]
    share of a device             s(t) = k (t / capacity + 1 / read)      [device-seconds/tok]

k bytes of a token; rent of the device and p of the chip, $/s; e = k price / endurance what a write wears off, o the
share of the rent that is the device's own price. A device dies once: written over often it is worn out before it is
written off, and its price is then spread over its writes; else over its life. So of rent and wear the larger is paid,
not both; they are equal for a stay of `Tier.residence`. In HBM nothing is fetched, stored or worn, H = h t, and with
R = N_a p / C the break-even is L* capacity / read: balance context times drain time. The two shares of a device are
equal at t = capacity / read, the drain time: the rule that matches a tier to a hold time. It is not the rule of least
cost: `cheapest` is. Lower bounds: tiers are full, all of their bandwidth is used, devices cost what `tier.py` says.
Source: R. Pope in D. Patel's lecture on serving (2026), part on prices; all arguments may be arrays that broadcast.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ridgeline.arrays import Array, namespace


def hold_cost(kv_bytes: Array, capacity: Array, rent: Array) -> Array:
    """Dollars per token and second: k rent / capacity; `kv_bytes` B/tok, `capacity` B, `rent` $/s per device."""
    return kv_bytes * rent / capacity


def move_cost(kv_bytes: Array, bandwidth: Array, rent: Array) -> Array:
    """Dollars per token moved at a device's `bandwidth`, B/s: k rent / bandwidth. Of a chip that waits: its rent."""
    return kv_bytes * rent / bandwidth


def move_time(size: Array, bandwidth: Array, path: Array) -> Array:
    """Seconds to move `size` bytes through the narrower of two bandwidths, B/s."""
    narrow = namespace(bandwidth, path).minimum(bandwidth, path)
    return size / narrow


def device_share(kv_bytes: Array, seconds: Array, capacity: Array, read: Array) -> Array:
    """Device-seconds per token that is held `seconds` and read once: k (t / capacity + 1 / read)."""
    return kv_bytes * (seconds / capacity + 1.0 / read)


def drain_match(seconds: Array, drain: Array) -> Array:
    """Index of the drain time, along the last axis of `drain`, that is nearest in ratio to each of `seconds`."""
    return np.abs(np.log(np.asarray(seconds)[..., None] / np.asarray(drain))).argmin(-1)


def occupy_cost(hold: Array, seconds: Array, wear: Array = 0.0, own: Array = 1.0, writes: Array = 1.0) -> Array:
    """Dollars per token that is held: (1 - o) h t + max(o h t, e writes).

    Parameters
    ----------
    hold
        h, $/tok/s.
    seconds
        t that each token stays after it is written, or the mean of it.
    wear
        e, $/tok that is written.
    own
        o: share of the rent that is the price of the device itself; the rest is of what is around it, which no
        write wears out.
    writes
        Writes per stay of t: where a hit restarts the clock, fewer than one.
    """
    kept = hold * own * seconds
    return hold * (1.0 - own) * seconds + namespace(kept, wear, writes).maximum(kept, wear * writes + 0.0 * kept)


def break_even(recompute: Array, once: Array, hold: Array, wear: Array = 0.0, own: Array = 1.0) -> Array:
    """Seconds up to which holding costs less than computing anew: H(t) = R - once, at least 0.

    Parameters
    ----------
    recompute
        R, $/tok.
    once
        What storing and fetching cost, w + F, $/tok.
    hold
        h, $/tok/s, above 0.
    wear, own
        As of `occupy_cost`.
    """
    saves = recompute - once
    xp = namespace(saves, hold, wear)
    around = hold * (1.0 - own)
    held = xp.where(around > 0, (saves - wear) / xp.where(around > 0, around, 1.0), math.inf + 0.0 * saves)
    seconds = xp.minimum(saves / hold, xp.where(saves >= wear, held, 0.0 * saves))
    return xp.maximum(seconds, 0.0 * seconds)


class Span(NamedTuple):
    """Hold times for which one tier is the cheapest, or computing anew."""

    tier: int
    """Its index; the number of tiers for computing anew."""
    begin: float
    end: float
    """Seconds; infinite where nothing else ever costs less."""


def spans(
    once: np.ndarray, hold: np.ndarray, recompute: float, wear: np.ndarray | float = 0.0, own: np.ndarray | float = 1.0
) -> list[Span]:
    """Which tier is the cheapest for which hold times, from 0 on without a gap.

    Each tier's c(t) is the larger of two lines, once + h t and once + e + (1 - o) h t, and R is a level: who is
    cheapest changes only where two of all these lines cross, so comparing costs between neighbouring crossings is
    exact. A tier may be the cheapest twice.

    Parameters
    ----------
    once
        ``float64[n]``, $/tok: store and fetch.
    hold
        ``float64[n]``, $/tok/s.
    recompute
        $/tok.
    wear, own
        ``float64[n]`` or one for all: as of `occupy_cost`.
    """
    wears, owns = np.broadcast_to(wear, once.shape), np.broadcast_to(own, once.shape)
    start = np.concatenate([once, once + wears, [recompute]])
    slope = np.concatenate([hold, hold * (1.0 - owns), [0.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (start[None, :] - start[:, None]) / (slope[:, None] - slope[None, :])
    edges = np.unique(np.concatenate([[0.0], crossing[np.isfinite(crossing) & (crossing > 0)]]))
    inside = np.append((edges[1:] + edges[:-1]) / 2, 2 * edges[-1] + 1)
    best = cheapest(inside, once, hold, recompute, wear, own)
    starts = np.flatnonzero(np.append(True, best[1:] != best[:-1]))
    ends = np.append(edges[starts[1:]], np.inf)
    return [Span(int(best[i]), float(edges[i]), float(end)) for i, end in zip(starts, ends, strict=True)]


def cheapest(
    seconds: Array,
    once: np.ndarray,
    hold: np.ndarray,
    recompute: float,
    wear: np.ndarray | float = 0.0,
    own: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Index of the tier of least cost at each hold time; the number of tiers where computing anew costs least."""
    cost = once + occupy_cost(hold, np.asarray(seconds)[..., None], wear, own)
    return np.concatenate([cost, np.full((*cost.shape[:-1], 1), recompute)], axis=-1).argmin(-1)
