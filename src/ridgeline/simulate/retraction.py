"""Memory for SGLang's decode steps: what the results of the step before free, and who is retracted for more.

If a decode step finds no pages, requests are retracted, fewest output tokens first, then longest prompt, then latest,
at least one, until `retract_decode_steps` steps fit for the rest; they go to the end of the queue, and

    ratio = (given + steps * n) / (max_new + 1)          sums over the rest

Otherwise ratio falls by `DECAY` with each step.

With `ASYNC` (overlap) the result of a step is known one plan late: who has ended is decoded once more, in vain, its
pages are freed when the plan knows of it, and prompts that a step finished are remembered then.

Plain Python that `compiled.py` compiles before `sglang.py`, which calls it.

Chosen where sources differ or tell nothing: 20 steps fit after a retraction (newest SGLang asks for one only); the
token that a retracted request gets from the step under way counts (SGLang computes it again); a decode step that lacks
pages waits for the results of the step before. Knows no prompts.
Sources: sgl-project/sglang managers/schedule_batch.py, new_token_ratio_tracker.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ASYNC,
    BLOCKS,
    DECAY,
    DECODED,
    DECODES,
    EARLIER,
    END,
    ENDED,
    ENDS,
    FILLED,
    FINISH,
    GIVEN,
    JOB,
    LAST,
    LATE,
    LEAST_RATIO,
    LENGTH,
    NEWER,
    NEXT_END,
    NOW,
    OLDEST,
    OUTPUT,
    PARTIAL,
    PEAK,
    PENDING,
    PREEMPTIONS,
    PROMPT,
    RATIO,
    RETRACT,
    SEAT_ROWS,
    SHUT,
    SINCE,
    STEP,
    State,
    ask,
    blocks_taken,
    end_decode,
)
from ridgeline.simulate.pool import BLOCK, FREE, Cache, give, take
from ridgeline.simulate.radix import drop, evict, keep
from ridgeline.simulate.waiting import wait_again

ONE = 1 << 30
"""A ratio of 1."""

UNSEEN, COMPUTED = range(SEAT_ROWS, SEAT_ROWS + 2)
"""More rows of seats: requests whose prompts were finished by the last step, and how many tokens it left computed."""


def known(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray, seat: int) -> int:
    """Output tokens of a decoding request that the plan knows of."""
    given = jobs[OUTPUT, seats[JOB, seat]] - (seats[END, seat] - b[STEP])
    if b[ASYNC] and (b[DECODED] == b[NOW] or seats[SINCE, seat] == b[NOW]):
        given -= 1
    return given


def release(seats: np.ndarray, cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """A request has ended; what it held is freed when the plan knows of it."""
    if b[LAST] < b[NOW]:
        b[EARLIER], b[LAST] = b[ENDS], b[NOW]
    b[ENDS] += 1
    seats[ENDED, b[PENDING]], seats[LENGTH, b[PENDING]] = job, tokens
    b[PENDING] += 1


def settle(seats: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """The results of the last step are known."""
    if len(cache.ids):
        know(seats, cache, b)
    else:
        for i in range(b[PENDING]):
            give(cache, b, seats[ENDED, i], seats[LENGTH, i])
        b[PENDING] = 0


def know(seats: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Prompts that the last step finished are remembered, who has ended is freed, in the order of the batch."""
    i = 0
    for k in range(b[LATE] + b[PENDING]):
        job = seats[UNSEEN, k] if k < b[LATE] else -1
        if i < b[PENDING] and (k >= b[LATE] or seats[ENDED, i] == job):
            give(cache, b, seats[ENDED, i], seats[LENGTH, i])
            i += 1
        elif job >= 0:
            keep(cache, b, job, seats[COMPUTED, k])
    b[PENDING] = b[LATE] = 0


def charge(tokens: int, page: int) -> int:
    """Tokens of whole pages."""
    return (tokens + page - 1) // page * page


def wanted_by_ended(seats: np.ndarray, b: np.ndarray) -> int:
    """Pages that those take in a decode step who have ended unknown to its plan."""
    pages = 0
    for i in range(b[PENDING]):
        if seats[LENGTH, i] % b[BLOCK] == 0:
            pages += 1
    return pages


def decode_pages(seats: np.ndarray, cache: Cache, b: np.ndarray, ghosts: int) -> None:
    """Allocate the pages of a decode step of all, `ghosts` of which are given back at once."""
    count = int(b[FILLED + b[STEP] % b[BLOCK]])
    evict(cache, b, b[DECODES] + b[PENDING])
    b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE] + ghosts + min(count, b[FREE] - ghosts))
    take(cache, b, count)


def make_decode_room(s: State) -> None:
    """Pages for one decode step of all, after retracting whom it takes; the ratio after it."""
    jobs, seats, calendar, cache, b = s.jobs, s.seats, s.calendar, s.cache, s.b
    ghosts = wanted_by_ended(seats, b)
    if b[PENDING] > 0 and b[FILLED + b[STEP] % b[BLOCK]] + ghosts > b[FREE]:
        settle(seats, cache, b)
        b[SHUT], ghosts = 0, 0
    if b[FILLED + b[STEP] % b[BLOCK]] <= b[FREE]:
        b[RATIO] = max(b[RATIO] - b[DECAY], b[LEAST_RATIO])
    else:
        evict(cache, b, b[FREE])
        b[PEAK] = b[BLOCKS]
        thrown = False
        while b[DECODES] > 1 and (not thrown or blocks_taken(b, b[RETRACT]) > b[FREE]):
            retract(s)
            evict(cache, b, charge(b[DECODES] * b[RETRACT], b[BLOCK]) // b[BLOCK])
            thrown = True
        given, most = b[RETRACT] * b[DECODES], 1
        seat = b[OLDEST]
        while seat >= 0:
            if seat != b[PARTIAL]:
                given += known(jobs, seats, b, seat)
                most += jobs[OUTPUT, seats[JOB, seat]]
            seat = seats[NEWER, seat]
        b[RATIO] = min(ONE, (given * ONE) // most)
        b[SHUT] = 0
        if b[DECODES]:
            end = b[NEXT_END]
            while calendar[end & (len(calendar) - 1)] < 0 or end <= b[STEP]:
                end += 1
            b[NEXT_END] = end
    decode_pages(seats, cache, b, ghosts)


def retract(s: State) -> None:
    """Send one decoding request to the end of the queue."""
    jobs, seats, calendar, cache, b = s.jobs, s.seats, s.calendar, s.cache, s.b
    victim, least, longest = -1, 0, 0
    seat = b[OLDEST]
    while seat >= 0:
        given, prompt = known(jobs, seats, b, seat), jobs[PROMPT, seats[JOB, seat]]
        if seat != b[PARTIAL] and (victim < 0 or given < least or (given == least and prompt >= longest)):
            victim, least, longest = seat, given, prompt
        seat = seats[NEWER, seat]
    job = seats[JOB, victim]
    jobs[GIVEN, job] = jobs[OUTPUT, job] - (seats[END, victim] - b[STEP])
    jobs[FINISH, job] = b[NOW]
    drop(cache, b, job, end_decode(seats, calendar, b, victim))
    for k in range(b[LATE]):
        if seats[UNSEEN, k] == job:
            seats[UNSEEN, k] = -1
    jobs[PREEMPTIONS, job] += 1
    wait_again(jobs, b, job)
    ask(jobs, b, job, 1)
