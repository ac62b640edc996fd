"""Ticks of a step, from the tables of a law: whole numbers, so that sums are exact in whatever order.

    decode(n, S) = base[n, j] + slope[n, j] * S      for bound[n, j - 1] <= S < bound[n, j]

and what chunks of prompts add, as `law.py` says it. This file is plain Python that `compiled.py` compiles. Knows
nothing of what a step is made of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

FAR = np.iinfo(np.int64).max
"""Bound of the last piece."""

BOUND, BASE, SLOPE, BINDS = range(4)
"""Columns of a piece: cached tokens at which it ends (the last FAR), ticks, ticks per cached token, what binds."""


class Tables(NamedTuple):
    """A law as the engine reads it; times in ticks, what binds as in `roofline.TERMS`."""

    tokens: np.ndarray
    """int64[2, most tokens + 1]: ticks, 0 for no token; what binds in a step with chunks."""
    sequences: np.ndarray
    """int64[most sequences + 1]; 0 for none."""
    pieces: np.ndarray
    """int64[most sequences + 1, pieces, 4]: columns as above; slopes are not negative."""
    chunk: np.ndarray
    """float64[a + 1, b + 1]: ticks per new token; the first column has the chunks' lengths, the first row the cached
    tokens before them, from 0."""
    first: np.ndarray
    """float64[2, k]: knots of the most tokens that a chunk sees, and ticks that a step with chunks takes more there."""


def decode_piece(pieces: np.ndarray, decodes: int, contexts: int) -> int:
    """Which piece of the law a decode step is on."""
    j = 0
    while contexts >= pieces[decodes, j, BOUND]:
        j += 1
    return j


def decode_ticks(pieces: np.ndarray, decodes: int, contexts: int) -> int:
    """Ticks of a step that only decodes."""
    j = decode_piece(pieces, decodes, contexts)
    return pieces[decodes, j, BASE] + pieces[decodes, j, SLOPE] * contexts


def chunk_ticks(chunk: np.ndarray, new: int, past: int) -> float:
    """Ticks of attention of one chunk, between the knots."""
    i, high = 1, chunk.shape[0] - 1
    while high - i > 1:
        middle = (i + high) // 2
        if new >= chunk[middle, 0]:
            i = middle
        else:
            high = middle
    j, high = 1, chunk.shape[1] - 1
    if past == 0:
        high = 2
    while high - j > 1:
        middle = (j + high) // 2
        if past >= chunk[0, middle]:
            j = middle
        else:
            high = middle
    x = (new - chunk[i, 0]) / (chunk[i + 1, 0] - chunk[i, 0])
    y = (past - chunk[0, j]) / (chunk[0, j + 1] - chunk[0, j])
    near = chunk[i, j] + (chunk[i, j + 1] - chunk[i, j]) * y
    far = chunk[i + 1, j] + (chunk[i + 1, j + 1] - chunk[i + 1, j]) * y
    return new * (near + (far - near) * x)


def first_ticks(first: np.ndarray, longest: int) -> float:
    """Ticks that a step with chunks takes more, between the knots and beyond."""
    i = 0
    while i + 2 < first.shape[1] and longest >= first[0, i + 1]:
        i += 1
    rise = (first[1, i + 1] - first[1, i]) / (first[0, i + 1] - first[0, i])
    return first[1, i] + rise * (longest - first[0, i])


def mixed_ticks(
    law: Tables, decodes: int, contexts: int, usual: int, total: int, chunks: int, cost: float, longest: int
) -> int:
    """Ticks of a step of `total` tokens with `chunks` chunks, whose attention takes `cost`.

    `usual` tokens are what as many decoding sequences compute without chunks.
    """
    tokens, sequences = law.tokens, law.sequences
    ticks = tokens[0, total] - tokens[0, usual] + sequences[decodes + chunks] - sequences[decodes]
    return decode_ticks(law.pieces, decodes, contexts) + ticks + int(cost + first_ticks(law.first, longest) + 0.5)


def steps_until(target: int, first: int, rise: int) -> int:
    """Least k >= 1 with k first + rise k (k - 1) / 2 >= target."""
    if rise == 0:
        k = (target + first - 1) // first
    else:
        half = first - 0.5 * rise
        k = int((np.sqrt(half * half + 2.0 * rise * target) - half) / rise)
        while k > 1 and (k - 1) * first + rise * ((k - 1) * (k - 2) // 2) >= target:
            k -= 1
        while k * first + rise * (k * (k - 1) // 2) < target:
            k += 1
    return max(k, 1)
