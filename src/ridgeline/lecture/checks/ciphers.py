"""Chapter 7: networks and ciphers."""

from __future__ import annotations

import numpy as np

from ridgeline.training.ciphers import diffusion, feistel, speck, substitution
from ridgeline.training.rematerialisation import activation_bytes, work

KEYS = tuple(range(0x1000, 0x1000 + 64))
BLOCKS = np.arange(1 << 10, dtype=np.int64) * 0x9E3779B1 % (1 << 32)


def c144(rounds: int) -> float:
    keys = speck.round_keys(rounds=int(rounds))
    return float(diffusion.avalanche(lambda block: speck.encrypt(block, keys), 32, 256).mean())


def c145(difference: int) -> bool:
    """A xor with a key passes a difference for certain; an S-box does not."""
    every = np.arange(1 << 16, dtype=np.uint32)
    added = np.unique((every ^ 0xBEEF) ^ (every ^ np.uint32(int(difference)) ^ 0xBEEF))
    mixed = diffusion.difference(lambda block: substitution.encrypt(block, KEYS[:1]), int(difference), 16)
    return bool(added.tolist() == [int(difference)] and 0 < mixed.chance < 1)


def c148(rounds: int) -> bool:
    made = feistel.mixing_rounds(KEYS[: int(rounds)])
    x, y = BLOCKS >> 16, BLOCKS & 0xFFFF
    back = feistel.back(made, *feistel.forward(made, x, y))
    return bool(np.array_equal(back[0], x) and np.array_equal(back[1], y))


def c149(method: str, layers: float, inside: float, boundary: float) -> float:
    return activation_bytes(method, layers, inside, boundary) / activation_bytes(method, 2.0, inside, boundary)


def c150(rounds: int) -> bool:
    """Each state is the one two rounds before, changed by a function of the one before."""
    made = feistel.mixing_rounds(KEYS[: int(rounds)])
    states = [0x1234, 0xABCD]
    for i, f in enumerate(made):
        states.append(feistel.forward(made[: i + 1], *states[:2])[1])
        if states[-1] != states[-3] ^ f(states[-2]):
            return False
    return True


def c151(method: str, layers: float, inside: float, boundary: float) -> bool:
    """Reversing saves memory and costs work."""
    kept = activation_bytes(method, layers, inside, boundary)
    return kept < activation_bytes("none", layers, inside, boundary) and work(method) > work("none")
