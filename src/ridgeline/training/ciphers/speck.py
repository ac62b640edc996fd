"""SPECK32/64: a real cipher in three operations per round, add, rotate and xor, on halves of 16 bits.

    round    x = (rot(x, -7) + y) xor k,   y = rot(y, 2) xor x           modulo 2^16

Source: Beaulieu et al. 2013 (eprint 2013/404), with its test vector: key 1918 1110 0908 0100 takes 6574 694c to
a868 42f2 in 22 rounds. Blocks of 32 bits are too short to protect anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ROUNDS = 22
KEY = (0x1918, 0x1110, 0x0908, 0x0100)
_MASK = 0xFFFF


def round_keys(key: Sequence[int] = KEY, rounds: int = ROUNDS) -> list[int]:
    """Keys of the rounds from four words of 16 bits, the last word first as published."""
    words = list(reversed(key))
    out, more = [words[0]], words[1:]
    for i in range(rounds - 1):
        spread = ((_right(more[i], 7) + out[i]) & _MASK) ^ i
        more.append(spread)
        out.append(_left(out[i], 2) ^ spread)
    return out


def encrypt(block: np.ndarray, keys: Sequence[int]) -> np.ndarray:
    """Blocks ``uint32[n]`` after as many rounds as there are keys."""
    x, y = block >> 16, block & _MASK
    for key in keys:
        x = ((_right(x, 7) + y) & _MASK) ^ key
        y = _left(y, 2) ^ x
    return (x << 16) | y


def decrypt(block: np.ndarray, keys: Sequence[int]) -> np.ndarray:
    """Undoes `encrypt`."""
    x, y = block >> 16, block & _MASK
    for key in reversed(keys):
        y = _right(y ^ x, 2)
        x = _left(((x ^ key) - y) & _MASK, 7)
    return (x << 16) | y


def _left(word, by: int):
    return ((word << by) | (word >> (16 - by))) & _MASK


def _right(word, by: int):
    return _left(word, 16 - by)
