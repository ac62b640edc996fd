"""A Feistel network: rounds that can be undone although their functions cannot.

    forward    (x, y) -> (y, x xor f(y))             one function per round, from two states back
    back       (x, y) -> (y xor f(x), x)

The same with + in place of xor is the reversible layer of a network: x'' = x + f(x'). Exact for any f that gives the
same value twice, in integers as in xor; in floats up to rounding.
Source: H. Feistel, Cryptography and Computer Privacy (1973); Gomez et al. 2017 (arXiv:1707.04585) for networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ridgeline.arrays import Array

Round = Callable[[Array], Array]


def forward(rounds: Sequence[Round], x: Array, y: Array) -> tuple[Array, Array]:
    """Both halves after all rounds; integers or integer arrays of any shape."""
    for f in rounds:
        x, y = y, x ^ f(y)
    return x, y


def back(rounds: Sequence[Round], x: Array, y: Array) -> tuple[Array, Array]:
    """Both halves before all rounds: undoes `forward` exactly, whatever the functions are."""
    for f in reversed(rounds):
        x, y = y ^ f(x), x
    return x, y


def mixing_rounds(keys: Sequence[int], width: int = 16) -> list[Round]:
    """Rounds of a toy cipher with halves of `width` bits: rotate, multiply, add the key, all modulo 2^width.

    f(y) = (rot(y, 3) * 0x9E37 + key) xor rot(y, 7): not invertible, which does not matter.
    """
    mask = (1 << width) - 1

    def rotated(y: Array, by: int) -> Array:
        return ((y << by) | (y >> (width - by))) & mask

    def of(key: int) -> Round:
        return lambda y: ((rotated(y, 3) * 0x9E37 + key) & mask) ^ rotated(y, 7)

    return [of(key) for key in keys]
