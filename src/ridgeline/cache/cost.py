"""What it costs to keep a token's keys and values, to fetch them, and to compute them anew; and where that breaks even.

    hold      h = k rent / capacity                                       [$/tok/s]
    fetch     F = k rent / read  + k stall p / path                       [$/tok]
    store     w = k rent / write + k wear                                 [$/tok]
    keep for t and use once       c(t) = w + h t + F                      [$/tok]       recompute: R
    break-even with recompute     t* = (R - w - F) / h                    [s]
    share of a device             s(t) = k (t / capacity + 1 / read)      [device-seconds/tok]

k bytes of a token; rent of the device and p of the chip, $/s. In HBM nothing is fetched, stored or worn, and with
R = N_a p / C the break-even is L* capacity / read: balance context times drain time. The two shares of a device are
equal at t = capacity / read, the drain time: the rule that matches a tier to a hold time. It is not the rule of least
cost: `cheapest` is. Lower bounds: tiers are full, all of their bandwidth is used, devices cost what `tier.py` says.
Known error: rent and wear are added, though a device dies once; where both are equal the sum is twice too high.
Source: R. Pope in D. Patel's lecture on serving (2026), part on prices; all arguments may be arrays that broadcast.
"""

from __future__ import annotations

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


def break_even(recompute: Array, once: Array, hold: Array) -> Array:
    """Seconds up to which holding costs less than computing anew: (R - once) / h, at least 0.

    Parameters
    ----------
    recompute
        R, $/tok.
    once
        What storing and fetching cost, w + F, $/tok.
    hold
        h, $/tok/s, above 0.
    """
    seconds = (recompute - once) / hold
    return namespace(seconds).maximum(seconds, 0.0 * seconds)


def reign(once: np.ndarray, hold: np.ndarray, recompute: float) -> tuple[np.ndarray, np.ndarray]:
    """Hold times from and to which each tier is the cheapest of all and of recompute: ``float64[n]`` each, s.

    The lower envelope of the lines c_i(t) = once_i + hold_i t and of the level R: line i lies below all flatter ones
    up to its first crossing with one of them, below all steeper ones from its last. Where from >= to it never does.

    Parameters
    ----------
    once
        ``float64[n]``, $/tok: store and fetch.
    hold
        ``float64[n]``, $/tok/s.
    recompute
        $/tok.
    """
    a, h = np.append(once, recompute), np.append(hold, 0.0)
    rise, gap = h[:, None] - h[None, :], a[None, :] - a[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = gap / rise
    to = np.where(rise > 0, crossing, np.inf).min(1)
    begin = np.where(rise < 0, crossing, 0.0).max(1)
    worse = ((rise == 0) & (gap < 0)).any(1)
    return np.where(worse, np.inf, np.maximum(begin, 0.0))[:-1], np.where(worse, 0.0, to)[:-1]


def cheapest(seconds: Array, once: np.ndarray, hold: np.ndarray, recompute: float) -> np.ndarray:
    """Index of the tier of least cost at each hold time; the number of tiers where computing anew costs least."""
    cost = once + hold * np.asarray(seconds)[..., None]
    return np.concatenate([cost, np.full((*cost.shape[:-1], 1), recompute)], axis=-1).argmin(-1)
