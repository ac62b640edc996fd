"""vLLM's scheduler seat by seat: with priorities, and with drafts that are accepted or not.

With priorities the queue is in the order of (priority, arrival), and who finds no KV block throws out the running
request that is last in that order, be it planned for this step already; if it is the one that asked, nobody behind it
gets a token in this step. With k drafts a decoding request computes 1 + k positions, as far as the tokens of the step
last, and keeps

    a + 1 tokens,    a = how many of k drafts in succession are accepted:    P(a >= i) = c_1 c_2 ... c_i

Its blocks reach over all positions and `lookahead` more, where the drafter writes; what was rejected stays allocated.
Draws are each request's own (a Lehmer sequence, modulus 2^31 - 1, multiplier 48271), so that no schedule changes them.

Requests of one batch go ahead differently, so that nothing can be skipped: a step looks at every seat. Otherwise as
`engine.py`, with whose arrays it works: plain Python that `compiled.py` compiles. With `ASYNC` blocks are allocated for
what was accepted, as if that were known in time. A gap is between two steps that give a request tokens, however many.
Sources: vllm-project/vllm v1/core/sched/scheduler.py, v1/core/sched/request_queue.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    AFTER,
    ARRIVAL,
    ASYNC,
    BEFORE,
    BEHIND,
    BLOCKS,
    BUSY,
    CUT,
    DECODES,
    DRAFTS,
    EARLIER,
    END,
    ENDED,
    ENDS,
    FILLED,
    FINISH,
    FIRST,
    FRESH,
    FULL,
    GAPS,
    GIVEN,
    HEAD,
    IDLE,
    JOB,
    KINDS,
    LAST,
    LENGTH,
    LOOKAHEAD,
    NEWER,
    NEWEST,
    NEXT_END,
    NOW,
    OLDER,
    OLDEST,
    OPEN,
    ORIGIN,
    OUTPUT,
    PAUSED,
    PEAK,
    PENDING,
    PREEMPTIONS,
    PROMPT,
    QUEUED,
    RESERVE,
    SAMPLE,
    SAMPLES,
    SEATS,
    SEEN,
    SINCE,
    START,
    STATIC,
    STEP,
    STEPS,
    TAIL,
    TOKENS,
    State,
    arrive,
    ask,
    follow,
    keep_gap,
    look,
    next_arrival,
    sit,
    unlink,
)
from ridgeline.simulate.pool import (
    BLOCK,
    FREE,
    Cache,
    ask_again,
    found,
    give,
    give_run,
    queued,
    remember,
    share,
    take,
)
from ridgeline.simulate.ticks import BASE, BINDS, FAR, SLOPE, Tables, chunk_ticks, decode_piece, mixed_ticks

KIND, DRAW = 9, 10
"""Rows of the array of requests that follow those of `engine`: number of its priority, from 0; state of its draws."""
JOB_ROWS = 11
COMPUTED, HELD, NEW, NAMED = ORIGIN, END, BEFORE, AFTER
"""Rows of seats, of other meaning than in `engine`: tokens in the cache, and blocks, of a request; tokens that it
computes in this step; tokens of which the full blocks are known by their ids."""
DECODING = 12
"""Row of seats that follows those of `engine`: whether the request has computed all it knew."""
SEAT_ROWS = 13
TABLES = FILLED
"""Place of the last request of each priority in the queue, -1: nobody; then of draws below which another draft is
accepted, by how many are."""
MODULUS, MULTIPLIER = 2**31 - 1, 48271


def behind(jobs: np.ndarray, b: np.ndarray, before: int) -> int:
    """Who stands behind a request; of -1, the first."""
    return int(b[HEAD] if before < 0 else jobs[BEHIND, before])


def insert(jobs: np.ndarray, b: np.ndarray, before: int, job: int) -> None:
    """Put a request behind another one of those that are seen; -1: to the front."""
    after = behind(jobs, b, before)
    jobs[BEHIND, job] = after
    if before < 0:
        b[HEAD] = job
    else:
        jobs[BEHIND, before] = job
    if after < 0:
        b[TAIL] = job
    if b[SEEN] == before:
        b[SEEN] = job


def rank(jobs: np.ndarray, b: np.ndarray, job: int) -> None:
    """Put a request into the queue of those that are seen, by priority, then arrival, then number."""
    kind = jobs[KIND, job]
    last = b[TABLES + kind]
    before, lower = int(last), kind
    if (
        last < 0
        or jobs[ARRIVAL, last] > jobs[ARRIVAL, job]
        or (jobs[ARRIVAL, last] == jobs[ARRIVAL, job] and last > job)
    ):
        before = -1
        while before < 0 and lower > 0:
            lower -= 1
            before = int(b[TABLES + lower])
        while last >= 0:
            one = behind(jobs, b, before)
            if jobs[ARRIVAL, one] > jobs[ARRIVAL, job] or (jobs[ARRIVAL, one] == jobs[ARRIVAL, job] and one > job):
                break
            before = one
    insert(jobs, b, before, job)
    if last < 0 or before == last:
        b[TABLES + kind] = job


def see(jobs: np.ndarray, b: np.ndarray) -> None:
    """Rank those who have arrived when the next plan is made; the others stand behind them."""
    while True:
        seen = b[SEEN]
        job = behind(jobs, b, seen)
        if job < 0 or jobs[ARRIVAL, job] > b[CUT]:
            return
        after = jobs[BEHIND, job]
        if seen < 0:
            b[HEAD] = after
        else:
            jobs[BEHIND, seen] = after
        if after < 0:
            b[TAIL] = seen
        rank(jobs, b, job)


def take_head(jobs: np.ndarray, b: np.ndarray) -> None:
    """Take the first request out of the queue."""
    job = b[HEAD]
    ask(jobs, b, job, -1)
    b[HEAD] = jobs[BEHIND, job]
    if b[HEAD] < 0:
        b[TAIL] = -1
    if b[KINDS]:
        if b[SEEN] == job:
            b[SEEN] = -1
        if b[TABLES + jobs[KIND, job]] == job:
            b[TABLES + jobs[KIND, job]] = -1


def last_in_rank(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray) -> int:
    """The running request to throw out."""
    worst = b[NEWEST]
    if b[KINDS]:
        seat = seats[OLDER, worst]
        while seat >= 0:
            one, other = seats[JOB, seat], seats[JOB, worst]
            if jobs[KIND, one] > jobs[KIND, other] or (
                jobs[KIND, one] == jobs[KIND, other] and jobs[ARRIVAL, one] >= jobs[ARRIVAL, other]
            ):
                worst = seat
            seat = seats[OLDER, seat]
    return worst


def steady(b: np.ndarray) -> bool:
    """Whether what a replica holds can only grow until a request ends: that is not asked here."""
    return False


def free(cache: Cache, b: np.ndarray, job: int, named: int, held: int) -> None:
    """Free a request's blocks, the last first."""
    give_run(cache, b, held - (named + b[BLOCK] - 1) // b[BLOCK])
    give(cache, b, job, named)


def throw_out(jobs: np.ndarray, seats: np.ndarray, cache: Cache, b: np.ndarray, seat: int) -> None:
    """Preempt a request: its blocks are free, and it goes back to the queue."""
    job = seats[JOB, seat]
    jobs[FINISH, job] = seats[SINCE, seat]
    ask_again(cache, job)
    free(cache, b, job, seats[NAMED, seat], seats[HELD, seat])
    unlink(seats, b, seat)
    jobs[PREEMPTIONS, job] += 1
    b[QUEUED] += 1
    ask(jobs, b, job, 1)
    if b[KINDS]:
        rank(jobs, b, job)
    else:
        insert(jobs, b, -1, job)


def settle(seats: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Free what ended requests held, after the plan that could not know of their end."""
    for i in range(b[PENDING]):
        free(cache, b, seats[ENDED, i], seats[LENGTH, i], seats[FRESH, i])
    b[PENDING] = 0


def plan_running(jobs: np.ndarray, seats: np.ndarray, cache: Cache, b: np.ndarray) -> int:
    """Tokens and blocks for those who run, in order of admission: tokens left; -1: somebody was thrown out."""
    block, budget, thrown = b[BLOCK], b[TOKENS], False
    seat = b[OLDEST]
    while seat >= 0:
        seats[NEW, seat] = 0
        seat = seats[NEWER, seat]
    seat = b[OLDEST]
    while seat >= 0 and budget > 0:
        job, computed = seats[JOB, seat], seats[COMPUTED, seat]
        known = jobs[PROMPT, job] + jobs[GIVEN, job]
        prompted = seats[DECODING, seat] == 0
        count = min(known - computed + (0 if prompted else b[DRAFTS]), budget)
        needed = (computed + count + b[LOOKAHEAD] + block - 1) // block - seats[HELD, seat]
        victim = -1
        while needed > b[FREE] and victim != seat:
            victim = last_in_rank(jobs, seats, b)
            budget += seats[NEW, victim]
            throw_out(jobs, seats, cache, b, victim)
            thrown = True
        if victim == seat:
            break
        if needed > 0:
            take(cache, b, needed)
            seats[HELD, seat] += needed
        named = min(computed + count, known)
        if prompted:
            remember(cache, b, job, computed // block, named // block)
        seats[NAMED, seat] = named
        seats[NEW, seat] = count
        budget -= count
        seat = seats[NEWER, seat]
    return -1 if thrown else budget


def admit(jobs: np.ndarray, seats: np.ndarray, cache: Cache, b: np.ndarray, budget: int) -> None:
    """Admit waiting requests while tokens, seats and blocks last."""
    block = b[BLOCK]
    while budget > 0 and b[PENDING] < b[OPEN]:
        job = b[HEAD]
        if job < 0 or jobs[ARRIVAL, job] > b[CUT]:
            break
        known = jobs[PROMPT, job] + jobs[GIVEN, job]
        hit = found(cache, b, job, known)
        past = hit * block
        count = min(known - past, budget)
        held = (past + count + b[LOOKAHEAD] + block - 1) // block
        whole = (known + block - 1) // block if b[RESERVE] else held
        if max(held, whole) - hit + queued(cache, job, hit) > b[FREE]:
            break
        share(cache, b, job, hit)
        take(cache, b, held - hit)
        remember(cache, b, job, hit, (past + count) // block)
        take_head(jobs, b)
        if jobs[START, job] < 0:
            jobs[START, job] = b[NOW]
            if hit:
                cache.hits[job] = past
        if jobs[PREEMPTIONS, job]:
            b[QUEUED] -= 1
        seat = sit(seats, b, job)
        seats[COMPUTED, seat], seats[HELD, seat], seats[NEW, seat] = past, held, count
        seats[NAMED, seat], seats[SINCE, seat], seats[DECODING, seat] = past + count, jobs[FINISH, job], 0
        budget -= count


def duration(law: Tables, jobs: np.ndarray, seats: np.ndarray, b: np.ndarray) -> int:
    """Ticks of the step that is planned; what binds is noted; 0 for a plan without anybody."""
    tokens, pieces, chunk = law.tokens, law.pieces, law.chunk
    n, contexts, checked, new, chunks, cost, longest = 0, 0, 0, 0, 0, 0.0, 0
    seat = b[OLDEST]
    while seat >= 0:
        count, computed = seats[NEW, seat], seats[COMPUTED, seat]
        if count > 0 and seats[DECODING, seat]:
            n, contexts, checked = n + 1, contexts + computed, checked + count
        elif count > 0:
            new, chunks, longest = new + count, chunks + 1, max(longest, computed + count)
            cost += chunk_ticks(chunk, count, computed)
        seat = seats[NEWER, seat]
    if n + chunks == 0:
        return 0
    usual, total = min(n * (1 + b[DRAFTS]), tokens.shape[1] - 1), checked + new
    if chunks:
        ticks = mixed_ticks(law, n, contexts, usual, total, chunks, cost, longest)
        b[BUSY + tokens[1, total]] += ticks
    else:
        j = decode_piece(pieces, n, contexts)
        ticks = pieces[n, j, BASE] + pieces[n, j, SLOPE] * contexts + tokens[0, total] - tokens[0, usual]
        b[BUSY + pieces[n, j, BINDS]] += ticks
    return ticks


def draw(jobs: np.ndarray, b: np.ndarray, job: int, most: int) -> int:
    """How many drafts of a request are accepted, at most so many."""
    jobs[DRAW, job] = jobs[DRAW, job] * MULTIPLIER % MODULUS
    accepted, place = 0, TABLES + b[KINDS]
    while accepted < b[DRAFTS] and jobs[DRAW, job] < b[place + accepted]:
        accepted += 1
    return min(accepted, most)


def give_accepted(s: State, begin: int) -> None:
    """The tokens of a step that began at a time: requests go on or end."""
    jobs, seats, gaps, counts, cache, g, b = s.jobs, s.seats, s.gaps, s.counts, s.cache, s.g, s.b
    same, most = 0, 1 + b[DRAFTS]
    b[NEXT_END] = FAR
    seat = b[OLDEST]
    while seat >= 0:
        newer, job, count = seats[NEWER, seat], seats[JOB, seat], seats[NEW, seat]
        known = jobs[PROMPT, job] + jobs[GIVEN, job]
        decodes = seats[DECODING, seat]
        accepted = draw(jobs, b, job, count - 1) if decodes and count and b[DRAFTS] else 0
        seats[COMPUTED, seat] += accepted + 1 if decodes and count else count
        if count and (decodes or seats[COMPUTED, seat] == known):
            if jobs[GIVEN, job] == 0:
                jobs[FIRST, job] = b[NOW]
            elif seats[SINCE, seat] == begin:
                same += 1
            else:
                keep_gap(gaps, counts, g, b[NOW] - seats[SINCE, seat], 0, 1, 1)
            seats[SINCE, seat], seats[DECODING, seat] = b[NOW], 1
            jobs[GIVEN, job] = min(jobs[GIVEN, job] + accepted + 1, jobs[OUTPUT, job])
        left = jobs[OUTPUT, job] - jobs[GIVEN, job]
        if left == 0:
            jobs[FINISH, job] = b[NOW]
            follow(s, job)
            if b[LAST] < b[NOW]:
                b[EARLIER], b[LAST] = b[ENDS], b[NOW]
            b[ENDS] += 1
            i = b[PENDING]
            seats[ENDED, i], seats[LENGTH, i], seats[FRESH, i] = job, seats[NAMED, seat], seats[HELD, seat]
            b[PENDING] = i + 1
            unlink(seats, b, seat)
        else:
            b[NEXT_END] = min(b[NEXT_END], b[STEP] + (left + most - 1) // most)
        seat = newer
    if same:
        keep_gap(gaps, counts, g, b[NOW] - begin, 0, 1, same)
    if not b[ASYNC]:
        settle(seats, cache, b)
    b[DECODES] = b[SEATS] - b[OPEN]


def step_seats(s: State) -> bool:
    """Plan and make one step; False if there was nothing to do."""
    law, jobs, seats, cache, b = s.law, s.jobs, s.seats, s.cache, s.b
    running = b[SEATS] - b[OPEN]
    budget = plan_running(jobs, seats, cache, b)
    if budget > 0 and not (b[STATIC] and running):
        admit(jobs, seats, cache, b, budget)
    b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE])
    settle(seats, cache, b)
    ticks = duration(law, jobs, seats, b)
    if ticks == 0:
        return False
    begin = b[NOW]
    b[CUT] = begin if b[ASYNC] else begin + ticks
    b[NOW] += ticks
    b[STEP] += 1
    b[STEPS] += 1
    give_accepted(s, begin)
    return True


def advance(s: State, until: int, skip: bool) -> int:
    """Make all steps that are planned before `until`: why it came back; as `engine.advance`."""
    jobs, heap, gaps, samples, g, b = s.jobs, s.heap, s.gaps, s.samples, s.g, s.b
    while True:
        if b[NOW] >= until:
            return PAUSED
        if g[GAPS] + b[SEATS] + 8 > gaps.shape[1] or b[SAMPLES] + 1 > len(samples):
            return FULL
        if b[SAMPLE]:
            look(samples, b)
        arrive(jobs, heap, g, b)
        if b[KINDS]:
            see(jobs, b)
        if not step_seats(s):
            when = next_arrival(s)
            if when == FAR and b[HEAD] < 0:
                return IDLE
            if b[HEAD] >= 0 and jobs[ARRIVAL, b[HEAD]] <= b[CUT]:
                when = b[NOW]
            if when >= until:
                return PAUSED
            b[NOW] = max(b[NOW], when)
            b[CUT] = b[NOW]
