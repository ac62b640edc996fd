"""The KV blocks of a replica: a number. Where requests have ids, `caching.py` puts vLLM's prefix cache in its place.

This file is plain Python that `compiled.py` compiles. Knows no time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

FREE, OLD, YOUNG, SPARE, MADE, BLOCK, NUMBER = range(7)
"""Places in a replica's scalars: free blocks; the ends of the queue; nodes that were used and are not; how many ever
were; tokens per block; the replica's number. All but the first and the last two are of `caching.py`."""


class Cache(NamedTuple):
    """What a pool remembers; all arrays are empty where nothing is."""

    place: np.ndarray
    """int64[n + 1]: where each request's ids begin."""
    ends: np.ndarray
    """int64[n]: where those of each request end that anybody can ask for again: see `prefixes.cache_of`."""
    ids: np.ndarray
    """int32[m]: of successive blocks, from 0."""
    held: np.ndarray
    """int32[m]: the node that the request uses there, of those whose users it is among."""
    nodes: np.ndarray
    """int32[nodes + 1, NODE]."""
    table: np.ndarray
    """int32[power of two]: the first node for each place that `caching.hashed` gives an id."""
    starts: np.ndarray
    """uint8[ids]: whether any node of any replica ever began with an id."""
    holders: np.ndarray
    """int64[rows, words]: for a router, which replicas remember some ids, a bit for each."""
    rows: np.ndarray
    """int32[ids]: the row of an id there; -1: none, nor has any id that follows it. Empty without such a router."""
    hits: np.ndarray
    """int64[n]: tokens found at a request's first admission."""
    lower: Any = None
    """`tiers.Lower`, where there are tiers below."""


def lower_of(lower: Any, r: int) -> Any:
    """What lies below the pool of replica r: nothing."""
    return lower


def lose(jobs: np.ndarray, cache: Cache, b: np.ndarray) -> None:
    """A replica fails, with all that it holds; so do its tiers in `tiers.py`."""


def take(cache: Cache, b: np.ndarray, count: int) -> None:
    """Allocate blocks; there are as many."""
    b[FREE] -= count


def give_run(cache: Cache, b: np.ndarray, count: int) -> None:
    """Free blocks of which nothing is remembered."""
    b[FREE] += count


def give(cache: Cache, b: np.ndarray, job: int, tokens: int) -> None:
    """Free the blocks of a request that has computed so many tokens."""
    b[FREE] += (tokens + b[BLOCK] - 1) // b[BLOCK]


def found(cache: Cache, b: np.ndarray, job: int, tokens: int) -> int:
    """Blocks at the beginning of a request's `tokens` tokens that are remembered."""
    return 0


def queued(cache: Cache, job: int, count: int) -> int:
    """How many of the first blocks of a request, all remembered, are not in use by others."""
    return 0


def share(cache: Cache, b: np.ndarray, job: int, count: int) -> None:
    """Use the first blocks of a request, all remembered, together with others."""


def ask_again(cache: Cache, job: int) -> None:
    """A request that is thrown out will ask for its own blocks."""


def occupy(cache: Cache, b: np.ndarray, job: int, hit: int) -> None:
    """Use what an admitted request found; `tiers.py` may hold it already."""
    share(cache, b, job, hit)


def remember(cache: Cache, b: np.ndarray, job: int, begin: int, end: int) -> None:
    """Let others find blocks `begin` to `end` of a request, which it just filled."""


def wipe(cache: Cache, b: np.ndarray) -> None:
    """Forget everything: all blocks are free, and `held` by nobody."""
