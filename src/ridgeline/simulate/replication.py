"""How sure a mean over replications is: Student's interval around it.

    mean +- t * s / sqrt(n),    t: quantile (1 + level) / 2 of Student's distribution with n - 1 degrees of freedom

Replications with seeds of their own are independent, requests within one are not: an interval from the requests of one
run is far too narrow. Assumes that the means of replications are about normal. The distribution function is the finite
sum for whole degrees of freedom (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean and the bounds that hold the true one with probability `level`; infinite for a single replication."""

    mean: float
    low: float
    high: float
    level: float
    replications: int

    @property
    def half_width(self) -> float:
        """What stands behind +-."""
        return (self.high - self.low) / 2


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The interval of the mean of one value per replication; NaN values make it NaN."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        half = math.inf
    else:
        s = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
        half = student(n - 1, (1 + level) / 2) * s / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level, replications=n)


def student(freedom: int, share: float) -> float:
    """Quantile of Student's distribution with a whole number of degrees of freedom; `share` from 0.5 to below 1.

    Examples
    --------
    >>> round(student(9, 0.975), 4)
    2.2622
    """
    low, high = 0.0, 1.0
    while _within(freedom, high) < 2 * share - 1:
        low, high = high, 2 * high
    while high - low > 1e-14 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _within(freedom, middle) < 2 * share - 1 else (low, middle)
    return (low + high) / 2


def _within(freedom: int, t: float) -> float:
    """Probability of lying between -t and t."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0
    for i in range(odd, freedom - 1, 2):
        total += term
        term *= math.cos(angle) ** 2 * (i + 1) / (i + 2)
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
