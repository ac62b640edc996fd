"""What a simulation gives: when each request started, got its first token and finished, and how the time was spent.

    TTFT = first_token - arrival      E2E = finish - arrival      TPOT = (finish - first_token) / (output - 1)

Times are seconds on the engine's clock, in the order of the requests. Knows no metric.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.hierarchy import TierUse


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """The replica's state over time: arrays of one length; a value holds from its time to the next."""

    time: np.ndarray
    """float64 seconds."""
    running: np.ndarray
    """int64: requests in the batch."""
    waiting: np.ndarray
    """int64: requests that have arrived and are not in the batch."""
    blocks: np.ndarray
    """int64: KV blocks in use."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What running a fleet took beyond serving requests."""

    paid: float
    """Replica-seconds that were paid for, from the first arrival to the last finish, starts and repairs included."""
    failures: int
    """Of replicas."""
    retried: int
    """Times that a request was sent back because its replica failed."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One simulation's result; a refused request has NaN times."""

    arrival: np.ndarray
    """float64[n] seconds: as given, to a tick, or, for requests that follow others, when that was."""
    start: np.ndarray
    """float64[n] seconds: beginning of the step that first computes something for it."""
    first_token: np.ndarray
    """float64[n] seconds: end of the step that gives its first token."""
    finish: np.ndarray
    """float64[n] seconds: end of the step that gives its last token."""
    preemptions: np.ndarray
    """int32[n]: times it was thrown out and began again."""
    cached: np.ndarray
    """int64[n]: prompt tokens that a cache held when it was first admitted."""
    replica: np.ndarray | None = None
    """int32[n]: the replica that served it, in a fleet."""
    operation: Operation | None = None
    """Of a fleet."""
    gaps: Gaps
    """Times between successive tokens, of all requests together; a gap over a preemption is one gap."""
    busy: dict[str, float]
    """Seconds of steps by what binds them: math, memory, comms or overhead."""
    steps: int
    """Steps simulated."""
    end: float
    """Seconds at which the last request finished."""
    blocks: int
    """KV blocks of a replica; 0: no limit."""
    peak_blocks: int
    """Most that were in use at once."""
    tiers: tuple[TierUse, ...] = ()
    """What was used of each KV tier below HBM."""
    series: Series | None = None
    """Only if it was asked for."""

    @property
    def served(self) -> np.ndarray:
        """bool[n]: requests that finished."""
        return ~np.isnan(self.finish)
