"""Percentiles, exact, of values and of gaps that are kept as stretches.

    rank = share / 100 * (count - 1),    value = x[floor(rank)] + frac(rank) * (x[ceil(rank)] - x[floor(rank)])

over sorted x: NumPy's linear interpolation, which the benchmark clients use, to the last bit. Few values are sorted;
many are partitioned once per share, from the largest down, each time only what lies below the last. Gaps are
counted into bins (`binned.py`), or listed and sorted where that takes less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ridgeline.simulate import binned
from ridgeline.simulate.compiled import assembled, compiled, worthwhile
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.native import Entry

BITS = 8, 14
"""Fewest and most by which a pass divides a cell."""
FEW = 1 << 20
"""Gaps that are listed and sorted in plain Python, in which counting takes longer."""
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


def of_gaps(gaps: Gaps, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray, float]:
    """Percentiles of all gaps in seconds, as if each were listed as often as requests see it (NaN if there are none);
    their moments, as in `binned.sum_gaps`.

    Time and memory are proportional to the number of stretches.
    """
    found, whole, squares = of_runs(gaps, np.array([0, len(gaps.first)]), shares)
    return found[0], whole[0], float(squares[0])


def of_runs(gaps: Gaps, bounds: np.ndarray, shares: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of several runs, whose stretches are those from bounds[k] to bounds[k + 1]: a row for each."""
    rows = len(gaps.first)
    quick = rows > 0 and worthwhile(0)
    columns, (each, whole, squares, ranks, *scratch) = _arguments(gaps, bounds, shares)
    counting = quick or rows > FEW or gaps.steps.sum(dtype=np.int64) > FEW
    # in Python lists are sooner read, and products of their numbers always fit
    first, rise, steps, weight = columns if quick else (c.tolist() for c in columns)
    if counting:
        gather = (compiled if quick else assembled)(binned).gather_gaps
        gather(first, rise, steps, weight, bounds, each, whole, squares, ranks, *scratch)
    else:
        for k, (a, z) in enumerate(pairwise(bounds.tolist())):
            binned.sum_gaps(first[a:z], rise[a:z], steps[a:z], weight[a:z], whole[k], squares[k : k + 1])
    count = whole[:, binned.COUNT]
    rank = each / 100.0 * (count[:, None] - 1)
    low = np.floor(rank)
    if not counting:
        wanted = np.minimum(np.concatenate([low, low + 1], axis=1), count[:, None] - 1).astype(np.int64)
        for k, (a, z) in enumerate(pairwise(bounds.tolist())):
            if count[k]:
                ranks[k] = _listed([c[a:z] for c in columns], wanted[k])
    left, right = np.split(ranks * gaps.tick, 2, axis=1)
    return np.where(count[:, None] > 0, _between(left, right, rank - low), np.nan), whole, squares


def gather_one() -> tuple[Any, ...]:
    """The compiled function, and what it takes of one stretch as replicas keep them."""
    first, rise = np.ones((2, 1), np.int64)
    steps, weight = np.ones((2, 1), np.int32)
    one, bounds = Gaps(first=first, rise=rise, steps=steps, weight=weight, tick=1.0), np.array([0, 1])
    columns, rest = _arguments(one, bounds, (50.0,))
    return compiled(binned).gather_gaps, *columns, bounds, *rest


def ahead() -> None:
    """Let another process compile what counts gaps, if nobody has, while this one compiles the engine."""
    gather, *arguments = gather_one() if worthwhile(0) else (None,)
    if isinstance(gather, Entry):
        gather.ahead(f"from {__name__} import gather_one; f, *a = gather_one(); f(*a)", *arguments)


def _arguments(gaps: Gaps, bounds: np.ndarray, shares: Sequence[float]) -> tuple[Any, Any]:
    """What `binned.gather_gaps` takes: the stretches in four columns, and, behind bounds, the rest."""
    runs, wide, longest = len(bounds) - 1, 2 * len(shares), int(np.diff(bounds).max())
    bins = np.empty((wide, 1 + (1 << min(max(longest.bit_length(), BITS[0]), BITS[1]))), np.int64)
    results = np.zeros((runs, 5), np.int64), np.zeros(runs), np.zeros((runs, wide), np.int64)
    scratch = np.empty((3, wide), np.int64), bins, np.empty(longest, np.int64)
    columns = gaps.first, gaps.rise, gaps.steps, gaps.weight
    return columns, (np.asarray(shares, dtype=np.float64), *results, *scratch)


def _between(left: np.ndarray, right: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Linear interpolation from the nearer end, as NumPy does it."""
    return np.where(share >= 0.5, right - (right - left) * (1 - share), left + (right - left) * share)


def _listed(stretches: list[np.ndarray], ranks: np.ndarray) -> np.ndarray:
    """The values of ranks among all gaps of some stretches, of which there are few."""
    first, rise, steps, weight = stretches
    last = np.cumsum(steps, dtype=np.int64)
    which = np.repeat(np.arange(len(first)), steps)
    values = first[which] + rise[which] * (np.arange(len(which)) - (last - steps)[which])
    order = np.argsort(values)
    upto = np.cumsum(weight[which[order]], dtype=np.int64)
    return values[order[np.searchsorted(upto, ranks, side="right")]]
