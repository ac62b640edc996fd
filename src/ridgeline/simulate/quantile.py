"""Percentiles, exact, of values and of gaps that are kept as stretches.

    rank = share / 100 * (count - 1),    value = x[floor(rank)] + frac(rank) * (x[ceil(rank)] - x[floor(rank)])

over sorted x: NumPy's linear interpolation, which the benchmark clients use, to the last bit. Few values are sorted;
many are partitioned once per share, from the largest down, each time only what lies below the last. Stretches are
counted into bins, and only those of a bin that holds a wanted rank are counted again, in finer bins, until their gaps
are so few that they are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ridgeline.simulate.gaps import Gaps

_BITS = 12
"""Each pass divides a bin into 2^12."""
_ROWS = 1 << 15
"""Rows of a chunk: 256 kB a column."""
FEW = 1 << 15
"""Gaps that are listed and sorted, which is sooner done than counting fewer."""
SHORT = 1 << 13
"""Values that are sorted, which is sooner done than parting them."""


def percentiles(values: np.ndarray, shares: Sequence[float], *, scratch: bool = False) -> np.ndarray:
    """Percentiles of float64[n] without NaN; `shares` from 0 to 100 in any order; NaN if there are no values.

    With `scratch`, `values` are left in another order, which spares a copy.

    Examples
    --------
    >>> percentiles(np.array([3.0, 1.0, 2.0, 4.0]), (50, 100, 0))
    array([2.5, 4. , 1. ])
    """
    n = len(values)
    if not n:
        return np.full(len(shares), np.nan)
    if n <= SHORT:
        return of_sorted(np.sort(values), shares)
    rank = np.asarray(shares) / 100.0 * (n - 1)
    low = np.floor(rank).astype(np.int64)
    left, right = np.empty(len(rank)), np.empty(len(rank))
    rest, above = values if scratch else values.copy(), np.inf
    for i in np.argsort(-low, kind="stable"):
        k = low[i]
        rest.partition(k)
        left[i] = rest[k]
        right[i] = min(rest[k + 1 :].min(initial=np.inf), above)
        rest, above = rest[: k + 1], right[i]
    return _between(left, np.where(right < np.inf, right, left), rank - low)


def of_sorted(values: np.ndarray, shares: Sequence[float]) -> np.ndarray:
    """Percentiles of sorted float64[..., n], in the last dimension."""
    last = values.shape[-1] - 1
    rank = np.asarray(shares) / 100.0 * last
    low = np.floor(rank).astype(np.int64)
    return _between(values[..., low], values[..., np.minimum(low + 1, last)], rank - low)


def of_gaps(gaps: Gaps, shares: Sequence[float]) -> np.ndarray:
    """Percentiles of all gaps, in seconds, as if each were listed as often as requests see it; NaN if there are none.

    Time and memory are proportional to the number of stretches.
    """
    count = sum(int((steps * weight).sum()) for steps, weight in chunks(gaps.steps, gaps.weight))
    if not count:
        return np.full(len(shares), np.nan)
    rank = np.asarray(shares) / 100.0 * (count - 1)
    low = np.floor(rank).astype(np.int64)
    ranks = np.concatenate([low, np.minimum(low + 1, count - 1)])
    stretches = [gaps.first, gaps.rise, gaps.steps, gaps.weight]
    if _are_few(stretches):
        seconds = _listed(stretches, ranks) * gaps.tick
    else:
        wanted, place = np.unique(ranks, return_inverse=True)
        found = np.empty(len(wanted), dtype=np.int64)
        _select(stretches, wanted, found)
        seconds = found[place] * gaps.tick
    return _between(seconds[: len(low)], seconds[len(low) :], rank - low)


def _between(left: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Linear interpolation from the nearer end, as NumPy does it."""
    return np.where(share >= 0.5, right - (right - left) * (1 - share), left + (right - left) * share)


def chunks(*columns: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Columns in pieces that stay in a processor's cache, so that what is computed of them does too; whole numbers are
    widened, so that products fit.
    """
    for begin in range(0, len(columns[0]), _ROWS):
        parts = [column[begin : begin + _ROWS] for column in columns]
        yield [part.astype(np.int64, copy=False) if part.dtype.kind == "i" else part for part in parts]


def _select(stretches: list[np.ndarray], ranks: np.ndarray, found: np.ndarray) -> None:
    """The values of sorted `ranks` among all gaps of some stretches, written into `found`."""
    if _are_few(stretches):
        found[:] = _listed(stretches, ranks)
        return
    low, high = int(stretches[0].min()), 0
    for first, rise, steps, _ in chunks(*stretches):
        high = max(high, int((first + rise * np.maximum(steps - 1, 0)).max()))
    shift = max((high - low).bit_length() - _BITS, 0)
    counts = np.zeros(((high - low) >> shift) + 1)
    for bins, (_, _, steps, weight) in _divide(stretches, low, shift):
        counts += np.bincount(bins, weights=steps * weight, minlength=len(counts))
    upto = np.cumsum(counts).astype(np.int64)
    place = np.searchsorted(upto, ranks, side="right")
    if not shift:
        found[:] = low + place
        return
    holds = np.zeros(len(counts), dtype=bool)
    holds[place] = True
    kept: list[tuple[np.ndarray, list[np.ndarray]]] = []
    for bins, columns in _divide(stretches, low, shift):
        here = np.flatnonzero(holds[bins])
        kept.append((bins[here], [c[here] for c in columns]))
    bins = np.concatenate([which for which, _ in kept])
    columns = [np.concatenate(parts) for parts in zip(*(columns for _, columns in kept), strict=True)]
    for one in np.unique(place):
        mine = place == one
        inside = slice(None) if holds.sum() == 1 else np.flatnonzero(bins == one)
        values = np.empty(int(mine.sum()), dtype=np.int64)
        _select([c[inside] for c in columns], ranks[mine] - (int(upto[one - 1]) if one else 0), values)
        found[mine] = values


def _are_few(stretches: list[np.ndarray]) -> bool:
    return len(stretches[2]) <= FEW and stretches[2].sum(dtype=np.int64) <= FEW


def _listed(stretches: list[np.ndarray], ranks: np.ndarray) -> np.ndarray:
    """The values of ranks among all gaps of some stretches, of which there are few."""
    first, rise, steps, weight = stretches
    last = np.cumsum(steps, dtype=np.int64)
    which = np.repeat(np.arange(len(first)), steps)
    values = first[which] + rise[which] * (np.arange(len(which)) - (last - steps)[which])
    order = np.argsort(values)
    upto = np.cumsum(weight[which[order]], dtype=np.int64)
    return values[order[np.searchsorted(upto, ranks, side="right")]]


def _divide(stretches: list[np.ndarray], low: int, shift: int) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Bins of stretches, and the stretches; those that reach over several are cut at the borders."""
    for first, rise, steps, weight in chunks(*stretches):
        begin, end = (first - low) >> shift, (first + rise * (steps - 1) - low) >> shift
        within = begin == end
        wide = np.flatnonzero(~within & (steps > 0))
        inside = slice(None) if not len(wide) and within.all() else np.flatnonzero(within)
        yield begin[inside], [c[inside] for c in (first, rise, steps, weight)]
        if len(wide):
            yield _cut([c[wide] for c in (first, rise, steps, weight, begin, end)], low, shift)


def _cut(wide: list[np.ndarray], low: int, shift: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Stretches over several bins, in pieces: single gaps where there are fewer of these than of bins."""
    parts = np.minimum(wide[2], wide[5] - wide[4] + 1)
    which = np.repeat(np.arange(len(parts)), parts)
    j = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    single = (parts == wide[2])[which]
    first, rise, steps, weight, begin, _ = (c[which] for c in wide)
    edge = ((begin + j) << shift) + low - first
    start = np.where(single, j, np.clip(-(-edge // rise), 0, steps))
    stop = np.where(single, j + 1, np.clip(-(-(edge + (1 << shift)) // rise), 0, steps))
    pieces = [first + rise * start, rise, stop - start, weight]
    full = np.flatnonzero(pieces[2])
    pieces = [c[full] for c in pieces]
    return (pieces[0] - low) >> shift, pieces
