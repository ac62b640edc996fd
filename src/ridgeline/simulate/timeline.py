"""A run over time, in a bounded number of marks that are exact: means and most of each interval, not samples.

    waiting: arrival to start      prefill: start to first token      decode: first token to finish

The number of requests in a phase, integrated up to x, is a sum of ramps: sum of max(0, x - begin) - max(0, x - end).
Its difference between two times over their distance is the exact mean there. Within decode a preempted request waits
and computes again; when is not recorded. Refused requests are in no phase. Knows no picture.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.simulate.run import Run

PHASES = ("waiting", "prefill", "decode")
INTERVALS = 480
"""Intervals into which the time is divided."""
BANDS = 160
"""Bars of the picture of all requests."""
ROWS = 60
"""Requests of the close-up."""


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, or bands of successive ones, as bars: arrays of one length, times in seconds."""

    number: np.ndarray
    """int64: the request, or the first of the band."""
    count: np.ndarray
    """int64: requests of the band."""
    arrival: np.ndarray
    """float64: mean over the band, as all times."""
    start: np.ndarray
    first_token: np.ndarray
    finish: np.ndarray
    preempted: np.ndarray
    """int64: requests of the band that were preempted."""


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """What a picture of a run shows."""

    edges: np.ndarray
    """float64[intervals + 1] seconds."""
    phases: dict[str, np.ndarray]
    """Mean number of requests in each phase, by interval."""
    states: dict[str, tuple[np.ndarray, np.ndarray]]
    """Of running, waiting and blocks the mean and the most, by interval; empty without a series."""
    ttft: tuple[np.ndarray, np.ndarray]
    """Mean and longest TTFT in seconds of the requests that arrive in each interval; 0 where none does."""
    bands: Bars
    """All requests in the order of arrival."""
    closeup: Bars
    """Requests around the one with the longest TTFT."""
    refused: int


def timeline(run: Run) -> Timeline:
    """The timeline of a run; without a served request it has no bars."""
    served = np.flatnonzero(run.served)
    times = {name: getattr(run, name)[served] for name in ("arrival", "start", "first_token", "finish")}
    begin = float(times["arrival"].min()) if len(served) else 0.0
    edges = np.linspace(begin, max(run.end, begin + 1e-9), INTERVALS + 1)
    ramps = [_ramps(times[name], edges) for name in times]
    width = edges[1] - edges[0]
    phases = {name: np.maximum(np.diff(ramps[i] - ramps[i + 1]) / width, 0.0) for i, name in enumerate(PHASES)}
    order = np.argsort(times["arrival"], kind="stable")
    series = run.series
    states = {}
    if series is not None and len(series.time):
        states = {name: _levels(series.time, getattr(series, name), edges) for name in ("running", "waiting", "blocks")}
    return Timeline(
        edges=edges,
        phases=phases,
        states=states,
        ttft=_by_arrival(times["arrival"][order], (times["first_token"] - times["arrival"])[order], edges),
        bands=_bars(run, served[order], BANDS),
        closeup=_bars(run, _around_longest(run, served[order]), ROWS),
        refused=len(run.arrival) - len(served),
    )


def _ramps(events: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sum over events of max(0, edge - event), at each edge."""
    events = np.sort(events)
    sums = np.concatenate([[0.0], np.cumsum(events - edges[0])])
    before = np.searchsorted(events, edges)
    return before * (edges - edges[0]) - sums[before]


def _levels(time: np.ndarray, value: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and most, in each interval, of a value that holds from its time to the next; before the first it is 0."""
    time = np.concatenate([[-np.inf], time])
    value = np.concatenate([[0.0], value])
    at = np.searchsorted(time, edges, side="right") - 1
    area = np.concatenate([[0.0, 0.0], np.cumsum(value[1:-1] * np.diff(time[1:]))])
    since = np.where(at > 0, edges - time[np.maximum(at, 1)], 0.0)
    total = area[at] + value[at] * since
    last = np.searchsorted(time, edges[1:], side="left") - 1
    most = np.maximum(np.maximum.reduceat(value, at)[:-1], value[np.maximum(last, at[:-1])])
    return np.diff(total) / np.diff(edges), most


def _by_arrival(arrival: np.ndarray, value: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and most of values of those that arrive in each interval; arrivals are sorted."""
    cuts = np.searchsorted(arrival, edges[:-1])
    count = np.diff(np.append(cuts, len(arrival)))
    mean, most = np.zeros(len(count)), np.zeros(len(count))
    some = np.flatnonzero(count)
    if len(some):
        mean[some] = np.add.reduceat(value, cuts[some]) / count[some]
        most[some] = np.maximum.reduceat(value, cuts[some])
    return mean, most


def _bars(run: Run, which: np.ndarray, most: int) -> Bars:
    """Some requests in at most so many bands of about one size."""
    cuts = np.unique(np.linspace(0, len(which), min(most, len(which)) + 1).astype(np.int64))
    begin, count = cuts[:-1], np.diff(cuts)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values[which], begin) / count if len(begin) else np.empty(0)

    return Bars(
        number=which[begin],
        count=count,
        arrival=mean(run.arrival),
        start=mean(run.start),
        first_token=mean(run.first_token),
        finish=mean(run.finish),
        preempted=np.add.reduceat(run.preemptions[which] > 0, begin, dtype=np.int64) if len(begin) else begin,
    )


def _around_longest(run: Run, order: np.ndarray) -> np.ndarray:
    """Successive requests, about two thirds of them before the one with the longest TTFT."""
    if not len(order):
        return order
    longest = int(np.argmax(run.first_token[order] - run.arrival[order]))
    begin = max(0, min(longest - 2 * ROWS // 3, len(order) - ROWS))
    return order[begin : begin + ROWS]
