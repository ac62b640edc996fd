"""Several replicas behind a router (`routers.py`), and how far each must be simulated to decide who gets a request.

Only replicas that are up are asked. Of two pools, requests come to those that prefill, and are handed on to the least
loaded of those that decode (in turn with round-robin).

The router knows the exact state at the time of arrival. A replica is advanced only when its state may matter: not
before the earliest time at which one of its requests can end, of which `DUE` is a lower bound; for `prefix` as soon as
it has planned a step that begins before. While all of its requests decode, and there are blocks until one ends, its
load only grows and what it remembers only shrinks: then it is advanced if it would be chosen for what was known of it,
until somebody is chosen of whom all is known.
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
    PLANS,
    REACHED,
    READY,
    STATE,
    STEADY,
    Replicas,
    look_at,
    memory_of,
    side_by_side,
)
from ridgeline.simulate.engine import (
    ARRIVAL,
    CAME,
    CLOSED,
    COMING,
    DEALT,
    FULL,
    LOADED,
    NEXT,
    NOW,
    PARENT,
    PAUSED,
    PREEMPTIONS,
    QUEUED,
    SENT,
    free_sent,
    queue,
)
from ridgeline.simulate.following import pop, push, sink
from ridgeline.simulate.routers import PREFIX, ROUND_ROBIN, chosen, remembered, still_remembered
from ridgeline.simulate.ticks import FAR, Tables
from ridgeline.simulate.upkeep import (
    EVENT,
    FAILED,
    FAILURE,
    HAND,
    MOVED,
    PREFILLS,
    SHORT,
    STARTING,
    STOP,
    TOGETHER,
    next_event,
    open_requests,
    upkeep,
)


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
    asked = -1
    while True:
        job, loaded, best = int(policy[HAND]) - 1, False, -1
        own = event = nothing = alone = False
        if job >= 0:
            when: Any = jobs[ARRIVAL, job]
            loaded = moved and jobs[LOADED, job] == 1
            if router == PREFIX and not loaded and asked != job and len(a.cache.rows):
                remembered(a, job, prefills or replicas, deep)
                asked = job
            best = chosen(a, policy, session, home, deep, router, job, when, loaded)
            lags = router == PREFIX and not loaded and best >= 0 and fleet[PLANS, best] < when
            lags = lags and fleet[REACHED, best] < when
            if not lags:
                policy[HAND] = 0
                if best < 0:
                    low, high = prefills if loaded else 0, replicas if loaded or not prefills else prefills
                    wait(jobs, heap, g, fleet, low, high, job)
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
                continue
            key, low, high, until = PLANS, best, best + 1, when  # the least it may have: how much is it?
        else:
            when = FAR
            if g[NEXT] < len(kept):
                when, own = jobs[ARRIVAL, kept[g[NEXT]]], True
            if g[COMING] > 0 and jobs[ARRIVAL, heap[0]] < when:
                when, own = jobs[ARRIVAL, heap[0]], False
            if failing and policy[FAILURE] == failures.shape[1]:
                return SHORT
            nothing, event = when == FAR, policy[EVENT] <= when and policy[EVENT] < FAR
            if event:
                when = policy[EVENT]
            first, until = -1, when
            if together:
                first, until = plans_first(fleet, when)
            elif chained or when == FAR:
                first = earliest(fleet, when)
            if when == FAR and first < 0:
                return 0
            alone = (chained or together) and first >= 0
            key, low, high = DUE, 0, replicas
            if together or (event and not alone):
                key = PLANS
            elif router == PREFIX and not alone:
                key = STEADY
            if alone:
                low, high = first, first + 1
                if not together:
                    until = fleet[DUE, first]
                elif chained:
                    until = min(until, max(fleet[DUE, first], fleet[PLANS, first] + 1))
            elif blind and own and not event:
                high = 0
        for pool in range(2):
            begin, end = (low, min(high, prefills)) if pool == 0 else (max(low, prefills), high)
            if begin < end:
                mine = first_law if pool == 0 else law
                if side_by_side(mine, a, key, begin, end, until, skip) == FULL:
                    return FULL
        if job >= 0 and deep[best] > 0:
            deep[best] = still_remembered(a, job, best, int(deep[best]))
        if alone or job >= 0:
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
        policy[HAND], asked = job + 1, -1
        if moved and jobs[CAME, job] < 0:
            jobs[CAME, job] = when
        for r in range(prefills if router == PREFIX and not (moved and jobs[LOADED, job] == 1) else 0):
            free_sent(a.seats[r], memory_of(a, r), boards[r], when)
            look_at(boards[r], fleet, r, fleet[PLANS, r] == FAR)
