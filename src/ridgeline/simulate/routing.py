"""Several replicas behind a router: who gets a request, and how far each replica must be simulated to decide it.

    round-robin     the next one in turn
    least-loaded    the one with the fewest requests that have not ended; the first of equals
    sticky          the one that the session had before; a new session goes to the least loaded
    prefix          the least of (prompt blocks not found + blocks in use + prompt blocks waiting): prefill and decode
                    work added up, as Dynamo's KV router does it

The router knows the exact state at the time of arrival. A replica is advanced only when its state may matter: not
before the earliest time at which one of its requests can end, of which `due` is a lower bound, and for `prefix` always.
Where ends start other requests, replicas are advanced in the order of their bounds, so that nobody is ahead of an
arrival that he could see. This file is plain Python that `compiled.py` compiles. Knows no failure of a replica.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    BEHIND,
    BLOCKS,
    CLOSED,
    COMING,
    DECODES,
    EARLIER,
    ENDS,
    FULL,
    HANDED,
    HEAD,
    JOB,
    LAST,
    NEXT,
    NEXT_END,
    NOW,
    PARENT,
    PARTIAL,
    PREEMPTIONS,
    PROMPT,
    SENT,
    STEP,
    advance,
    pop,
    queue,
)
from ridgeline.simulate.law import FAR, Tables
from ridgeline.simulate.pool import BLOCK, FREE, Cache, found

ROUND_ROBIN, LEAST_LOADED, STICKY, PREFIX = range(4)
GIVEN, DUE, LEAST_STEP, LEAST_OUTPUT = range(4)
"""Rows of the array of replicas: requests handed to each, lower bound of its next end; shortest step in ticks and
shortest answer in tokens, the same for all."""


def part(cache: Cache, refs: np.ndarray, queues: np.ndarray, runs: np.ndarray, spare: np.ndarray, r: int) -> Cache:
    """What replica r remembers."""
    return Cache(cache.place, cache.ids, cache.held, refs[r], queues[r, 0], queues[r, 1], runs[r], spare[r], cache.hits)


def bound(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray, fleet: np.ndarray, r: int) -> int:
    """A time before which no request of a replica can end; FAR if it has none."""
    least = fleet[LEAST_STEP, r]
    due = FAR
    if b[DECODES] > 0:
        due = b[NOW] + max(b[NEXT_END] - b[STEP], 1) * least
    begin = b[NOW]
    if b[HEAD] >= 0 and b[DECODES] == 0 and b[PARTIAL] < 0:
        begin = max(begin, jobs[ARRIVAL, b[HEAD]])
    for job in (b[HEAD], seats[JOB, b[PARTIAL]] if b[PARTIAL] >= 0 else -1):
        if job >= 0:
            due = min(due, begin + (1 if jobs[PREEMPTIONS, job] else fleet[LEAST_OUTPUT, r]) * least)
    return due


def open_requests(b: np.ndarray, given: int, when: int) -> int:
    """Requests of a replica that have not ended at a time up to which it was advanced."""
    return given - (b[ENDS] if b[LAST] <= when else b[EARLIER])


def in_order(jobs: np.ndarray, links: np.ndarray, heap: np.ndarray, g: np.ndarray, job: int) -> int:
    """In a closed loop, who is sent when a place is free: not `job`, to whom it was given, but the next in order.

    Replicas are not simulated in the order of time, so that an earlier place may have been found later.
    """
    if links[PARENT, job] != -1:
        return job
    while links[PARENT, g[SENT]] != -1:
        g[SENT] += 1
    wanted = g[SENT]
    g[SENT] += 1
    if wanted != job:
        for i in range(g[COMING]):
            if heap[i] == wanted:
                heap[i] = job
        jobs[ARRIVAL, job], jobs[ARRIVAL, wanted] = jobs[ARRIVAL, wanted], jobs[ARRIVAL, job]
    return wanted


def burden(jobs: np.ndarray, cache: Cache, b: np.ndarray, job: int) -> int:
    """Blocks that a replica would have in use and to compute."""
    total = (jobs[PROMPT, job] + b[BLOCK] - 1) // b[BLOCK]
    blocks = total - found(cache, b, job, jobs[PROMPT, job]) + b[BLOCKS] - b[FREE]
    waiting = b[HEAD]
    while waiting >= 0:
        blocks += (jobs[PROMPT, waiting] + b[BLOCK] - 1) // b[BLOCK]
        waiting = jobs[BEHIND, waiting]
    return blocks


def route(
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
    refs: np.ndarray,
    queues: np.ndarray,
    runs: np.ndarray,
    spare: np.ndarray,
    g: np.ndarray,
    boards: np.ndarray,
    fleet: np.ndarray,
    kept: np.ndarray,
    session: np.ndarray,
    home: np.ndarray,
    replica: np.ndarray,
    router: int,
) -> int:
    """Serve all requests; FULL when the rows of gaps are full and it must be called again with more."""
    replicas = len(boards)
    chained = links.shape[1] > 0
    blind = router == ROUND_ROBIN and not chained
    while True:
        when, own = FAR, False
        if g[NEXT] < len(kept):
            when, own = jobs[ARRIVAL, kept[g[NEXT]]], True
        if g[COMING] > 0 and jobs[ARRIVAL, heap[0]] < when:
            when, own = jobs[ARRIVAL, heap[0]], False
        first, nearest = -1, when
        for r in range(0 if blind and own else replicas):
            if fleet[DUE, r] <= nearest and fleet[DUE, r] < FAR:
                first = r
                if chained:
                    nearest = fleet[DUE, r] - 1
        if when == FAR and first < 0:
            return 0
        for r in range(0 if blind and own else replicas):
            if chained and r != first and not (first < 0 and router == PREFIX):
                continue
            if fleet[DUE, r] > when and not (router == PREFIX and (first < 0 or not chained)):
                continue
            until = fleet[DUE, r] if chained and first >= 0 else when
            mine = part(cache, refs, queues, runs, spare, r)
            code = advance(
                law, jobs, seats[r], calendars[r], links, heap, gaps, counts, samples, mine, g, boards[r], until, True
            )
            fleet[DUE, r] = bound(jobs, seats[r], boards[r], fleet, r)
            if code == FULL:
                fleet[DUE, r] = min(fleet[DUE, r], until)
                return FULL
        if chained and first >= 0:
            continue
        if when == FAR:
            continue
        if own:
            job = int(kept[g[NEXT]])
            g[NEXT] += 1
        else:
            job = int(pop(jobs, heap, g))
            if boards[0, CLOSED]:
                job = in_order(jobs, links, heap, g, job)
        best = 0
        if router == ROUND_ROBIN:
            best = g[HANDED] % replicas
        elif router == STICKY and home[session[job]] >= 0:
            best = home[session[job]]
        else:
            least = FAR
            for r in range(replicas):
                if router == PREFIX:
                    load = burden(jobs, part(cache, refs, queues, runs, spare, r), boards[r], job)
                else:
                    load = open_requests(boards[r], fleet[GIVEN, r], when)
                if load < least:
                    best, least = r, load
        if router == STICKY:
            home[session[job]] = best
        replica[job] = best
        g[HANDED] += 1
        fleet[GIVEN, best] += 1
        queue(jobs, boards[best], job)
        least = fleet[LEAST_OUTPUT, best] * fleet[LEAST_STEP, best]
        fleet[DUE, best] = min(fleet[DUE, best], max(boards[best, NOW], when) + least)
