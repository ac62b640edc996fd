"""One replica that batches continuously as vLLM v1 does, advanced from event to event.

A step is planned like this: every decoding request gets one token; then a prompt that was begun goes on; then, unless
somebody was preempted, waiting requests are admitted in order while tokens, seats and memory last. A decoding request
that finds no KV block throws out the one admitted last, which goes to the front of the queue and computes everything
anew. The prefill of the last chunk gives a token; a request ends with its last token and frees its blocks.

Between two events the batch only decodes. All that is needed of it is its number n, the sum S of its contexts, how
many sequences fill a block at each step modulo the block size, and who ends at which step. So k steps are one:

    time += k (base + slope S) + slope n k (k - 1) / 2        S += k n        blocks: n in every `block` steps

with k up to the next end, the next arrival, the next bound of the law or the last free block. All numbers are
integers, so that skipping and stepping are the same to the last bit.

With `ASYNC` the plan of a step is made while the one before it runs: requests that arrive during a step wait for the
one after the next, and what ends in a step holds its seat and blocks for one plan more.

This file is plain Python; `compiled.py` compiles it. What few runs need has files of its own, whose functions take the
place of those here: `caching.py`, `following.py`, `sending.py`. It is long because all of it shares one array of
places: what a step reads and writes can be checked here alone. Knows no chip, no second and no metric.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ridgeline.simulate.pool import BLOCK, FREE, Cache, ask_again, found, give, occupy, queued, remember, take
from ridgeline.simulate.ticks import (
    BASE,
    BINDS,
    BOUND,
    FAR,
    SLOPE,
    Tables,
    chunk_ticks,
    decode_piece,
    mixed_ticks,
    steps_until,
)

# Scalars of a replica: places in one int64 array; the first seven are those of `pool`.
NOW, CUT, STEP, DECODES, CONTEXTS, HEAD, TAIL, OLDEST, NEWEST, PARTIAL, DONE, PENDING, NEXT_END = range(7, 20)
"""Time, and up to when arrivals are seen by the next plan; number of the step; decoding requests and their cached
tokens; ends of the queue; ends of the running list; seat of a begun prompt (-1: none) and its computed tokens; ended
requests that still hold their seats and blocks; the next step in which some request ends."""
STEPS, PEAK, QUEUED, OPEN, SAMPLES, LAST, ENDS, EARLIER, ASKED = range(20, 29)
"""Steps so far; most blocks in use; preempted requests that wait; empty seats; samples of the series; when requests
last ended; how many have ended, and had before that; where `ROUTED`, blocks of the prompts in the queue."""
TOKENS, SEATS, RESERVE, ASYNC, BLOCKS, SAMPLE, CLOSED, ROUTED, STATIC = range(29, 38)
"""Settings: tokens per step; requests per batch; whether a request is admitted only if all its tokens fit; whether
steps are planned ahead; blocks in all; whether to keep a series; whether an end starts another request; whether
somebody else hands out the requests of the heap; whether a batch begins only when the one before has ended."""
BUSY = 38
"""Ticks by what binds, as in `roofline.TERMS`: four."""
RATIO, FIRST_RATIO, LEAST_RATIO, DECAY, RETRACT, PREFILL, SHUT, LISTED, SEEN, DECODED = range(42, 52)
"""Of `sglang.py` alone."""
SENDS, TAKES, LINK, DELAY, SENDING, SENT_LAST, HOLDING = range(52, 59)
"""Of prefill and decode apart: whether a request leaves with its first token; whether requests come with their cache;
when the link is free; ticks of a message; ends of the list of seats whose cache is being sent, and their number."""
KINDS, DRAFTS, LOOKAHEAD = range(59, 62)
"""Of `seatwise.py`: priorities, 0: first come, first served; tokens drafted for each decoding request, and positions
behind those for which it holds blocks."""
EVICTABLE, CLOCK, PARTS, LATE, LPM, MIXES = range(62, 68)
"""Of `radix.py`: remembered pages that nobody locks, uses of the tree so far, pages of an id (1 elsewhere). Of
`sglang.py`: finished prompts that no plan has seen; if the longest match goes first; if answers ride along."""
FILLED = 68
"""To the end: decoding requests that need a block in a step, by step modulo the block size."""

# Scalars of all replicas together.
GAPS, COMING, LATER, NEXT, HANDED, SENT, DEALT = range(7)
"""Rows of gaps; requests in the heap of those that will arrive; in a closed loop, the first that may not have been
started; the next request that arrives at its own time; requests that were handed out; in a
closed loop, the first that may not have been; times that a request was given to a replica."""
SHARED = 7

# The calendar of a replica: some seat that ends with a step, by step modulo its length, a power of two above the
# longest output.

IDLE, PAUSED, FULL = range(3)
"""Why `advance` came back: nothing left to do, the time is reached, or the rows of gaps or samples are full."""


# Rows of the array of requests; times in ticks, -1 for not yet.
ARRIVAL, PROMPT, OUTPUT, BEHIND, START, FIRST, FINISH, GIVEN, PREEMPTIONS = range(9)
"""BEHIND: who is next in the queue, -1 for nobody. FINISH: of a preempted request, when it got its last token so far.
GIVEN: tokens it had got by then."""
JOB_ROWS = 9
CAME, LOADED, SEND = range(9, 12)
"""Only in fleets that hand requests out more than once. CAME: when it arrived first; ARRIVAL is when it arrived last.
LOADED: 1 if it arrived with its cache. SEND: ticks that its prompt's cache takes on the link."""
MOVED_ROWS = 12

# Rows of the array of seats, those of the requests in the batch.
JOB, OLDER, NEWER, END, ORIGIN, BEFORE, AFTER, EMPTY, FRESH, ENDED, LENGTH, SINCE = range(12)
"""OLDER, NEWER: neighbours in order of admission. END: number of the step after which it has its last token. ORIGIN:
cached tokens less the number of the step. BEFORE, AFTER: neighbours in the ring of those that end with the same step.
EMPTY: stack of empty seats. FRESH: seats whose prompt is finished in this step. ENDED, LENGTH: requests that still hold
their blocks, and their cached tokens. SINCE: when the prompt was finished (`sglang.py`)."""
SEAT_ROWS = 12

# Rows of the array of follow-ups; without any, it has no columns, and all arrivals are queued from the beginning.
CHILD, SIBLING, THINK, PARENT = range(4)
"""First request that the end of this one starts; next one with the same parent; ticks between; -1: nobody."""


class State(NamedTuple):
    """All that a replica's steps read and write."""

    law: Tables
    jobs: np.ndarray
    """int64[rows, requests]."""
    seats: np.ndarray
    """int64[rows, requests of a batch]."""
    calendar: np.ndarray
    """int64[power of two]."""
    links: np.ndarray
    """int64[4, requests or 0]."""
    heap: np.ndarray
    """int64[requests or 0]: those that will arrive, the next one first."""
    gaps: np.ndarray
    """int64[2, rows]: of successive steps, ticks of the first, and by how much each is longer than the one before."""
    counts: np.ndarray
    """int32[2, rows]: how many steps, and requests that got a token in each."""
    samples: np.ndarray
    """int64[rows, 4]: the series: time, batch, preempted requests that wait, blocks in use."""
    cache: Cache
    g: np.ndarray
    """int64[SHARED]."""
    b: np.ndarray
    """int64[FILLED + block size]."""


def unlink(seats: np.ndarray, b: np.ndarray, seat: int) -> None:
    """Take a seat out of the running list and give it back."""
    older, newer = seats[OLDER, seat], seats[NEWER, seat]
    if older >= 0:
        seats[NEWER, older] = newer
    else:
        b[OLDEST] = newer
    if newer >= 0:
        seats[OLDER, newer] = older
    else:
        b[NEWEST] = older
    seats[EMPTY, b[OPEN]] = seat
    b[OPEN] += 1


def sit(seats: np.ndarray, b: np.ndarray, job: int) -> int:
    """Give a request a seat at the end of the running list."""
    b[OPEN] -= 1
    seat = seats[EMPTY, b[OPEN]]
    seats[JOB, seat] = job
    last = b[NEWEST]
    seats[OLDER, seat] = last
    seats[NEWER, seat] = -1
    if last >= 0:
        seats[NEWER, last] = seat
    else:
        b[OLDEST] = seat
    b[NEWEST] = seat
    return seat


def begin_decode(seats: np.ndarray, calendar: np.ndarray, b: np.ndarray, seat: int, cached: int, left: int) -> None:
    """A request with `cached` tokens decodes from the next step on, `left` tokens."""
    end = b[STEP] + left
    seats[END, seat] = end
    seats[ORIGIN, seat] = cached - b[STEP]
    place = end & (len(calendar) - 1)
    head = calendar[place]
    if head < 0:
        calendar[place] = head = seat
    last = seats[BEFORE, head] if head != seat else seat
    seats[BEFORE, seat], seats[AFTER, seat] = last, head
    seats[AFTER, last] = seats[BEFORE, head] = seat
    b[FILLED + (b[STEP] - cached) % b[BLOCK]] += 1
    b[DECODES] += 1
    b[CONTEXTS] += cached
    if b[DECODES] == 1 or end < b[NEXT_END]:
        b[NEXT_END] = end


def end_decode(seats: np.ndarray, calendar: np.ndarray, b: np.ndarray, seat: int) -> int:
    """Take a decoding request out of the batch; its cached tokens."""
    cached = seats[ORIGIN, seat] + b[STEP]
    before, after = seats[BEFORE, seat], seats[AFTER, seat]
    seats[AFTER, before], seats[BEFORE, after] = after, before
    place = seats[END, seat] & (len(calendar) - 1)
    if after == seat:
        calendar[place] = -1
    elif calendar[place] == seat:
        calendar[place] = after
    b[FILLED + (b[STEP] - cached) % b[BLOCK]] -= 1
    b[DECODES] -= 1
    b[CONTEXTS] -= cached
    unlink(seats, b, seat)
    return cached


def preempt_last(s: State) -> None:
    """Throw out the request admitted last: its blocks are free, and it goes to the front of the queue."""
    jobs, seats, calendar, cache, b = s.jobs, s.seats, s.calendar, s.cache, s.b
    seat = b[NEWEST]
    job = seats[JOB, seat]
    ask_again(cache, job)
    if seat == b[PARTIAL]:
        give(cache, b, job, b[DONE])
        b[PARTIAL] = -1
        unlink(seats, b, seat)
    else:
        jobs[GIVEN, job] = jobs[OUTPUT, job] - (seats[END, seat] - b[STEP])
        jobs[FINISH, job] = b[NOW]
        give(cache, b, job, end_decode(seats, calendar, b, seat))
    jobs[PREEMPTIONS, job] += 1
    jobs[BEHIND, job] = b[HEAD]
    if b[HEAD] < 0:
        b[TAIL] = job
    b[HEAD] = job
    b[QUEUED] += 1
    ask(jobs, b, job, 1)


def follow(s: State, job: int) -> None:
    """Let those arrive that wait for the end of a request; `following.py` knows them."""


def arrive(jobs: np.ndarray, heap: np.ndarray, g: np.ndarray, b: np.ndarray) -> None:
    """Queue those who have arrived when the next plan is made, and were not queued from the beginning."""


def next_coming(s: State) -> int:
    """When the first of those arrives; FAR: nobody does."""
    return FAR


def queue(jobs: np.ndarray, b: np.ndarray, job: int) -> None:
    """Put a request at the end of the queue."""
    jobs[BEHIND, job] = -1
    if b[HEAD] < 0:
        b[HEAD] = job
    else:
        jobs[BEHIND, b[TAIL]] = job
    b[TAIL] = job
    ask(jobs, b, job, 1)


def ask(jobs: np.ndarray, b: np.ndarray, job: int, sign: int) -> None:
    """Count a request that comes to the queue of a replica behind a router, or leaves it."""
    if b[ROUTED]:
        b[ASKED] += sign * ((jobs[PROMPT, job] + b[BLOCK] - 1) // b[BLOCK])


def hand_over(s: State, seat: int, cached: int) -> None:
    """Send a request's cache to who decodes it, as `sending.py` does."""


def free_sent(seats: np.ndarray, cache: Cache, b: np.ndarray, when: int) -> None:
    """Free seats and blocks of requests whose cache has left by then."""


def join(s: State) -> None:
    """Take into the batch those at the head of the queue who came with their cache."""


def see_fetched(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """What `tiers.py` fetches is seen by the next plan."""


def first_waiting(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> int:
    """The first request in the queue, if the next plan sees it; -1: none."""
    head = b[HEAD]
    return head if head >= 0 and jobs[ARRIVAL, head] <= b[CUT] else -1


def wanted(law: Tables, jobs: np.ndarray, cache: Cache, b: np.ndarray, most: int, nobody: bool) -> int:
    """The request that is admitted next if there is room; -1: none."""
    return first_waiting(jobs, cache, b)


def dequeue(jobs: np.ndarray, cache: Cache, b: np.ndarray, job: int) -> None:
    """Take an admitted request out of the queue, whose first it is."""
    ask(jobs, b, job, -1)
    b[HEAD] = jobs[BEHIND, job]
    if b[HEAD] < 0:
        b[TAIL] = -1


def next_plan(s: State, freed: bool) -> int:
    """When to plan again after a plan without anybody: at once if it freed blocks, or when what is sent has left."""
    jobs, seats, cache, b = s.jobs, s.seats, s.cache, s.b
    if first_waiting(jobs, cache, b) >= 0:
        return b[NOW] if freed or b[SENDING] < 0 else max(b[NOW], seats[SINCE, b[SENDING]])
    return next_arrival(s)


def plans_at(cache: Cache, b: np.ndarray) -> int:
    """When a replica plans next, unless somebody comes before; `tiers.py` knows when a fetch is done."""
    return b[NOW]


def steady(b: np.ndarray) -> bool:
    """Whether what a replica holds can only grow until a request ends: all decode, and there are blocks until then."""
    if b[HEAD] >= 0 or b[PARTIAL] >= 0 or b[PENDING] > 0 or b[SENDS]:
        return False
    most = max(b[NEXT_END] - b[STEP], 1)
    return b[DECODES] == 0 or b[DECODES] * ((most + b[BLOCK] - 1) // b[BLOCK]) <= b[FREE]


def take_along(cache: Cache, b: np.ndarray, steps: int, first: int, rise: int) -> None:
    """Allocate what some decode steps take, which take first, first + rise, ... ticks."""
    take(cache, b, blocks_taken(b, steps))


def next_arrival(s: State) -> int:
    """When somebody arrives whom the next plan does not see; FAR: never."""
    head = s.b[HEAD]
    if head >= 0 and s.jobs[ARRIVAL, head] > s.b[CUT]:
        return s.jobs[ARRIVAL, head]
    return next_coming(s)


def retire(s: State) -> None:
    """End the requests whose last token came with the step just made, in the order of their admission."""
    jobs, seats, calendar, cache, b = s.jobs, s.seats, s.calendar, s.cache, s.b
    place = b[STEP] & (len(calendar) - 1)
    while calendar[place] >= 0:
        seat = int(calendar[place])
        job = int(seats[JOB, seat])
        jobs[FINISH, job] = b[NOW]
        follow(s, job)
        release(seats, cache, b, job, end_decode(seats, calendar, b, seat))
    if b[DECODES]:
        end = b[NEXT_END]
        while calendar[end & (len(calendar) - 1)] < 0 or end <= b[STEP]:
            end += 1
        b[NEXT_END] = end


def release(seats: np.ndarray, cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Free what an ended request held: at once, or after the next plan."""
    if b[LAST] < b[NOW]:
        b[EARLIER], b[LAST] = b[ENDS], b[NOW]
    b[ENDS] += 1
    if b[ASYNC]:
        seats[ENDED, b[PENDING]], seats[LENGTH, b[PENDING]] = job, tokens
        b[PENDING] += 1
    else:
        give(cache, b, job, tokens)


def settle(seats: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Free what ended requests held, after the plan that could not know of their end."""
    for i in range(b[PENDING]):
        give(cache, b, seats[ENDED, i], seats[LENGTH, i])
    b[PENDING] = 0


def room(cache: Cache, b: np.ndarray, job: int, total: int, most: int) -> tuple[int, int]:
    """Blocks found in the cache for a waiting request of `total` tokens, and free blocks that it needs to be admitted.

    Up to `most` tokens can be computed at once.
    """
    hit = found(cache, b, job, total)
    if not b[RESERVE]:
        total = min(total, hit * b[BLOCK] + most)
    return hit, (total + b[BLOCK] - 1) // b[BLOCK] - hit + queued(cache, job, hit)


def blocks_allow(b: np.ndarray, most: int) -> int:
    """Decode steps, up to `most`, that the free blocks allow."""
    n, block, free = b[DECODES], b[BLOCK], b[FREE]
    if free >= n * most:
        return most
    cycles = free // n
    k, left = cycles * block, free - cycles * n
    phase = b[STEP] % block
    while k < most:
        left -= b[FILLED + phase]
        if left < 0:
            return k
        k += 1
        phase = phase + 1 if phase + 1 < block else 0
    return most


def blocks_taken(b: np.ndarray, steps: int) -> int:
    """Blocks that so many decode steps take."""
    block, taken = b[BLOCK], 0
    phase = b[STEP] % block
    if steps >= block:
        taken = steps // block * b[DECODES]
        steps %= block
    for _ in range(steps):
        taken += b[FILLED + phase]
        phase = phase + 1 if phase + 1 < block else 0
    return taken


def quiet_steps(jobs: np.ndarray, seats: np.ndarray, cache: Cache, b: np.ndarray) -> int:
    """Steps, if time were no matter, in which nothing but decoding happens; the last may end requests."""
    n = b[DECODES]
    if n == 0 or b[PARTIAL] >= 0:
        return 0
    head = first_waiting(jobs, cache, b)
    seen = head >= 0
    if b[PENDING] > 0:
        needed = b[FILLED + b[STEP] % b[BLOCK]]
        if seen or needed > b[FREE]:
            return 0
        b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE] + needed)
        settle(seats, cache, b)
    elif seen and not b[STATIC] and n < b[SEATS] and n < b[TOKENS]:
        _, needed = room(cache, b, head, jobs[PROMPT, head] + jobs[GIVEN, head], b[TOKENS] - n)
        if needed <= b[FREE] - b[FILLED + b[STEP] % b[BLOCK]]:
            return 0
    return blocks_allow(b, b[NEXT_END] - b[STEP])


def decode(s: State, pieces: np.ndarray, most: int, arrival: int, until: int) -> None:
    """Make up to `most` steps that only decode, until a request arrives or the time is reached."""
    gaps, counts, cache, g, b = s.gaps, s.counts, s.cache, s.g, s.b
    n, last = b[DECODES], False
    while most > 0 and b[NOW] < until and not last and g[GAPS] < gaps.shape[1]:
        j = decode_piece(pieces, n, b[CONTEXTS])
        first = pieces[n, j, BASE] + pieces[n, j, SLOPE] * b[CONTEXTS]
        rise = pieces[n, j, SLOPE] * n
        k = most
        if pieces[n, j, BOUND] < FAR:
            k = min(k, (pieces[n, j, BOUND] - b[CONTEXTS] + n - 1) // n)
        if b[NOW] >= arrival:
            if not b[ASYNC]:
                break
            k, last = 1, True
        else:
            target = min(arrival, until) - b[NOW]
            if k * first + rise * (k * (k - 1) // 2) >= target:
                k = min(k, steps_until(target, first, rise))
        take_along(cache, b, k, first, rise)
        ticks = k * first + rise * (k * (k - 1) // 2)
        b[CUT] = b[NOW] + ticks
        if b[ASYNC]:
            b[CUT] -= first + rise * (k - 1)
        b[NOW] += ticks
        b[STEP] += k
        b[STEPS] += k
        b[CONTEXTS] += k * n
        b[BUSY + pieces[n, j, BINDS]] += ticks
        keep_gap(gaps, counts, g, first, rise, k, n)
        most -= k
    b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE])


def keep_gap(
    gaps: np.ndarray, counts: np.ndarray, g: np.ndarray, first: int, rise: int, steps: int, weight: int
) -> None:
    """Keep a row of gaps."""
    row = g[GAPS]
    gaps[0, row] = first
    gaps[1, row] = rise
    counts[0, row] = steps
    counts[1, row] = weight
    g[GAPS] = row + 1


def make_room(s: State) -> bool:
    """Give decoding requests the blocks that they need in this step; whether anybody was preempted for it.

    Those admitted first have theirs before anybody is thrown out.
    """
    cache, b = s.cache, s.b
    thrown, taken = False, 0
    while b[FILLED + b[STEP] % b[BLOCK]] - taken > b[FREE]:
        taken += b[FREE]
        take(cache, b, int(b[FREE]))
        preempt_last(s)
        thrown = True
    take(cache, b, int(b[FILLED + b[STEP] % b[BLOCK]] - taken))
    return thrown


def give_tokens(s: State, finished: int) -> None:
    """The tokens of the prompts that this step has finished: their requests begin to decode, or end."""
    jobs, seats, calendar, gaps, counts, cache, g, b = s.jobs, s.seats, s.calendar, s.gaps, s.counts, s.cache, s.g, s.b
    for i in range(finished):
        seat = seats[FRESH, i]
        job = seats[JOB, seat]
        cached = jobs[PROMPT, job] + jobs[GIVEN, job]
        if b[SENDS] and jobs[GIVEN, job] + 1 < jobs[OUTPUT, job]:
            jobs[GIVEN, job] += 1
            hand_over(s, seat, cached)
            continue
        if jobs[GIVEN, job]:
            keep_gap(gaps, counts, g, b[NOW] - jobs[FINISH, job], 0, 1, 1)
        else:
            jobs[FIRST, job] = b[NOW]
        jobs[GIVEN, job] += 1
        if jobs[GIVEN, job] == jobs[OUTPUT, job]:
            jobs[FINISH, job] = b[NOW]
            follow(s, job)
            unlink(seats, b, seat)
            release(seats, cache, b, job, cached)
        else:
            begin_decode(seats, calendar, b, seat, cached, jobs[OUTPUT, job] - jobs[GIVEN, job])
            seats[SINCE, seat] = b[NOW]


def look(samples: np.ndarray, b: np.ndarray) -> None:
    """One row of the series."""
    row = b[SAMPLES]
    samples[row, 0] = b[NOW]
    samples[row, 1] = b[DECODES] + (1 if b[PARTIAL] >= 0 else 0)
    samples[row, 2] = b[QUEUED]
    samples[row, 3] = b[BLOCKS] - b[FREE]
    b[SAMPLES] = row + 1


def step(s: State) -> bool:
    """Plan and make one step of any kind; False if there was nothing to do."""
    law, jobs, seats, gaps, counts, cache, g, b = s.law, s.jobs, s.seats, s.gaps, s.counts, s.cache, s.g, s.b
    tokens, pieces, chunk = law.tokens, law.pieces, law.chunk
    block = b[BLOCK]
    thrown = make_room(s)
    n, contexts = b[DECODES], b[CONTEXTS]
    budget, new, chunks, cost, longest, finished = b[TOKENS] - n, 0, 0, 0.0, 0, 0
    seat = b[PARTIAL]
    if seat >= 0 and budget > 0:
        job = seats[JOB, seat]
        count = min(jobs[PROMPT, job] + jobs[GIVEN, job] - b[DONE], budget)
        needed = (b[DONE] + count + block - 1) // block - (b[DONE] + block - 1) // block
        if needed > b[FREE]:
            preempt_last(s)
            thrown = True
        else:
            take(cache, b, needed)
            cost += chunk_ticks(chunk, count, b[DONE])
            remember(cache, b, job, b[DONE] // block, (b[DONE] + count) // block)
            b[DONE] += count
            new, chunks, budget, longest = count, 1, budget - count, b[DONE]
            if b[DONE] == jobs[PROMPT, job] + jobs[GIVEN, job]:
                seats[FRESH, 0] = seat
                finished, b[PARTIAL] = 1, -1
    closed = thrown or (b[STATIC] and n + chunks > 0)
    while not closed and budget > 0 and n + chunks + b[PENDING] + b[HOLDING] < b[SEATS]:
        job = wanted(law, jobs, cache, b, budget, n + chunks + b[PENDING] == 0)
        if job < 0 or (b[TAKES] and jobs[LOADED, job]):
            break
        total = jobs[PROMPT, job] + jobs[GIVEN, job]
        hit, needed = room(cache, b, job, total, budget)
        if needed > b[FREE]:
            break
        past = hit * block
        count = min(total - past, budget)
        occupy(cache, b, job, hit)
        take(cache, b, (past + count + block - 1) // block - hit)
        remember(cache, b, job, hit, (past + count) // block)
        dequeue(jobs, cache, b, job)
        if jobs[START, job] < 0:
            jobs[START, job] = b[NOW]
            if hit:
                cache.hits[job] = past
        if jobs[PREEMPTIONS, job]:
            b[QUEUED] -= 1
        seat = sit(seats, b, job)
        cost += chunk_ticks(chunk, count, past)
        new, chunks, budget, longest = new + count, chunks + 1, budget - count, max(longest, past + count)
        if past + count == total:
            seats[FRESH, finished] = seat
            finished += 1
        else:
            b[PARTIAL], b[DONE] = seat, past + count
    b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE])
    settle(seats, cache, b)
    if n + new == 0:
        return False
    if chunks:
        ticks = mixed_ticks(law, n, contexts, n, n + new, chunks, cost, longest)
        b[BUSY + tokens[1, n + new]] += ticks
    else:
        j = decode_piece(pieces, n, contexts)
        ticks = pieces[n, j, BASE] + pieces[n, j, SLOPE] * contexts
        b[BUSY + pieces[n, j, BINDS]] += ticks
    b[CUT] = b[NOW] if b[ASYNC] else b[NOW] + ticks
    b[NOW] += ticks
    b[STEP] += 1
    b[STEPS] += 1
    b[CONTEXTS] += n
    if n:
        keep_gap(gaps, counts, g, ticks, 0, 1, n)
        if b[NEXT_END] == b[STEP]:
            retire(s)
    give_tokens(s, finished)
    return True


def advance(s: State, until: int, skip: bool) -> int:
    """Make all steps that are planned before `until`: why it came back.

    Without `skip` each step is made for itself, which takes longer and changes nothing.
    """
    jobs, seats, cache, g, b = s.jobs, s.seats, s.cache, s.g, s.b
    while True:
        if b[NOW] >= until:
            return PAUSED
        if g[GAPS] + 2 * b[SEATS] + 8 > s.gaps.shape[1] or b[SAMPLES] + 1 > len(s.samples):
            return FULL
        if b[SAMPLE]:
            look(s.samples, b)
        arrive(jobs, s.heap, g, b)
        if b[SENDS]:
            free_sent(seats, cache, b, b[NOW])
        if b[TAKES]:
            join(s)
        see_fetched(jobs, cache, b)
        free, ended = b[FREE], b[PENDING]
        steps = quiet_steps(jobs, seats, cache, b)
        if steps > 0:
            when = next_arrival(s)
            decode(s, s.law.pieces, steps if skip else 1, when, until)
            if b[NEXT_END] == b[STEP]:
                retire(s)
        elif not step(s):
            when = next_plan(s, ended > 0 or b[FREE] > free)
            if when == FAR and b[HEAD] < 0:
                return IDLE
            if when >= until:
                if b[HEAD] >= 0 and jobs[ARRIVAL, b[HEAD]] <= b[CUT]:
                    b[NOW] = b[CUT] = until  # it has waited so long for what is being sent
                return PAUSED
            b[NOW] = max(b[NOW], when)
            b[CUT] = b[NOW]
