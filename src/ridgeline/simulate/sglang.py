"""One replica that batches as SGLang does: prompts before answers, each in batches of their own.

A plan first tries to make a batch of prompts; if there is one it runs alone and decoding pauses. A prompt that was
begun goes on first; then requests are taken in order of arrival while seats and these last:

    chunk  = chunked_prefill_size      input = max_prefill_tokens      each less the pages of the prompts taken
    memory = free + evictable - ratio * sum over running of min(max_new - given, 4096)
             - sum over taken of (prompt + page + min(max_new, 4096))
    taken if prompt + min(max_new - given, 4096) + page < memory

What does not fit into `chunk` is cut there; its rest comes in the next batch. Once memory or seats have stopped a
batch, none is tried before a request has left (`batch_is_full`). `ratio` begins at 0.7, falls by a 600th of the way to
0.098 with each decode step, and is set anew when the replica is idle, and when requests are retracted because a decode
step finds no pages (`retraction.py`).

What a request finds of its tokens in the radix tree (`radix.py`; all but the last) is locked and not charged; what it
computes is inserted at the end of each chunk but the last when the next batch is planned, and when the results of its
prompt and of its last token are known. The queue and its order are those of `waiting.py`. With `MIXES` the running
requests decode along with a batch of prompts: each takes a token of chunk, input and memory, and all of them stand
behind the batch's requests after it.

With `ASYNC` (overlap) the result of a step is known one plan late: who has ended counts in one more plan. An ended
request counts as running until the next decode step is planned.

Between events the batch only decodes, which `engine.decode` does in closed form; ratio is an integer (2^-30), so that
k steps less is exact. Plain Python that `compiled.py` compiles; shares arrays and helpers with `engine.py`; long for
the same reason.

Chosen: where SGLang would stop for lack of pages in a mixed batch, answers do not ride along, and a chunk is cut to
what is free. Without ids of tokens a retracted request finds nothing again. Knows no priorities and no tiers.
Sources: sgl-project/sglang managers/schedule_policy.py, scheduler.py, new_token_ratio_tracker.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate import engine
from ridgeline.simulate.engine import (
    ASYNC,
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
    FIRST_RATIO,
    FRESH,
    FULL,
    GAPS,
    GIVEN,
    HEAD,
    IDLE,
    JOB,
    LATE,
    LEAST_RATIO,
    LENGTH,
    LISTED,
    LPM,
    MIXES,
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
    SAMPLE,
    SAMPLES,
    SEATS,
    SEEN,
    SHUT,
    SINCE,
    START,
    STEP,
    STEPS,
    TOKENS,
    State,
    arrive,
    blocks_allow,
    decode,
    dequeue,
    give_tokens,
    keep_gap,
    look,
    next_arrival,
    retire,
    sit,
)
from ridgeline.simulate.pool import BLOCK, FREE, take
from ridgeline.simulate.radix import END as PAGES
from ridgeline.simulate.radix import evict, keep, lock, unlocked
from ridgeline.simulate.retraction import (
    COMPUTED,
    ONE,
    UNSEEN,
    charge,
    decode_pages,
    known,
    make_decode_room,
    settle,
    wanted_by_ended,
)
from ridgeline.simulate.ticks import BASE, BINDS, FAR, SLOPE, chunk_ticks, decode_piece, mixed_ticks
from ridgeline.simulate.waiting import match, rank, see

CLIP = 4096
"""Output tokens of a request that memory is kept for at most (CLIP_MAX_NEW_TOKENS)."""
MUCH = 1 << 31
"""Free tokens that are counted at most, so that products with a ratio fit into 64 bits."""

NOTHING, PROMPTS, ANSWERS = range(3)
"""What a step computed: of prompts also those along with which answers were computed."""

JOB_ROWS, SEAT_ROWS = engine.JOB_ROWS, COMPUTED + 1


def steady(b: np.ndarray) -> bool:
    """Whether what a replica holds can only grow until a request ends: that is not asked here."""
    return False


def to_end(seats: np.ndarray, b: np.ndarray, seat: int) -> None:
    """Move a seat to the end of the running list."""
    older, newer, last = seats[OLDER, seat], seats[NEWER, seat], b[NEWEST]
    if newer < 0:
        return
    seats[OLDER, newer] = older
    if older >= 0:
        seats[NEWER, older] = newer
    else:
        b[OLDEST] = newer
    seats[NEWER, last], seats[OLDER, seat], seats[NEWER, seat] = seat, last, -1
    b[NEWEST] = seat


def to_front(seats: np.ndarray, b: np.ndarray, first: int) -> None:
    """Let the end of the running list, from a seat on, be its beginning."""
    last, oldest, newest = seats[OLDER, first], b[OLDEST], b[NEWEST]
    if last < 0:
        return
    seats[NEWER, last] = seats[OLDER, first] = -1
    seats[NEWER, newest], seats[OLDER, oldest] = oldest, newest
    b[OLDEST], b[NEWEST] = first, last


def keep_gaps(s: State) -> None:
    """Keep the gaps of a decode step just made: since each one's last token."""
    seats, gaps, counts, g, b = s.seats, s.gaps, s.counts, s.g, s.b
    if seats[SINCE, b[NEWEST]] > b[DECODED]:
        keep_each(s)
    elif b[DECODES] > 0:
        keep_gap(gaps, counts, g, b[NOW] - b[DECODED], 0, 1, b[DECODES])


def keep_each(s: State) -> None:
    """The same, if prompts have run since the step before."""
    seats, gaps, counts, g, b = s.seats, s.gaps, s.counts, s.g, s.b
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
    if b[LATE] > 0:
        return 0
    if b[SEEN] >= 0 and not b[SHUT]:
        return 0
    return blocks_allow(b, b[NEXT_END] - b[STEP])


def step(s: State) -> int:
    """Plan and make one step: NOTHING if there was nothing to do."""
    law, jobs, seats, calendar, cache, b = s.law, s.jobs, s.seats, s.calendar, s.cache, s.b
    tokens, pieces, chunk = law.tokens, law.pieces, law.chunk
    page = b[BLOCK]
    new, chunks, cost, longest, finished, needed, begun = 0, 0, 0.0, 0, 0, 0, -1
    seat, running = b[PARTIAL], b[DECODES] + b[PENDING] + b[LISTED]
    riding = running if b[MIXES] else 0
    if running == 0:
        b[SHUT] = 0
    if seat >= 0:
        keep(cache, b, seats[JOB, seat], b[DONE])
    if seat >= 0 or (b[SEEN] >= 0 and not b[SHUT] and running < b[SEATS]):
        kept = b[PENDING]  # who has ended unknown to the plan is one token short
        other = b[OLDEST]
        while other >= 0:
            if other != seat:
                kept += min(jobs[OUTPUT, seats[JOB, other]] - known(jobs, seats, b, other), CLIP)
            other = seats[NEWER, other]
        memory = min(b[FREE] * page, MUCH) - riding
        total = memory * ONE - kept * b[RATIO]  # for what is there and what is to come
        rest, room = b[PREFILL] - riding, b[TOKENS] - riding
        ranked = rank(jobs, cache, b) if b[LPM] else False
        if seat >= 0:
            job = seats[JOB, seat]
            left = jobs[PROMPT, job] + jobs[GIVEN, job] - b[DONE]
            most = min(room, max(total, 0) // ONE)
            count = min(left, most if most > 0 else room)
            if riding:
                count = min(count, b[FREE] * page + (-b[DONE]) % page)
            if count > 0:
                to_end(seats, b, seat)
                begun = seat
                needed = (b[DONE] + count + page - 1) // page - (b[DONE] + page - 1) // page
                cost += chunk_ticks(chunk, count, b[DONE])
                b[DONE] += count
                new, chunks, longest = count, 1, b[DONE]
                used = charge(count, page)
                room, rest, memory = room - used, rest - used, memory - used - page
                total -= (used + page) * ONE
                if count == left:
                    total -= min(jobs[OUTPUT, job], CLIP) * ONE
                    seats[FRESH, 0] = seat
                    finished, b[PARTIAL] = 1, -1
        while b[SEEN] >= 0 and not b[SHUT] and (seat < 0 or chunks > 0):
            if chunks >= b[SEATS] - running:
                b[SHUT] = 1
                break
            job = b[HEAD]
            length = jobs[PROMPT, job] + jobs[GIVEN, job]
            node = match(jobs, cache, b, job, ranked)
            past = cache.nodes[node, PAGES] * page
            idle = unlocked(cache, node)
            asked = length - past + min(jobs[OUTPUT, job] - jobs[GIVEN, job], CLIP) + page
            if asked * ONE >= total - idle * page * ONE:
                b[SHUT] = 1
                break
            count = length - past
            if charge(count, page) > room:
                count = room // page * page
                if count <= 0:
                    break
            if node > 0:
                lock(cache, b, node)
                cache.held[job] = node
            needed += (count + page - 1) // page
            if b[SEEN] == job:
                b[SEEN] = -1
            dequeue(jobs, cache, b, job)
            if jobs[START, job] < 0:
                jobs[START, job] = b[NOW]
                if past:
                    cache.hits[job] = past
            if jobs[PREEMPTIONS, job]:
                b[QUEUED] -= 1
            taken = sit(seats, b, job)
            seats[SINCE, taken] = -1
            begun = begun if chunks else taken
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
        if page > 1:
            evict(cache, b, charge(new, page) // page + chunks)
        take(cache, b, needed)
        b[PEAK] = max(b[PEAK], b[BLOCKS] - b[FREE])
    elif b[SEEN] >= 0 and not b[SHUT]:
        b[SHUT] = 1
    if chunks:
        n, contexts, ghosts, rides = 0, 0, wanted_by_ended(seats, b), False
        if riding and b[FILLED + b[STEP] % page] + ghosts <= b[FREE]:
            decode_pages(seats, cache, b, ghosts)
            n, contexts, b[LISTED], rides = b[DECODES] + b[PENDING], b[CONTEXTS], 0, True
            for i in range(b[PENDING]):
                contexts += seats[LENGTH, i]
        else:
            b[LISTED] += b[PENDING]
        settle(seats, cache, b)
        ticks = mixed_ticks(law, n, contexts, n, n + new, chunks, cost, longest)
        b[BUSY + tokens[1, n + new]] += ticks
        b[CUT] = b[NOW] if b[ASYNC] else b[NOW] + ticks
        b[NOW] += ticks
        b[STEPS] += 1
        if rides or running == 0 or b[PARTIAL] >= 0:
            b[SHUT] = 0
        if n:
            to_front(seats, b, begun)
            b[STEP] += 1
            b[CONTEXTS] += b[DECODES]
            keep_gaps(s)
            b[DECODED] = b[NOW]
        if len(cache.ids):
            b[LATE] = finished
            for i in range(finished):
                job = seats[JOB, seats[FRESH, i]]
                seats[UNSEEN, i], seats[COMPUTED, i] = job, jobs[PROMPT, job] + jobs[GIVEN, job]
        give_tokens(s, finished)
        for i in range(finished - 1 if rides else -1, -1, -1):  # the first of those that will end together
            taken = seats[FRESH, i]
            if jobs[GIVEN, seats[JOB, taken]] < jobs[OUTPUT, seats[JOB, taken]]:
                calendar[seats[END, taken] & (len(calendar) - 1)] = taken
        return PROMPTS
    if b[LISTED] > 0:
        b[LISTED] = b[SHUT] = 0
    if b[DECODES] + b[PENDING] == 0:
        return NOTHING
    make_decode_room(s)
    n, contexts, ghosts = b[DECODES], b[CONTEXTS], b[PENDING]
    for i in range(ghosts):
        contexts += seats[LENGTH, i]
    b[LISTED] = ghosts
    settle(seats, cache, b)
    if n + ghosts == 0:
        return NOTHING
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
        keep_gaps(s)
    b[DECODED] = b[NOW]
    return ANSWERS


def advance(s: State, until: int, skip: bool) -> int:
    """Make all steps that are planned before `until`: why it came back; as `engine.advance`."""
    jobs, seats, cache, g, b = s.jobs, s.seats, s.cache, s.g, s.b
    while True:
        if b[NOW] >= until:
            return PAUSED
        if g[GAPS] + b[SEATS] + 8 > s.gaps.shape[1] or b[SAMPLES] + 1 > len(s.samples):
            return FULL
        if b[SAMPLE]:
            look(s.samples, b)
        arrive(jobs, s.heap, g, b)
        see(jobs, b)
        steps, before, ended, kind = quiet_decodes(jobs, b), b[STEP], b[ENDS], ANSWERS
        if steps > 0:
            decode(s, s.law.pieces, steps if skip else 1, next_arrival(s), until)
            b[DECODED] = b[NOW]
            b[RATIO] = max(b[RATIO] - (b[STEP] - before) * b[DECAY], b[LEAST_RATIO])
        else:
            kind = step(s)
        if b[DECODES] > 0 and b[NEXT_END] == b[STEP]:
            retire(s)
        if not b[ASYNC] and kind != NOTHING:
            settle(seats, cache, b)
            if kind == ANSWERS:
                b[LISTED] += b[ENDS] - ended
            elif b[ENDS] > ended:
                b[SHUT] = 0
        if kind == NOTHING:
            if b[SEEN] >= 0:
                b[CUT] = b[NOW]
                continue
            b[RATIO] = b[FIRST_RATIO]
            when = next_arrival(s)
            if when == FAR and b[HEAD] < 0:
                return IDLE
            if when >= until:
                return PAUSED
            b[NOW] = max(b[NOW], when)
            b[CUT] = b[NOW]
