"""How a change spreads through a cipher: avalanche, the strict criterion, and differences that pass with some chance.

    avalanche      P[i, j] = chance that output bit j flips with input bit i;   mean flips = sum over j
    strict         every P[i, j] is 1/2; the deviation is the largest |P - 1/2|
    difference     chance over x that F(x) xor F(x xor a) = b: a derivative over bits

Estimated on random blocks: the error of a P is about 1/2 over the root of their number. Knows no key but the one given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Cipher = Callable[[np.ndarray], np.ndarray]


class Difference(NamedTuple):
    """The most frequent output difference of an input difference."""

    given: int
    found: int
    chance: float


def avalanche(cipher: Cipher, width: int, blocks: int = 1024, seed: int = 0) -> np.ndarray:
    """``float[width, width]``: P of a cipher on blocks of `width` bits."""
    x = np.random.default_rng(seed).integers(0, 1 << width, blocks, dtype=np.uint32)
    plain, bits = cipher(x), np.arange(width, dtype=np.uint32)
    flipped = np.stack([cipher(x ^ np.uint32(1 << i)) ^ plain for i in range(width)])
    return ((flipped[:, :, None] >> bits) & 1).mean(1)


def deviation(table: np.ndarray) -> float:
    """Largest distance of an avalanche table from the strict criterion's 1/2."""
    return float(np.abs(table - 0.5).max())


def difference(cipher: Cipher, given: int, width: int, blocks: int = 1 << 16, seed: int = 0) -> Difference:
    """The most frequent output difference for an input difference; all blocks where there are no more than asked."""
    every = 1 << width
    if every <= blocks:
        x = np.arange(every, dtype=np.uint32)
    else:
        x = np.random.default_rng(seed).integers(0, every, blocks, dtype=np.uint32)
    found, counts = np.unique(cipher(x) ^ cipher(x ^ np.uint32(given)), return_counts=True)
    best = int(counts.argmax())
    return Difference(given, int(found[best]), float(counts[best]) / len(x))


def best_difference(cipher: Cipher, width: int, blocks: int = 1 << 11) -> Difference:
    """The most likely of all differences of one input bit: what a differential attack would begin with."""
    return max((difference(cipher, 1 << i, width, blocks) for i in range(width)), key=lambda each: each.chance)
