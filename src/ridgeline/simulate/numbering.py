"""Numbers for hash ids in the order in which they first come, and how many requests have each: in one pass.

Equal ids are equal prefixes only if each comes behind the same one wherever it comes; where that is so, an id's number
is known from the id alone. Those that come as 0, 1, 2, ... are their own numbers until one does not, so that nothing is
looked up or written down for them. What comes behind another id than the one with the number before begins a stretch;
what came so at first keeps it in mind behind what it came.

This file is plain Python that `compiled.py` compiles. Knows no cache.
"""

from __future__ import annotations

import numpy as np

STRANGE = -1
"""An id is below 0, or larger than there are places for."""
OTHER = -2
"""An id comes behind different ones, so that the same id stands for different prefixes."""


def number(
    place: np.ndarray,
    ids: np.ndarray,
    numbers: np.ndarray,
    known: np.ndarray,
    heads: np.ndarray,
    above: np.ndarray,
    begins: np.ndarray,
    totals: np.ndarray,
) -> int:
    """Number ids; 0, STRANGE or OTHER.

    Parameters
    ----------
    place, ids
        Where each request's ids begin, and the ids.
    numbers
        int32[ids]: filled with their numbers.
    known
        int32[largest id and 1], zeros: the number and 1 of an id, where it is looked up.
    heads, above
        uint8[ids], zeros, and int32[ids]: by number, whether it first came at the head of a stretch, and behind what
        (-1: first of a request).
    begins
        int32[ids]: filled with where stretches begin.
    totals
        int64[2]: how many numbers and stretches there are.
    """
    count, stretches, in_order = 0, 0, True
    for job in range(len(place) - 1):
        before = -1
        for k in range(place[job], place[job + 1]):
            name = ids[k]
            if name < 0 or name >= len(known):
                return STRANGE
            if in_order and name > count:
                in_order = False
                for i in range(count):
                    known[i] = i + 1
            mine = int(name) if in_order else int(known[name]) - 1
            if mine < 0 or mine == count:
                mine = count
                count += 1
                if not in_order:
                    known[name] = mine + 1
                if before != mine - 1:
                    heads[mine], above[mine] = 1, before
            elif heads[mine]:
                if above[mine] != before:
                    return OTHER
            elif before != mine - 1:
                return OTHER
            if before < 0 or mine != before + 1:
                begins[stretches] = k
                stretches += 1
            numbers[k] = before = mine
    totals[0], totals[1] = count, stretches
    return 0


def tally(place: np.ndarray, numbers: np.ndarray, begins: np.ndarray, requests: np.ndarray, ends: np.ndarray) -> int:
    """Count the requests that have each number, and find where those of each end that others have too.

    Parameters
    ----------
    place, numbers, begins
        As above; all stretches.
    requests
        int32[numbers and 1], zeros: filled with how many requests have each.
    ends
        int64[requests]: filled with where in `numbers` those of a request end that others have.
    """
    count, total = len(begins), 0
    for s in range(count):
        last = (begins[s + 1] if s + 1 < count else len(numbers)) - 1
        requests[numbers[begins[s]]] += 1
        requests[numbers[last] + 1] -= 1
    for i in range(len(requests)):
        total += requests[i]
        requests[i] = total
    s = 0
    for job in range(len(place) - 1):
        end = place[job]
        while s < count and begins[s] < place[job + 1]:
            low, high = int(begins[s]), int(begins[s + 1] if s + 1 < count else len(numbers))
            if end == low and requests[numbers[high - 1]] > 1:
                end = high
            elif end == low:  # those behind one that nobody else has, nobody has
                while low < high:
                    middle = (low + high) // 2
                    if requests[numbers[middle]] > 1:
                        low = middle + 1
                    else:
                        high = middle
                end = low
            s += 1
        ends[job] = end
    return 0
