"""Does pipelining still pay? Weights divided over stages, against weights gathered from all chips before each use.

n chips in domains of G; a replica is p stages of one domain each, d = n / (p G) replicas; a step has T tokens. Inside a
stage every chip computes its own sequences; experts stay where they are (their all-to-all is the same in all variants
and left out), other weights (N_s bytes) are gathered:

    math        6 N_a T / (n C)
    bubble      math (p - 1) / (v m),                         m = T / (d G t), t tokens per chip and micro-batch
    gather      3 m N_s / (p U)       in the domain: forward, backward, and gradients back, each micro-batch
                3 m N / (p G O)       across domains, if weights are divided over all replicas ("all", FSDP or ZeRO-3)
    reduce      6 (N / (p G)) (d - 1) / d / O                 else: gradients (4 bytes) and weights (2) once a step

Gathers hide behind math: step = max(math + bubble, gather in, gather out) + reduce. Memory of a chip: 2 bytes of
weights and 4 of gradients per parameter of its share, 12 of optimiser state over all replicas, activations of
p + (p - 1) / v micro-batches of a stage. The crossover that this contains: gathering 2 N bytes against 6 N_a tokens /
C: few tokens per chip favour stages, many, or a domain that holds the model, favour none.
Knows no tensor or context parallelism, and takes C as the rate that is reached.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.arrays import Array

WEIGHT, GRADIENT, OPTIMISER = 2.0, 4.0, 12.0
"""Bytes per parameter: bf16 weights, fp32 gradients, fp32 master weights with Adam's two moments."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step and bytes of a chip, of one variant or arrays of them."""

    math: Array
    bubble: Array
    gather: Array
    """Of the slower network."""
    reduce: Array
    held: Array
    """Bytes of weights, gradients, optimiser state and activations."""

    @property
    def step(self) -> Array:
        """Seconds of a step."""
        return np.maximum(self.math + self.bubble, self.gather) + self.reduce


def variant(
    *,
    stages: Array,
    chunks: Array,
    everywhere: Array,
    chips: Array,
    domain: Array,
    tokens: Array,
    per_chip: Array,
    parameters: float,
    shared: float,
    active: float,
    activation: Array,
    rate: Array,
    scale_up: float,
    scale_out: float,
) -> Variant:
    """Step and memory of variants; array arguments broadcast.

    Parameters
    ----------
    stages, chunks
        p, and v chunks of layers per stage (1 where p is 1).
    everywhere
        Whether weights and gradients are divided over all replicas too.
    chips, domain
        n and G.
    tokens, per_chip
        T of a step, t of a micro-batch on one chip.
    parameters, shared, active
        N in all; N_s that are no routed experts; N_a that a token uses.
    activation
        Bytes per token of all layers together.
    rate
        C, FLOP/s that a chip reaches.
    scale_up, scale_out
        U and O, B/s per chip.
    """
    replicas = chips / (stages * domain)
    micro = tokens / (replicas * domain * per_chip)
    math = 6.0 * active * tokens / (chips * rate)
    bubble = math * (stages - 1) / (chunks * micro)
    inside = 3.0 * micro * WEIGHT * shared / (stages * scale_up)
    outside = np.where(everywhere, 3.0 * micro * WEIGHT * parameters / (stages * domain * scale_out), 0.0)
    outside = np.where(replicas > 1, outside, 0.0)
    share = parameters / (stages * domain)
    once = (GRADIENT + WEIGHT) * share * (replicas - 1) / replicas / scale_out
    reduce = np.where(everywhere, 0.0, once)
    owned = np.where(everywhere, parameters / chips, share)
    flight = np.where(stages > 1, stages + (stages - 1) / chunks, 1.0)
    held = owned * (WEIGHT + GRADIENT) + parameters / chips * OPTIMISER + flight * per_chip * activation / stages
    return Variant(
        math=math + 0.0 * bubble, bubble=bubble, gather=np.maximum(inside, outside), reduce=reduce, held=held
    )
