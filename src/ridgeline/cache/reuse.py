"""When a prefix comes back: the distribution of the time between two uses of it.

    share that has come back by t      G(t) = q F(t)             q: share that ever comes back
    mean time held under a TTL of t    H(t) = E[min(X, t)] = integral of 1 - G from 0 to t        [s]

    exponential    F = 1 - exp(-t / m)                H = q m F(t) + (1 - q) t
    lognormal      F = Phi((ln t - mu) / sigma)       H = q (m Phi((ln t - mu) / sigma - sigma) + t (1 - F)) + (1 - q) t
    gaps           as recorded, each equally likely; what was not seen again counts as never

m is the mean of those that come back, sigma^2 = ln(1 + cv^2), mu = ln m - sigma^2 / 2. Uses are taken as independent.
A trace ends: what would have come back later is counted as never, so q is a lower bound.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload import Requests, Trace, read
from ridgeline.workload.spelling import need, split

TRACE = "trace:"
"""A spelling that begins so goes on with the path of a trace."""
_KNOWN = {"exponential": {"mean": "s", "returns": "1"}, "lognormal": {"mean": "s", "cv": "1", "returns": "1"}}


class Reuse(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A distribution of the time between two uses."""

    kind: str
    """exponential, lognormal or gaps."""
    mean: float
    """Seconds, of those that come back."""
    cv: float = 1.0
    """Lognormal: standard deviation over mean."""
    returns: float = 1.0
    """q: share that ever comes back."""
    gaps: np.ndarray | None = None
    """``float64[n]``, s, sorted: of those that came back."""

    def returned(self, seconds: np.ndarray) -> np.ndarray:
        """G(t): share of all uses that are followed by another within `seconds`."""
        t = np.asarray(seconds, float)
        return self.returns * self._law(t)[0]

    def held(self, seconds: np.ndarray) -> np.ndarray:
        """H(t): mean seconds that an entry is held after a use under a TTL of `seconds`; infinite where it must be."""
        t = np.asarray(seconds, float)
        never = 1.0 - self.returns
        return self.returns * self._law(t)[1] + (never * t if never else 0.0)

    def _law(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F(t) and E[min(X, t)] of those that come back."""
        if self.gaps is not None:
            sums = np.concatenate([[0.0], np.cumsum(self.gaps)])
            at = np.searchsorted(self.gaps, t, side="right")
            n = len(self.gaps)
            later = n - at
            return at / n, (sums[at] + np.where(later > 0, later * np.where(later > 0, t, 0.0), 0.0)) / n
        if self.kind == "exponential":
            share = -np.expm1(-t / self.mean)
            return share, self.mean * share
        variance = math.log1p(self.cv**2)
        sigma = math.sqrt(variance)
        with np.errstate(divide="ignore"):
            z = (np.log(t) - math.log(self.mean) + variance / 2) / sigma
        later = _normal(-z)
        tail = np.where(later > 0, np.where(later > 0, t, 0.0) * later, 0.0)
        return _normal(z), self.mean * _normal(z - sigma) + tail


_erfc = np.vectorize(math.erfc, otypes=[float])


def _normal(z: np.ndarray) -> np.ndarray:
    """Distribution function of the standard normal."""
    return 0.5 * _erfc(-z / math.sqrt(2.0))


def reuse(text: str, what: str = "--reuse") -> Reuse:
    """Read a distribution; "trace:FILE" is the gaps of a trace.

    Raises
    ------
    InputError
        For an unknown name or parameter, a missing mean, a value out of its range; for a trace
        that cannot be read.

    Examples
    --------
    >>> reuse("lognormal:mean=10min,cv=2,returns=60%").mean
    600.0
    """
    if text.startswith(TRACE):
        path = text.removeprefix(TRACE)
        return trace_reuse(read(Trace(path=path)).requests, path)
    name, given = split(text, what, _KNOWN)
    need(text, what, given, "mean", *(("cv",) if name == "lognormal" else ()))
    returns = given.get("returns", 1.0)
    if not 0 < returns <= 1:
        raise InputError(
            f"{what} {text!r}: returns {returns:g}", "a share above 0 and at most 1", "such as returns=60%"
        )
    return Reuse(kind=name, mean=given["mean"], cv=given.get("cv", 1.0), returns=returns)


def trace_reuse(requests: Requests, path: str) -> Reuse:
    """The gaps between uses of each block of a recorded trace, by its hash ids; without them, between turns.

    The first use of a block is no reuse; its last counts as one that never comes back.

    Raises
    ------
    InputError
        If the trace has neither hash ids nor sessions, or nothing in it is used twice.
    """
    if requests.hash_ids is not None and requests.hash_offsets is not None:
        ids, at = requests.hash_ids, np.repeat(requests.arrival, np.diff(requests.hash_offsets))
    elif requests.session is not None:
        ids, at = requests.session, requests.arrival
    else:
        raise InputError(
            f"{path} as a source of reuse", "hash ids or sessions, which it lacks", "--reuse exponential:mean=10min"
        )
    order = np.lexsort((at, ids))
    same = np.diff(ids[order]) == 0
    gaps = np.sort(np.diff(at[order])[same])
    if not len(gaps):
        raise InputError(f"{path} as a source of reuse", "prefixes that are used twice; none is")
    return Reuse(kind="gaps", mean=float(gaps.mean()), returns=len(gaps) / len(ids), gaps=gaps)
