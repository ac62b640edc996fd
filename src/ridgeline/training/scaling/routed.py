"""Laws of mixtures of experts: what more, and finer, experts are worth in a dense model's parameters or compute.

    saturation          1 / E^ = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max
    Clark 2022          log L = a log N + b log E^ + c log N log E^ + d                         (2202.01169, base 10)
    Krajewski 2024      L = c + (g / G^gamma + a) / N^alpha + b / D^beta                         (2402.07871)
    Ludziejewski 2025   L = a E^^-delta N^-(alpha + gamma ln E^) + b E^^-omega D^-(beta + zeta ln E^) + c   (2502.05172)
    Tian 2025           leverage = A^^(a + d log10 C + gamma (log2 G)^2 + beta log2 G)            (2507.17702, Ling)

E experts, G granularity (how many fine experts one of full width makes), A active over all. Each knows only its own
experiments: Clark one length of training, Krajewski 64 experts' worth, Ludziejewski's signs as a survey has them.
"""

from __future__ import annotations

import numpy as np

from ridgeline.arrays import Array
from ridgeline.training.scaling.law import Granular, Joint, Leverage, Routed


def saturated(count: Array, start: float, most: float) -> Array:
    """E^: `count` experts as they count: from `start` at one to `most` without end."""
    return 1.0 / (1.0 / (count - 1.0 + 1.0 / (1.0 / start - 1.0 / most)) + 1.0 / most)


def clark_loss(law: Routed, parameters: Array, experts: Array) -> Array:
    """L of a dense size N with E experts per layer, of which one is used."""
    n, e = np.log10(parameters), np.log10(saturated(experts, law.start, law.most))
    return 10.0 ** (law.a * n + law.b * e + law.c * n * e + law.d)


def clark_equivalent(law: Routed, parameters: Array, experts: Array) -> Array:
    """Parameters of the dense model with the same loss: the effective parameter count."""
    n = np.log10(parameters)
    e, one = (np.log10(saturated(x, law.start, law.most)) for x in (experts, 1.0))
    return 10.0 ** ((law.a * n + law.b * (e - one) + law.c * n * e) / (law.a + law.c * one))


def granular_loss(law: Granular, parameters: Array, tokens: Array, granularity: Array) -> Array:
    """L of N parameters (all, without embeddings) on D tokens with granularity G."""
    return law.c + (law.g * granularity**-law.gamma + law.a) * parameters**-law.alpha + law.b * tokens**-law.beta


def granular_flop(law: Granular, width: Array, blocks: Array, tokens: Array, granularity: Array) -> Array:
    """FLOP of training: (12 d^2 c_f + d E G c_r) D n_blocks, the router's part growing with granularity."""
    return (12.0 * width**2 * law.forward_backward + width * law.expansion * granularity * law.router) * tokens * blocks


def granular_best(law: Granular, compute: float) -> tuple[float, float, float, float]:
    """Dense size, tokens, granularity (a power of two) and loss of least loss at `compute` FLOP.

    Width and depth go together as in the paper: d = 64 blocks. Of a dense size, two thirds are in experts.
    """
    size = np.geomspace(1e6, 1e13, 2801)[:, None]
    grain = 2.0 ** np.arange(10)[None, :]
    blocks = np.cbrt(size / (12.0 * 64.0**2))
    per_token = granular_flop(law, 64.0 * blocks, blocks, 1.0, grain)
    tokens = compute / per_token
    found = np.asarray(granular_loss(law, total_of_dense(law, size), tokens, grain))
    i, j = np.unravel_index(int(np.argmin(found)), found.shape)
    return float(size[i, 0]), float(np.asarray(tokens)[i, j]), float(grain[0, j]), float(found[i, j])


def total_of_dense(law: Granular, dense: Array) -> Array:
    """Parameters of a mixture whose dense model, a third of it attention, has `dense`."""
    return dense * (1.0 + 2.0 * law.expansion) / 3.0


def joint_loss(law: Joint, active: Array, tokens: Array, experts: Array) -> Array:
    """L of N active parameters on D tokens with E experts."""
    e = np.asarray(saturated(experts, law.start, law.most))
    log = np.log(e)
    found = (
        law.a * e**-law.delta * active ** -(law.alpha + law.gamma * log)
        + law.b * e**-law.omega * tokens ** -(law.beta + law.zeta * log)
        + law.c
    )
    return found if np.ndim(found) else float(found)


def leverage(law: Leverage, activation: Array, granularity: Array, compute: Array) -> Array:
    """Compute of the dense model that reaches the same loss, over the mixture's `compute` FLOP."""
    grain = np.log2(granularity)
    power = law.a + law.d * np.log10(compute) + law.gamma * grain**2 + law.beta * grain
    return saturated(activation + 1.0, law.start, law.most) ** power


def best_granularity(law: Leverage) -> float:
    """G of most leverage at activation ratios below 1: 2^(-beta / (2 gamma))."""
    return float(2.0 ** (-law.beta / (2.0 * law.gamma)))
