"""What a cache needs to remember the prefixes of requests by their ids, and what a router needs to know who does.

Knows no time.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate import radix
from ridgeline.simulate.caching import BITS, NODE
from ridgeline.simulate.hashes import Ids
from ridgeline.simulate.pool import Cache
from ridgeline.workload import Requests

FEW = 8
"""Requests with an id from which on a router keeps it in mind which replicas remember it."""


def cache_of(named: Ids, blocks: int, *, again: bool, replicas: int = 1) -> Cache:
    """What a pool of `blocks` blocks needs to remember the prefixes of some requests, with an id for each block.

    `again`: of all, not only of ids that several requests have: requests may come to several pools, or tiers count.
    `replicas` have a pool each: the table of one has places for twice the nodes that prompts begin in it, if they are
    even.
    """
    place, ids, known, *_ = named
    nodes = min(blocks, 2 * known + 1) if known else 0
    return Cache(
        place=place,
        ends=place[1:].copy() if again else named.ends,
        ids=ids,
        held=np.zeros(len(ids), np.int32),
        nodes=np.zeros((nodes + 1, NODE), np.int32),
        table=np.zeros(1 << min(nodes, 64 + 2 * len(named.begins) // replicas).bit_length() if known else 0, np.int32),
        starts=np.zeros(known, np.uint8),
        holders=np.zeros((0, 1), np.int64),
        rows=np.zeros(0, np.int32),
        hits=np.zeros(len(place) - 1, np.int64),
    )


def tree_of(requests: Requests, named: Ids, page: int, pages: int, chunk: int) -> Cache:
    """What a radix tree over `pages` pages needs to remember the prefixes of some requests.

    A node is a page at least. Where memory has no limit, so that nobody is retracted, nodes end where prompts part (as
    many as requests at most), or where a match, a chunk, a prompt or an answer ends.
    """
    place, ids, *_ = named
    nodes = 0
    if len(ids):
        nodes = min(pages, int((requests.prompt + requests.output).sum() // page))
        if pages >= 1 << 30:
            nodes = min(nodes, int(8 * len(requests) + 2 * (requests.prompt // chunk).sum()))
    n = len(requests) if len(ids) else 0
    return Cache(
        place=place,
        ends=place[1:].copy(),
        ids=ids,
        held=np.zeros(3 * n, np.int32),
        nodes=np.zeros((nodes + 1, radix.NODE), np.int32),
        table=np.zeros(1 << min(nodes, 8 * n).bit_length() if n else 0, np.int32),
        starts=np.zeros(0, np.uint8),
        holders=np.zeros((0, 1), np.int64),
        rows=np.zeros(0, np.int32),
        hits=np.zeros(n, np.int64),
    )


def watched(cache: Cache, named: Ids, replicas: int) -> Cache:
    """The same with what a router is told of: ids that FEW requests or more have, and of what comes behind those in a
    prompt the first.

    Only who remembers that one can find any behind it, and few do: so many requests had it. The router asks them.
    Nobody is asked for what is behind `ends`.
    """
    place, ids, requests = named.place, named.ids, named.requests
    wanted = np.zeros(named.known, bool)
    if requests is not None:
        first, _ = named.stretches
        common = requests >= FEW
        wanted[1:] = common[:-1]
        wanted |= common
        wanted[first] = common[first] | common[ids[named.begins - 1]]
        if (cache.ends < place[1:]).any():
            wanted &= requests > 1
    wanted[ids[place[:-1][cache.ends > place[:-1]]]] = True
    names = np.flatnonzero(wanted)
    if not len(names):
        return cache
    rows = np.full(named.known, -1, np.int32)
    rows[names] = np.arange(len(names))
    return cache._replace(rows=rows, holders=np.zeros((len(names), -(-replicas // BITS)), np.int64))
