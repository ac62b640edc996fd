"""What a step takes on a real engine: the floor's operations and messages with measured constants.

    t = host + layer * layers + kernels + launches + quantise * narrow + messages

`kernels` and `launches` are `efficiency.kernel_time` of every operation, its work and its fixed part; `messages` is
`efficiency.link_time`. A step adds what single kernels do not show: `host` seconds between steps and `layer` seconds for
the small kernels of each layer (norms, rotations, residuals), both by engine; and `quantise`, the share that engines keep
of the fixed part of fp8 and fp4 matrices, since the quantisation that is timed with single kernels is fused elsewhere.

Everything runs one after another: engines overlap kernels and messages little. Knows no queue.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import msgspec

from ridgeline.arrays import Array
from ridgeline.collectives import wire_time
from ridgeline.efficiency import kernel_constants, kernel_time, link_constants, link_time
from ridgeline.errors import UnknownNameError
from ridgeline.hardware import System, format_bytes
from ridgeline.timing import Step

_KERNEL_OF = {"recurrence": "decode attention", "lookup": ""}
"""Families without measurements of their own, and those whose kernels stand in for them ("" : nothing but bytes)."""


class EngineConstants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step adds to its kernels, by engine; fitted to whole steps."""

    engine: str
    host: float
    """Seconds per step on the host that nothing hides."""
    layer: float
    """Seconds per layer of small kernels, besides the bytes they move."""
    quantise: float
    """Share of the fixed time of fp8 and fp4 matrices that is left in the engine."""
    messages: float
    """Factor on messages: waiting for the slowest rank, and contention with kernels."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step by what they are; `layers` and `steps` are counts. Linear in the engine's constants."""

    kernels: Array
    launches: Array
    narrow: Array
    messages: Array
    layers: Array

    def total(self, engine: EngineConstants) -> Array:
        """Seconds of the step with an engine's constants."""
        return (
            engine.host
            + engine.layer * self.layers
            + self.kernels
            + self.launches
            + engine.quantise * self.narrow
            + engine.messages * self.messages
        )


def terms(step: Step, system: System, engine: str) -> Terms:
    """What the operations and messages of a step take on `system` with the kernels of `engine`."""
    chip = system.chip
    kernels: Array = 0.0
    launches: Array = 0.0
    narrow: Array = 0.0
    messages: Array = 0.0
    layers: Array = 0.0
    for layer in step.layers:
        for operation, time in layer.operations:
            family = _KERNEL_OF.get(operation.family, operation.family)
            if not family:
                kernels = kernels + layer.count * time.memory
                continue
            constants = kernel_constants(family, chip, operation.stored, engine)
            streamed = operation.activations / chip.hbm_bandwidth
            seconds = kernel_time(constants, time.math, time.memory, streamed, operation.depth, operation.scores)
            kernels = kernels + layer.count * (seconds - constants.fixed)
            if operation.joined:
                continue
            if operation.family == "gemm" and format_bytes(operation.stored) < 2:
                narrow = narrow + layer.count * constants.fixed
            else:
                launches = launches + layer.count * constants.fixed
        for message, _ in layer.messages:
            if isinstance(message.ranks, int) and message.ranks == 1:
                continue
            wire = wire_time(message, system)
            messages = messages + layer.count * link_time(link_constants(message.kind, chip, engine), wire, message.ranks)
        if any(operation.family != "lookup" for operation, _ in layer.operations):
            layers = layers + layer.count
    return Terms(kernels=kernels, launches=launches, narrow=narrow, messages=messages, layers=layers)
