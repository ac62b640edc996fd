"""The rows of a step's breakdown as numbers: seconds of each operation and message, all layers of its kind.

Names are LAYER/OPERATION/TERM, as in `latent+experts/experts/memory_s`.
"""

from __future__ import annotations

from ridgeline.collectives import wire_time
from ridgeline.serving.number import Given, Numbers, Row, evaluate, positive, renamed
from ridgeline.serving.numbers import source
from ridgeline.subject import Subject
from ridgeline.timing import Step

MATH: Row = ("math_s", "s", "layers * flop / peak", "multiplications at peak")
MEMORY: Row = ("memory_s", "s", "layers * (weights + kv_read + kv_write) / bandwidth", "HBM traffic at peak bandwidth")
COMMS: Row = ("comms_s", "s", "layers * (wire + latency)", "bytes at peak bandwidth, and hops")


def operation_numbers(found: Subject, step: Step) -> Numbers:
    """Every non-zero row of a step's breakdown with its formula and values."""
    chip, out = found.system.chip, Numbers()
    bandwidth = Given(chip.hbm_bandwidth, "B/s", source(found, "chip.hbm_bandwidth"))
    for layer in step.layers:
        layers = Given(layer.count, "1", "layers of this kind")
        for operation, _ in layer.operations:
            given = {
                "layers": layers,
                "flop": Given(operation.flop, "FLOP", "one layer, one device, one micro-batch"),
                "peak": Given(chip.math_rate(operation.math), "FLOP/s", source(found, f"chip.peak.{operation.math}")),
                "weights": Given(operation.weights, "B", "weights read once"),
                "kv_read": Given(operation.kv_read, "B", "cache read"),
                "kv_write": Given(operation.kv_write, "B", "cache written"),
                "bandwidth": bandwidth,
            }
            out |= _named(layer.name, operation.name, evaluate((MATH, MEMORY), given))
        for message, seconds in layer.messages:
            wire = wire_time(message, found.system)
            given = {
                "layers": layers,
                "wire": Given(wire, "s", f"{message.kind} over {message.ranks} ranks, the slower network level"),
                "latency": Given(seconds - wire, "s", source(found, "domain.latency")),
            }
            out |= _named(layer.name, message.name, evaluate((COMMS,), given))
    return out


def _named(layer: str, operation: str, numbers: Numbers) -> Numbers:
    place = f"{layer}/{operation}".replace(" + ", "+").replace(" ", "-")
    names = {name: f"{place}/{name}" for name in numbers}
    return {names[n]: renamed(number, names) for n, number in numbers.items() if positive(number.value)}
