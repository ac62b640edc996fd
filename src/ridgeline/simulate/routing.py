"""Several replicas behind a router: who gets a request, and how far each replica must be simulated to decide it.

    round-robin     the next one in turn
    least-loaded    the one with the fewest requests that have not ended; the first of equals
    sticky          the one that the session had before; a new session goes to the least loaded
    prefix          the least of (prompt blocks not found + blocks in use + prompt blocks waiting): prefill and decode
                    work added up, as Dynamo's KV router does it

Only replicas that are up are asked. Of two pools, requests come to those that prefill, and are handed on to the least
loaded of those that decode (in turn with round-robin).

The router knows the exact state at the time of arrival. A replica is advanced only when its state may matter: not
before the earliest time at which one of its requests can end, of which `due` is a lower bound, and for `prefix` always.
Where ends start other requests, replicas are advanced in the order of their bounds, so that nobody is ahead of an
arrival that he could see. This file is plain Python that `compiled.py` compiles. Knows nothing of why a replica is not
up: see `upkeep.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    BEHIND,
    BLOCKS,
    CAME,
    CLOSED,
    COMING,
    DECODES,
    FULL,
    HANDED,
    HEAD,
    JOB,
    LOADED,
    NEXT,
    NEXT_END,
    NOW,
    PARENT,
    PARTIAL,
    PREEMPTIONS,
    PROMPT,
    QUEUED,
    SENT,
    STEP,
    advance,
    free_sent,
    pop,
    push,
    queue,
    sink,
)
from ridgeline.simulate.law import FAR, Tables
from ridgeline.simulate.pool import BLOCK, FREE, Cache, found
from ridgeline.simulate.upkeep import (
    DUE,
    EVENT,
    FAILED,
    FAILURE,
    HANDLED,
    LEAST_OUTPUT,
    LEAST_STEP,
    MOVED,
    PREFILLS,
    READY,
    SHORT,
    STARTING,
    STATE,
    TURN,
    UP,
    next_event,
    open_requests,
    part,
    upkeep,
)

ROUND_ROBIN, LEAST_LOADED, STICKY, PREFIX = range(4)


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
        jobs[ARRIVAL, job], jobs[ARRIVAL, wanted] = jobs[ARRIVAL, wanted], jobs[ARRIVAL, job]
        for i in range(g[COMING]):
            if heap[i] == wanted:
                sink(jobs, heap, g, i, job)
                break
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


def chosen(
    jobs: np.ndarray,
    cache: Cache,
    held: np.ndarray,
    refs: np.ndarray,
    queues: np.ndarray,
    runs: np.ndarray,
    spare: np.ndarray,
    g: np.ndarray,
    boards: np.ndarray,
    fleet: np.ndarray,
    policy: np.ndarray,
    session: np.ndarray,
    home: np.ndarray,
    router: int,
    job: int,
    when: int,
    loaded: bool,
) -> int:
    """Who gets a request; -1 if nobody is up."""
    low, high = 0, len(boards)
    if loaded:
        low = int(policy[PREFILLS])
        router = ROUND_ROBIN if router == ROUND_ROBIN else LEAST_LOADED
    elif policy[PREFILLS]:
        high = int(policy[PREFILLS])
    if router == ROUND_ROBIN:
        for _ in range(high - low):
            turn = policy[TURN] if loaded else g[HANDED]
            if loaded:
                policy[TURN] += 1
            else:
                g[HANDED] += 1
            r = low + turn % (high - low)
            if fleet[STATE, r] == UP:
                return r
        return -1
    if router == STICKY and home[session[job]] >= 0 and fleet[STATE, home[session[job]]] == UP:
        return int(home[session[job]])
    best, least = -1, FAR
    for r in range(low, high):
        if fleet[STATE, r] != UP:
            continue
        if router == PREFIX:
            load = burden(jobs, part(cache, held, refs, queues, runs, spare, boards[r], r), boards[r], job)
        else:
            load = open_requests(boards[r], fleet[HANDLED, r], when)
        if load < least:
            best, least = r, load
    if router == STICKY and best >= 0:
        home[session[job]] = best
    return best


def wait(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, fleet: np.ndarray, low: int, high: int, job: int) -> None:
    """Let a request that finds nobody arrive again when the first of a pool is up."""
    soonest = FAR
    for r in range(low, high):
        if fleet[STATE, r] == STARTING or fleet[STATE, r] == FAILED:
            soonest = min(soonest, fleet[READY, r])
    jobs[ARRIVAL, job] = soonest
    push(jobs, heap, g, job)


def route(
    law: Tables,
    first_law: Tables,
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
    refs: np.ndarray,
    queues: np.ndarray,
    runs: np.ndarray,
    spare: np.ndarray,
    g: np.ndarray,
    boards: np.ndarray,
    fleet: np.ndarray,
    policy: np.ndarray,
    failures: np.ndarray,
    kept: np.ndarray,
    session: np.ndarray,
    home: np.ndarray,
    replica: np.ndarray,
    router: int,
    failing: bool,
    skip: bool,
) -> int:
    """Serve all requests; FULL when the rows of gaps are full, SHORT when the failures are used up, and it must be
    called again with more. Without `skip` each step is made for itself.

    `law` is of the replicas that decode, `first_law` of the first PREFILLS ones, which only prefill.
    """
    replicas, prefills = len(boards), int(policy[PREFILLS])
    moved = policy[MOVED] > 0
    chained = links.shape[1] > 0 or prefills > 0
    blind = router == ROUND_ROBIN and not chained
    policy[EVENT] = next_event(fleet, policy, failures)
    while True:
        when, own = FAR, False
        if g[NEXT] < len(kept):
            when, own = jobs[ARRIVAL, kept[g[NEXT]]], True
        if g[COMING] > 0 and jobs[ARRIVAL, heap[0]] < when:
            when, own = jobs[ARRIVAL, heap[0]], False
        if failing and policy[FAILURE] == failures.shape[1]:
            return SHORT
        nothing, event = when == FAR, policy[EVENT] <= when and policy[EVENT] < FAR
        if event:
            when: Any = policy[EVENT]
        unseen = blind and own and not event
        first, nearest = -1, when
        for r in range(0 if unseen else replicas):
            if fleet[DUE, r] <= nearest and fleet[DUE, r] < FAR:
                first = r
                if chained:
                    nearest = fleet[DUE, r] - 1
        if when == FAR and first < 0:
            return 0
        everyone = (event or router == PREFIX) and (first < 0 or not chained)
        for r in range(0 if unseen else replicas):
            if not everyone and (fleet[DUE, r] > when or (chained and r != first)):
                continue
            until = fleet[DUE, r] if chained and first >= 0 else when
            mine = part(cache, held, refs, queues, runs, spare, boards[r], r)
            code = advance(
                first_law if r < prefills else law, jobs, seats[r], calendars[r], links, heap, gaps, counts, samples,
                mine, g, boards[r], until, skip,
            )  # fmt: skip
            fleet[DUE, r] = bound(jobs, seats[r], boards[r], fleet, r)
            if code == FULL:
                fleet[DUE, r] = min(fleet[DUE, r], until)
                return FULL
        if chained and first >= 0:
            continue
        if event:
            if nothing:
                still = g[COMING]
                for r in range(replicas):
                    still += open_requests(boards[r], fleet[HANDLED, r], when)
                if still == 0:
                    return 0
            upkeep(
                jobs, seats, calendars, heap, cache, held, refs, queues, runs, spare, g, boards, fleet, policy,
                failures, when,
            )  # fmt: skip
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
                if links[PARENT, job] == -1:
                    links[PARENT, job] = -2  # it may come again
        loaded = moved and jobs[LOADED, job] == 1
        if moved and jobs[CAME, job] < 0:
            jobs[CAME, job] = when
        for r in range(prefills if router == PREFIX and not loaded else 0):
            free_sent(seats[r], part(cache, held, refs, queues, runs, spare, boards[r], r), boards[r], when)
        best = chosen(
            jobs, cache, held, refs, queues, runs, spare, g, boards, fleet, policy, session, home, router, job, when,
            loaded,
        )  # fmt: skip
        if best < 0:
            wait(jobs, heap, g, fleet, prefills if loaded else 0, replicas if loaded or not prefills else prefills, job)
            continue
        replica[job] = best
        fleet[HANDLED, best] += 1
        if jobs[PREEMPTIONS, job]:
            boards[best, QUEUED] += 1
        queue(jobs, boards[best], job)
        least = fleet[LEAST_OUTPUT, best] * fleet[LEAST_STEP, best]
        if jobs[PREEMPTIONS, job]:
            least = fleet[LEAST_STEP, best]
        fleet[DUE, best] = min(fleet[DUE, best], max(boards[best, NOW], when) + least)
