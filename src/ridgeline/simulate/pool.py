"""One pool of KV blocks for what runs and what is remembered: vLLM's prefix cache, block by block.

Free blocks stand in a queue. An allocation takes from its front; what was remembered there is forgotten. A request
that ends, or is preempted, puts its blocks at the back, the last of its blocks first, so that the beginning of a prompt
lives longest. A block whose tokens are known by a hash id can be found as long as it is in the queue or in use:

    refs[id] = -1  not remembered        0  remembered, in the queue        r > 0  in use by r requests

Blocks without an id, or whose id is remembered elsewhere already, are kept as runs of a length. Without ids the pool is
a number. Blocks of generated tokens get their ids when the request gives its blocks back. This file is plain Python
that `compiled.py` compiles. Knows no time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FREE, OLD, YOUNG, SPARE, BLOCK = range(5)
"""Places in a replica's scalars: free blocks, the ends of the queue, unused nodes for runs, tokens per block."""


class Cache(NamedTuple):
    """What a pool remembers; all arrays are empty where nothing is."""

    place: np.ndarray
    """int64[n + 1]: where each request's ids begin."""
    ids: np.ndarray
    """int64[m]: of successive blocks, from 0 to U - 1."""
    held: np.ndarray
    """uint8[m]: whether the request is among those that `refs` counts."""
    refs: np.ndarray
    """int64[U]."""
    older: np.ndarray
    younger: np.ndarray
    """int64[U + runs]: neighbours in the queue of an id's block, or, from U on, of a run; -1: none."""
    runs: np.ndarray
    """int64[runs]: lengths."""
    spare: np.ndarray
    """int64[runs]: stack of unused ones."""
    hits: np.ndarray
    """int64[n]: tokens found at a request's first admission."""
    lower: Any = None
    """`tiers.Lower`, where there are tiers below."""


def unqueue(cache: Cache, b: np.ndarray, node: int) -> None:
    """Take a node out of the queue."""
    older, younger = cache.older[node], cache.younger[node]
    if older >= 0:
        cache.younger[older] = younger
    else:
        b[OLD] = younger
    if younger >= 0:
        cache.older[younger] = older
    else:
        b[YOUNG] = older


def enqueue(cache: Cache, b: np.ndarray, node: int) -> None:
    """Put a node at the back of the queue."""
    last = b[YOUNG]
    cache.older[node] = last
    cache.younger[node] = -1
    if last >= 0:
        cache.younger[last] = node
    else:
        b[OLD] = node
    b[YOUNG] = node


def forget(cache: Cache, b: np.ndarray, node: int) -> None:
    """Give up what is remembered of a block; `tiers.py` writes it down."""
    cache.refs[node] = -1


def note(cache: Cache, b: np.ndarray, node: int) -> None:
    """A block is remembered that was not; `tiers.py` writes it down."""


def take(cache: Cache, b: np.ndarray, count: int) -> None:
    """Allocate blocks; there are as many."""
    b[FREE] -= count
    known = len(cache.refs)
    if known == 0:
        return
    while count > 0:
        node = int(b[OLD])
        if node >= known:
            run = int(cache.runs[node - known])
            if run > count:
                cache.runs[node - known] = run - count
                return
            count -= run
            cache.spare[b[SPARE]] = node
            b[SPARE] += 1
        else:
            forget(cache, b, node)
            count -= 1
        unqueue(cache, b, node)


def give_run(cache: Cache, b: np.ndarray, count: int) -> None:
    """Free blocks of which nothing is remembered."""
    b[FREE] += count
    known = len(cache.refs)
    if known == 0 or count == 0:
        return
    last = b[YOUNG]
    if last >= known:
        cache.runs[last - known] += count
        return
    b[SPARE] -= 1
    node = int(cache.spare[b[SPARE]])
    cache.runs[node - known] = count
    enqueue(cache, b, node)


def give(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Free the blocks of a request that has computed so many tokens, the last block first."""
    blocks = (tokens + b[BLOCK] - 1) // b[BLOCK]
    if len(cache.refs) == 0:
        b[FREE] += blocks
        return
    first, full = cache.place[job], tokens // b[BLOCK]
    named = min(blocks, cache.place[job + 1] - first)
    run = blocks - named
    for k in range(named - 1, -1, -1):
        node = int(cache.ids[first + k])
        if cache.held[first + k]:
            cache.held[first + k] = 0
            cache.refs[node] -= 1
            if cache.refs[node] > 0:
                continue
        elif k < full and cache.refs[node] < 0:
            cache.refs[node] = 0
            note(cache, b, node)
        else:
            run += 1
            continue
        give_run(cache, b, run)
        run = 0
        b[FREE] += 1
        enqueue(cache, b, node)
    give_run(cache, b, run)


def found(cache: Cache, b: np.ndarray, job: int, tokens: int) -> int:
    """Blocks at the beginning of a request's `tokens` tokens that are remembered; the last token never is."""
    if len(cache.refs) == 0:
        return 0
    first = cache.place[job]
    most = min((tokens - 1) // b[BLOCK], cache.place[job + 1] - first)
    k = 0
    while k < most and cache.refs[cache.ids[first + k]] >= 0:
        k += 1
    return k


def queued(cache: Cache, job: int, count: int) -> int:
    """How many of the first blocks of a request, all remembered, are not in use by others."""
    total = 0
    for k in range(count):
        if cache.refs[cache.ids[cache.place[job] + k]] == 0:
            total += 1
    return total


def share(cache: Cache, b: np.ndarray, job: int, count: int) -> None:
    """Use the first blocks of a request, all remembered, together with others."""
    first = cache.place[job] if count else 0
    for k in range(first, first + count):
        node = cache.ids[k]
        if cache.refs[node] == 0:
            unqueue(cache, b, node)
            b[FREE] -= 1
        cache.refs[node] += 1
        cache.held[k] = 1


def occupy(cache: Cache, b: np.ndarray, job: int, hit: int) -> None:
    """Use what an admitted request found; `tiers.py` may hold it already."""
    share(cache, b, job, hit)


def remember(cache: Cache, b: np.ndarray, job: int, begin: int, end: int) -> None:
    """Let others find blocks `begin` to `end` of a request, which it just filled."""
    if len(cache.refs) == 0:
        return
    first = cache.place[job]
    for k in range(first + begin, min(first + end, cache.place[job + 1])):
        if cache.refs[cache.ids[k]] < 0:
            cache.refs[cache.ids[k]] = 1
            cache.held[k] = 1
            note(cache, b, cache.ids[k])
