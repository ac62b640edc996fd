"""The pool of all gaps of a run in a few numbers, from stretches alone: its moments, and the values of ranks.

A stretch is n gaps f, f + r, ... that `weight` requests see. Its squares about any pivot, with g = f - pivot, sum to

    n g^2 + g r n (n - 1) + r^2 (n - 1) n (2 n - 1) / 6

Ranks are found by counting. A cell of 2^width ticks that holds a wanted rank is divided into bins, and the bin that
holds it is the next cell, until it is one tick wide. A stretch crosses the border of a bin after

    ceil((border - value) / r)    gaps,

so that the work is that of stretches and of the bins they touch, not of gaps. This file is plain Python that
`compiled.py` compiles.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.ticks import FAR

COUNT, TOTAL, LEAST, MOST, PIVOT = range(5)
"""Gaps, their ticks, the shortest, the longest (of none 0), and the tick about which squares are summed."""
NEAR = 1000
"""Stretches whose mean that is."""


def sum_gaps(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, whole: np.ndarray, squares: np.ndarray
) -> None:
    """The moments of the pool: int64[5] and float64[1]."""
    count, total, least, most, sum_of_squares = 0, 0, FAR, 0, 0.0
    pivot, near = 0, min(len(first), NEAR)
    for i in range(near):
        pivot += first[i]
    if near > 0:
        pivot //= near
    for i in range(len(first)):
        n, w, f, r = steps[i], weight[i], first[i], rise[i]
        if n * w > 0:
            last = f + r * (n - 1)
            if f < least:
                least = f
            if last > most:
                most = last
            count += n * w
            total += n * w * f + r * (n * (n - 1) // 2) * w
            g = f - pivot + 0.0
            sum_of_squares += n * w * (g * g + r * (n - 1) * (g + r * (2 * n - 1) / 6.0))
    whole[COUNT], whole[TOTAL], whole[LEAST], whole[MOST], whole[PIVOT] = count, total, least, most, pivot
    squares[0] = sum_of_squares


def count_gaps(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, rows: np.ndarray, some: int,
    cells: np.ndarray, many: int, width: int, shift: int, bins: np.ndarray,
) -> None:  # fmt: skip
    """Add the gaps of stretches that lie in the first `many` cells to their bins: of `some` rows, -1: of all.

    Cell c is the 2^width ticks from cells[0, c] on; its bins are 2^shift wide.
    """
    for at in range(len(first) if some < 0 else some):
        i = at if some < 0 else rows[at]
        n, w, f, r = steps[i], weight[i], first[i], rise[i]
        last = f + r * (n - 1)
        for c in range(many if n * w > 0 else 0):
            value, low = f, cells[0, c]
            high = low + (1 << width)
            if value < low <= last:
                value += (low - f + r - 1) // r * r
            while low <= value <= last and value < high:
                j = (value - low) >> shift
                border = low + ((j + 1) << shift)
                k = 1
                if last < border:
                    k = n if value == f else (last - value) // r + 1
                elif value + r < border:
                    k = (border - value + r - 1) // r
                bins[c, j] += k * w
                value += k * r
                if last < border:
                    break


def touching(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, rows: np.ndarray,
    low: int, shift: int, below: np.ndarray,
) -> int:  # fmt: skip
    """The stretches that touch a wanted bin, into `rows`: how many. Below bin j there are below[0, j] wanted ones."""
    some = 0
    for i in range(len(first)):
        n, f = steps[i], first[i]
        if n * weight[i] > 0:  # else it may lie outside of all bins
            rows[some] = i
            some += below[0, ((f + rise[i] * (n - 1) - low) >> shift) + 1] - below[0, (f - low) >> shift] > 0
    return some


def select_gaps(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, least: int, most: int,
    ranks: np.ndarray, cells: np.ndarray, bins: np.ndarray, rows: np.ndarray,
) -> None:  # fmt: skip
    """The values of ranks, in their place; all gaps lie between `least` and `most`.

    cells, int64[3, ranks]: those of this pass, those of the next, and which one each rank is in. bins, int64[ranks, 1
    and a power of two]; rows, int64[stretches], is where the first pass writes down whom the others look at.
    """
    bits, width, many, some = 0, 0, 1, -1
    while (2 << bits) < bins.shape[1]:
        bits += 1
    while (most - least) >> width:
        width += 1
    cells[0, 0] = least
    for i in range(len(ranks)):
        cells[2, i] = 0
    while width > 0:
        shift = width - bits if width > bits else 0
        size = 1 << (width - shift)
        for c in range(many):
            for j in range(size):
                bins[c, j] = 0
        count_gaps(first, rise, steps, weight, rows, some, cells, many, width, shift, bins)
        many = 0
        for i in range(len(ranks)):
            c, j, k = cells[2, i], 0, 0
            while bins[c, j] <= ranks[i]:
                ranks[i] -= bins[c, j]
                j += 1
            cell = cells[0, c] + (j << shift)
            while k < many and cells[1, k] != cell:
                k += 1
            if k == many:
                many += 1
            cells[1, k], cells[2, i] = cell, k
        for k in range(many):
            cells[0, k] = cells[1, k]
        if some < 0:
            for j in range(size + 1):
                bins[0, j] = 0
            for k in range(many):
                for j in range(((cells[0, k] - least) >> shift) + 1, size + 1):
                    bins[0, j] += 1
            some = touching(first, rise, steps, weight, rows, least, shift, bins)
        width = shift
    for i in range(len(ranks)):
        ranks[i] = cells[0, cells[2, i]]


def gather_run(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, shares: np.ndarray,
    whole: np.ndarray, squares: np.ndarray, ranks: np.ndarray, cells: np.ndarray, bins: np.ndarray,
    rows: np.ndarray,
) -> None:  # fmt: skip
    """Moments of a run, and the gaps on either side of each percentile: ranks, int64[2 shares]."""
    sum_gaps(first, rise, steps, weight, whole, squares)
    count = whole[COUNT]
    if count > 0 and len(shares) > 0:
        for i in range(len(shares)):
            low = int(shares[i] / 100.0 * (count - 1))
            ranks[i], ranks[len(shares) + i] = low, low + 1 if low + 1 < count else low
        select_gaps(first, rise, steps, weight, whole[LEAST], whole[MOST], ranks, cells, bins, rows)


def gather_gaps(
    first: np.ndarray, rise: np.ndarray, steps: np.ndarray, weight: np.ndarray, bounds: np.ndarray,
    shares: np.ndarray, whole: np.ndarray, squares: np.ndarray, ranks: np.ndarray, cells: np.ndarray,
    bins: np.ndarray, rows: np.ndarray,
) -> int:  # fmt: skip
    """The same of several runs, whose stretches are those from bounds[k] to bounds[k + 1]; how many gaps there are."""
    count = 0
    for k in range(len(bounds) - 1):
        a, z = bounds[k], bounds[k + 1]
        gather_run(
            first[a:z], rise[a:z], steps[a:z], weight[a:z], shares, whole[k], squares[k : k + 1], ranks[k], cells,
            bins, rows,
        )  # fmt: skip
        count += whole[k, COUNT]
    return count
