"""When data runs out: repeated tokens and excess parameters lose value.

    D' = U + U R*_D (1 - exp(-R_D / R*_D)),   R_D = D / U - 1 repetitions of U unique tokens
    N' = the same with U_N = min(N, N*(U)), R_N = N / U_N - 1, R*_N;          L = E + A N'^-alpha + B D'^-beta

Source: Muennighoff et al. 2023 (2305.16264). At most 1 + R*_D = 16.4 times the unique tokens can be had of them.
"""

from __future__ import annotations

import numpy as np

from ridgeline.arrays import Array
from ridgeline.training.scaling import additive
from ridgeline.training.scaling.law import Repeated


def effective(total: Array, unique: Array, half: float) -> Array:
    """What `total` is worth where only `unique` is new: U + U R* (1 - exp(-R / R*)); never more than `total`."""
    repeats = np.maximum(total / unique - 1.0, 0.0)
    found = np.minimum(total, unique) + unique * half * -np.expm1(-repeats / half)
    return found if np.ndim(found) else float(found)


def loss(law: Repeated, parameters: Array, tokens: Array, unique: Array) -> Array:
    """L of N parameters on D tokens of which `unique` are new."""
    enough = np.minimum(parameters, additive.optimal_parameters(law, np.minimum(unique, tokens)))
    n = effective(parameters, enough, law.half_parameters)
    d = effective(tokens, unique, law.half_tokens)
    return additive.loss(law, n, d)


def best(law: Repeated, compute: float, unique: float) -> tuple[float, float, float]:
    """N, D and loss of least loss at `compute` FLOP with `unique` tokens, on a fine grid of D."""
    start = additive.optimum(law, compute)[1]
    tokens = np.geomspace(start / 1e3, start * 1e3, 6001)
    found = loss(law, compute / (6.0 * tokens), tokens, unique)
    i = int(np.argmin(found))
    return float(compute / (6.0 * tokens[i])), float(tokens[i]), float(np.asarray(found)[i])
