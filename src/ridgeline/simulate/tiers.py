"""KV tiers below HBM: blocks that the pool forgets or remembers are written down, and fetched when that is sooner.

A tier holds `capacity` blocks, least recently used last, each for `ttl` ticks after its last use. It gets a block as
soon as the level above has it (write-through), or when the level above gives it up (write-back). Reads and writes of
a tier queue on a link each, and all reads on the one into the chip:

    done = max over tiers of ( max(now, link free) + blocks * ticks per block + latency ),    and of the chip's link

A waiting request whose next blocks lie below is admitted in two parts: blocks are reserved, and it waits for the fetch
while others go by; then the rest is computed. How many of the leading blocks are fetched: all; none; or as many, tier
by tier, as make (fetch + computing the rest alone) shortest, with links as busy as they are. A fetched block stays
where it was. What is written can be found when it is through; writes queue without limit.

A request that finds no room while nobody runs takes it from the last one in the queue that was fetched.

Each replica has tiers of its own, but those that are SHARED, which stand last: what one replica writes into these the
others find, and all queue on the same links, in the order in which steps are planned. A replica that fails loses its
own tiers. Plain Python that `compiled.py` compiles in place of functions of `caching.py` and `engine.py`. Knows no
medium and no byte. As vLLM's connectors that load asynchronously (v1/core/sched/scheduler.py), with the choices above.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ridgeline.simulate.engine import (
    ARRIVAL,
    BEHIND,
    CUT,
    FILLED,
    GIVEN,
    HEAD,
    NOW,
    PROMPT,
    STEP,
    TAIL,
    TOKENS,
    State,
    ask,
    blocks_taken,
    next_coming,
)
from ridgeline.simulate.pool import BLOCK, FREE, Cache, found, give, queued, remember, share, take
from ridgeline.simulate.ticks import FAR, Tables, chunk_ticks, mixed_ticks

CAPACITY, READ, WRITE, LATENCY, TTL, THROUGH = range(6)
"""Settings of a tier: blocks; ticks per block read and written; ticks before a transfer; ticks for which a block is
kept after its last use; whether it is written as soon as the level above has it."""
USED, OLDEST, YOUNGEST, READS, WRITES, FETCHED, WRITTEN = range(6, 13)
"""Blocks in it; ends of its list; when its links are free; blocks fetched and written so far."""
SHARED = 13
"""Whether it is that of all replicas."""
PLACES = 14

PATH, FREE_AT, POLICY, NEXT, BEFORE, AHEAD, WAKES, LOST = range(8)
"""Of a replica: ticks per block on the link into its chip, and when that is free; what is fetched; when the next fetch
is done; whom the request stands behind that `wanted` found; ticks from now to the step for which blocks are taken; if
it waits, until when; whether it has failed and writes nothing."""
CHIP = 8
SOONER, ALWAYS, NEVER = range(3)

UNTIL, HELD = range(2)
"""Rows of requests: when the fetch under way is done, -1: none is; blocks reserved by a waiting request."""


class Lower(NamedTuple):
    """What lies below pools; `pool.Cache.lower`. Zeros where nothing is: memory that is not touched is not taken."""

    used: np.ndarray
    """int64[rows, U]: time of the last use of an id's block, and 1; 0: not there."""
    ready: np.ndarray
    """int64[rows, U]: time from which it is there."""
    near: np.ndarray
    """int64[rows, U, 2]: neighbours in the tier's list, older and younger, and 1; 0: none."""
    tiers: np.ndarray
    """int64[rows, PLACES]; ends of lists and 1, as above."""
    rows: np.ndarray
    """int64[replicas, tiers], of one replica int64[tiers]: where its tiers stand in the arrays above, nearest first."""
    chip: np.ndarray
    """int64[replicas, CHIP], of one replica int64[CHIP]."""
    fetch: np.ndarray
    """int64[2, n]: rows as above."""
    each: np.ndarray
    """int64[tiers]: scratch."""


def lower_of(lower: Lower, r: int) -> Lower:
    """What lies below the pool of replica r."""
    return Lower(
        lower.used, lower.ready, lower.near, lower.tiers, lower.rows[r], lower.chip[r], lower.fetch, lower.each
    )


def continues(cache: Cache, node: int, name: int) -> bool:
    """Whether an id may belong to a node that it follows: here the order in which blocks are noted would be another."""
    return False


def steady(b: np.ndarray) -> bool:
    """Whether what a replica holds can only grow until a request ends: that is not asked here."""
    return False


def unlist(cache: Cache, row: int, node: int) -> None:
    """Take a block out of a tier's list."""
    older, younger = cache.lower.near[row, node]
    if older > 0:
        cache.lower.near[row, older - 1, 1] = younger
    else:
        cache.lower.tiers[row, OLDEST] = younger
    if younger > 0:
        cache.lower.near[row, younger - 1, 0] = older
    else:
        cache.lower.tiers[row, YOUNGEST] = older


def enlist(cache: Cache, row: int, node: int, now: int) -> None:
    """Put a block at the young end of a tier's list."""
    last = cache.lower.tiers[row, YOUNGEST]
    cache.lower.used[row, node] = now + 1
    cache.lower.near[row, node, 0], cache.lower.near[row, node, 1] = last, 0
    if last > 0:
        cache.lower.near[row, last - 1, 1] = node + 1
    else:
        cache.lower.tiers[row, OLDEST] = node + 1
    cache.lower.tiers[row, YOUNGEST] = node + 1


def put(cache: Cache, b: np.ndarray, node: int) -> None:
    """Write a block into the first tier, and on into those below as they want it; where it is already, it is young."""
    now, tier = b[NOW] + cache.lower.chip[AHEAD], 0
    while node >= 0:
        row = cache.lower.rows[tier]
        t = cache.lower.tiers[row]
        if cache.lower.used[row, node] > 0:
            unlist(cache, row, node)
            enlist(cache, row, node, now)
            return
        pushed = -1
        if t[USED] == t[CAPACITY]:
            pushed = t[OLDEST] - 1
            unlist(cache, row, pushed)
            late = now + 1 - cache.lower.used[row, pushed] > t[TTL]
            cache.lower.used[row, pushed] = 0
            t[USED] -= 1
            if late:
                pushed = -1
        t[USED] += 1
        t[WRITTEN] += 1
        t[WRITES] = max(t[WRITES], now) + t[WRITE]
        cache.lower.ready[row, node] = t[WRITES] + t[LATENCY]
        enlist(cache, row, node, now)
        tier += 1
        if tier == len(cache.lower.rows):
            return
        if not cache.lower.tiers[cache.lower.rows[tier], THROUGH]:
            node = pushed


def forget(cache: Cache, b: np.ndarray, name: int) -> None:
    """The pool gives a block up."""
    if not cache.lower.tiers[cache.lower.rows[0], THROUGH]:
        put(cache, b, name)


def note(cache: Cache, b: np.ndarray, name: int) -> None:
    """The pool has a block that it did not have."""
    if cache.lower.tiers[cache.lower.rows[0], THROUGH] and not cache.lower.chip[LOST]:
        put(cache, b, name)


def below(cache: Cache, b: np.ndarray, node: int) -> int:
    """The first tier in which a block can be found now; -1: none."""
    for tier in range(len(cache.lower.rows)):
        row = cache.lower.rows[tier]
        used = cache.lower.used[row, node]
        if used > 0 and cache.lower.ready[row, node] <= b[NOW] and b[NOW] + 1 - used <= cache.lower.tiers[row, TTL]:
            return tier
    return -1


def arrival(cache: Cache, b: np.ndarray, blocks: int) -> int:
    """When a fetch is done of so many blocks, of which `each` says how many lie in each tier."""
    done = max(b[NOW], cache.lower.chip[FREE_AT]) + blocks * cache.lower.chip[PATH]
    for tier in range(len(cache.lower.rows)):
        if cache.lower.each[tier]:
            t = cache.lower.tiers[cache.lower.rows[tier]]
            done = max(done, max(b[NOW], t[READS]) + cache.lower.each[tier] * t[READ] + t[LATENCY])
    return max(done, b[NOW] + 1)


def alone(law: Tables, b: np.ndarray, past: int, total: int) -> int:
    """Ticks in which the rest of a prompt would be computed with nobody beside it."""
    ticks = 0
    while past < total:
        count = min(total - past, b[TOKENS])
        ticks += mixed_ticks(law, 0, 0, 0, count, 1, chunk_ticks(law.chunk, count, past), past + count)
        past += count
    return ticks


def worth(law: Tables, cache: Cache, b: np.ndarray, job: int, hit: int, total: int) -> int:
    """How many blocks to fetch for a request of which the pool has `hit`."""
    if cache.lower.chip[POLICY] == NEVER or len(cache.ids) == 0:
        return 0
    first, block = cache.place[job], b[BLOCK]
    most = min((total - 1) // block, cache.place[job + 1] - first)
    cache.lower.each[:] = 0
    best, least, deepest, k = 0, FAR, -1, hit
    while True:
        tier = below(cache, b, int(cache.ids[first + k])) if k < most else -1
        if cache.lower.chip[POLICY] == SOONER and (tier < 0 or tier > deepest):
            done = alone(law, b, k * block, total)
            if k > hit:
                done += arrival(cache, b, k - hit) - b[NOW]
            if done < least:
                best, least = k - hit, done
        if tier < 0:
            break
        deepest = max(deepest, tier)
        cache.lower.each[tier] += 1
        k += 1
    return best if cache.lower.chip[POLICY] == SOONER else k - hit


def fetch(cache: Cache, b: np.ndarray, job: int, hit: int, count: int) -> None:
    """Fetch the blocks of a request behind those that the pool has, and hold room for them."""
    cache.lower.each[:] = 0
    first = cache.place[job] + hit
    for k in range(first, first + count):
        node = cache.ids[k]
        tier = below(cache, b, node)
        cache.lower.each[tier] += 1
        unlist(cache, cache.lower.rows[tier], node)
        enlist(cache, cache.lower.rows[tier], node, b[NOW])
    done = arrival(cache, b, count)
    for tier in range(len(cache.lower.rows)):
        t = cache.lower.tiers[cache.lower.rows[tier]]
        if cache.lower.each[tier]:
            t[READS] = max(t[READS], b[NOW]) + cache.lower.each[tier] * t[READ]
            t[FETCHED] += cache.lower.each[tier]
    cache.lower.chip[FREE_AT] = max(cache.lower.chip[FREE_AT], b[NOW]) + count * cache.lower.chip[PATH]
    cache.lower.chip[NEXT] = min(cache.lower.chip[NEXT], done)
    share(cache, b, job, hit)
    take(cache, b, count)
    cache.lower.fetch[UNTIL, job], cache.lower.fetch[HELD, job] = done, hit + count


def see_fetched(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """Let all find the blocks whose fetch is done when the next plan is made."""
    cache.lower.chip[WAKES] = cache.lower.chip[LOST] = 0
    if cache.lower.chip[NEXT] > b[CUT]:
        return
    cache.lower.chip[NEXT] = FAR
    job = b[HEAD]
    while job >= 0:
        if cache.lower.fetch[UNTIL, job] >= 0:
            if cache.lower.fetch[UNTIL, job] <= b[CUT]:
                cache.lower.fetch[UNTIL, job] = -1
                remember(cache, b, job, 0, cache.lower.fetch[HELD, job])
            else:
                cache.lower.chip[NEXT] = min(cache.lower.chip[NEXT], cache.lower.fetch[UNTIL, job])
        job = jobs[BEHIND, job]


def first_waiting(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> int:
    """The first request in the queue that waits for no fetch, if the next plan sees it; -1: none."""
    job = b[HEAD]
    while job >= 0 and cache.lower.fetch[UNTIL, job] >= 0:
        job = jobs[BEHIND, job]
    return job if job >= 0 and jobs[ARRIVAL, job] <= b[CUT] else -1


def room(cache: Cache, b: np.ndarray, job: int, total: int, most: int) -> tuple[int, int]:
    """Blocks that a waiting request of `total` tokens finds or holds, and free blocks that it needs."""
    blocks, held = (total + b[BLOCK] - 1) // b[BLOCK], cache.lower.fetch[HELD, job]
    if held:
        return held, blocks - held
    hit = found(cache, b, job, total)
    return hit, blocks - hit + queued(cache, job, hit)


def give_back(jobs: np.ndarray, cache: Cache, b: np.ndarray, job: int) -> bool:
    """Free the blocks of the last request in the queue, but this one, that holds any and waits for no fetch."""
    last, other = -1, b[HEAD]
    while other >= 0:
        if cache.lower.fetch[HELD, other] and cache.lower.fetch[UNTIL, other] < 0 and other != job:
            last = other
        other = jobs[BEHIND, other]
    if last < 0:
        return False
    give(cache, b, last, cache.lower.fetch[HELD, last] * b[BLOCK])
    cache.lower.fetch[HELD, last] = 0
    return True


def wanted(law: Tables, jobs: np.ndarray, cache: Cache, b: np.ndarray, most: int, nobody: bool) -> int:
    """The request that is admitted next if there is room, after fetches have begun for those before it; -1: none."""
    before = -1
    while True:
        job = b[HEAD] if before < 0 else jobs[BEHIND, before]
        if job < 0 or jobs[ARRIVAL, job] > b[CUT]:
            return -1
        if cache.lower.fetch[UNTIL, job] < 0:
            total = jobs[PROMPT, job] + jobs[GIVEN, job]
            hit, needed = room(cache, b, job, total, most)
            while nobody and needed > b[FREE] and give_back(jobs, cache, b, job):
                hit, needed = room(cache, b, job, total, most)
            cache.lower.chip[BEFORE] = before
            if cache.lower.fetch[HELD, job] or needed > b[FREE]:
                return job
            count = worth(law, cache, b, job, hit, total)
            if count == 0:
                return job
            fetch(cache, b, job, hit, count)
        before = job


def occupy(cache: Cache, b: np.ndarray, job: int, hit: int) -> None:
    """Use what an admitted request found, or holds already."""
    if cache.lower.fetch[HELD, job]:
        cache.lower.fetch[HELD, job] = 0
    else:
        share(cache, b, job, hit)


def dequeue(jobs: np.ndarray, cache: Cache, b: np.ndarray, job: int) -> None:
    """Take the request that `wanted` found out of the queue."""
    ask(jobs, b, job, -1)
    before, after = cache.lower.chip[BEFORE], jobs[BEHIND, job]
    if before < 0:
        b[HEAD] = after
    else:
        jobs[BEHIND, before] = after
    if after < 0:
        b[TAIL] = before


def next_arrival(s: State) -> int:
    """When somebody arrives, or is fetched, whom the next plan does not see; FAR: never."""
    jobs, cache, b = s.jobs, s.cache, s.b
    when = min(cache.lower.chip[NEXT], next_coming(s))
    job = b[HEAD]
    while job >= 0 and cache.lower.fetch[UNTIL, job] >= 0:
        job = jobs[BEHIND, job]
    if job >= 0 and jobs[ARRIVAL, job] > b[CUT]:
        when = min(when, jobs[ARRIVAL, job])
    return when


def next_plan(s: State, freed: bool) -> int:
    """When to plan again after a plan without anybody: at once if that has freed blocks."""
    jobs, cache, b = s.jobs, s.cache, s.b
    cache.lower.chip[WAKES] = b[NOW] if freed and first_waiting(jobs, cache, b) >= 0 else next_arrival(s)
    return cache.lower.chip[WAKES]


def plans_at(cache: Cache, b: np.ndarray) -> int:
    """When a replica that `advance` left plans next, unless somebody comes before."""
    return max(b[NOW], cache.lower.chip[WAKES])


def lose(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """A replica fails: its own tiers are empty, nothing is being fetched, and it writes nothing more."""
    job = b[HEAD]
    while job >= 0:
        cache.lower.fetch[UNTIL, job], cache.lower.fetch[HELD, job] = -1, 0
        if len(cache.ids):
            cache.held[cache.place[job] : cache.place[job + 1]] = 0
        job = jobs[BEHIND, job]
    for row in cache.lower.rows:
        t = cache.lower.tiers[row]
        if not t[SHARED]:
            node = t[OLDEST]
            while node > 0:
                cache.lower.used[row, node - 1] = 0
                node = cache.lower.near[row, node - 1, 1]
            t[USED] = t[OLDEST] = t[YOUNGEST] = t[READS] = t[WRITES] = 0
    cache.lower.chip[FREE_AT], cache.lower.chip[NEXT], cache.lower.chip[LOST] = 0, FAR, 1


def take_along(cache: Cache, b: np.ndarray, steps: int, first: int, rise: int) -> None:
    """Allocate what some decode steps take, each at its own time: they take first, first + rise, ... ticks."""
    if cache.lower.tiers[cache.lower.rows[0], THROUGH] or len(cache.ids) == 0:
        take(cache, b, blocks_taken(b, steps))
        return
    block = b[BLOCK]
    phase = b[STEP] % block
    for i in range(steps):
        if b[FILLED + phase]:
            cache.lower.chip[AHEAD] = i * first + rise * (i * (i - 1) // 2)
            take(cache, b, b[FILLED + phase])
        phase = phase + 1 if phase + 1 < block else 0
    cache.lower.chip[AHEAD] = 0
