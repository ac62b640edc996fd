"""Loss as a sum of what parameters and what tokens are missing, and the optima that follow from it.

    L(N, D) = E + A N^-alpha + B D^-beta
    compute C = 6 N D      N* = G (C / 6)^(beta / (alpha + beta)), D* = C / (6 N*),
                           G = (alpha A / (beta B))^(1 / (alpha + beta))
    wedge                  w(N, D) = alpha A N^-alpha / (beta B D^-beta), 1 at the optimum
    other cost of T tokens min N (D + T) at a given loss, where w = 1 + T / D

The last line is the whole economics of over-training: pre-training's share of all cost is 1 / w at the optimum, not a
half or a third. All functions broadcast over arrays. Sources: Hoffmann et al. (2203.15556), Sardana et al.
(2401.00448). Known error: laws fitted at low D / N overstate what very many tokens gain.
"""

from __future__ import annotations

import numpy as np

from ridgeline.arrays import Array
from ridgeline.training.scaling.law import Additive

_STEPS = 200
"""Halvings of an interval in a bisection: far more than a float has digits."""
_WIDEST = (1e-6, 1e12)
"""Tokens over those at the optimum between which an answer is looked for."""


def loss(law: Additive, parameters: Array, tokens: Array) -> Array:
    """L(N, D), nats per token."""
    return law.E + law.A * parameters**-law.alpha + law.B * tokens**-law.beta


def optimum(law: Additive, compute: Array) -> tuple[Array, Array]:
    """N* and D* of least loss at `compute` FLOP."""
    a, b = law.alpha, law.beta
    scale = (a * law.A / (b * law.B)) ** (1 / (a + b))
    parameters = scale * (compute / 6.0) ** (b / (a + b))
    return parameters, compute / (6.0 * parameters)


def optimal_tokens(law: Additive, parameters: Array) -> Array:
    """D* of a model of N* parameters."""
    a, b = law.alpha, law.beta
    return (b * law.B / (a * law.A) * parameters**a) ** (1 / b)


def optimal_parameters(law: Additive, tokens: Array) -> Array:
    """N* of D* tokens."""
    a, b = law.alpha, law.beta
    return (a * law.A / (b * law.B) * tokens**b) ** (1 / a)


def least_compute(law: Additive, target: Array) -> Array:
    """FLOP of the smallest budget that reaches a loss: the frontier L = E + K (C / 6)^-g solved; inf at or below E."""
    a, b = law.alpha, law.beta
    g = a * b / (a + b)
    k = (a + b) * (law.A / b) ** (b / (a + b)) * (law.B / a) ** (a / (a + b))
    gap = np.asarray(target, float) - law.E
    with np.errstate(divide="ignore"):
        found = 6.0 * (k / np.maximum(gap, 0.0)) ** (1 / g)
    return found if np.ndim(found) else float(found)


def wedge(law: Additive, parameters: Array, tokens: Array) -> Array:
    """w: what a share more parameters gains over what the same share more tokens gains."""
    return law.alpha * law.A * parameters**-law.alpha / (law.beta * law.B * tokens**-law.beta)


def implied_extra(law: Additive, parameters: Array, tokens: Array) -> Array:
    """T = (w - 1) D: the cost per parameter beside pre-training, in tokens of training, that makes (N, D) the cheapest.

    Negative where less than the optimum was trained: no extra cost explains it.
    """
    return (wedge(law, parameters, tokens) - 1.0) * tokens


def tokens_for(law: Additive, parameters: Array, extra: Array) -> Array:
    """D at which a model of N parameters is the cheapest of its loss, with `extra` tokens' worth of other cost."""
    extra = np.asarray(extra, float)
    start = np.asarray(optimal_tokens(law, parameters), float)
    low, high = np.broadcast_arrays(np.log(start), np.log(start * _WIDEST[1]))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        d = np.exp(middle)
        short = wedge(law, parameters, d) < 1.0 + extra / d
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    found = np.exp((low + high) / 2)
    return found if np.ndim(found) else float(found)


def cheapest(law: Additive, target: Array, extra: Array) -> tuple[Array, Array]:
    """N and D that reach a loss at least cost N (D + T), T = `extra` tokens; nan at or below the irreducible loss."""
    extra = np.asarray(extra, float)
    compute = np.asarray(least_compute(law, target), float)
    start = optimum(law, compute)[1]
    gap = np.asarray(target, float) - law.E
    least = np.log((law.B / gap) ** (1 / law.beta)) if np.all(gap > 0) else np.full_like(gap, np.nan)
    low, high = np.broadcast_arrays(np.maximum(np.log(start * _WIDEST[0]), least), np.log(start * _WIDEST[1]))
    low = low + 0.0 * extra
    for _ in range(_STEPS):
        middle = (low + high) / 2
        d = np.exp(middle)
        n = _parameters(law, target, d)
        short = wedge(law, n, d) < 1.0 + extra / d
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    d = np.exp((low + high) / 2)
    n = np.asarray(_parameters(law, target, d))
    return (n, d) if n.ndim else (float(n), float(d))


def _parameters(law: Additive, target: Array, tokens: Array) -> Array:
    """N that reaches a loss with D tokens; inf where D alone does not."""
    left = np.asarray(target, float) - law.E - law.B * tokens**-law.beta
    with np.errstate(divide="ignore"):
        return (law.A / np.maximum(left, 0.0)) ** (1 / law.alpha)
