"""SGLang's prefix cache: a tree whose edges are runs of pages, in one pool with what runs.

A node is a run of pages that some request computed, found by what its first page holds; paths from the root are the
prefixes that are remembered. A request that is computed up to somewhere is inserted: what the tree has already is its
own copy no longer, the rest is a new leaf. It locks its path, so that none of it is evicted; who has ended locks
nothing. A match that ends inside a node splits it.

    locks of a node >= those of each child        last use of a node >= that of each child

So of nodes without locks, in the order of their last use, the first is always a leaf. It is evicted as a whole when
pages are needed. A match is a use too, also of who keeps waiting.

Pages have the parts of a workload's ids as contents; without an id a page holds what no other request has, so that the
request itself may find it again after it was retracted. Contents are equal only if all before are: where two runs part
is found by bisection. Without any ids the pool is a number, and nothing is found again.

This file is plain Python that `compiled.py` compiles, in place of functions of `pool.py`. Knows no time.
Source: sgl-project/sglang mem_cache/radix_cache.py, common.py, allocation.py.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.caching import (
    BITS,
    CHAIN,
    OLDER,
    YOUNGER,
    discard,
    enqueue,
    obtain,
    pull,
    unchain,
)
from ridgeline.simulate.engine import (
    CLOCK,
    DECODES,
    EVICTABLE,
    FILLED,
    PARTS,
    STEP,
    blocks_taken,
)
from ridgeline.simulate.pool import BLOCK, FREE, MADE, NUMBER, OLD, SPARE, YOUNG, Cache

LOCKS, OWNER = range(2)
BEGIN, END, ABOVE, USED = range(5, 9)
"""Columns of nodes beside those of `caching.py` (neighbours among those without locks, and the next in the table):
requests that lock it; a request that has its pages (-1: the node is not used); its pages in the request's, END not
included; the node above; when it was used. Node 0 is the root."""
NODE = 9


def content(cache: Cache, b: np.ndarray, job: int, page: int) -> int:
    """What a page of a request holds: equal to another's only if it and all before it are."""
    first, parts = cache.place[job], b[PARTS]
    if page < (cache.place[job + 1] - first) * parts:
        return cache.ids[first + page // parts] * parts + page % parts
    return -1 - (int(job) << 31 | int(page))  # NumPy keeps numbers of 32 bits that short


def spot(cache: Cache, held: int) -> int:
    """The place of a content in the table."""
    return (held ^ (held >> 31)) & (len(cache.table) - 1)


def seek_child(cache: Cache, b: np.ndarray, job: int, page: int) -> int:
    """The node that begins with a page of a request; 0: there is none."""
    wanted = content(cache, b, job, page)
    node = cache.table[spot(cache, wanted)]
    while node > 0 and content(cache, b, cache.nodes[node, OWNER], cache.nodes[node, BEGIN]) != wanted:
        node = cache.nodes[node, CHAIN]
    return node


def hang(cache: Cache, b: np.ndarray, node: int) -> None:
    """Let a node be found."""
    place = spot(cache, content(cache, b, cache.nodes[node, OWNER], cache.nodes[node, BEGIN]))
    cache.nodes[node, CHAIN] = cache.table[place]
    cache.table[place] = node


def unhang(cache: Cache, b: np.ndarray, node: int) -> None:
    """Let a node be found no longer."""
    unchain(cache, spot(cache, content(cache, b, cache.nodes[node, OWNER], cache.nodes[node, BEGIN])), node)


def use(cache: Cache, b: np.ndarray, node: int) -> None:
    """Note that a node is used now."""
    cache.nodes[node, USED] = b[CLOCK]
    if cache.nodes[node, LOCKS] == 0:
        pull(cache, b, node)
        enqueue(cache, b, node)


def made(cache: Cache, b: np.ndarray, owner: int, begin: int, end: int, above: int, locks: int) -> int:
    """A node, used now."""
    node = obtain(cache, b)
    cache.nodes[node, LOCKS], cache.nodes[node, OWNER], cache.nodes[node, USED] = locks, owner, b[CLOCK]
    cache.nodes[node, BEGIN], cache.nodes[node, END], cache.nodes[node, ABOVE] = begin, end, above
    hang(cache, b, node)
    if locks == 0:
        enqueue(cache, b, node)
    return node


def alike(cache: Cache, b: np.ndarray, node: int, job: int, page: int, most: int) -> int:
    """Up to which page a request's first `most` pages are those of a path to a node, of which the first `page` are."""
    owner, high = cache.nodes[node, OWNER], min(cache.nodes[node, END], most)
    while page < high:
        middle = (page + high + 1) // 2
        if owner == job or content(cache, b, owner, middle - 1) == content(cache, b, job, middle - 1):
            page = middle
        else:
            high = middle - 1
    return page


def found(cache: Cache, b: np.ndarray, job: int, tokens: int) -> int:
    """Pages at the beginning of a request's `tokens` tokens that the tree has; it is only looked at."""
    page, most = 0, (tokens - 1) // b[BLOCK]
    while page < most:
        node = seek_child(cache, b, job, page)
        if node == 0:
            break
        page = alike(cache, b, node, job, page + 1, most)
        if page < cache.nodes[node, END]:
            break
    return page


def walk(cache: Cache, b: np.ndarray, job: int, most: int, leaf: bool) -> tuple[int, int]:
    """The node with which the remembered part of a request's first `most` pages ends, and how many pages these are.

    All on the way are used. With `leaf` what is missing is added below.
    """
    nodes, node, page = cache.nodes, 0, 0
    b[CLOCK] += 1
    while page < most:
        below = seek_child(cache, b, job, page)
        if below == 0:
            break
        owner, page = nodes[below, OWNER], alike(cache, b, below, job, page + 1, most)
        if page < nodes[below, END]:
            use(cache, b, below)
            unhang(cache, b, below)
            begin, nodes[below, BEGIN] = nodes[below, BEGIN], page
            hang(cache, b, below)
            node = made(cache, b, owner, begin, page, nodes[below, ABOVE], nodes[below, LOCKS])
            nodes[below, ABOVE] = node
            break
        node = below
    last = node
    if leaf and page < most:
        b[CLOCK] += 1  # later than what was split off
        last = made(cache, b, job, page, most, node, 0)
        b[EVICTABLE] += most - page
        mark(cache, b, last, True)
    while node > 0:
        use(cache, b, node)
        node = nodes[node, ABOVE]
    return last, page


def mark(cache: Cache, b: np.ndarray, node: int, there: bool) -> None:
    """Tell the router which ids end in a node that is there, or is no longer, as far as they have rows."""
    if len(cache.rows) == 0:
        return
    job, parts = cache.nodes[node, OWNER], b[PARTS]
    first = cache.place[job]
    end = min(cache.nodes[node, END] // parts, cache.place[job + 1] - first)
    for k in range(cache.nodes[node, BEGIN] // parts, end):
        row = cache.rows[cache.ids[first + k]]
        if row < 0:
            break
        if there:
            cache.holders[row, b[NUMBER] // BITS] |= 1 << b[NUMBER] % BITS
        else:
            cache.holders[row, b[NUMBER] // BITS] &= ~(1 << b[NUMBER] % BITS)


def lock(cache: Cache, b: np.ndarray, node: int) -> None:
    """Keep a path from being evicted."""
    while node > 0:
        if cache.nodes[node, LOCKS] == 0:
            pull(cache, b, node)
            pages = cache.nodes[node, END] - cache.nodes[node, BEGIN]
            b[EVICTABLE] -= pages
            b[FREE] -= pages
        cache.nodes[node, LOCKS] += 1
        node = cache.nodes[node, ABOVE]


def unlock(cache: Cache, b: np.ndarray, node: int) -> None:
    """The contrary; nodes stand where they would if they had never been locked."""
    nodes = cache.nodes
    while node > 0:
        nodes[node, LOCKS] -= 1
        if nodes[node, LOCKS] == 0:
            pages = nodes[node, END] - nodes[node, BEGIN]
            b[EVICTABLE] += pages
            b[FREE] += pages
            older, younger = b[YOUNG], 0
            while older > 0 and nodes[older, USED] > nodes[node, USED]:
                older, younger = nodes[older, OLDER], older
            nodes[node, OLDER], nodes[node, YOUNGER] = older, younger
            if older > 0:
                nodes[older, YOUNGER] = node
            else:
                b[OLD] = node
            if younger > 0:
                nodes[younger, OLDER] = node
            else:
                b[YOUNG] = node
        node = nodes[node, ABOVE]


def unlocked(cache: Cache, node: int) -> int:
    """Pages of a path that nobody locks."""
    pages = 0
    while node > 0 and cache.nodes[node, LOCKS] == 0:
        pages += cache.nodes[node, END] - cache.nodes[node, BEGIN]
        node = cache.nodes[node, ABOVE]
    return pages


def evict(cache: Cache, b: np.ndarray, pages: int) -> None:
    """Have so many free pages of which nothing is remembered, if there are leaves to evict."""
    if b[FREE] - b[EVICTABLE] < pages and b[OLD] > 0:
        fell(cache, b, pages)


def fell(cache: Cache, b: np.ndarray, pages: int) -> None:
    """Evict leaves, the least recently used first."""
    while b[FREE] - b[EVICTABLE] < pages and b[OLD] > 0:
        node = b[OLD]
        pull(cache, b, node)
        mark(cache, b, node, False)
        unhang(cache, b, node)
        b[EVICTABLE] -= cache.nodes[node, END] - cache.nodes[node, BEGIN]
        discard(cache, b, node)


def take(cache: Cache, b: np.ndarray, count: int) -> None:
    """Allocate pages; there are as many."""
    evict(cache, b, count)
    b[FREE] -= count


def take_along(cache: Cache, b: np.ndarray, steps: int, first: int, rise: int) -> None:
    """Allocate what some decode steps take; of pages longer than a token each step wants one for each request."""
    count = blocks_taken(b, steps)
    if b[OLD] > 0:
        evict(cache, b, count - b[FILLED + (b[STEP] + steps - 1) % b[BLOCK]] + b[DECODES])
    take(cache, b, count)


def give_run(cache: Cache, b: np.ndarray, count: int) -> None:
    """Free pages of which nothing is remembered."""
    b[FREE] += count


def give(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """A request has ended that computed so many tokens: its full pages are remembered, and nothing is locked."""
    if len(cache.ids):
        keep(cache, b, job, tokens)
        b[FREE] += (tokens + b[BLOCK] - 1) // b[BLOCK] - tokens // b[BLOCK]
        unlock(cache, b, cache.held[job])
        cache.held[job] = 0
    else:
        b[FREE] += (tokens + b[BLOCK] - 1) // b[BLOCK]


def drop(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """A request is retracted: what it locked may be found again, what it computed since then is lost."""
    b[FREE] += (tokens + b[BLOCK] - 1) // b[BLOCK]
    if len(cache.ids):
        b[FREE] -= cache.nodes[cache.held[job], END]
        unlock(cache, b, cache.held[job])
        cache.held[job] = 0


def keep(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Remember the full pages of a request that has computed so many tokens, and lock them for it."""
    if len(cache.ids) == 0:
        return
    before, pages = cache.held[job], tokens // b[BLOCK]
    node, _ = walk(cache, b, job, pages, True)
    b[FREE] += pages - cache.nodes[before, END]  # its own: copies of what was there, and the new leaf
    lock(cache, b, node)
    unlock(cache, b, before)
    cache.held[job] = node


def wipe(cache: Cache, b: np.ndarray) -> None:
    """Forget everything."""
    for node in range(1, b[MADE] + 1):
        if cache.nodes[node, OWNER] >= 0:
            mark(cache, b, node, False)
    cache.table[:] = 0
    b[OLD] = b[YOUNG] = b[SPARE] = b[MADE] = b[EVICTABLE] = 0
