"""A grid of scenarios as columns of numbers, block by block: the full product of the axes, the last one fastest.

Axes of quantities are evaluated as arrays, BLOCK points at once; axes of names and formats (and of chips, shares and
limits, which are one number to a scenario) one after another. A layout that does not divide the model, needs more chips
than there are, or leaves the known network is kept, with refused = 1 and no numbers; fits = 0 is a point that does not
fit in memory, of which the time is still known. Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.layout import Divisors, Layout
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario, Subject, subject
from ridgeline.serving.point import point

BLOCK = 16384
"""Points evaluated together."""
MOST = 100_000_000
"""Points of a sweep beyond which it is a slip of the keyboard."""
ARRAYS = ("tp", "pp", "dp", "ep", "cp", "batch", "context", "isl", "osl", "cached", "verify", "accepted")
"""Fields of a scenario that may be arrays."""
RESULTS = (
    "math_s", "memory_s", "comms_s", "floor_s", "estimate_s", "low_s", "high_s", "tpot_s", "tpot_estimate_s",
    "output_tokens_per_s_per_chip", "output_tokens_per_s_per_chip_estimate", "usd_per_output_token",
    "usd_per_output_token_estimate", "memory_used_bytes",
)  # fmt: skip
"""Columns of numbers; beside them `binding`, `fits` and `refused`."""

Block = dict[str, np.ndarray]


def sweep(scenario: Scenario, axes: Mapping[str, Sequence[Any]]) -> Iterator[Block]:
    """Columns of every combination of the axes' values, at most BLOCK rows at a time.

    Parameters
    ----------
    scenario
        What all points share.
    axes
        Field of a scenario -> its values, as in a `Scenario`; `batch` and other quantities as numbers.

    Raises
    ------
    InputError
        For an unknown field, an axis without values, more than MOST points, or names and formats that do not go
        together, before the first block.
    """
    for name, values in axes.items():
        if name not in Scenario.__struct_fields__:
            raise UnknownNameError("axis", name, Scenario.__struct_fields__)
        if not len(values):
            raise InputError(f"axis {name}", "at least one value")
    if prod(len(values) for values in axes.values()) > MOST:
        raise InputError(f"a sweep over {' x '.join(str(len(v)) for v in axes.values())} points", f"at most {MOST:,}")
    inner = {name: np.asarray(values, dtype=float) for name, values in axes.items() if name in ARRAYS}
    outer = {name: values for name, values in axes.items() if name not in ARRAYS}
    for name, values in inner.items():
        if name != "cached" and not (values > 0).all():
            raise InputError(f"axis {name} with {values.min():g}", "more than 0")
    inner.setdefault("batch", np.array([float(scenario.batch)]))
    fixed = [dict(zip(outer, values, strict=True)) for values in product(*outer.values())]
    scenarios = [msgspec.structs.replace(scenario, **{n: float(v[0]) for n, v in inner.items()}, **f) for f in fixed]
    subjects = [_subject(each) for each in scenarios]
    return (
        {name: _column(block, each, inner, name) for name in (*axes, *_NAMES)}
        for each, found in zip(scenarios, subjects, strict=True)
        for block in _blocks(each, found, inner)
    )


_NAMES = (*RESULTS[:4], "binding", *RESULTS[4:], "fits", "refused")


def _subject(scenario: Scenario) -> Subject:
    """Names and formats of a scenario, whatever its layout."""
    return subject(msgspec.structs.replace(scenario, tp=1, pp=1, dp=1, ep=1, cp=1))


def _column(block: Block, scenario: Scenario, inner: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A result, a value of the grid, or the value that all rows of the block share."""
    return block[name] if name in block else np.full(len(block["refused"]), getattr(scenario, name))


def _blocks(scenario: Scenario, found: Subject, inner: Mapping[str, np.ndarray]) -> Iterator[Block]:
    shape = [len(values) for values in inner.values()]
    for start in range(0, prod(shape), BLOCK):
        index = np.unravel_index(np.arange(start, min(start + BLOCK, prod(shape))), shape)
        grid = {name: values[i] for (name, values), i in zip(inner.items(), index, strict=True)}
        grid = {name: _whole(values) for name, values in grid.items()}
        yield grid | _evaluate(scenario, found, grid)


def _evaluate(scenario: Scenario, found: Subject, grid: Block) -> Block:
    """Results of one block of the grid."""
    n = len(grid["batch"])
    degrees = {name: grid.get(name, np.full(n, getattr(scenario, name))) for name in Layout.__struct_fields__}
    layout = Layout(**degrees)
    possible = Divisors.of(found.model).valid(layout) & (layout.chips <= found.chips)
    possible &= found.system.reaches(layout.chips)
    out: Block = {name: np.full(n, np.nan) for name in RESULTS}
    out |= {"binding": np.full(n, "", dtype=object), "fits": np.zeros(n, int), "refused": (~possible).astype(int)}
    rows = np.flatnonzero(possible)
    if not len(rows):
        return out
    here = point(msgspec.structs.replace(scenario, **{name: values[rows] for name, values in (grid | degrees).items()}))
    time, numbers = here.step.time, here.numbers
    results = {"math_s": time.math, "memory_s": time.memory, "comms_s": time.comms, "floor_s": time.lower}
    results |= {f"{name}_s": numbers[f"{scenario.phase}_{name}_s"].value for name in ("estimate", "low", "high")}
    results |= {name: numbers[name].value for name in RESULTS if name in numbers}
    for name, values in results.items():
        out[name][rows] = values
    out["binding"][rows] = np.array(TERMS, dtype=object)[time.binding]
    out["fits"][rows] = here.memory.fits
    return out


def _whole(values: np.ndarray) -> np.ndarray:
    """Whole numbers as integers, so that degrees divide as such."""
    return values.astype(np.int64) if (values == np.floor(values)).all() else values
