"""Percentiles, exact, of values and of gaps that are kept as stretches.

    rank = share / 100 * (count - 1),    value = x[floor(rank)] + frac(rank) * (x[ceil(rank)] - x[floor(rank)])

over sorted x: NumPy's linear interpolation, which the benchmark clients use, to the last bit. Values are partitioned
once per share, from the largest down, each time only what lies below the last. Stretches are counted into bins and only
those of a bin that holds a wanted rank are counted again, in finer bins, so that their gaps need not be listed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.simulate.gaps import Gaps

_BINS = 12
"""Bits: each pass divides a bin into 4096."""


def percentiles(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles of float64[n] without NaN; `shares` from 0 to 100 in any order; NaN if there are no values.

    Examples
    --------
    >>> percentiles(np.array([3.0, 1.0, 2.0, 4.0]), (50, 100, 0))
    array([2.5, 4. , 1. ])
    """
    n = len(values)
    if not n:
        return np.full(len(shares), np.nan)
    rank = np.asarray(shares) / 100.0 * (n - 1)
    low = np.floor(rank).astype(np.int64)
    left, right = np.empty(len(rank)), np.empty(len(rank))
    rest, above = values.copy(), np.inf
    for i in np.argsort(-low, kind="stable"):
        k = low[i]
        rest.partition(k)
        left[i] = rest[k]
        right[i] = min(rest[k + 1 :].min(initial=np.inf), above)
        rest, above = rest[: k + 1], right[i]
    return _between(left, np.where(right < np.inf, right, left), rank - low)


def of_gaps(gaps: Gaps, shares: Sequence[float]) -> np.ndarray:
    """Percentiles of all gaps, in seconds, as if each were listed as often as requests see it; NaN if there are none.

    Time and memory are proportional to the number of stretches.
    """
    count = gaps.count
    if not count:
        return np.full(len(shares), np.nan)
    rank = np.asarray(shares) / 100.0 * (count - 1)
    low = np.floor(rank).astype(np.int64)
    wanted, place = np.unique(np.concatenate([low, np.minimum(low + 1, count - 1)]), return_inverse=True)
    found = np.empty(len(wanted), dtype=np.int64)
    keep = (gaps.steps > 0) & (gaps.weight > 0)
    columns = [gaps.first, gaps.rise, gaps.steps, gaps.weight]
    _select(columns if keep.all() else [c[keep] for c in columns], wanted, found)
    seconds = found[place] * gaps.tick
    return _between(seconds[: len(low)], seconds[len(low) :], rank - low)


def _between(left: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Linear interpolation from the nearer end, as NumPy does it."""
    return np.where(share >= 0.5, right - (right - left) * (1 - share), left + (right - left) * share)


def _select(stretches: list[np.ndarray], ranks: np.ndarray, found: np.ndarray) -> None:
    """The values of sorted `ranks` among all gaps of some stretches, written into `found`."""
    first, rise, steps, weight = stretches
    last = first + rise * (steps - 1)
    low, high = int(first.min()), int(last.max())
    shift = max((high - low).bit_length() - _BINS, 0)
    bins = ((high - low) >> shift) + 1
    begin, end = (first - low) >> shift, (last - low) >> shift
    within = begin == end
    counts = np.bincount(begin, weights=np.where(within, steps * weight, 0), minlength=bins)
    wide = np.flatnonzero(~within)
    pieces = _divide([c[wide] for c in (*stretches, begin, end)], low, shift) if len(wide) else None
    if pieces is not None:
        counts += np.bincount(pieces[0], weights=pieces[1][2] * pieces[1][3], minlength=bins)
    upto = np.cumsum(counts).astype(np.int64)
    place = np.searchsorted(upto, ranks, side="right")
    for one in np.unique(place):
        mine = place == one
        if not shift:
            found[mine] = low + one
            continue
        inside = np.flatnonzero(within & (begin == one))
        part = [c[inside] for c in stretches]
        if pieces is not None:
            here = np.flatnonzero(pieces[0] == one)
            part = [np.concatenate([a, b[here]]) for a, b in zip(part, pieces[1], strict=True)]
        below = int(upto[one - 1]) if one else 0
        values = np.empty(int(mine.sum()), dtype=np.int64)
        _select(part, ranks[mine] - below, values)
        found[mine] = values


def _divide(wide: list[np.ndarray], low: int, shift: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Stretches that reach over several bins, cut at their borders: the bin of each piece, and the pieces.

    Cut into single gaps where there are fewer of these than of bins.
    """
    first, rise, steps, weight, begin, end = wide
    parts = np.minimum(steps, end - begin + 1)
    which = np.repeat(np.arange(len(first)), parts)
    j = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    single = (parts == steps)[which]
    first, rise, steps, weight, begin = (c[which] for c in (first, rise, steps, weight, begin))
    edge = ((begin + j) << shift) + low - first
    climb = np.maximum(rise, 1)
    start = np.where(single, j, np.clip(-(-edge // climb), 0, steps))
    stop = np.where(single, j + 1, np.clip(-(-(edge + (1 << shift)) // climb), 0, steps))
    made = [first + rise * start, rise, stop - start, weight]
    full = np.flatnonzero(made[2])
    made = [c[full] for c in made]
    return (made[0] - low) >> shift, made
