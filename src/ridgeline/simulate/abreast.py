"""Replicas side by side: those that plan before a time are advanced to it, in one call for all.

A call hands over some twenty arrays, which takes as long as a decode step: so replicas have arrays with a row for each,
and one replica alone is a fleet of one. This file is plain Python that `compiled.py` compiles. Knows no router.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    ASKED,
    BLOCKS,
    DECODES,
    FULL,
    HEAD,
    IDLE,
    JOB,
    NEXT_END,
    NOW,
    PARTIAL,
    PAUSED,
    PREEMPTIONS,
    QUEUED,
    SENDS,
    STEP,
    advance,
)
from ridgeline.simulate.law import FAR, Tables
from ridgeline.simulate.pool import FREE, Cache

PLANS, DUE, LOAD, HANDLED, LEAST_STEP, LEAST_OUTPUT, STATE, READY, SINCE_ON, PAID = range(10)
"""Rows of the array of replicas: when it plans next, FAR: when somebody comes; lower bound of its next end; for the
prefix router, blocks in use and of the prompts in its queue; requests handed to each; shortest step in ticks and
shortest answer in tokens, the same for all of a pool; whether it is up, when it will be, since when it is paid for, and
ticks that were paid for before."""
FLEET_ROWS = 10


def part(cache: Cache, held: np.ndarray, nodes: np.ndarray, tables: np.ndarray, b: np.ndarray, r: int) -> Cache:
    """What replica r remembers; a request may be in two pools at once."""
    mine = held[b[SENDS]]
    return Cache(cache.place, cache.ids, mine, nodes[r], tables[r], cache.holders, cache.hits, cache.lower)


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
    fleet[PLANS, r] = FAR if idle else b[NOW]
    fleet[LOAD, r] = b[BLOCKS] - b[FREE] + b[ASKED]


def go(
    law: Tables,
    jobs: np.ndarray,
    seats: np.ndarray,
    calendars: np.ndarray,
    links: np.ndarray,
    heap: np.ndarray,
    gaps: np.ndarray,
    counts: np.ndarray,
    samples: np.ndarray,
    cache: Cache,
    held: np.ndarray,
    nodes: np.ndarray,
    tables: np.ndarray,
    g: np.ndarray,
    boards: np.ndarray,
    fleet: np.ndarray,
    key: int,
    low: int,
    high: int,
    until: int,
    skip: bool,
) -> int:
    """Make all steps planned before `until` of replicas from `low` to `high` whose `key`, a row, is not behind it.

    FULL if the rows of gaps or samples are: it must be called again with more. Without `skip` each step is made for
    itself.
    """
    for r in range(low, high):
        if fleet[key, r] > until:
            continue
        mine, b = part(cache, held, nodes, tables, boards[r], r), boards[r]
        code = advance(law, jobs, seats[r], calendars[r], links, heap, gaps, counts, samples, mine, g, b, until, skip)
        fleet[DUE, r] = bound(jobs, seats[r], b, fleet, r)
        look_at(b, fleet, r, code == IDLE)
        if code == FULL:
            fleet[DUE, r] = min(fleet[DUE, r], until)
            return FULL
    return PAUSED
