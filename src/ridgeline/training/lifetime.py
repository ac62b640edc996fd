"""What a model costs over its life, and how long to train it: the rule of equal costs beside the exact optimum.

    cost / N = 6 D + c_rl D_rl + p (c_in T_in + c_hit T_hit + c_out T_out)      FLOP at training's rate per parameter
    everything but pre-training, in tokens of training:   X = (c_rl D_rl + p sum c T) / 6
    exact, at a given loss:     w(N, D) = 1 + X / D                              (`scaling.additive`)
    equal costs, thirds:        C_pt = C_rl = C_inf  =>  D = p sum c T / 6
    equal costs, halves:        C_pt + C_rl = C_inf, C_pt = C_rl  =>  half of that
    traffic                     rate(t) = peak min(t / ramp, 1) 2^-((t - ramp)+ / half-life), until the end of life

c is what a token of each kind costs in chip time at the rate that training reaches: 2 / efficiency for a forward pass.
p: chance that the model is ever served. The rule is exact only if a share more parameters and the same share more
tokens are worth the same (w = 2 or 3); N cancels in it, so it cannot choose N. Source: R. Pope in D. Patel's lecture on
serving (2026), part on over-training. Knows no discounting and no successor that takes traffic away.
"""

from __future__ import annotations

import math

from ridgeline.arrays import Array
from ridgeline.errors import InputError

CHINCHILLA = 20.0
"""Tokens per parameter that count as not over-trained."""


def traffic(peak: float, life: float, ramp: float = 0.0, half_life: float = math.inf) -> float:
    """Tokens of `life` seconds whose rate rises to `peak` tok/s within `ramp` s and then halves every `half_life` s.

    Raises
    ------
    InputError
        For times that are not above 0 (ramp: below 0).
    """
    if not (life > 0 and half_life > 0 and ramp >= 0 and peak >= 0):
        raise InputError("--life, --half-life and --ramp", "times above 0", "leave --ramp out for none")
    rising = min(ramp, life)
    tokens = peak * rising**2 / (2 * ramp) if ramp else 0.0
    rest = life - rising
    if math.isinf(half_life):
        return tokens + peak * rest
    scale = half_life / math.log(2)
    return tokens + peak * scale * -math.expm1(-rest / scale)


def token_cost(chip_seconds: Array, rate: Array, parameters: Array) -> Array:
    """c: FLOP per parameter that the chip time of one token is worth at training's `rate`, FLOP/s per chip."""
    return chip_seconds * rate / parameters


def equal_thirds(inference: Array) -> Array:
    """Tokens of pre-training by the rule of three equal costs; `inference` is p sum c T, FLOP per parameter."""
    return inference / 6.0


def equal_halves(inference: Array) -> Array:
    """The same where pre-training and RL, equal to each other, together cost what inference does."""
    return inference / 12.0


def extra_tokens(rl: Array, inference: Array) -> Array:
    """X: all cost but pre-training's in tokens of training; arguments in FLOP per parameter."""
    return (rl + inference) / 6.0
