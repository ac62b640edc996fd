"""One replica that batches as SGLang does: prompts before answers, each in batches of their own.

A plan first tries to make a batch of prompts; if there is one it runs alone and decoding pauses. A prompt that was
begun goes on first; then requests are taken in order of arrival while seats and these last:

    chunk  = chunked_prefill_size      input = max_prefill_tokens      each less the pages of the prompts taken
    memory = free + evictable - ratio * sum over running of min(max_new - given, 4096)
             - sum over taken of (prompt + page + min(max_new, 4096))
    taken if prompt + min(max_new - given, 4096) + page < memory

What does not fit into `chunk` is cut there; its rest comes in the next batch. Once memory or seats have stopped a
batch, none is tried before a request has left (`batch_is_full`). `ratio` begins at 0.7, falls by a 600th of the way to
0.098 with each decode step, and is set anew when the replica is idle. If a decode step finds no pages, requests are
retracted, fewest output tokens first, then longest prompt, then latest, at least one, until `retract_decode_steps`
steps fit for the rest; they go to the end of the queue, and ratio becomes (given + steps * n) / (max_new + 1), sums
over the rest.

With `ASYNC` (overlap) the result of a step is known one plan late: who has ended is decoded once more, in vain, and
counts in one more plan. An ended request counts as running until the next decode step is planned.

Between events the batch only decodes, which `engine.decode` does in closed form; ratio is an integer (2^-30), so that
k steps less is exact. Plain Python that `compiled.py` compiles; shares arrays and helpers with `engine.py`; long for
the same reason.

Chosen where sources differ or tell nothing: 20 steps fit after a retraction (newest SGLang asks for one only); the
token that a retracted request gets from the step under way counts (SGLang computes it again); a decode step that lacks
pages waits for the results of the step before. The radix tree is the pool of pages with its ids, and a retracted
request may find all its full pages again. Knows only first come, first served; no mixed chunks or priorities.
Sources: sgl-project/sglang managers/schedule_policy.py, scheduler.py, schedule_batch.py, new_token_ratio_tracker.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    ASYNC,
    BEHIND,
    BLOCKS,
    BUSY,
    CONTEXTS,
    CUT,
    DECAY,
    DECODED,
    DECODES,
    DONE,
    END,
    ENDS,
    FILLED,
    FINISH,
    FIRST_RATIO,
    FRESH,
    FULL,
    GAPS,
    GIVEN,
    HEAD,
    IDLE,
    JOB,
    LEAST_RATIO,
    LENGTH,
    LISTED,
    NEWER,
    NEWEST,
    NEXT_END,
    NOW,
    OLDER,
    OLDEST,
    OUTPUT,
    PARTIAL,
    PAUSED,
    PEAK,
    PENDING,
    PREEMPTIONS,
    PREFILL,
    PROMPT,
    QUEUED,
    RATIO,
    RETRACT,
    SAMPLE,
    SAMPLES,
    SEATS,
    SEEN,
    SHUT,
    SINCE,
    START,
    STEP,
    STEPS,
    TAIL,
    TOKENS,
    arrive,
    ask,
    blocks_allow,
    blocks_taken,
    chunk_ticks,
    decode,
    decode_piece,
    dequeue,
    end_decode,
    give_tokens,
    keep_gap,
    look,
    mixed_ticks,
    next_arrival,
    retire,
    settle,
    sit,
)
from ridgeline.simulate.law import BASE, BINDS, FAR, SLOPE, Tables
from ridgeline.simulate.pool import BLOCK, FREE, Cache, found, give, queued, remember, share, take

ONE = 1 << 30
"""A ratio of 1."""
CLIP = 4096
"""Output tokens of a request that memory is kept for at most (CLIP_MAX_NEW_TOKENS)."""
MUCH = 1 << 31
"""Free tokens that are counted at most, so that products with a ratio fit into 64 bits."""


def see(jobs: np.ndarray, b: np.ndarray) -> None:
    """Note who is the last of the queue that the next plan sees."""
    seen = b[SEEN]
    behind = b[HEAD] if seen < 0 else jobs[BEHIND, seen]
    while behind >= 0 and jobs[ARRIVAL, behind] <= b[CUT]:
        seen = behind
        behind = jobs[BEHIND, seen]
    b[SEEN] = seen


def known(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray, seat: int) -> int:
    """Output tokens of a decoding request that the plan knows of."""
    given = jobs[OUTPUT, seats[JOB, seat]] - (seats[END, seat] - b[STEP])
    if b[ASYNC] and (b[DECODED] == b[NOW] or seats[SINCE, seat] == b[NOW]):
        given -= 1
    return given


def retract(jobs: np.ndarray, seats: np.ndarray, calendar: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Send one decoding request to the end of the queue."""
    victim, least, longest = -1, 0, 0
    seat = b[OLDEST]
    while seat >= 0:
        given, prompt = known(jobs, seats, b, seat), jobs[PROMPT, seats[JOB, seat]]
        if victim < 0 or given < least or (given == least and prompt >= longest):
            victim, least, longest = seat, given, prompt
        seat = seats[NEWER, seat]
    job = seats[JOB, victim]
    jobs[GIVEN, job] = jobs[OUTPUT, job] - (seats[END, victim] - b[STEP])
    jobs[FINISH, job] = b[NOW]
    give(cache, b, job, end_decode(seats, calendar, b, victim))
    jobs[PREEMPTIONS, job] += 1
    last = b[SEEN]
    if last < 0:
        jobs[BEHIND, job] = b[HEAD]
        b[HEAD] = job
    else:
        jobs[BEHIND, job] = jobs[BEHIND, last]
        jobs[BEHIND, last] = job
    if jobs[BEHIND, job] < 0:
        b[TAIL] = job
    b[SEEN] = job
    b[QUEUED] += 1
    ask(jobs, b, job, 1)


def make_decode_room(jobs: np.ndarray, seats: np.ndarray, calendar: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Pages for one decode step of all, after retracting whom it takes; the ratio after it."""
    ghosts = 0
    for i in range(b[PENDING]):
        if seats[LENGTH, i] % b[BLOCK] == 0:
            ghosts += 1
    if b[PENDING] > 0 and b[FILLED + b[STEP] % b[BLOCK]] + ghosts > b[FREE]:
        settle(seats, cache, b)
        b[SHUT], ghosts = 0, 0
    b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE] + ghosts + min(b[FILLED + b[STEP] % b[BLOCK]], b[FREE] - ghosts))
    if b[FILLED + b[STEP] % b[BLOCK]] <= b[FREE]:
        b[RATIO] = max(b[RATIO] - b[DECAY], b[LEAST_RATIO])
    else:
        thrown = False
        while b[DECODES] > 1 and (not thrown or blocks_taken(b, b[RETRACT]) > b[FREE]):
            retract(jobs, seats, calendar, cache, b)
            thrown = True
        given, most = b[RETRACT] * b[DECODES], 1
        seat = b[OLDEST]
        while seat >= 0:
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
    take(cache, b, int(b[FILLED + b[STEP] % b[BLOCK]]))


def keep_gaps(seats: np.ndarray, gaps: np.ndarray, counts: np.ndarray, g: np.ndarray, b: np.ndarray) -> None:
    """Keep the gaps of a decode step just made, before which prompts may have run: since each one's last token."""
    others, same, since = b[DECODES], 0, -1
    seat = b[NEWEST]
    while seat >= 0 and seats[SINCE, seat] > b[DECODED]:
        if seats[SINCE, seat] != since and same:
            keep_gap(gaps, counts, g, b[NOW] - since, 0, 1, same)
            same = 0
        since = seats[SINCE, seat]
        others, same = others - 1, same + 1
        seat = seats[OLDER, seat]
    if same:
        keep_gap(gaps, counts, g, b[NOW] - since, 0, 1, same)
    if others:
        keep_gap(gaps, counts, g, b[NOW] - b[DECODED], 0, 1, others)


def quiet_decodes(jobs: np.ndarray, b: np.ndarray) -> int:
    """Steps, if time were no matter, in which nothing but decoding happens; the last may end requests."""
    if b[DECODES] == 0 or b[PARTIAL] >= 0 or b[PENDING] > 0 or b[LISTED] > 0 or b[DECODED] != b[NOW]:
        return 0
    if b[SEEN] >= 0 and not b[SHUT]:
        return 0
    return blocks_allow(b, b[NEXT_END] - b[STEP])


def charge(tokens: int, page: int) -> int:
    """Tokens of whole pages."""
    return (tokens + page - 1) // page * page


def step(
    law: Tables,
    jobs: np.ndarray,
    seats: np.ndarray,
    calendar: np.ndarray,
    links: np.ndarray,
    heap: np.ndarray,
    gaps: np.ndarray,
    counts: np.ndarray,
    cache: Cache,
    g: np.ndarray,
    b: np.ndarray,
) -> bool:
    """Plan and make one step of either kind; False if there was nothing to do."""
    tokens, _, pieces, chunk, _ = law
    page = b[BLOCK]
    new, chunks, cost, longest, finished = 0, 0, 0.0, 0, 0
    seat, running = b[PARTIAL], b[DECODES] + b[PENDING] + b[LISTED]
    if running == 0:
        b[SHUT] = 0
    if seat >= 0 or (b[SEEN] >= 0 and not b[SHUT]):
        kept = b[PENDING]  # who has ended unknown to the plan is one token short
        other = b[OLDEST]
        while other >= 0:
            if other != seat:
                kept += min(jobs[OUTPUT, seats[JOB, other]] - known(jobs, seats, b, other), CLIP)
            other = seats[NEWER, other]
        memory = min(b[FREE] * page, MUCH)
        total = memory * ONE - kept * b[RATIO]  # for what is there and what is to come
        rest, room = b[PREFILL], b[TOKENS]
        if seat >= 0:
            job = seats[JOB, seat]
            left = jobs[PROMPT, job] + jobs[GIVEN, job] - b[DONE]
            most = min(room, max(total, 0) // ONE)
            count = min(left, most if most > 0 else room)
            take(cache, b, (b[DONE] + count + page - 1) // page - (b[DONE] + page - 1) // page)
            cost += chunk_ticks(chunk, count, b[DONE])
            remember(cache, b, job, b[DONE] // page, (b[DONE] + count) // page)
            b[DONE] += count
            new, chunks, longest = count, 1, b[DONE]
            used = charge(count, page)
            room, rest, memory = room - used, rest - used, memory - used - page
            total -= (used + page) * ONE
            if count == left:
                total -= min(jobs[OUTPUT, job], CLIP) * ONE
                seats[FRESH, 0] = seat
                finished, b[PARTIAL] = 1, -1
        while b[SEEN] >= 0 and not b[SHUT]:
            if chunks >= b[SEATS] - running:
                b[SHUT] = 1
                break
            job = b[HEAD]
            length = jobs[PROMPT, job] + jobs[GIVEN, job]
            hit = found(cache, b, job, length)
            idle = queued(cache, job, hit)
            past = hit * page
            asked = length - past + min(jobs[OUTPUT, job] - jobs[GIVEN, job], CLIP) + page
            if asked * ONE >= total - idle * page * ONE:
                b[SHUT] = 1
                break
            count = length - past
            if charge(count, page) > room:
                count = room // page * page
                if count <= 0:
                    break
            share(cache, b, job, hit)
            take(cache, b, (past + count + page - 1) // page - hit)
            remember(cache, b, job, hit, (past + count) // page)
            if b[SEEN] == job:
                b[SEEN] = -1
            dequeue(jobs, cache, b, job)
            if jobs[START, job] < 0:
                jobs[START, job] = b[NOW]
                if hit:
                    cache.hits[job] = past
            if jobs[PREEMPTIONS, job]:
                b[QUEUED] -= 1
            taken = sit(seats, b, job)
            cost += chunk_ticks(chunk, count, past)
            new, chunks, longest = new + count, chunks + 1, max(longest, past + count)
            used = charge(count, page)
            room, rest, memory = room - used, rest - used, memory - idle * page - used - page
            total -= (idle * page + used + page) * ONE
            if past + count == length:
                total -= min(jobs[OUTPUT, job], CLIP) * ONE
                seats[FRESH, finished] = taken
                finished += 1
            else:
                b[PARTIAL], b[DONE] = taken, past + count
            if total <= 0 or memory <= 0:
                b[SHUT] = 1
            elif rest <= 0 or room <= 0:
                break
        b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE])
    ended = b[ENDS]
    if chunks:
        b[LISTED] += b[PENDING]
        settle(seats, cache, b)
        ticks = mixed_ticks(law, 0, 0, 0, new, chunks, cost, longest)
        b[BUSY + tokens[1, new]] += ticks
        b[CUT] = b[NOW] if b[ASYNC] else b[NOW] + ticks
        b[NOW] += ticks
        b[STEPS] += 1
        if running == 0 or b[PARTIAL] >= 0:
            b[SHUT] = 0
        give_tokens(jobs, seats, calendar, links, heap, gaps, counts, cache, g, b, finished)
        if not b[ASYNC] and b[ENDS] > ended:
            b[SHUT] = 0
        return True
    if b[LISTED] > 0:
        b[LISTED] = b[SHUT] = 0
    if b[DECODES] + b[PENDING] == 0:
        return False
    make_decode_room(jobs, seats, calendar, cache, b)
    n, contexts, ghosts = b[DECODES], b[CONTEXTS], b[PENDING]
    for i in range(ghosts):
        contexts += seats[LENGTH, i]
    b[LISTED] = ghosts
    settle(seats, cache, b)
    if n + ghosts == 0:
        return False
    j = decode_piece(pieces, n + ghosts, contexts)
    ticks = pieces[n + ghosts, j, BASE] + pieces[n + ghosts, j, SLOPE] * contexts
    if n:  # a step for those alone who have ended is idle time
        b[BUSY + pieces[n + ghosts, j, BINDS]] += ticks
    b[CUT] = b[NOW] if b[ASYNC] else b[NOW] + ticks
    b[NOW] += ticks
    b[STEP] += 1
    b[STEPS] += 1
    b[CONTEXTS] += n
    if n:
        keep_gaps(seats, gaps, counts, g, b)
    b[DECODED] = b[NOW]
    if n and b[NEXT_END] == b[STEP]:
        retire(jobs, seats, calendar, links, heap, cache, g, b)
    if not b[ASYNC]:
        b[LISTED] += b[ENDS] - ended
    return True


def advance(
    law: Tables,
    jobs: np.ndarray,
    seats: np.ndarray,
    calendar: np.ndarray,
    links: np.ndarray,
    heap: np.ndarray,
    gaps: np.ndarray,
    counts: np.ndarray,
    samples: np.ndarray,
    cache: Cache,
    g: np.ndarray,
    b: np.ndarray,
    until: int,
    skip: bool,
) -> int:
    """Make all steps that are planned before `until`: why it came back; as `engine.advance`."""
    while True:
        if b[NOW] >= until:
            return PAUSED
        if g[GAPS] + b[SEATS] + 8 > gaps.shape[1] or b[SAMPLES] + 1 > len(samples):
            return FULL
        if b[SAMPLE]:
            look(samples, b)
        arrive(jobs, heap, g, b)
        see(jobs, b)
        steps = quiet_decodes(jobs, b)
        if steps > 0:
            before, ended = b[STEP], b[ENDS]
            decode(
                law[2], gaps, counts, cache, g, b, steps if skip else 1, next_arrival(jobs, heap, cache, g, b), until
            )
            b[DECODED] = b[NOW]
            b[RATIO] = max(b[RATIO] - (b[STEP] - before) * b[DECAY], b[LEAST_RATIO])
            if b[NEXT_END] == b[STEP]:
                retire(jobs, seats, calendar, links, heap, cache, g, b)
                if not b[ASYNC]:
                    b[LISTED] += b[ENDS] - ended
        elif not step(law, jobs, seats, calendar, links, heap, gaps, counts, cache, g, b):
            if b[SEEN] >= 0:
                b[CUT] = b[NOW]
                continue
            b[RATIO] = b[FIRST_RATIO]
            when = next_arrival(jobs, heap, cache, g, b)
            if when == FAR and b[HEAD] < 0:
                return IDLE
            if when >= until:
                return PAUSED
            b[NOW] = max(b[NOW], when)
            b[CUT] = b[NOW]
