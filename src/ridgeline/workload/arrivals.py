"""When requests arrive: gaps of mean 1, divided by the rate, summed.

    poisson     "poisson"                 exponential gaps: coefficient of variation 1
    gamma       "gamma:cv=2"              gaps of shape 1 / cv^2
                "gamma:burstiness=0.25"   the same: vLLM calls the shape burstiness
    fixed       "fixed"                   every gap 1 / rate; the first request at 0
    burst       "burst:size=10"           groups of 10 at one instant, Poisson between groups
    at-once     "at-once"                 all at 0, as `--request-rate inf`

Gaps are drawn before the rate is known, so one seed at two rates is one workload played faster: comparisons over rates
use common random numbers. A closed loop has no arrivals. vLLM's client stretches its gaps so that they sum to exactly
requests / rate; here that sum is random, as it is for a Poisson process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload.spelling import need, split

if TYPE_CHECKING:
    from numpy.random import Generator

_KNOWN = {
    "poisson": {},
    "gamma": {"cv": "1", "burstiness": "1"},
    "fixed": {},
    "burst": {"size": "1"},
    "at-once": {},
}


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """A process of arrivals."""

    kind: str
    """poisson, gamma, fixed, burst or at-once."""
    shape: float = 1.0
    """Gamma: 1 / cv^2."""
    size: int = 1
    """Burst: requests that come together."""

    def draw(self, rng: Generator, count: int, rate: float) -> np.ndarray:
        """Times of `count` arrivals at `rate` per second: ``float64[count]``, s, sorted.

        Raises
        ------
        InputError
            For a rate that is not above 0, where arrivals need one.
        """
        if self.kind == "at-once":
            return np.zeros(count)
        if not 0 < rate < np.inf:
            raise InputError(f"--rate {rate:g}", "requests per second, above 0", "--arrivals at-once needs none")
        if self.kind == "fixed":
            return np.arange(count) / rate
        if self.kind == "gamma":
            times = rng.gamma(self.shape, 1 / self.shape, count)
        else:
            times = rng.standard_exponential(-(-count // self.size))
        np.cumsum(times, out=times)
        times *= self.size / rate
        return np.repeat(times, self.size)[:count] if self.size > 1 else times


def arrivals(text: str, what: str = "--arrivals") -> Arrivals:
    """Read a process of arrivals.

    Raises
    ------
    InputError
        For an unknown name or parameter, a missing one, a value out of its range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> arrivals("fixed").draw(rng, 3, rate=20)
    array([0.  , 0.05, 0.1 ])
    >>> arrivals("gamma:cv=2").shape
    0.25
    """
    name, given = split(text, what, _KNOWN)
    if name == "gamma":
        if len(given) != 1:
            raise InputError(f"{what} {text!r}", "cv or burstiness, one of them", "such as gamma:cv=2")
        need(text, what, given, *given)
        return Arrivals(kind=name, shape=given.get("burstiness") or given["cv"] ** -2)
    if name == "burst":
        need(text, what, given, "size")
        if given["size"] != int(given["size"]):
            raise InputError(f"{what} {text!r}", "a whole size")
        return Arrivals(kind=name, size=int(given["size"]))
    return Arrivals(kind=name)
