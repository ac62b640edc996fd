"""Who gets a request: the rules of routers, of replicas that are up.

    round-robin     the next one in turn
    least-loaded    the one with the fewest requests that have not ended; the first of equals
    sticky          the one that the session had before; a new session goes to the least loaded
    prefix          the least of (prompt blocks not found + blocks in use + prompt blocks waiting): prefill and decode
                    work added up, as Dynamo's KV router does it

Which replicas remember a block is kept by block, a bit for each, so that all prompts' hits are found at once. The least
of all replicas is found first, then who has it: the first is done for several at once. Plain Python that `compiled.py`
compiles. Knows no time: what is asked here is up to date, see `routing.py`.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.abreast import (
    BEFORE_IT,
    ENDED,
    HANDLED,
    LATEST,
    LOAD,
    STATE,
    Replicas,
    memory_of,
)
from ridgeline.simulate.caching import BITS
from ridgeline.simulate.engine import HANDED, PARTS, PROMPT
from ridgeline.simulate.pool import BLOCK, found
from ridgeline.simulate.ticks import FAR
from ridgeline.simulate.upkeep import PREFILLS, TURN, UP

ROUND_ROBIN, LEAST_LOADED, STICKY, PREFIX = range(4)


def lowest(bits: int) -> int:
    """The place of the lowest bit, of a positive number of 62 bits."""
    place, width = 0, 32
    while width > 0:
        if bits & ((1 << width) - 1) == 0:
            bits >>= width
            place += width
        width >>= 1
    return place


def remembered(a: Replicas, job: int, high: int, deep: np.ndarray) -> None:
    """How many ids of a prompt each replica up to `high` would find: of those with marks, of all at once."""
    cache, parts = a.cache, a.boards[0, PARTS]
    deep[:] = 0
    first, tokens = cache.place[job], a.jobs[PROMPT, job]
    most = min((tokens - 1) // (a.boards[0, BLOCK] * parts), cache.ends[job] - first)
    if most == 0:
        return
    for word in range(cache.holders.shape[1]):
        left = cache.holders[cache.rows[cache.ids[first]], word]
        k = 1
        while left != 0:
            row = cache.rows[cache.ids[first + k]] if k < most else -1
            still = left & cache.holders[row, word] if row >= 0 else 0
            gone, begin = left ^ still, word * BITS
            if gone != 0:
                for i in range(min(BITS, high - begin)):
                    deep[begin + i] += (gone >> i & 1) * k
            while gone != 0 and k < most and row < 0:
                r = begin + lowest(int(gone))
                gone &= gone - 1
                if r < high:
                    deep[r] = found(memory_of(a, r), a.boards[r], job, tokens) // parts
            left = still
            k += 1


def still_remembered(a: Replicas, job: int, r: int, deep: int) -> int:
    """How many of the ids that a replica remembered it has not forgotten since."""
    cache, parts = a.cache, a.boards[0, PARTS]
    for k in range(deep):
        row = cache.rows[cache.ids[cache.place[job] + k]]
        if row < 0:
            return found(memory_of(a, r), a.boards[r], job, a.jobs[PROMPT, job]) // parts
        if not cache.holders[row, r // BITS] >> r % BITS & 1:
            return k
    return deep


def least_load(fleet: np.ndarray, deep: np.ndarray, parts: int, low: int, high: int) -> int:
    """The first of the replicas that are up whose load less what it remembers is least; -1: none is up."""
    least = FAR
    for r in range(low, high):
        load = fleet[LOAD, r] - deep[r] * parts
        least = min(least, load if fleet[STATE, r] == UP else FAR)
    if least == FAR:
        return -1
    r = low
    while fleet[LOAD, r] - deep[r] * parts != least or fleet[STATE, r] != UP:
        r += 1
    return r


def fewest_open(fleet: np.ndarray, when: int, low: int, high: int) -> int:
    """The first of the replicas that are up with the fewest open requests; -1: none is up.

    All were advanced to the time that may have had an end before.
    """
    least = FAR
    for r in range(low, high):
        load = fleet[HANDLED, r] - (fleet[ENDED, r] if fleet[LATEST, r] <= when else fleet[BEFORE_IT, r])
        least = min(least, load if fleet[STATE, r] == UP else FAR)
    if least == FAR:
        return -1
    r = low
    while fleet[STATE, r] != UP or least != (
        fleet[HANDLED, r] - (fleet[ENDED, r] if fleet[LATEST, r] <= when else fleet[BEFORE_IT, r])
    ):
        r += 1
    return r


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
    if router == PREFIX:
        return least_load(fleet, deep, int(boards[0, PARTS]), low, high)
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
    best = fewest_open(fleet, when, low, high)
    if router == STICKY and best >= 0:
        home[session[job]] = best
    return best
