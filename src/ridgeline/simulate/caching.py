"""One pool of KV blocks for what runs and what is remembered: vLLM's prefix cache, block by block.

Free blocks stand in a queue. An allocation takes from its front; what was remembered there is forgotten. A request
that ends, or is preempted, puts its blocks at the back, the last of its blocks first, so that the beginning of a prompt
lives longest. Successive blocks that were remembered together are one node, in the queue or in use:

    users of a node = 0  in the queue        r > 0  in use by r requests

A node is found in a table by the id of its first block, and the next one of a prompt by the id behind it. A request
that shares part of a node splits it; an allocation takes the end of the oldest. Ids are equal only if all before them
are, and those of a prompt follow each other: one comparison tells whether all of a node is a request's, and bisection
how much. Blocks without an id, or whose id is remembered elsewhere already, are nodes of the queue too: runs of a
length. There are never more nodes than blocks, nor than twice the ids, so that memory is that of what lives, however
many ids there are. Without ids the pool is a number. Blocks of generated tokens get their ids when the request gives
its blocks back; so do, if it is thrown out, those whose ids no other request has: if it ends, nobody will ask for them.
This file is plain Python that `compiled.py` compiles in place of functions of `pool.py`. Knows no time.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.pool import BLOCK, FREE, MADE, NUMBER, OLD, SPARE, YOUNG, Cache

USERS, CONTENT, OLDER, YOUNGER, CHAIN, SPAN = range(6)
"""Columns of nodes: requests that use it; the id of its first block, -1: a run, or not used; neighbours in the queue;
the next node with the same place in the table, or the next unused one; blocks. Nodes are counted from 1; 0: none."""
NODE = 6
BITS = 62
"""Replicas in a word of `holders`."""


def unqueue(cache: Cache, b: np.ndarray, node: int) -> None:
    """Take a node out of the queue; runs that are now neighbours become one, so that they are few."""
    older, younger = cache.nodes[node, OLDER], cache.nodes[node, YOUNGER]
    if older > 0 and younger > 0 and cache.nodes[older, CONTENT] < 0 and cache.nodes[younger, CONTENT] < 0:
        cache.nodes[older, SPAN] += cache.nodes[younger, SPAN]
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


def hashed(cache: Cache, name: int) -> int:
    """The place of an id in the table: Fibonacci hashing, as first blocks may be multiples of a length."""
    return (name * 2654435769 >> 16) & (len(cache.table) - 1)


def seek(cache: Cache, name: int) -> int:
    """The node whose first block has an id; 0: there is none."""
    node = cache.table[hashed(cache, name)]
    while node > 0 and cache.nodes[node, CONTENT] != name:
        node = cache.nodes[node, CHAIN]
    return node


def matched(cache: Cache, node: int, begin: int, end: int) -> int:
    """How many blocks of a node are those of a request, whose ids from `begin` to `end` begin with its first."""
    name, count = cache.nodes[node, CONTENT], min(cache.nodes[node, SPAN], end - begin)
    if cache.ids[begin + count - 1] == name + count - 1:
        return count
    low = 1
    while count - low > 1:
        middle = (low + count) // 2
        if cache.ids[begin + middle - 1] == name + middle - 1:
            low = middle
        else:
            count = middle
    return low


def unknown(cache: Cache, begin: int, end: int) -> int:
    """How many ids from `begin` to `end` follow each other and are not remembered; the first is not."""
    count, name = 1, int(cache.ids[begin])
    while begin + count < end and cache.ids[begin + count] == name + count:
        if cache.starts[name + count] and seek(cache, name + count) > 0:
            break
        count += 1
    return count


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


def enter(cache: Cache, b: np.ndarray, name: int, span: int, users: int) -> int:
    """A node of blocks that were not remembered."""
    node, place = obtain(cache, b), hashed(cache, name)
    cache.starts[name] = 1
    cache.nodes[node, USERS], cache.nodes[node, CONTENT], cache.nodes[node, CHAIN] = users, name, cache.table[place]
    cache.nodes[node, SPAN] = span
    cache.table[place] = node
    return node


def tell(cache: Cache, b: np.ndarray, name: int, span: int, there: bool) -> None:
    """Note for the router whether the replica remembers some blocks, as far as they have rows."""
    end, word, bit = name + span if len(cache.rows) else name, b[NUMBER] // BITS, 1 << b[NUMBER] % BITS
    while name < end and cache.rows[name] >= 0:
        if there:
            cache.holders[cache.rows[name], word] |= bit
        else:
            cache.holders[cache.rows[name], word] &= ~bit
        name += 1


def split(cache: Cache, b: np.ndarray, node: int, count: int) -> None:
    """Leave a node its first `count` blocks; the others become one of their own, before it in the queue."""
    users, name, span = cache.nodes[node, USERS], cache.nodes[node, CONTENT], cache.nodes[node, SPAN]
    cache.nodes[node, SPAN] = count
    rest = enter(cache, b, int(name + count), int(span - count), int(users))
    if users == 0:
        older = cache.nodes[node, OLDER]
        cache.nodes[rest, OLDER], cache.nodes[rest, YOUNGER], cache.nodes[node, OLDER] = older, node, rest
        if older > 0:
            cache.nodes[older, YOUNGER] = rest
        else:
            b[OLD] = rest


def unchain(cache: Cache, place: int, node: int) -> None:
    """Take a node out of those with its place in the table."""
    other, after = cache.table[place], cache.nodes[node, CHAIN]
    if other == node:
        cache.table[place] = after
    else:
        while cache.nodes[other, CHAIN] != node:
            other = cache.nodes[other, CHAIN]
        cache.nodes[other, CHAIN] = after


def take(cache: Cache, b: np.ndarray, count: int) -> None:
    """Allocate blocks; there are as many."""
    b[FREE] -= count
    while count > 0 and len(cache.ids):
        node = b[OLD]
        name, span = cache.nodes[node, CONTENT], cache.nodes[node, SPAN]
        part = min(span, count)
        if name >= 0:
            tell(cache, b, int(name + span - part), int(part), False)
            for i in range(span - 1, span - part - 1, -1):
                forget(cache, b, int(name + i))
        if part < span:
            cache.nodes[node, SPAN] = span - part
            return
        unqueue(cache, b, node)
        if name >= 0:
            unchain(cache, hashed(cache, int(name)), node)
        discard(cache, b, node)
        count -= part


def give_run(cache: Cache, b: np.ndarray, count: int) -> None:
    """Free blocks of which nothing is remembered."""
    b[FREE] += count
    if count == 0 or len(cache.ids) == 0:
        return
    node = b[YOUNG]
    if node > 0 and cache.nodes[node, CONTENT] < 0:
        cache.nodes[node, SPAN] += count
        return
    node = obtain(cache, b)
    cache.nodes[node, CONTENT], cache.nodes[node, SPAN] = -1, count
    enqueue(cache, b, node)


def continues(cache: Cache, node: int, name: int) -> bool:
    """Whether an id follows a node that only the request has in which it does so: then it may belong to it."""
    if node <= 0 or cache.nodes[node, USERS] != 1:
        return False
    return cache.nodes[node, CONTENT] + cache.nodes[node, SPAN] == name


def give(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Free the blocks of a request that has computed so many tokens, the last block first."""
    blocks = (tokens + b[BLOCK] - 1) // b[BLOCK]
    if len(cache.ids) == 0:
        b[FREE] += blocks
        return
    first = cache.place[job]
    last = first + min(blocks, cache.ends[job] - first)
    full = min(first + tokens // b[BLOCK], last)
    run = blocks - (last - first)
    at = k = first
    while k < last:  # nodes, and lengths of what is remembered elsewhere, one behind the other where `held` was
        upto = k + cache.held[k]
        if upto > k:
            cache.held[k] = 0
            while k < upto:
                cache.held[at] = node = seek(cache, int(cache.ids[k]))
                k += cache.nodes[node, SPAN]
                at += 1
            continue
        piece = count = last - k
        if k < full:
            node = seek(cache, int(cache.ids[k]))
            if node > 0:
                piece = count = matched(cache, node, k, full)
            else:
                count, name = unknown(cache, k, full), int(cache.ids[k])
                tell(cache, b, name, count, True)
                if at > first and continues(cache, int(cache.held[at - 1]), name):
                    cache.nodes[cache.held[at - 1], SPAN] += count
                    k += count
                    continue
                piece = -enter(cache, b, name, count, 0)
        cache.held[at] = -piece
        k += count
        at += 1
    for i in range(at - 1, first - 1, -1):
        node = cache.held[i]
        cache.held[i] = 0
        if node < 0:
            run -= node
            continue
        if cache.nodes[node, USERS] > 0:
            cache.nodes[node, USERS] -= 1
            if cache.nodes[node, USERS] > 0:
                continue
        else:  # new
            for j in range(cache.nodes[node, SPAN] - 1, -1, -1):
                note(cache, b, int(cache.nodes[node, CONTENT] + j))
        give_run(cache, b, run)
        run = 0
        b[FREE] += cache.nodes[node, SPAN]
        enqueue(cache, b, node)
    give_run(cache, b, run)


def found(cache: Cache, b: np.ndarray, job: int, tokens: int) -> int:
    """Blocks at the beginning of a request's `tokens` tokens that are remembered; the last token never is."""
    if len(cache.ids) == 0:
        return 0
    first = cache.place[job]
    k, end = first, first + min((tokens - 1) // b[BLOCK], cache.ends[job] - first)
    while k < end:
        node = seek(cache, int(cache.ids[k]))
        if node == 0:
            break
        k += matched(cache, node, k, end)
    return k - first


def queued(cache: Cache, job: int, count: int) -> int:
    """How many of the first blocks of a request, all remembered, are not in use by others."""
    total, k = 0, 0
    while k < count:
        first = cache.place[job]
        node = seek(cache, int(cache.ids[first + k]))
        part = matched(cache, node, first + k, first + count)
        if cache.nodes[node, USERS] == 0:
            total += part
        k += part
    return total


def share(cache: Cache, b: np.ndarray, job: int, count: int) -> None:
    """Use the first blocks of a request, all remembered, together with others."""
    if count == 0:
        return
    k = first = cache.place[job]
    cache.held[first] = count
    while k < first + count:
        node = seek(cache, int(cache.ids[k]))
        part = matched(cache, node, k, first + count)
        if part < cache.nodes[node, SPAN]:
            split(cache, b, node, part)
        if cache.nodes[node, USERS] == 0:
            unqueue(cache, b, node)
            b[FREE] -= part
        cache.nodes[node, USERS] += 1
        k += part


def ask_again(cache: Cache, job: int) -> None:
    """A request that is thrown out will ask for its own blocks, also for those that nobody else can have."""
    if len(cache.ids):
        cache.ends[job] = cache.place[job + 1]


def remember(cache: Cache, b: np.ndarray, job: int, begin: int, end: int) -> None:
    """Let others find blocks `begin` to `end` of a request, which it just filled.

    A prompt computed in chunks is one node for as long as the request is its only user, or each chunk would walk over
    all before it.
    """
    if len(cache.ids) == 0 or begin == end:
        return
    k = first = cache.place[job]
    last = min(first + end, cache.ends[job])
    mark = upto = k  # ids between them are those of nodes that the request uses
    own = 0  # the last of these nodes, if it ends where they end and nobody else uses it
    while k < last:
        if cache.held[k] > 0 and k >= upto:
            mark, upto = k, k + cache.held[k]
        node, name = seek(cache, int(cache.ids[k])), int(cache.ids[k])
        if node > 0:
            k += matched(cache, node, k, last)
            own = node if k == upto and cache.nodes[node, USERS] == 1 else 0
        elif k < first + begin:  # it was remembered elsewhere, and is no more
            k += 1
        else:
            count = unknown(cache, k, last)
            if own > 0 and k == upto and name == cache.ids[k - 1] + 1:
                cache.nodes[own, SPAN] += count
            else:
                own = enter(cache, b, name, count, 1)
                mark = upto = k
            tell(cache, b, name, count, True)
            for j in range(count):
                note(cache, b, name + j)
            k += count
            upto += count
            cache.held[mark] = upto - mark


def wipe(cache: Cache, b: np.ndarray) -> None:
    """Forget everything: all blocks are free, and `held` by nobody."""
    for node in range(1, b[MADE] + 1):
        if cache.nodes[node, CONTENT] >= 0:
            tell(cache, b, int(cache.nodes[node, CONTENT]), int(cache.nodes[node, SPAN]), False)
    cache.table[:] = 0
    b[OLD] = b[YOUNG] = b[SPARE] = b[MADE] = 0
