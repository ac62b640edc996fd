"""Decode on pipelines of scale-up domains: weights per chip fall, caches and time per token do not.

Weights in the format of most of them, the cache as published; reads at peak bandwidth, so a floor. `ridgeline racks`
estimates the same with layouts and kernels. See `crossing.py` for the laws.
"""

from __future__ import annotations

import msgspec

from ridgeline.hardware import System
from ridgeline.model import Architecture
from ridgeline.model.kv import total_stored
from ridgeline.precision import resolve
from ridgeline.training.pipeline.crossing import held_per_chip, idle_decode, token_time


class Decode(msgspec.Struct, frozen=True, kw_only=True):
    """So many stages."""

    stages: int
    sequences: int
    """Of all micro-batches, one per stage."""
    weights: float
    """Bytes per chip."""
    cache: float
    """Bytes per chip."""
    idle: float
    """Share of the time that a stage waits if only one micro-batch is under way."""
    read: float
    """Seconds in which a token passes all weights and its micro-batch's caches, all stages."""
    hops: float
    """Seconds of it between stages, in addition."""


def decoded(
    model: Architecture,
    system: System,
    *,
    sequences: int,
    context: float,
    hop: float,
    stages: tuple[int, ...] = (1, 2, 4, 8),
) -> list[Decode]:
    """Pipelines of so many domains with `sequences` at `context` in each stage; `hop`: s beside a message's bytes."""
    size, chip = system.domain.size, system.chip
    formats = resolve(model, chip)
    weights = model.parameters * formats.of("expert")[0]
    cache = sequences * float(total_stored(model, context, formats.kv_bytes))
    out: list[Decode] = []
    for p in stages:
        own, kept = held_per_chip(weights, cache, size, p)
        each = hop + (sequences * model.hidden * 2.0 / (size * system.scale_out) if p > 1 else 0.0)
        out.append(
            Decode(
                stages=p,
                sequences=sequences * p,
                weights=float(own),
                cache=float(kept),
                idle=float(idle_decode(1.0, p)),
                read=(weights + cache) / (size * chip.hbm_bandwidth),
                hops=float(token_time(0.0, p, each)),
            )
        )
    return out
