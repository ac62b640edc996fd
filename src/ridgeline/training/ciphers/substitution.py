"""A toy substitution-permutation network on 16 bits: the shape of AES, small enough to tabulate.

    round    xor the key, four S-boxes of 4 bits, then bit i of box j goes to bit j of box i

S-box and permutation are those of H. Heys' tutorial on linear and differential cryptanalysis (2001). Boxes mix within
four bits, the permutation between them: rows and columns, as a transformer's feed-forward and attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BOX = np.array([0xE, 0x4, 0xD, 0x1, 0x2, 0xF, 0xB, 0x8, 0x3, 0xA, 0x6, 0xC, 0x5, 0x9, 0x0, 0x7], dtype=np.uint32)

UNBOX = np.argsort(BOX).astype(np.uint32)
"""The box backwards."""


def encrypt(block: np.ndarray, keys: Sequence[int]) -> np.ndarray:
    """Blocks ``uint32[n]`` of 16 bits after as many rounds as there are keys."""
    for key in keys:
        block = _spread(_substituted(block ^ np.uint32(key)))
    return block


def recovered(keys: Sequence[int], given: int, expected: int, pairs: int = 4096, seed: int = 0) -> tuple[int, int]:
    """A differential attack on the last key: the nibbles of it that a likely difference betrays, and a mask of them.

    The last key is added after the last round. If `given` at the input becomes `expected` before the last S-boxes more
    often than chance has it, undoing that round with the right nibble shows it most often; a wrong one shows chance.

    Parameters
    ----------
    keys
        Keys of the rounds, and one that is added at the end.
    given, expected
        Difference of the inputs; of the states before the last S-boxes.
    pairs
        Pairs of chosen inputs.
    """
    x = np.random.default_rng(seed).integers(0, 1 << 16, pairs, dtype=np.uint32)
    one, other = (_gathered(encrypt(block, keys[:-1]) ^ np.uint32(keys[-1])) for block in (x, x ^ np.uint32(given)))
    guess, mask = 0, 0
    for j in range(4):
        wanted = (expected >> (4 * j)) & 15
        if not wanted:
            continue
        a, b = ((block >> np.uint32(4 * j)) & np.uint32(15) for block in (one, other))
        hits = [int((UNBOX[a ^ k] ^ UNBOX[b ^ k] == wanted).sum()) for k in range(16)]
        guess |= int(np.argmax(hits)) << (4 * j)
        mask |= 15 << (4 * j)
    return guess, mask


def before_last(keys: Sequence[int]) -> int:
    """The last key as the S-boxes of the last round see it: what `recovered` finds nibbles of."""
    return int(_gathered(np.array([keys[-1]], dtype=np.uint32))[0])


def differences(box: np.ndarray = BOX) -> np.ndarray:
    """``int[m, m]``: how many inputs x have box[x] xor box[x xor a] = b, for each a and b.

    Rows sum to the number of inputs; m / 2 in a cell would be a derivative that is certain half of the time.
    """
    size = len(box)
    x = np.arange(size)
    table = np.zeros((size, size), dtype=int)
    for a in range(size):
        table[a] = np.bincount(box[x] ^ box[x ^ a], minlength=size)
    return table


def _substituted(block: np.ndarray) -> np.ndarray:
    out = np.zeros_like(block)
    for j in range(4):
        out |= BOX[(block >> np.uint32(4 * j)) & np.uint32(15)] << np.uint32(4 * j)
    return out


def _gathered(block: np.ndarray) -> np.ndarray:
    """Undoes `_spread`, which is its own inverse: a transposition."""
    return _spread(block)


def _spread(block: np.ndarray) -> np.ndarray:
    out = np.zeros_like(block)
    for i in range(4):
        for j in range(4):
            out |= ((block >> np.uint32(4 * i + j)) & np.uint32(1)) << np.uint32(4 * j + i)
    return out
