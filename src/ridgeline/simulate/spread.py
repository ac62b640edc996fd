"""A distribution in a few numbers: of one value per request, or of the pool of all gaps between tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
import numpy as np

from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.quantile import SHORT, of_runs, of_sorted, percentiles

SHARES = (50.0, 90.0, 95.0, 99.0)
"""Percentiles that are computed unless others are asked for."""
NAN = float("nan")
_ROWS = 1 << 15
"""Values of a part that stays in a processor's cache, so that what is computed of it does too."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Moments, extremes and percentiles, in the unit of the values; NaN where there are none, or it is not known."""

    count: int
    mean: float
    std: float
    """Of the values themselves, dividing by their count, as the benchmark clients do."""
    least: float
    most: float
    percentiles: dict[str, float]
    """By name: "p50", "p99.9"."""

    def __getitem__(self, name: str) -> float:
        return self.percentiles[name]


def spread(values: np.ndarray, shares: Sequence[float] = SHARES, *, scratch: bool = False) -> Spread:
    """The spread of values without NaN; with `scratch`, `values` are left in another order."""
    if not len(values):
        return of_means(values, values, shares)
    mean = float(values.mean())
    parts = (values[begin : begin + _ROWS] for begin in range(0, len(values), _ROWS))
    squares = sum(float(np.square(part - mean).sum()) for part in parts)
    return Spread(
        count=len(values),
        mean=mean,
        std=math.sqrt(squares / len(values)),
        least=float(values.min()),
        most=float(values.max()),
        percentiles=_named(shares, percentiles(values, shares, scratch=scratch).tolist()),
    )


def spreads(columns: Iterable[np.ndarray], shares: Sequence[float] = SHARES) -> list[list[Spread]]:
    """The spread of each row of several float64[runs, n]; what comes next may overwrite the one before, whose order is
    lost.

    Few values take no longer than a call of NumPy: short rows of one length are those of one matrix.
    """
    found: list[list[Spread]] = []
    short: dict[int, list[tuple[int, np.ndarray]]] = {}
    for i, values in enumerate(columns):
        n = values.shape[1]
        found.append([])
        if 0 < n <= SHORT:
            short.setdefault(n, []).append((i, values.copy()))
        else:
            found[i] = [spread(row, shares, scratch=True) for row in values]
    for n, numbered in short.items():
        rows = np.concatenate([values for _, values in numbered])
        means = rows.mean(axis=1)
        apart = rows - means[:, None]
        squares = np.square(apart, out=apart).sum(axis=1)
        rows.sort(axis=1)
        each = zip(
            means.tolist(), (squares / n).tolist(), rows[:, 0].tolist(), rows[:, -1].tolist(),
            of_sorted(rows, shares).tolist(), strict=True,
        )  # fmt: skip
        for i, values in numbered:
            for _ in values:
                mean, square, least, most, ranked = next(each)
                found[i].append(
                    Spread(
                        count=n, mean=mean, std=math.sqrt(square), least=least, most=most,
                        percentiles=_named(shares, ranked),
                    )
                )  # fmt: skip
    return found


def pooled(gaps: Gaps, shares: Sequence[float] = SHARES) -> Spread:
    """The spread of all gaps, each as often as requests see it."""
    return pooled_each(gaps, np.array([0, len(gaps.first)]), shares)[0]


def pooled_each(gaps: Gaps, bounds: np.ndarray, shares: Sequence[float] = SHARES) -> list[Spread]:
    """The same of several runs, whose stretches are those from bounds[k] to bounds[k + 1]."""
    spreads: list[Spread] = []
    for found, moments, squares in zip(*(each.tolist() for each in of_runs(gaps, bounds, shares)), strict=True):
        count, total, least, most, pivot = moments
        if not count:
            spreads.append(of_means(np.empty(0), np.empty(0), shares))
            continue
        mean = total / count
        std = math.sqrt(max(squares / count - (mean - pivot) ** 2, 0.0)) * gaps.tick
        made = Spread(
            count=count,
            mean=mean * gaps.tick,
            std=float(f"{std:.10g}"),  # more digits would depend on where stretches are cut
            least=least * gaps.tick,
            most=most * gaps.tick,
            percentiles=_named(shares, found),
        )
        spreads.append(made)
    return spreads


def of_means(sums: np.ndarray, counts: np.ndarray, shares: Sequence[float] = SHARES) -> Spread:
    """What is known of values of which each request tells only their sum and number: how many, and their mean."""
    count = int(counts.sum())
    return Spread(
        count=count,
        mean=float(sums.sum()) / count if count else NAN,
        std=NAN,
        least=NAN,
        most=NAN,
        percentiles=_named(shares, [NAN] * len(shares)),
    )


def _named(shares: Sequence[float], values: Sequence[float]) -> dict[str, float]:
    return dict(zip(_names(tuple(shares)), values, strict=True))


@cache
def _names(shares: tuple[float, ...]) -> list[str]:
    return [f"p{share:g}" for share in shares]
