"""Requests that leave a replica with their first token, and those that come to one with their cache.

Plain Python that `compiled.py` compiles in place of functions of `engine.py`, where nobody is sent. Knows no router.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    CUT,
    DECODES,
    DELAY,
    EARLIER,
    EMPTY,
    ENDS,
    FILLED,
    FINISH,
    FIRST,
    GIVEN,
    HEAD,
    HOLDING,
    JOB,
    LAST,
    LINK,
    LOADED,
    NEWER,
    NOW,
    OPEN,
    ORIGIN,
    OUTPUT,
    PARTIAL,
    PENDING,
    PREEMPTIONS,
    PROMPT,
    QUEUED,
    SEATS,
    SEND,
    SENDING,
    SENT_LAST,
    SINCE,
    STEP,
    TOKENS,
    State,
    begin_decode,
    dequeue,
    keep_gap,
    sit,
    unlink,
)
from ridgeline.simulate.following import push
from ridgeline.simulate.pool import BLOCK, FREE, Cache, found, give, queued, remember, share, take


def hand_over(s: State, seat: int, cached: int) -> None:
    """Send a request's cache to who decodes it: caches pass the link one after another, in the order of prefills.

    The request holds its seat and its blocks until the cache has left, and arrives anew when it has come.
    """
    jobs, seats, heap, g, b = s.jobs, s.seats, s.heap, s.g, s.b
    job = seats[JOB, seat]
    unlink(seats, b, seat)
    b[OPEN] -= 1  # the seat is kept
    more = jobs[SEND, job] * (cached - jobs[PROMPT, job]) // jobs[PROMPT, job]
    b[LINK] = max(b[LINK], b[NOW]) + jobs[SEND, job] + more
    seats[SINCE, seat], seats[ORIGIN, seat], seats[NEWER, seat] = b[LINK], cached, -1
    if b[SENDING] < 0:
        b[SENDING] = seat
    else:
        seats[NEWER, b[SENT_LAST]] = seat
    b[SENT_LAST] = seat
    b[HOLDING] += 1
    jobs[ARRIVAL, job], jobs[LOADED, job] = b[LINK] + b[DELAY], 1
    push(jobs, heap, g, job)
    if b[LAST] < b[NOW]:
        b[EARLIER], b[LAST] = b[ENDS], b[NOW]
    b[ENDS] += 1


def free_sent(seats: np.ndarray, cache: Cache, b: np.ndarray, when: int) -> None:
    """Free seats and blocks of requests whose cache has left by then."""
    while b[SENDING] >= 0 and seats[SINCE, b[SENDING]] <= when:
        seat = b[SENDING]
        b[SENDING] = seats[NEWER, seat]
        b[HOLDING] -= 1
        give(cache, b, seats[JOB, seat], seats[ORIGIN, seat])
        seats[EMPTY, b[OPEN]] = seat
        b[OPEN] += 1


def join(s: State) -> None:
    """Take into the batch those at the head of the queue who came with their cache, as far as seats and blocks last.

    Their latest token is passed on when the step begins. They wait while a prompt is computed anew here.
    """
    jobs, seats, calendar, gaps, counts, cache, g, b = s.jobs, s.seats, s.calendar, s.gaps, s.counts, s.cache, s.g, s.b
    while b[PARTIAL] < 0 and b[DECODES] + b[PENDING] < min(b[SEATS], b[TOKENS]):
        job = b[HEAD]
        if job < 0 or jobs[LOADED, job] == 0 or jobs[ARRIVAL, job] > b[CUT]:
            return
        cached = jobs[PROMPT, job] + jobs[GIVEN, job] - 1
        hit = found(cache, b, job, cached + 1)
        needed = cached // b[BLOCK] + 1 - hit + queued(cache, job, hit)  # with that of the next token
        if needed > b[FREE] - b[FILLED + b[STEP] % b[BLOCK]]:
            return
        share(cache, b, job, hit)
        take(cache, b, (cached + b[BLOCK] - 1) // b[BLOCK] - hit)
        remember(cache, b, job, hit, cached // b[BLOCK])
        dequeue(jobs, cache, b, job)
        if jobs[FIRST, job] < 0:
            jobs[FIRST, job] = b[NOW]
        else:
            keep_gap(gaps, counts, g, b[NOW] - jobs[FINISH, job], 0, 1, 1)
        jobs[FINISH, job], jobs[LOADED, job] = b[NOW], 0
        if jobs[PREEMPTIONS, job]:
            b[QUEUED] -= 1
        begin_decode(seats, calendar, b, sit(seats, b, job), cached, jobs[OUTPUT, job] - jobs[GIVEN, job])
