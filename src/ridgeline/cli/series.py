"""The series behind the three pictures of a point: roofline, time against batch, cost against speed. As numbers only.

    roofline   FLOP/s = min(peak, bandwidth * intensity); each operation of the step at its intensity on its roof
    time       estimate with its interval, floor and the floor's terms, of this layout at every batch that fits
    cost       the trade that the layout's batches offer, by estimate

Knows neither colours nor axes.
"""

from __future__ import annotations

import msgspec
import numpy as np
from msgspec.structs import replace

from ridgeline.cli.breakdown import breakdown
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point

BATCHES = 120
"""Batches of a curve."""


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """Operations of one family and format on the roofline."""

    family: str
    format: str
    intensity: float
    """FLOP per byte of HBM."""
    rate: float
    """FLOP/s on its roof."""
    share: float
    """Of the floor's time of all operations."""


class Roofline(msgspec.Struct, frozen=True, kw_only=True):
    """Roofs of one chip and where a step's operations lie."""

    bandwidth: float
    peaks: dict[str, float]
    """FLOP/s by format."""
    dots: tuple[Dot, ...]


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step against the batch; terms that are nothing are left out."""

    batch: np.ndarray
    low: np.ndarray
    high: np.ndarray
    lines: dict[str, np.ndarray]
    """estimate, floor, weights, cache, math, messages."""


def roofline(found: Point) -> Roofline:
    """A point's step on the roofline of its chip."""
    chip = found.subject.system.chip
    sums: dict[tuple[str, str], list[float]] = {}
    for row in breakdown(found.step):
        size = row["weights_bytes"] + row["kv_read_bytes"] + row["kv_write_bytes"]
        if row["flop"] and size:
            total = sums.setdefault((row["family"], row["format"]), [0.0] * 3)
            for i, value in enumerate((row["flop"], size, max(row["math_s"], row["memory_s"]))):
                total[i] += value
    whole = sum(seconds for _, _, seconds in sums.values())
    return Roofline(
        bandwidth=chip.hbm_bandwidth,
        peaks={number: chip.math_rate(number) for number in dict.fromkeys(number for _, number in sums)},
        dots=tuple(
            Dot(family=family, format=number, intensity=flop / size, rate=flop / seconds, share=seconds / whole)
            for (family, number), (flop, size, seconds) in sums.items()
        ),
    )


def largest(found: Point) -> Scenario:
    """The same question at the largest batch that fits, at which all batches have one curve."""
    most = max(float(found.memory.most_sequences * found.scenario.dp), float(found.scenario.batch), 2.0)
    return replace(found.scenario, batch=most)


def along(end: Scenario, count: int = BATCHES) -> Point:
    """The point at `count` batches up to that of `end`, as arrays."""
    return point(replace(end, batch=np.geomspace(1.0, end.batch, count)))


def times(curve: Point) -> Times:
    """Time of a step at each batch of `along`."""
    x, time, work = curve.scenario.batch, curve.step.time, curve.step.work
    bandwidth = curve.subject.system.chip.hbm_bandwidth
    lines = {
        "estimate": curve.estimate.seconds,
        "floor": time.lower,
        "weights": work.weights / bandwidth,
        "cache": (work.kv_read + work.kv_write) / bandwidth,
        "math": time.math,
        "messages": time.comms,
    }
    return Times(
        batch=x,
        low=np.broadcast_to(curve.estimate.low, x.shape),
        high=np.broadcast_to(curve.estimate.high, x.shape),
        lines={name: np.broadcast_to(values, x.shape) for name, values in lines.items() if np.any(values)},
    )


def speed_and_cost(found: Point) -> tuple[np.ndarray, np.ndarray]:
    """Tokens per second of a user, and dollars (else chip-seconds) per million output tokens."""
    numbers = found.expectations
    cost = (
        numbers["usd_per_output_token_estimate"].value
        if found.usd_per_chip_second
        else 1.0 / numbers["output_tokens_per_s_per_chip_estimate"].value
    )
    return 1.0 / numbers["tpot_estimate_s"].value, 1e6 * cost
