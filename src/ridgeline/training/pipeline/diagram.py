"""What every device of a simulated pipeline does at evenly spaced times: the pixels of its diagram. Knows no colour."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ridgeline.training.pipeline.engine import Run

IDLE, BESIDE = -1, 4
"""Nothing to do; a forward beside a backward. Other kinds are those of `program`."""


def kinds(run: Run, device: int) -> np.ndarray:
    """Kind of each slot of a device, BESIDE for two operations: ``int64[slots]``."""
    pairs = run.program.slots[device]
    kind = np.maximum(pairs[:, 0], 0) // (run.program.stages * run.program.micro)
    return np.where(pairs[:, 1] >= 0, BESIDE, kind)


def pixels(run: Run, columns: int) -> np.ndarray:
    """Kind of the slot in the middle of each of `columns` equal times of a step: ``int64[devices, columns]``."""
    times = (np.arange(columns) + 0.5) / columns * run.span
    rows = []
    for device, (begin, end) in enumerate(zip(run.begin, run.end, strict=True)):
        slot = np.maximum(np.searchsorted(begin, times, side="right") - 1, 0)
        inside = (begin[slot] <= times) & (times < end[slot])
        rows.append(np.where(inside, kinds(run, device)[slot], IDLE))
    return np.array(rows)


def runs(row: np.ndarray) -> list[tuple[int, int, int]]:
    """Stretches of equal values: value, first column, column after the last."""
    edges = np.flatnonzero(np.diff(row)) + 1
    return [(int(row[a]), a, b) for a, b in pairwise([0, *edges.tolist(), len(row)])]
