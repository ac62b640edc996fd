"""Constants of training frameworks from measured runs, with intervals and errors of what was left out. Knows no law."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.training.framework import ANY, STATED, Frameworks, HeldOut, Spread
from ridgeline.validate.training.fit import LEAST_ROWS, SWEPT, held_out, learn
from ridgeline.validate.training.row import Question
from ridgeline.validate.training.sample import Sample
from ridgeline.validate.training.sizes import held_out_memory, learn_memory


def calibrate(questions: Sequence[Question], source: str, shipped: Frameworks) -> Frameworks:
    """Constants of all frameworks from measured runs, with intervals and errors of what was left out.

    Raises
    ------
    InputError
        If fewer than LEAST_ROWS runs have a measured rate, or a measured memory.
    """
    sample = Sample.of(questions)
    measured = [q for q in questions if q.memory > 0]
    if min(len(sample.questions), len(measured)) < LEAST_ROWS:
        raise InputError(source, f"at least {LEAST_ROWS} runs with a measured rate, and as many with a measured memory")
    names = sorted(shipped.habits)
    found = msgspec.structs.replace(
        shipped, source=source, fitted=learn(sample, names), allocation=learn_memory(measured, names)
    )
    times = np.log(sample.seconds / held_out(sample, found))
    sizes = np.log([q.memory for q in measured] / held_out_memory(measured, names))
    out: dict[str, Spread] = {}
    scores: dict[str, HeldOut] = {}
    for what, errors, rows in (("time", times, sample.questions), ("memory", sizes, measured)):
        for name in (ANY, *names):
            own = np.array([q.framework == name or (name == ANY and q.framework != SWEPT) for q in rows])
            if own.sum() >= LEAST_ROWS * 2:
                out[f"{what}, {name}"] = found_spread = spread(errors[own])
                inside = (errors[own] >= found_spread.low) & (errors[own] <= found_spread.high)
                miss = np.abs(np.expm1(errors[own] if what == "time" else -errors[own]))
                scores[f"{what}, {name}"] = summary(miss, float(inside.mean()))
                known = np.array([not q.assumed for q in rows])[own]
                if what == "time" and name == ANY and known.any():
                    scores[STATED] = summary(miss[known], float(inside[known].mean()))
    return msgspec.structs.replace(found, spread=out, held_out=scores)


def write(found: Frameworks, path: Path) -> None:
    """Write constants as JSON, in one go."""
    text = msgspec.json.format(msgspec.json.encode(found), indent=1)
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
        file.write(text + b"\n")
    os.replace(file.name, path)


def spread(log_errors: np.ndarray) -> Spread:
    """A tenth and nine tenths of ln(measured / estimate)."""
    low, high = np.quantile(log_errors, [0.1, 0.9])
    return Spread(low=round(float(low), 4), high=round(float(high), 4), n=len(log_errors))


def summary(error: np.ndarray, inside: float) -> HeldOut:
    """Errors in a few numbers."""
    return HeldOut(
        n=len(error),
        median_abs_error=round(float(np.median(error)), 4),
        p90_abs_error=round(float(np.quantile(error, 0.9)), 4),
        coverage80=round(inside, 3),
    )
