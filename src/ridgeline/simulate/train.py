"""The lecture's train: a batch leaves every T seconds with whoever waits, full or not, and arrives T later.

    train of request i    d_i = max( ceil(arrival_i / T), d_(i - seats) + 1 )        finish = (d_i + 1) T

A request that has just missed one waits T and rides T: 2 T at worst and 1.5 T on average, as long as no train is full.
Late passengers of a full train take the next. Knows no token: a request rides once.

Source: Reiner Pope's lecture on inference economics, the train of 20 ms.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError


class Rides(msgspec.Struct, frozen=True, kw_only=True):
    """When each passenger left and arrived."""

    departure: np.ndarray
    """float64[n] seconds."""
    finish: np.ndarray
    """float64[n] seconds."""
    full: float
    """Share of the trains, from the first to the last taken, that were full."""


def rides(arrival: np.ndarray, interval: float, seats: int) -> Rides:
    """The trains that requests take.

    Parameters
    ----------
    arrival
        float64[n] seconds, sorted; who arrives as a train leaves catches it.
    interval
        Seconds between trains.
    seats
        Requests of a train at most.

    Raises
    ------
    InputError
        For an interval or seats that are none, and for arrivals that are not sorted.

    Examples
    --------
    >>> rides(np.array([0.0, 0.001, 0.002]), interval=0.02, seats=1).finish.tolist()
    [0.02, 0.04, 0.06]
    """
    if not interval > 0:
        raise InputError(f"interval {interval:g} s", "a time above 0")
    if seats < 1:
        raise InputError(f"seats {seats}", "at least 1")
    arrival = np.asarray(arrival, float)
    if (np.diff(arrival) < 0).any() or not np.isfinite(arrival).all():
        raise InputError("arrivals", "finite times in their order")
    n = len(arrival)
    rows = -(-n // seats)
    caught = np.zeros(rows * seats)
    caught[:n] = np.ceil(arrival / interval)
    caught[n:] = caught[n - 1] if n else 0.0
    turn = np.arange(rows)[:, None]
    train = (np.maximum.accumulate(caught.reshape(rows, seats) - turn, axis=0) + turn).ravel()[:n]
    taken = np.unique(train, return_counts=True)[1]
    span = train[-1] - train[0] + 1 if n else 0
    return Rides(
        departure=train * interval,
        finish=(train + 1) * interval,
        full=float((taken == seats).sum() / span) if n else 0.0,
    )
