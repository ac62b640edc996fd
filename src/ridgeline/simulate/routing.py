"""Several replicas behind a router: who gets a request, and how far each replica must be simulated to decide it.

    round-robin     the next one in turn
    least-loaded    the one with the fewest requests that have not ended; the first of equals
    sticky          the one that the session had before; a new session goes to the least loaded
    prefix          the least of (prompt blocks not found + blocks in use + prompt blocks waiting): prefill and decode
                    work added up, as Dynamo's KV router does it

Only replicas that are up are asked. Of two pools, requests come to those that prefill, and are handed on to the least
loaded of those that decode (in turn with round-robin).

The router knows the exact state at the time of arrival. A replica is advanced only when its state may matter: not
before the earliest time at which one of its requests can end, of which `DUE` is a lower bound; for `prefix` as soon as
it has planned a step that begins before. Which replicas remember a block is kept by block, a bit for each, so that all
prompts' hits are found at once.
Where ends start other requests, replicas are advanced in the order of their bounds, so that nobody is ahead of an
arrival that he could see. Where they share a KV tier, steps are made in the order in which they are planned. The router
sees blocks in HBM only, not those in tiers. This file is plain Python that `compiled.py` compiles. Knows nothing of why
a replica is not up: see `upkeep.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ridgeline.simulate.abreast import (
    DUE,
    HANDLED,
    LEAST_OUTPUT,
    LEAST_STEP,
    LOAD,
    PLANS,
    READY,
    STATE,
    Replicas,
    go,
    look_at,
    memory_of,
)
from ridgeline.simulate.caching import BITS
from ridgeline.simulate.engine import (
    ARRIVAL,
    CAME,
    CLOSED,
    COMING,
    DEALT,
    FULL,
    HANDED,
    LOADED,
    NEXT,
    NOW,
    PARENT,
    PARTS,
    PAUSED,
    PREEMPTIONS,
    PROMPT,
    QUEUED,
    SENT,
    free_sent,
    queue,
)
from ridgeline.simulate.following import pop, push, sink
from ridgeline.simulate.pool import BLOCK, found
from ridgeline.simulate.ticks import FAR, Tables
from ridgeline.simulate.upkeep import (
    EVENT,
    FAILED,
    FAILURE,
    MOVED,
    PREFILLS,
    SHORT,
    STARTING,
    STOP,
    TOGETHER,
    TURN,
    UP,
    next_event,
    open_requests,
    upkeep,
)

ROUND_ROBIN, LEAST_LOADED, STICKY, PREFIX = range(4)


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


def remembered(a: Replicas, job: int, high: int, deep: np.ndarray) -> None:
    """How many ids of a prompt each replica up to `high` would find: of those with marks, of all at once."""
    deep[:] = 0
    cache, parts = a.cache, a.boards[0, PARTS]
    if len(cache.rows) == 0:
        return
    first, tokens = cache.place[job], a.jobs[PROMPT, job]
    most = min((tokens - 1) // (a.boards[0, BLOCK] * parts), cache.place[job + 1] - first)
    for word in range(cache.holders.shape[1]):
        k, left = 0, -1
        while left != 0:
            row = cache.rows[cache.ids[first + k]] if k < most else -1
            still = left & cache.holders[row, word] if row >= 0 else 0
            if still != left and k > 0:
                for r in range(word * BITS, min((word + 1) * BITS, high)):
                    if (left ^ still) >> (r - word * BITS) & 1:
                        deep[r] = k
                        if k < most and row < 0:
                            deep[r] = found(memory_of(a, r), a.boards[r], job, tokens) // parts
            left = still
            k += 1


def chosen(
    a: Replicas,
    policy: np.ndarray,
    session: np.ndarray,
    home: np.ndarray,
    deep: np.ndarray,
    router: int,
    job: int,
    when: int,
    loaded: bool,
) -> int:
    """Who gets a request; -1 if nobody is up."""
    boards, fleet, g = a.boards, a.fleet, a.g
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
    if router == PREFIX:
        parts = boards[0, PARTS]
        remembered(a, job, high, deep)
        for r in range(low, high):
            load = fleet[LOAD, r] - deep[r] * parts
            if load < least and fleet[STATE, r] == UP:
                best, least = r, load
        return best
    for r in range(low, high):
        load = open_requests(boards[r], fleet[HANDLED, r], when)
        if load < least and fleet[STATE, r] == UP:
            best, least = r, load
    if router == STICKY and best >= 0:
        home[session[job]] = best
    return best


def earliest(fleet: np.ndarray, when: int) -> int:
    """The first of the replicas of which a request may end soonest, by a time; -1: of none."""
    first = -1
    for r in range(fleet.shape[1]):
        if fleet[DUE, r] <= when and fleet[DUE, r] < FAR:
            first, when = r, fleet[DUE, r] - 1
    return first


def plans_first(fleet: np.ndarray, until: int) -> tuple[int, int]:
    """The replica that plans first, the first of equals, and until when nobody else does; -1: nobody before `until`."""
    first, when, other = -1, until, until
    for r in range(fleet.shape[1]):
        if fleet[PLANS, r] < when:
            first, when, other = r, fleet[PLANS, r], when
        else:
            other = min(other, fleet[PLANS, r])
    return first, max(other, when + 1) if first >= 0 else until


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
    a: Replicas,
    policy: np.ndarray,
    failures: np.ndarray,
    kept: np.ndarray,
    session: np.ndarray,
    home: np.ndarray,
    deep: np.ndarray,
    replica: np.ndarray,
    router: int,
    failing: bool,
    skip: bool,
) -> int:
    """Serve all requests; FULL when the rows of gaps are full, SHORT when the failures are used up, and it must be
    called again with more; PAUSED when STOP is reached. Without `skip` each step is made for itself.

    `deep` is scratch. `law` is of the replicas that decode, `first_law` of the first PREFILLS ones, which only prefill.
    """
    jobs, links, heap, g, boards, fleet = a.jobs, a.links, a.heap, a.g, a.boards, a.fleet
    replicas, prefills = len(boards), int(policy[PREFILLS])
    moved = policy[MOVED] > 0
    chained = links.shape[1] > 0 or prefills > 0
    together = policy[TOGETHER] > 0
    blind = router == ROUND_ROBIN and not chained and not together
    policy[EVENT] = next_event(fleet, policy, failures)
    for r in range(replicas):
        look_at(boards[r], fleet, r, False)
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
        first, until = -1, when
        if together:
            first, until = plans_first(fleet, when)
        elif chained or when == FAR:
            first = earliest(fleet, when)
        if when == FAR and first < 0:
            return 0
        alone = (chained or together) and first >= 0
        if alone or not (blind and own and not event):
            key = PLANS if together or ((event or router == PREFIX) and not alone) else DUE
            if alone and not together:
                until = fleet[DUE, first]
            elif alone and chained:
                until = min(until, max(fleet[DUE, first], fleet[PLANS, first] + 1))
            low, high = (first, first + 1) if alone else (0, replicas)
            code = PAUSED
            if low < prefills:
                code = go(first_law, a, key, low, min(high, prefills), until, skip)
            if code != FULL and high > prefills:
                code = go(law, a, key, max(low, prefills), high, until, skip)
            if code == FULL:
                return FULL
        if alone:
            continue
        if event:
            if nothing:
                still = g[COMING]
                for r in range(replicas):
                    still += open_requests(boards[r], fleet[HANDLED, r], when)
                if still == 0:
                    return 0
            upkeep(law, a, policy, failures, when)
            for r in range(replicas):
                look_at(boards[r], fleet, r, False)
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
            mine = memory_of(a, r)
            free_sent(a.seats[r], mine, boards[r], when)
            look_at(boards[r], fleet, r, fleet[PLANS, r] == FAR)
        best = chosen(a, policy, session, home, deep, router, job, when, loaded)
        if best < 0:
            wait(jobs, heap, g, fleet, prefills if loaded else 0, replicas if loaded or not prefills else prefills, job)
            continue
        replica[job] = best
        fleet[HANDLED, best] += 1
        if jobs[PREEMPTIONS, job]:
            boards[best, QUEUED] += 1
        queue(jobs, boards[best], job)
        look_at(boards[best], fleet, best, False)
        least = fleet[LEAST_OUTPUT, best] * fleet[LEAST_STEP, best]
        if jobs[PREEMPTIONS, job]:
            least = fleet[LEAST_STEP, best]
        fleet[DUE, best] = min(fleet[DUE, best], max(boards[best, NOW], when) + least)
        g[DEALT] += 1
        if g[DEALT] == policy[STOP]:
            return PAUSED
