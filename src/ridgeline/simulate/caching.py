"""One pool of KV blocks for what runs and what is remembered: vLLM's prefix cache, block by block.

Free blocks stand in a queue. An allocation takes from its front; what was remembered there is forgotten. A request
that ends, or is preempted, puts its blocks at the back, the last of its blocks first, so that the beginning of a prompt
lives longest. A block whose tokens are known by a hash id has a node, found in a table by its id, as long as it is in
the queue or in use:

    users of a node = 0  in the queue        r > 0  in use by r requests

Blocks without an id, or whose id is remembered elsewhere already, are nodes of the queue too: runs of a length. There
are never more nodes than blocks, nor than twice the ids, so that memory is that of what lives, however many ids there
are. Without ids the pool is a number. Blocks of generated tokens get their ids when the request gives its blocks back.
This file is plain Python that `compiled.py` compiles in place of functions of `pool.py`. Knows no time.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.pool import BLOCK, FREE, MADE, NUMBER, OLD, SPARE, YOUNG, Cache

USERS, CONTENT, OLDER, YOUNGER, CHAIN = range(5)
"""Columns of nodes: requests that use it; the id of its tokens or, of a run, -length; neighbours in the queue; the next
node with the same place in the table, or the next unused one. Nodes are counted from 1; 0: none."""
NODE = 5
BITS = 62
"""Replicas in a word of `holders`."""


def unqueue(cache: Cache, b: np.ndarray, node: int) -> None:
    """Take a node out of the queue; runs that are now neighbours become one, so that they are few."""
    older, younger = cache.nodes[node, OLDER], cache.nodes[node, YOUNGER]
    if older > 0 and younger > 0 and cache.nodes[older, CONTENT] < 0 and cache.nodes[younger, CONTENT] < 0:
        cache.nodes[older, CONTENT] += cache.nodes[younger, CONTENT]
        pull(cache, b, younger)
        discard(cache, b, younger)
    pull(cache, b, node)


def pull(cache: Cache, b: np.ndarray, node: int) -> None:
    """Take a node out of the queue; its neighbours stay what they are."""
    older, younger = cache.nodes[node, OLDER], cache.nodes[node, YOUNGER]
    if older > 0:
        cache.nodes[older, YOUNGER] = younger
    else:
        b[OLD] = younger
    if younger > 0:
        cache.nodes[younger, OLDER] = older
    else:
        b[YOUNG] = older


def enqueue(cache: Cache, b: np.ndarray, node: int) -> None:
    """Put a node at the back of the queue."""
    last = b[YOUNG]
    cache.nodes[node, OLDER] = last
    cache.nodes[node, YOUNGER] = 0
    if last > 0:
        cache.nodes[last, YOUNGER] = node
    else:
        b[OLD] = node
    b[YOUNG] = node


def forget(cache: Cache, b: np.ndarray, name: int) -> None:
    """A block is no longer remembered; `tiers.py` writes it down."""


def note(cache: Cache, b: np.ndarray, name: int) -> None:
    """A block is remembered that was not; `tiers.py` writes it down."""


def seek(cache: Cache, name: int) -> int:
    """The node of an id; 0: it is not remembered."""
    node = cache.table[name & (len(cache.table) - 1)]
    while node > 0 and cache.nodes[node, CONTENT] != name:
        node = cache.nodes[node, CHAIN]
    return node


def obtain(cache: Cache, b: np.ndarray) -> int:
    """A node that is not used."""
    node = b[SPARE]
    if node > 0:
        b[SPARE] = cache.nodes[node, CHAIN]
    else:
        b[MADE] += 1
        node = b[MADE]
    return node


def discard(cache: Cache, b: np.ndarray, node: int) -> None:
    """Give a node back."""
    cache.nodes[node, CONTENT], cache.nodes[node, CHAIN] = -1, b[SPARE]
    b[SPARE] = node


def enter(cache: Cache, b: np.ndarray, name: int, users: int) -> int:
    """Remember a block that was not: its node."""
    node, place = obtain(cache, b), name & (len(cache.table) - 1)
    cache.nodes[node, USERS], cache.nodes[node, CONTENT], cache.nodes[node, CHAIN] = users, name, cache.table[place]
    cache.table[place] = node
    if len(cache.holders):
        cache.holders[name, b[NUMBER] // BITS] |= 1 << b[NUMBER] % BITS
    note(cache, b, name)
    return node


def unchain(cache: Cache, place: int, node: int) -> None:
    """Take a node out of those with its place in the table."""
    other, after = cache.table[place], cache.nodes[node, CHAIN]
    if other == node:
        cache.table[place] = after
    else:
        while cache.nodes[other, CHAIN] != node:
            other = cache.nodes[other, CHAIN]
        cache.nodes[other, CHAIN] = after


def erase(cache: Cache, b: np.ndarray, node: int) -> None:
    """Remember a block no longer."""
    name = cache.nodes[node, CONTENT]
    unchain(cache, name & (len(cache.table) - 1), node)
    discard(cache, b, node)
    if len(cache.holders):
        cache.holders[name, b[NUMBER] // BITS] &= ~(1 << b[NUMBER] % BITS)
    forget(cache, b, name)


def take(cache: Cache, b: np.ndarray, count: int) -> None:
    """Allocate blocks; there are as many."""
    b[FREE] -= count
    while count > 0 and len(cache.ids):
        node = b[OLD]
        length = -cache.nodes[node, CONTENT]
        if length > count:
            cache.nodes[node, CONTENT] = count - length
            return
        unqueue(cache, b, node)
        if length > 0:
            discard(cache, b, node)
            count -= length
        else:
            erase(cache, b, node)
            count -= 1


def give_run(cache: Cache, b: np.ndarray, count: int) -> None:
    """Free blocks of which nothing is remembered."""
    b[FREE] += count
    if count == 0 or len(cache.ids) == 0:
        return
    node = b[YOUNG]
    if node > 0 and cache.nodes[node, CONTENT] < 0:
        cache.nodes[node, CONTENT] -= count
        return
    node = obtain(cache, b)
    cache.nodes[node, CONTENT] = -count
    enqueue(cache, b, node)


def give(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Free the blocks of a request that has computed so many tokens, the last block first."""
    blocks = (tokens + b[BLOCK] - 1) // b[BLOCK]
    if len(cache.ids) == 0:
        b[FREE] += blocks
        return
    first, full = cache.place[job], tokens // b[BLOCK]
    named = min(blocks, cache.place[job + 1] - first)
    run = blocks - named
    for k in range(first + named - 1, first - 1, -1):
        node = cache.held[k]
        if node > 0:
            cache.held[k] = 0
            cache.nodes[node, USERS] -= 1
            if cache.nodes[node, USERS] > 0:
                continue
        elif k < first + full and seek(cache, cache.ids[k]) == 0:
            node = enter(cache, b, cache.ids[k], 0)
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
    if len(cache.ids) == 0:
        return 0
    first = cache.place[job]
    most = min((tokens - 1) // b[BLOCK], cache.place[job + 1] - first)
    k = 0
    while k < most and seek(cache, int(cache.ids[first + k])) > 0:
        k += 1
    return k


def queued(cache: Cache, job: int, count: int) -> int:
    """How many of the first blocks of a request, all remembered, are not in use by others."""
    total = 0
    for k in range(count):
        if cache.nodes[seek(cache, int(cache.ids[cache.place[job] + k])), USERS] == 0:
            total += 1
    return total


def share(cache: Cache, b: np.ndarray, job: int, count: int) -> None:
    """Use the first blocks of a request, all remembered, together with others."""
    first = cache.place[job] if count else 0
    for k in range(first, first + count):
        node = seek(cache, int(cache.ids[k]))
        if cache.nodes[node, USERS] == 0:
            unqueue(cache, b, node)
            b[FREE] -= 1
        cache.nodes[node, USERS] += 1
        cache.held[k] = node


def remember(cache: Cache, b: np.ndarray, job: int, begin: int, end: int) -> None:
    """Let others find blocks `begin` to `end` of a request, which it just filled."""
    if len(cache.ids) == 0:
        return
    first = cache.place[job]
    for k in range(first + begin, min(first + end, cache.place[job + 1])):
        if seek(cache, cache.ids[k]) == 0:
            cache.held[k] = enter(cache, b, cache.ids[k], 1)


def wipe(cache: Cache, b: np.ndarray) -> None:
    """Forget everything: all blocks are free, and `held` by nobody."""
    for node in range(1, b[MADE] + 1):
        name = cache.nodes[node, CONTENT]
        if name >= 0 and len(cache.holders):
            cache.holders[name, b[NUMBER] // BITS] &= ~(1 << b[NUMBER] % BITS)
    cache.table[:] = 0
    b[OLD] = b[YOUNG] = b[SPARE] = b[MADE] = 0
