"""Replicas that come and go: failures with repairs, and as many replicas as the open requests need.

    failure      takes effect at the end of the step that runs; whatever the replica held is lost. Its requests arrive
                 anew, `retry` later, with the tokens that they had got: another replica computes prompt and tokens
                 and goes on (request migration, as NVIDIA Dynamo does it). A prompt that was on its way to a decode
                 replica is sent back when it should have arrived.
    autoscaling  every `every`: wanted = open requests / target, rounded up, from `fewest` to all. More are started at
                 once and are up after `start`; those that drain are taken back first. Fewer drain, the last one first,
                 when fewer have been enough for `keep`: they get no more requests and are off once they have none.
                 Who is started remembers nothing.

A replica is paid for from the beginning of its start until it is off, also while it is repaired. This file is plain
Python that `compiled.py` compiles. Knows no router.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.abreast import DUE, HANDLED, PAID, READY, SINCE_ON, STATE, Replicas, memory_of, state_of
from ridgeline.simulate.engine import (
    ARRIVAL,
    ASKED,
    BEHIND,
    BLOCKS,
    CUT,
    EARLIER,
    EMPTY,
    ENDS,
    FIRST,
    GIVEN,
    HEAD,
    HOLDING,
    JOB,
    LAST,
    LINK,
    LOADED,
    NEWER,
    NEWEST,
    NOW,
    OPEN,
    PENDING,
    QUEUED,
    SEATS,
    SENDING,
    TAIL,
    State,
    free_sent,
    preempt_last,
)
from ridgeline.simulate.following import push
from ridgeline.simulate.pool import FREE, Cache, give_run, lose, wipe
from ridgeline.simulate.ticks import FAR, Tables

UP, STARTING, FAILED, DRAINING, OFF = range(5)
"""States of a replica."""

(
    EVENT,
    FAILURE,
    LOOK,
    EVERY,
    TARGET,
    FEWEST,
    START,
    KEEP,
    ENOUGH,
    RETRY,
    RETRIED,
    PREFILLS,
    TURN,
    FAILURES,
    MOVED,
    STOP,
    TOGETHER,
    HAND,
) = range(18)
"""Scalars of the fleet: when something happens next; number of the next failure; next look at the load, ticks between
two of them, open requests per replica; fewest replicas; ticks to start one, and for which fewer must be enough; when
fewer were not; ticks until a request of a failed replica arrives anew, and how many did; replicas of the prefill pool;
whose turn it is in the decode pool; failures that happened; whether requests may be handed
out more than once; after how many that were given to a replica the router comes back, to tell of it; whether replicas
share a KV tier; the request and 1 that has arrived and is not given to anybody yet, 0: none."""
POLICY = 18

SHORT = 3
"""Why `route` came back: more failures must be drawn."""


def open_requests(b: np.ndarray, handled: int, when: int) -> int:
    """Requests of a replica that have not ended at a time up to which it was advanced."""
    return handled - (b[ENDS] if b[LAST] <= when else b[EARLIER])


def clear(seats: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Empty a replica: nobody sits in it, nothing is remembered, all blocks are free."""
    for seat in range(b[SEATS]):
        seats[EMPTY, seat] = b[SEATS] - 1 - seat
    b[OPEN] = b[SEATS]
    b[PENDING] = b[HOLDING] = b[LINK] = b[FREE] = b[QUEUED] = b[ASKED] = 0
    b[SENDING] = -1
    wipe(cache, b)
    give_run(cache, b, b[BLOCKS])


def send_back(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, policy: np.ndarray, job: int, when: int) -> None:
    """Let a request of a failed replica arrive anew."""
    if jobs[FIRST, job] < 0:
        jobs[GIVEN, job] = 0
    elif jobs[LOADED, job]:
        jobs[GIVEN, job] -= 1  # the prefill's token was never passed on
    jobs[ARRIVAL, job], jobs[LOADED, job] = when, 0
    policy[RETRIED] += 1
    push(jobs, heap, g, job)


def fail(s: State, fleet: np.ndarray, policy: np.ndarray, r: int, when: int, repair: int) -> None:
    """A replica fails: its requests are sent back in the order of their admission, then of the queue."""
    jobs, seats, heap, cache, g, b = s.jobs, s.seats, s.heap, s.cache, s.g, s.b
    end = max(when, b[NOW])
    free_sent(seats, cache, b, end)
    lose(jobs, cache, b)
    while b[NEWEST] >= 0:
        preempt_last(s)
    job = b[HEAD]
    while job >= 0:
        behind = jobs[BEHIND, job]
        send_back(jobs, heap, g, policy, job, end + policy[RETRY])
        job = behind
    b[HEAD] = b[TAIL] = -1
    seat = b[SENDING]
    while seat >= 0:  # these are in the heap already, to arrive with a cache that will not come
        job = seats[JOB, seat]
        jobs[GIVEN, job] = 0 if jobs[FIRST, job] < 0 else jobs[GIVEN, job] - 1
        jobs[LOADED, job] = 0
        policy[RETRIED] += 1
        if len(cache.ids):
            cache.held[cache.place[job] : cache.place[job + 1]] = 0
        seat = seats[NEWER, seat]
    clear(seats, cache, b)
    b[NOW] = b[CUT] = end
    fleet[HANDLED, r], fleet[DUE, r] = b[ENDS], FAR
    fleet[STATE, r], fleet[READY, r] = FAILED, end + repair
    policy[FAILURES] += 1


def scale(boards: np.ndarray, fleet: np.ndarray, policy: np.ndarray, when: int) -> None:
    """Start or drain replicas, as many as the open requests need; those on their way back are in none."""
    replicas = len(boards)
    most, on, now_open = replicas, 0, 0
    for r in range(replicas):
        mine = open_requests(boards[r], fleet[HANDLED, r], when)
        now_open += mine
        if fleet[STATE, r] == DRAINING and mine == 0:
            turn_off(fleet, r, when)
        if fleet[STATE, r] <= FAILED:
            on += 1
    wanted = min(max((now_open + policy[TARGET] - 1) // policy[TARGET], policy[FEWEST]), most)
    if wanted >= on:
        policy[ENOUGH] = when
    for state in (DRAINING, OFF):
        for r in range(replicas):
            if on < wanted and fleet[STATE, r] == state:
                on += 1
                if state == DRAINING:
                    fleet[STATE, r] = UP
                else:
                    fleet[STATE, r], fleet[READY, r], fleet[SINCE_ON, r] = STARTING, when + policy[START], when
    if when - policy[ENOUGH] >= policy[KEEP]:
        for r in range(replicas - 1, -1, -1):
            if on > wanted and (fleet[STATE, r] == UP or fleet[STATE, r] == STARTING):
                on -= 1
                if fleet[STATE, r] == STARTING or open_requests(boards[r], fleet[HANDLED, r], when) == 0:
                    turn_off(fleet, r, when)
                else:
                    fleet[STATE, r] = DRAINING


def turn_off(fleet: np.ndarray, r: int, when: int) -> None:
    """A replica is paid for no longer."""
    fleet[STATE, r], fleet[READY, r] = OFF, FAR
    fleet[PAID, r] += when - fleet[SINCE_ON, r]


def next_event(fleet: np.ndarray, policy: np.ndarray, failures: np.ndarray) -> int:
    """When something happens next."""
    when = policy[LOOK] if policy[EVERY] else FAR
    if policy[FAILURE] < failures.shape[1]:
        when = min(when, failures[0, policy[FAILURE]])
    for r in range(fleet.shape[1]):
        if fleet[STATE, r] == STARTING or fleet[STATE, r] == FAILED:
            when = min(when, fleet[READY, r])
    return when


def upkeep(law: Tables, a: Replicas, policy: np.ndarray, failures: np.ndarray, when: int) -> None:
    """All that happens at a time up to which all replicas were advanced."""
    boards, fleet = a.boards, a.fleet
    for r in range(len(boards)):
        if (fleet[STATE, r] == STARTING or fleet[STATE, r] == FAILED) and fleet[READY, r] <= when:
            if fleet[STATE, r] == STARTING:
                mine = memory_of(a, r)
                lose(a.jobs, mine, boards[r])
                clear(a.seats[r], mine, boards[r])
            fleet[STATE, r] = UP
            boards[r, NOW] = boards[r, CUT] = max(boards[r, NOW], when)
    while policy[FAILURE] < failures.shape[1] and failures[0, policy[FAILURE]] <= when:
        failed, repair = failures[1, policy[FAILURE]], failures[2, policy[FAILURE]]
        policy[FAILURE] += 1
        if fleet[STATE, failed] != UP and fleet[STATE, failed] != DRAINING:
            continue
        for r in range(policy[PREFILLS]):
            mine = memory_of(a, r)
            free_sent(a.seats[r], mine, boards[r], when)
        s = state_of(a, law, a.jobs, failed)
        fail(s, fleet, policy, failed, when, repair)
    if policy[EVERY] and policy[LOOK] <= when:
        scale(boards, fleet, policy, when)
        policy[LOOK] = when + policy[EVERY]
    policy[EVENT] = next_event(fleet, policy, failures)
