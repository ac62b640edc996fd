"""The hash ids of requests as the cache of an engine needs them: one for each full block, equal only if all before is.

A workload's ids stand for `hash_block` tokens, an engine's for `block_size`. A longer id is cut into parts, shorter
ones are joined; one length must divide the other. An id that follows other ids is another id, as in vLLM, where the
hash of a block contains that of the block before. Knows no cache.
"""

from __future__ import annotations

import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate import radix
from ridgeline.simulate.caching import BITS, NODE
from ridgeline.simulate.pool import Cache
from ridgeline.workload import Requests

PART = 1 << 15
"""Ids that are looked at together: what is computed of them stays in a processor's cache."""
FEW = 8
"""Requests with an id from which on a router keeps it in mind which replicas remember it."""


def cache_of(requests: Requests, block: int, blocks: int) -> Cache:
    """What a pool of `blocks` blocks of `block` tokens needs to remember the prefixes of some requests."""
    place, ids = block_ids(requests, block)
    known = int(ids.max(initial=-1)) + 1
    nodes = min(blocks, 2 * known + 1) if known else 0
    return Cache(
        place=place,
        ids=ids.astype(np.int32),
        held=np.zeros(len(ids), np.int32),
        nodes=np.zeros((nodes + 1, NODE), np.int32),
        table=np.zeros(1 << nodes.bit_length() if known else 0, np.int32),
        holders=np.zeros((0, 1), np.int64),
        rows=np.zeros(0, np.int32),
        hits=np.zeros(len(requests) if known else 0, np.int64),
    )


def tree_of(requests: Requests, page: int, pages: int, chunk: int) -> tuple[Cache, int]:
    """What a radix tree over `pages` pages needs to remember the prefixes of some requests; pages of an id.

    A node is a page at least. Where memory has no limit, so that nobody is retracted, nodes end where prompts part (as
    many as requests at most), or where a match, a chunk, a prompt or an answer ends.
    """
    place, ids, parts = named(requests, page)
    nodes = 0
    if len(ids):
        nodes = min(pages, int((requests.prompt + requests.output).sum() // page))
        if pages >= 1 << 30:
            nodes = min(nodes, int(8 * len(requests) + 2 * (requests.prompt // chunk).sum()))
    n = len(requests) if len(ids) else 0
    cache = Cache(
        place=place,
        ids=ids.astype(np.int32),
        held=np.zeros(3 * n, np.int32),
        nodes=np.zeros((nodes + 1, radix.NODE), np.int32),
        table=np.zeros(1 << min(nodes, 8 * n).bit_length() if n else 0, np.int32),
        holders=np.zeros((0, 1), np.int64),
        rows=np.zeros(0, np.int32),
        hits=np.zeros(n, np.int64),
    )
    return cache, parts


def watched(cache: Cache, replicas: int) -> Cache:
    """The same with what a router is told of: ids that FEW requests or more have, and of what comes behind those in a
    prompt the first.

    Only who remembers that one can find any behind it, and few do: so many requests had it. The router asks them.
    """
    place, ids = cache.place, cache.ids
    known, begins = int(ids.max()) + 1, place[:-1][np.diff(place) > 0]
    wanted = np.zeros(known, bool)
    if known < len(ids):
        breaks = _breaks(ids)
        breaks[begins] = True
        at = np.flatnonzero(breaks)
        first, last = ids[at], ids[np.append(at[1:], len(ids)) - 1]
        change = np.bincount(first, minlength=known + 1) - np.bincount(last + 1, minlength=known + 1)
        common = np.cumsum(change[:known]) >= FEW
        wanted[1:] = common[:-1]
        wanted |= common
        wanted[first] = common[first] | common[ids[at - 1]]
    wanted[ids[begins]] = True
    names = np.flatnonzero(wanted)
    rows = np.full(known, -1, np.int32)
    rows[names] = np.arange(len(names))
    return cache._replace(rows=rows, holders=np.zeros((len(names), -(-replicas // BITS)), np.int64))


def block_ids(requests: Requests, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each request's ids begin, and the ids of its blocks, numbered from 0; nothing without hash ids."""
    place, ids, parts = named(requests, block)
    if parts > 1:
        place, ids = place * parts, (ids[:, None] * parts + np.arange(parts)).ravel()
    return place, ids


def named(requests: Requests, block: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The same of ids that stand for as many blocks as the last number says.

    Raises
    ------
    InputError
        If neither length divides the other.
    """
    place, ids, length = requests.hash_offsets, requests.hash_ids, requests.hash_block
    if place is None or ids is None or not len(ids):
        return np.zeros(1, np.int64), np.zeros(0, np.int64), 1
    if length % block and block % length:
        raise InputError(f"blocks of {block} tokens", f"a divisor or multiple of the {length} tokens of a hash id")
    if block > length:
        place, ids = _joined(place, ids, block // length)
    return place, _chained(place, ids), max(length // block, 1)


def _joined(place: np.ndarray, ids: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of `parts` successive ids; what is left at a request's end has none."""
    counts = np.diff(place) // parts
    joined = np.concatenate([[0], np.cumsum(counts)])
    start = np.repeat(place[:-1] - joined[:-1] * parts, counts) + np.arange(joined[-1]) * parts
    if not len(start):
        return joined, np.zeros(0, np.int64)
    _, numbers = np.unique(ids[start[:, None] + np.arange(parts)], axis=0, return_inverse=True)
    return joined, numbers.ravel().astype(np.int64)


def _chained(place: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Ids that are equal only if those before them are, numbered from 0 in the order in which they first come.

    So those of a prompt are neighbours, in a table too.
    """
    if not len(ids) or _in_order(place, ids):
        return ids
    if not 0 <= ids.min() <= ids.max() < 4 * len(ids):
        _, ids = np.unique(ids, return_inverse=True)
    ids = ids.astype(np.int32)  # half the memory takes half the time
    if not _prefixes(place, ids):
        ids = _of_prefixes(place, ids)
    first, at = np.empty(int(ids.max()) + 1, np.int32), np.arange(len(ids), dtype=np.int32)
    first[ids[::-1]] = at[::-1]
    first = first[ids]
    return (np.cumsum(first == at, dtype=np.int32) - 1)[first]


def _breaks(ids: np.ndarray) -> np.ndarray:
    """Whether each id is another than the one before it and one more."""
    breaks = np.ones(len(ids), bool)
    for k in range(1, len(ids), PART):
        before = ids[k - 1 : min(k - 1 + PART, len(ids) - 1)]
        np.not_equal(ids[k : k + PART], before + 1, out=breaks[k : k + PART])
    return breaks


def _in_order(place: np.ndarray, ids: np.ndarray) -> bool:
    """Whether ids come as 0, 1, 2, ... and each has the same one before it wherever it comes, or none.

    That is asked of stretches in which each id is one more than that before it; there are few.
    """
    breaks = _breaks(ids)
    if ids[0] == 0 and np.count_nonzero(breaks) == 1:
        return True
    begins = place[:-1][np.diff(place) > 0]
    breaks[begins] = True
    at = np.flatnonzero(breaks)
    first, last, before = ids[at], ids[np.append(at[1:], len(ids)) - 1], ids[at - 1]
    before[np.searchsorted(at, begins)] = -1
    most = np.maximum.accumulate(np.append(-1, last[:-1]))
    if first.min() < 0 or (first > most + 1).any():
        return False
    odd = (first == most + 1) & (before != first - 1)
    rare = first[odd]  # ids that do not follow the one that is one less, rising
    known, place_of = first - 1, np.searchsorted(rare, first)
    found = np.flatnonzero(np.append(rare, -2)[place_of] == first)
    known[found] = before[odd][place_of[found]]
    inside = np.searchsorted(rare, first, "right") != np.searchsorted(rare, last, "right")
    return bool((known == before).all() and not inside.any())


def _prefixes(place: np.ndarray, ids: np.ndarray) -> bool:
    """Whether each id has the same one before it wherever it comes, or none: then equal ids are equal prefixes."""
    before = np.empty_like(ids)
    before[1:] = ids[:-1]
    before[place[:-1][np.diff(place) > 0]] = -1
    known = np.empty(int(ids.max()) + 1, ids.dtype)
    known[ids] = before
    return bool((known[ids] == before).all())


def _of_prefixes(place: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Numbers of ids together with all before them."""
    counts = np.diff(place)
    chained = np.empty(len(ids), np.int64)
    parent, known = np.zeros(len(counts), np.int64), 0
    order = np.argsort(-counts, kind="stable")
    begin, width = place[:-1][order], int(ids.max(initial=0)) + 1
    alive = np.searchsorted(-counts[order], -np.arange(1, int(counts.max(initial=0)) + 1), side="right")
    for depth, count in enumerate(alive.tolist()):
        at = begin[:count] + depth
        _, numbers = np.unique(parent[:count] * width + ids[at], return_inverse=True)
        parent[:count] = numbers
        chained[at] = numbers + known
        known += int(numbers.max()) + 1
    return chained
