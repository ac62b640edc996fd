"""One timed piece of work: what it does, and how long it took, with the spread of its repeats.

Knows neither PyTorch nor a law.
"""

from __future__ import annotations

import msgspec

from ridgeline.units import Seconds
from ridgeline.work import Operation


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Median seconds of one call, its quartiles, and the samples they are of."""

    operation: Operation
    shape: dict[str, float]
    seconds: Seconds
    low: Seconds
    high: Seconds
    samples: int


def bare(name: str, math: str = "bf16", stored: str = "bf16", flop: float = 0.0, memory: float = 0.0) -> Operation:
    """Work that is no kernel of a model: a copy, a square product, a launch. For peaks; no law is fitted to it."""
    return Operation(name=name, family="peak", math=math, stored=stored, flop=flop, weights=memory)
