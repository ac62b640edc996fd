"""The points of one tile of a grid as columns of numbers.

A tile is a box: laws are given its axes as arrays that broadcast against each other, so what depends on few axes is
computed for few values. Layouts that do not divide the model, need more chips than there are, or leave the known
network are left out of the box and kept as rows with refused = 1 and no numbers; so are prompts that are all in the
cache, and more tokens gained than computed. fits = 0 is a point that does not fit in memory, of which the time is still
known. Knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from ridgeline.accelerator import device
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.layout import Divisors, Layout
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario, units
from ridgeline.serving import number_names, point
from ridgeline.subject import Subject, subject
from ridgeline.sweep.compiled import compiled
from ridgeline.sweep.filter import wanted
from ridgeline.sweep.grid import Grid, Tile

RESULTS = (
    "math_s", "memory_s", "comms_s", "floor_s", "binding", "estimate_s", "low_s", "high_s", "tpot_s",
    "tpot_estimate_s", "output_tokens_per_s_per_chip", "output_tokens_per_s_per_chip_estimate", "usd_per_output_token",
    "usd_per_output_token_estimate", "memory_used_bytes", "fits", "refused",
)  # fmt: skip
"""Columns of a table."""
KEPT = (
    "floor_s", "binding", "estimate_s", "low_s", "high_s", "tpot_s", "tpot_estimate_s",
    "output_tokens_per_s_per_chip_estimate", "usd_per_output_token_estimate", "memory_used_bytes", "fits", "refused",
)  # fmt: skip
"""Columns of a large sweep, unless it names its own."""
NAMES = tuple(name for name in Scenario.__struct_fields__ if name not in units())
"""Fields of a scenario that name something."""
STEP = ("math_s", "memory_s", "comms_s", "floor_s", "estimate_s", "low_s", "high_s")
"""Results of the scenario's own step; the columns have no phase in their names."""
MOST = 100_000_000
"""Points of a table beyond which it is a slip of the keyboard."""
_SPARSE = 0.25
"""Share of a box below which its wanted points are evaluated one by one."""

Block = dict[str, np.ndarray]


def check(grid: Grid) -> None:
    """Refuse a grid that cannot be evaluated, before anything is.

    Raises
    ------
    InputError
        For names and formats that do not go together; UnknownNameError for names, and columns, that do not exist.
    """
    known = {*RESULTS, *number_names()}
    for name in grid.columns:
        if name not in known:
            raise UnknownNameError("column", name[:60], known)
    if grid.device:
        device(grid.device)
    named = {tuple(getattr(s, name) for name in NAMES): s for s in grid.scenarios()}
    for scenario in named.values():
        _values(_single(scenario), {}, ())


def table(grid: Grid) -> Iterator[Block]:
    """Columns of all points, tile by tile: the grid's axes, then the columns it names or RESULTS, in float64.

    Raises
    ------
    InputError
        As `check`, and for more than MOST points, before the first block.
    """
    if grid.points > MOST:
        raise InputError(f"a table of {grid.points:,} points", f"at most {MOST:,}", "-o FOLDER writes larger sweeps")
    check(grid)
    return (evaluate(grid, tile, grid.columns or RESULTS, np.float64) for tile in grid.tiles())


def evaluate(grid: Grid, tile: Tile, columns: Sequence[str], dtype: Any) -> Block:
    """Axes and columns of a tile's points, without those that the grid's filters leave out.

    Numbers are of `dtype`; `binding` an index into `TERMS`; names of axes are of one value for all points.
    """
    scenario = msgspec.structs.replace(grid.scenario, **tile.names)
    arrays = tile.arrays or {"batch": np.array([float(scenario.batch)])}
    shape = tuple(len(values) for values in arrays.values())
    mesh = dict(zip(arrays, np.ix_(*arrays.values()), strict=True))
    keep = _keep(grid, scenario, mesh, shape)
    out = {name: np.broadcast_to(mesh[name] if name in mesh else tile.names[name], shape) for name in grid.axes}
    out |= _box(scenario, mesh, shape, keep, columns, dtype, grid.device)
    rows = np.s_[:] if keep.all() else np.flatnonzero(keep)
    return {name: values.reshape(-1)[rows] for name, values in out.items()}


def _keep(grid: Grid, scenario: Scenario, mesh: Block, shape: tuple[int, ...]) -> np.ndarray:
    """Which points the filters keep."""
    fields = {name: getattr(scenario, name) for name in scenario.__struct_fields__} | mesh
    keep = np.True_
    for text in grid.filters:
        keep = keep & wanted(text, fields)
    return np.broadcast_to(keep, shape)


def _box(
    scenario: Scenario,
    mesh: Block,
    shape: tuple[int, ...],
    keep: np.ndarray,
    columns: Sequence[str],
    dtype: Any,
    where: str,
) -> Block:
    """Columns of a box of points: each an array of `shape`."""
    found = _subject(_single(scenario))
    fields: dict[str, Any] = {name: getattr(scenario, name) for name in scenario.__struct_fields__} | mesh
    layout = Layout(**{name: fields[name] for name in Layout.__struct_fields__})
    possible = Divisors.of(found.model).valid(layout) & (layout.chips <= found.chips)
    possible = np.broadcast_to(possible & found.system.reaches(layout.chips), shape)
    sound = (fields["cached"] < fields["isl"]) & (fields["accepted"] <= fields["verify"])
    usable = possible & sound & keep
    out = {name: _empty(name, shape, dtype) for name in columns}
    if "refused" in out:
        out["refused"][:] = np.logical_not(possible & sound)
    if not usable.any():
        return out
    if np.all(sound) and usable.sum() >= _SPARSE * possible.sum():
        given, here, inside = _by_layout(mesh, shape, possible)
    else:
        here = np.nonzero(usable)
        given, inside = {name: np.broadcast_to(values, shape)[here] for name, values in mesh.items()}, here[0].shape
    for name, values in _results(scenario, given, inside, columns, where).items():
        out[name][here] = values
    return out


def _by_layout(
    mesh: Block, shape: tuple[int, ...], possible: np.ndarray
) -> tuple[dict[str, Any], Any, tuple[int, ...]]:
    """A box without its impossible layouts: these side by side on a first axis, then the other axes.

    Gives the axes' values as they broadcast, the place of the results in the box, and their shape there.
    """
    degrees = [i for i, name in enumerate(mesh) if name in Layout.__struct_fields__]
    if not degrees:
        return dict(mesh), ..., shape
    others = [i for i in range(len(shape)) if i not in degrees]
    inside = tuple(shape[i] for i in others)
    rows = np.nonzero(possible[tuple(np.s_[:] if i in degrees else 0 for i in range(len(shape)))])
    first = (-1, *(1 for _ in others))
    rest = np.ix_(*(np.arange(n) for n in inside)) if inside else ()
    given: dict[str, Any] = {}
    place: list[Any] = [None] * len(shape)
    for i, (name, values) in enumerate(mesh.items()):
        if i in degrees:
            index = rows[degrees.index(i)]
            place[i], flat = index.reshape(first), values.ravel()[index]
            given[name] = flat.item() if len(flat) == 1 else flat.reshape(first)
        else:
            place[i] = rest[others.index(i)]
            given[name] = values.ravel()[place[i]]
    return given, tuple(place), (len(rows[0]), *inside)


def _results(
    scenario: Scenario, given: Mapping[str, Any], shape: tuple[int, ...], columns: Sequence[str], where: str
) -> Block:
    """Columns of possible points, whose quantities broadcast to `shape`."""
    if where:
        return compiled(_values, scenario, given, shape, tuple(columns), where)
    return {name: np.broadcast_to(v, shape) for name, v in _values(scenario, given, columns).items()}


def _values(scenario: Scenario, given: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """Columns of possible points as far as they have them, each of the shape of what it depends on."""
    batch = given.get("batch", scenario.batch)
    if not getattr(batch, "ndim", 0):
        batch = np.array([batch])
    here = point(msgspec.structs.replace(scenario, **{**given, "batch": batch}))
    numbers, phase = here.numbers, here.scenario.phase
    own = {"binding": here.step.time.binding, "fits": here.memory.fits}
    own |= {name: number.value for name, number in numbers.items()}
    own |= {name: numbers[f"{phase}_{name}"].value for name in STEP}
    return {name: own[name] for name in columns if name in own}


def _empty(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    if name == "binding":
        return np.full(shape, -1, np.int8)
    if name in ("fits", "refused"):
        return np.zeros(shape, bool)
    return np.full(shape, np.nan, dtype)


def terms(binding: np.ndarray) -> np.ndarray:
    """Names of the binding terms; empty where there is none."""
    return np.array([*TERMS, ""], dtype=object)[binding]


def _single(scenario: Scenario) -> Scenario:
    """The scenario at one sequence on one device: its names and formats."""
    return msgspec.structs.replace(scenario, **msgspec.structs.asdict(Layout()), batch=1)


@lru_cache(maxsize=1024)
def _subject(scenario: Scenario) -> Subject:
    """Names and formats of a scenario."""
    return subject(scenario)
