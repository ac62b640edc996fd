"""Replicas side by side: those that plan before a time are advanced to it, in one call for all.

A call from outside hands over some twenty arrays, which takes as long as many steps: so replicas have arrays with a row
for each, and one replica alone is a fleet of one. This file is plain Python that `compiled.py` compiles. Knows no
router.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    ASKED,
    ASYNC,
    BLOCKS,
    DECODES,
    EARLIER,
    ENDS,
    FULL,
    GAPS,
    HEAD,
    IDLE,
    JOB,
    LAST,
    NEXT_END,
    NOW,
    PARTIAL,
    PAUSED,
    PREEMPTIONS,
    QUEUED,
    SENDS,
    STEP,
    State,
    advance,
    plans_at,
    steady,
)
from ridgeline.simulate.pool import FREE, Cache, lower_of
from ridgeline.simulate.ticks import FAR, Tables

PLANS, DUE, LOAD, HANDLED, LEAST_STEP, LEAST_OUTPUT, STATE, READY, SINCE_ON, PAID, KEPT = range(11)
"""Rows of the array of replicas: when it plans next, FAR: when somebody comes; lower bound of its next end; for the
prefix router, blocks in use and of the prompts in its queue; requests handed to each; shortest step in ticks and
shortest answer in tokens, the same for all of a pool; whether it is up, when it will be, since when it is paid for, and
ticks that were paid for before; rows of gaps filled by then, by it and those before it (`batch.py`)."""
STEADY, REACHED, LATEST, ENDED, BEFORE_IT = range(11, 16)
"""Until when LOAD can only grow; up to when steps have been made; time of the latest end, and how many have ended, with
it and before."""
FLEET_ROWS = 16


class Replicas(NamedTuple):
    """All that steps of replicas side by side read and write: what `State` has, of each that is not shared a row."""

    jobs: np.ndarray
    seats: np.ndarray
    """int64[replicas, rows, requests of a batch]."""
    calendars: np.ndarray
    """int64[replicas, power of two]."""
    links: np.ndarray
    heap: np.ndarray
    gaps: np.ndarray
    counts: np.ndarray
    samples: np.ndarray
    cache: Cache
    """Of which `held`, `nodes` and `table` are not used."""
    held: np.ndarray
    """int32[pools, ids]."""
    nodes: np.ndarray
    """int32[nodes + 1, replicas, NODE]: nodes of which few are used lie together, whoever has them."""
    tables: np.ndarray
    """int32[replicas, power of two]."""
    g: np.ndarray
    boards: np.ndarray
    """int64[replicas, scalars]."""
    fleet: np.ndarray
    """int64[FLEET_ROWS, replicas]."""


def memory_of(a: Replicas, r: int) -> Cache:
    """What replica r remembers; a request may be in two pools at once."""
    cache, mine = a.cache, a.held[a.boards[r, SENDS]]
    below = lower_of(cache.lower, r)
    return Cache(
        cache.place, cache.ends, cache.ids, mine, a.nodes[:, r], a.tables[r], cache.starts,
        cache.holders, cache.rows, cache.hits, below,
    )  # fmt: skip


def state_of(a: Replicas, law: Tables, jobs: np.ndarray, r: int) -> State:
    """Replica r alone, with the requests that it may be given."""
    return State(
        law, jobs, a.seats[r], a.calendars[r], a.links, a.heap, a.gaps, a.counts, a.samples,
        memory_of(a, r), a.g, a.boards[r],
    )  # fmt: skip


def bound(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray, fleet: np.ndarray, r: int) -> int:
    """A time before which no request of a replica can end; FAR if it has none."""
    least = fleet[LEAST_STEP, r]
    due = FAR
    if b[DECODES] > 0:
        due = b[NOW] + max(b[NEXT_END] - b[STEP], 1) * least
    begin = b[NOW]
    if b[HEAD] >= 0 and b[DECODES] == 0 and b[PARTIAL] < 0:
        begin = max(begin, jobs[ARRIVAL, b[HEAD]])
    if b[QUEUED] > 0:  # preempted, anywhere in the queue; what is left may be one token
        due = min(due, begin + least)
    for job in (b[HEAD], seats[JOB, b[PARTIAL]] if b[PARTIAL] >= 0 else -1):
        if job >= 0:
            due = min(due, begin + (1 if jobs[PREEMPTIONS, job] else fleet[LEAST_OUTPUT, r]) * least)
    return due


def look_at(b: np.ndarray, fleet: np.ndarray, r: int, idle: bool) -> None:
    """Note what the router asks of a replica, side by side with the others'."""
    fleet[PLANS, r] = fleet[STEADY, r] = FAR if idle else b[NOW]
    fleet[LOAD, r] = b[BLOCKS] - b[FREE] + b[ASKED]
    fleet[LATEST, r], fleet[ENDED, r], fleet[BEFORE_IT, r] = b[LAST], b[ENDS], b[EARLIER]


def go(law: Tables, a: Replicas, key: int, low: int, high: int, until: int, skip: bool) -> int:
    """The same as `side_by_side`, to be called."""
    return side_by_side(law, a, key, low, high, until, skip)


def side_by_side(law: Tables, a: Replicas, key: int, low: int, high: int, until: int, skip: bool) -> int:
    """Make all steps planned before `until` of replicas from `low` to `high` whose `key`, a row, is not behind it.

    FULL if the rows of gaps or samples are: it must be called again with more. Without `skip` each step is made for
    itself.
    """
    fleet = a.fleet
    for r in range(low, high):
        if fleet[key, r] > until:
            continue
        s = state_of(a, law, a.jobs, r)
        planned, plans = s.b[NOW] < until, fleet[PLANS, r]
        code = advance(s, until, skip)
        fleet[REACHED, r] = until
        fleet[DUE, r] = bound(s.jobs, s.seats, s.b, fleet, r)
        look_at(s.b, fleet, r, code == IDLE)
        if code == PAUSED:
            fleet[PLANS, r] = plans_at(s.cache, s.b) if planned else plans
            fleet[STEADY, r] = fleet[PLANS, r]
            if steady(s.b):  # what ends with a step is free from its plan on, or, of async scheduling, from the next on
                fleet[STEADY, r] = fleet[DUE, r] - (0 if s.b[ASYNC] else fleet[LEAST_STEP, r])
        fleet[KEPT, r] = s.g[GAPS]
        if code == FULL:
            fleet[DUE, r] = min(fleet[DUE, r], until)
            fleet[REACHED, r] = 0
            return FULL
    return PAUSED
