"""The hash ids of requests as the cache of an engine needs them: one for each full block, equal only if all before is.

A workload's ids stand for `hash_block` tokens, an engine's for `block_size`. A longer id is cut into parts, shorter
ones are joined; one length must divide the other. An id that follows other ids is another id, as in vLLM, where the
hash of a block contains that of the block before. Knows no cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate import numbering
from ridgeline.simulate.compiled import compiled
from ridgeline.simulate.native import Entry
from ridgeline.workload import Requests

PART = 1 << 15
"""Ids that are looked at together: what is computed of them stays in a processor's cache."""
MOST = (1 << 31) - 1
"""Blocks that are told apart."""


class Ids(NamedTuple):
    """The ids of requests, numbered from 0 in the order in which they first come."""

    place: np.ndarray
    """int64[n + 1]: where each request's begin."""
    ids: np.ndarray
    """int32[m]."""
    known: int
    """How many different ones."""
    parts: int
    """Blocks that each stands for."""
    begins: np.ndarray
    """int[stretches]: where stretches begin in which each is one more than the one before it, in a request."""
    requests: np.ndarray | None
    """int[known]: requests that have each; None: each has one."""
    ends: np.ndarray
    """int64[n]: where those of a request end that others have too."""

    @property
    def stretches(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last id of each stretch."""
        return self.ids[self.begins], self.ids[np.append(self.begins[1:], len(self.ids)) - 1]

    def cut(self) -> Ids:
        """The same with one id for each block.

        Raises
        ------
        InputError
            For more different blocks than 32 bits tell apart.
        """
        place, ids, known, parts, begins, requests, ends = self
        if parts == 1:
            return self
        if known * parts > MOST:
            raise InputError(f"{known:,} hash ids of {parts:,} blocks each", f"at most {MOST:,} blocks", "--block-size")
        ids = (ids[:, None] * np.int32(parts) + np.arange(parts, dtype=np.int32)).ravel()
        requests = None if requests is None else np.repeat(requests, parts)
        return Ids(place * parts, ids, known * parts, 1, begins * parts, requests, ends * parts)


NONE = Ids(np.zeros(1, np.int64), np.zeros(0, np.int32), 0, 1, np.zeros(0, np.int64), None, np.zeros(0, np.int64))
"""Of requests without."""


def named(requests: Requests, block: int, quick: bool = False) -> Ids:
    """The ids of requests, of an engine's blocks of `block` tokens; `quick`: numbered by compiled code.

    Raises
    ------
    InputError
        If neither length divides the other.
    """
    place, ids, length = requests.hash_offsets, requests.hash_ids, requests.hash_block
    if place is None or ids is None or not len(ids):
        return NONE
    if length % block and block % length:
        raise InputError(f"blocks of {block} tokens", f"a divisor or multiple of the {length} tokens of a hash id")
    if not place.flags.writeable:  # as of another process or a mapped file; that is another type to compiled code
        place = place.copy()
    if block > length:
        place, ids = _joined(place, ids, block // length)
    parts = max(length // block, 1)
    made = compiled(numbering) if quick and len(ids) else None
    found = numbered(made, place, ids, parts) if made and isinstance(made.number, Entry) else None
    return found or chained(place, ids, parts)


def numbered(made: Any, place: np.ndarray, ids: np.ndarray, parts: int) -> Ids | None:
    """Ids numbered by `numbering.py`, as `made` of it; None: they are not those of prefixes."""
    count = len(ids)
    numbers, begins, totals = np.empty(count, np.int32), np.empty(count, np.int32), np.zeros(2, np.int64)
    heads, above = np.zeros(count, np.uint8), np.empty(count, np.int32)
    if made.number(place, ids, numbers, np.zeros(4 * count, np.int32), heads, above, begins, totals) < 0:
        return None
    (known, stretches), ends = totals.tolist(), place[:-1].copy()
    begins = begins[:stretches]
    if known == count:
        return Ids(place, numbers, known, parts, begins, None, ends)
    several = np.zeros(known + 1, np.int32)
    made.tally(place, numbers, begins, several, ends)
    return Ids(place, numbers, known, parts, begins, several[:-1], ends)


def chained(place: np.ndarray, ids: np.ndarray, parts: int) -> Ids:
    """Ids numbered by NumPy, also those that are not of prefixes."""
    if not len(ids):
        return NONE._replace(place=place, ends=place[:-1])
    ids = _numbers(place, ids).astype(np.int32)
    known, ends = int(ids.max()) + 1, place[:-1].copy()
    some = np.flatnonzero(np.diff(place))
    if known == len(ids):
        return Ids(place, ids, known, parts, place[some], None, ends)
    breaks = _breaks(ids)
    breaks[place[some]] = True
    found = Ids(place, ids, known, parts, np.flatnonzero(breaks), None, ends)
    first, last = found.stretches
    several = np.cumsum(np.bincount(first, minlength=known + 1) - np.bincount(last + 1, minlength=known + 1))[:known]
    below = np.append(0, np.cumsum(several > 1))
    ends[some] += np.add.reduceat(below[last + 1] - below[first], np.searchsorted(found.begins, place[some]))
    return found._replace(requests=several)


def _joined(place: np.ndarray, ids: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids of `parts` successive ids; what is left at a request's end has none."""
    counts = np.diff(place) // parts
    joined = np.concatenate([[0], np.cumsum(counts)])
    start = np.repeat(place[:-1] - joined[:-1] * parts, counts) + np.arange(joined[-1]) * parts
    if not len(start):
        return joined, np.zeros(0, np.int64)
    _, numbers = np.unique(ids[start[:, None] + np.arange(parts)], axis=0, return_inverse=True)
    return joined, numbers.ravel().astype(np.int64)


def _numbers(place: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Ids that are equal only if those before them are, numbered from 0 in the order in which they first come.

    So those of a prompt are neighbours, in a table too.
    """
    if _in_order(place, ids):
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
    first, last = ids[at], ids[np.append(at[1:], len(ids)) - 1]
    before = ids[at - 1]
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
