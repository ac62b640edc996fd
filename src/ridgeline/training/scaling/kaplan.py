"""Kaplan et al. 2020: loss in parameters, data and compute, and how they said a budget should be spent.

    L(N) = (N_c / N)^alpha_n                           L(D) = (D_c / D)^alpha_d
    L(N, D) = ((N_c / N)^(alpha_n / alpha_d) + D_c / D)^alpha_d
    L(C_min) = (C_c / C)^alpha_c   N* = N_e C^0.73   D* = D_e C^0.27   B_crit = B* / L^(1 / alpha_b)     C in PF-days

N without embeddings. Source: 2001.08361. Known error: N* grows too fast (learning rates that did not fit each length,
embeddings left out; Pearce and Song, 2406.12907); Chinchilla's exponent is 0.5.
"""

from __future__ import annotations

from ridgeline.arrays import Array
from ridgeline.training.scaling.law import Kaplan

PF_DAY = 1e15 * 86400.0
"""FLOP."""


def loss(law: Kaplan, parameters: Array, tokens: Array) -> Array:
    """L(N, D), nats per token."""
    return ((law.N_c / parameters) ** (law.alpha_n / law.alpha_d) + law.D_c / tokens) ** law.alpha_d


def loss_of_parameters(law: Kaplan, parameters: Array) -> Array:
    """L(N) with data and compute without end."""
    return (law.N_c_alone / parameters) ** law.alpha_n_alone


def loss_of_tokens(law: Kaplan, tokens: Array) -> Array:
    """L(D) of a large model, stopped early."""
    return (law.D_c_alone / tokens) ** law.alpha_d_alone


def loss_of_compute(law: Kaplan, compute: Array) -> Array:
    """L(C_min) of `compute` FLOP, best spent."""
    return (law.C_c / (compute / PF_DAY)) ** law.alpha_c


def optimum(law: Kaplan, compute: Array) -> tuple[Array, Array]:
    """N* and D* of `compute` FLOP."""
    days = compute / PF_DAY
    return law.N_e * days**law.p_n, law.D_e * days**law.p_d


def critical_batch(law: Kaplan, loss: Array) -> Array:
    """Tokens per step beyond which larger batches save little time, at a loss: B* / L^(1 / alpha_b)."""
    return law.B_star / loss ** (1 / law.alpha_b)
