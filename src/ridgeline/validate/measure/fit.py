"""Constants of the kernels of one device, fitted to its readings: the law of `efficiency.py`, weighed by ratios.

    minimise  sum over readings of soft(ln(law / measured))  +  sum over constants of ((theta - start) / LOOSE)^2

theta is the logarithm of a time and the logit of a share; soft is quadratic below SCALE and linear beyond, so that a
reading that was disturbed counts little. Gauss-Newton with damping (Levenberg and Marquardt), in NumPy. The start pulls
only where readings do not decide. Knows no device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ridgeline.efficiency import ANY, KERNELS, KernelConstants, kernel_format, kernel_time
from ridgeline.hardware import Chip
from ridgeline.kernel import Kernel
from ridgeline.roofline import work_time
from ridgeline.validate.measure.reading import Reading

START = {
    "fixed": 5e-6, "serial": 1e-10, "passes": 1.0, "compute": 0.6, "bandwidth": 0.7, "overlap": 0.5, "softmax": 1e-13,
}  # fmt: skip
"""What is expected before any reading is seen."""
SHARES = frozenset({"compute", "bandwidth", "overlap"})
SHARE_LIMIT = 0.999
SMALLEST = 1e-18
"""A time or a number of passes below which it is none."""
LOOSE, SCALE = 4.0, 0.05
ROUNDS = 200


def fit(readings: Iterable[Reading], chip: Chip) -> tuple[Kernel, ...]:
    """Constants of every family and format of kernels that was measured, in terms of the chip's peaks."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        if reading.operation.family in KERNELS:
            key = reading.operation.family, kernel_format(reading.operation.stored, chip)
            groups.setdefault(key, []).append(reading)
    return tuple(_fit(family, number, group, chip) for (family, number), group in groups.items())


def _fit(family: str, number: str, readings: Sequence[Reading], chip: Chip) -> Kernel:
    inputs, measured = _inputs(readings, chip), np.array([reading.seconds for reading in readings])
    used = [name for name in START if name != "softmax" or np.any(inputs[4])]
    start = np.array([_theta(name, START[name]) for name in used])

    def constants(theta: Any) -> dict[str, float]:
        return dict.fromkeys(START, 0.0) | {n: _value(n, x) for n, x in zip(used, theta, strict=True)}

    def miss(theta: Any) -> Any:
        row = KernelConstants(
            family=family, format=number, place=ANY, engine=ANY, rows=0, error=0.0, **constants(theta)
        )
        return np.log(kernel_time(row, *inputs) / measured)

    def residuals(theta: Any) -> Any:
        error = miss(theta)
        soft = np.sign(error) * np.sqrt(2 * SCALE * (np.sqrt(SCALE**2 + error**2) - SCALE)) / SCALE
        return np.concatenate([soft, (theta - start) / LOOSE])

    best = _least_squares(residuals, start)
    error = float(np.percentile(np.abs(miss(best)), 80))
    rounded = {name: float(f"{value:.3g}") for name, value in constants(best).items()}
    return Kernel(family=family, format=number, rows=len(readings), error=float(f"{error:.3g}"), **rounded)


def _inputs(readings: Sequence[Reading], chip: Chip) -> tuple[Any, ...]:
    """Arguments of `kernel_time`, one row per reading."""
    rows = [
        (time.math, time.memory, op.activations / chip.hbm_bandwidth, op.depth, op.scores)
        for op in (reading.operation for reading in readings)
        for time in (work_time(op, chip),)
    ]
    return tuple(np.array(rows, float).T)


def _least_squares(residuals: Callable[[Any], Any], start: Any) -> Any:
    """The theta near `start` with the smallest sum of squares."""
    theta, damping = start, 1e-2
    here = residuals(theta)
    for _ in range(ROUNDS):
        step = 1e-5
        slopes = np.stack([(residuals(theta + step * unit) - here) / step for unit in np.eye(theta.size)], axis=1)
        normal = slopes.T @ slopes
        move = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slopes.T @ here)
        there = residuals(theta + np.clip(move, -2, 2))
        if there @ there < here @ here:
            done = here @ here - there @ there < 1e-9 * (here @ here)
            theta, here, damping = theta + np.clip(move, -2, 2), there, damping / 4
            if done:
                break
        else:
            damping *= 4
            if damping > 1e12:
                break
    return theta


def _theta(name: str, value: float) -> float:
    return float(np.log(value / (1 - value)) if name in SHARES else np.log(value))


def _value(name: str, theta: float) -> float:
    if name in SHARES:
        return float(min(1 / (1 + np.exp(-theta)), SHARE_LIMIT))
    return float(np.exp(theta)) if theta > np.log(SMALLEST) else 0.0
