"""The gaps between tokens of all requests, as the arithmetic progressions that skipped decode steps make.

While a decode batch is constant, step j of a stretch takes

    gap_j = first + rise * j    (j = 0 .. steps - 1),    seen by `weight` requests each

because every sequence's context grows by one token. A stretch is one row; percentiles are exact order statistics of
all gaps, as if each were listed. Ticks are integers, so that equal gaps are equal. Knows no request.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """Stretches of gaps between successive tokens (inter-token latencies); arrays of one length."""

    first: np.ndarray
    """int64: ticks of a stretch's first gap."""
    rise: np.ndarray
    """int64, not negative: ticks by which each further gap is longer."""
    steps: np.ndarray
    """int64 or int32: gaps in the stretch."""
    weight: np.ndarray
    """int64 or int32: requests that see each of them."""
    tick: float
    """Seconds per tick."""

    @property
    def count(self) -> int:
        """Gaps of all requests."""
        return int(np.multiply(self.steps, self.weight, dtype=np.int64).sum())

    @property
    def mean(self) -> float:
        """Mean over the pool, in seconds; NaN if there are none."""
        steps = self.steps.astype(np.float64)
        each = steps * (self.first + self.rise * (steps - 1.0) / 2.0)
        count = self.count
        return float(each @ self.weight) / count * self.tick if count else float("nan")

    @property
    def longest(self) -> float:
        """The longest gap, in seconds; NaN if there are none."""
        if not len(self.first):
            return float("nan")
        return float((self.first + self.rise * (self.steps - 1)).max()) * self.tick

    def listed(self) -> tuple[np.ndarray, np.ndarray]:
        """Every gap in seconds with the requests that see it: one entry per simulated step."""
        which = np.repeat(np.arange(len(self.first)), self.steps)
        j = np.arange(len(which)) - np.repeat(np.cumsum(self.steps) - self.steps, self.steps)
        return (self.first[which] + self.rise[which] * j) * self.tick, self.weight[which]

    def percentiles(self, shares: Sequence[float]) -> np.ndarray:
        """Percentiles of the pool in seconds, with linear interpolation as NumPy's; `shares` between 0 and 100."""
        if not self.count:
            return np.full(len(shares), np.nan)
        value, weight = self.listed()
        order = np.argsort(value)
        last = np.cumsum(weight[order]) - 1
        at = np.asarray(shares) / 100.0 * (self.count - 1)
        low, high = (value[order][np.searchsorted(last, side(at))] for side in (np.floor, np.ceil))
        return low + (high - low) * (at - np.floor(at))
