"""What a sweep asks: a scenario that all points share, axes of its fields, filters; and how its points are numbered.

    points = product of the axes' lengths, numbered with the last axis fastest

Axes of names and formats (and of chips, shares and limits, which are one number to a scenario) come before axes of
quantities. The points are cut into *tiles*, boxes of the grid of about TILE points that are evaluated at once, and the
tiles into *chunks* of at most `file_points` points, the unit of work and of a file. Both follow from the grid alone, so
that a chunk is the same wherever it is computed.

A grid file is TOML: fields of a scenario, `filters`, `columns`, and a table `[axes]`. Knows no physics.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice, product
from math import ceil, prod
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.scenario import Scenario, exact, units
from ridgeline.sweep.axis import Values, read
from ridgeline.sweep.filter import check

TILE = 65536
"""Points evaluated together: enough to amortise Python, few enough to stay in cache."""
CHUNK = 524_288
"""Points of a file, unless the grid says otherwise."""
MOST = 10_000_000_000
"""Points of a sweep beyond which it is a slip of the keyboard."""
ARRAYS = ("tp", "pp", "dp", "ep", "cp", "batch", "context", "isl", "osl", "cached", "verify", "accepted")
"""Fields of a scenario that may be arrays."""
KEYS = ("axes", "filters", "columns", "file_points", "device", "laws")
"""Keys of a grid file beside the fields of a scenario; `laws` is written into folders and not read."""


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """A box of the grid: one value of each axis of names, and values of each axis of quantities."""

    names: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Grid(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Points of a sweep.

    Raises
    ------
    InputError
        For more than MOST points, a quantity of 0 that must be positive, or no points in a chunk.
    """

    scenario: Scenario
    """What all points share; of an axis, some value."""
    axes: dict[str, Values]
    filters: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Results that are kept; empty: the usual ones."""
    file_points: int = CHUNK
    """Most points of a chunk."""
    device: str = ""
    """Kind of device on which JAX computes the points; empty: NumPy does."""

    def __post_init__(self) -> None:
        if self.points > MOST:
            lengths = " x ".join(str(len(values)) for values in self.axes.values())
            raise InputError(f"a sweep over {lengths} points", f"at most {MOST:,}")
        for name, values in self.inner.items():
            if name != "cached" and not (values > 0).all():
                raise InputError(f"axis {name} with {values.min():g}", "more than 0")
        if self.file_points < 1:
            raise InputError(f"file_points = {self.file_points}", "at least 1 point")
        for text in self.filters:
            check(text)

    @classmethod
    def of(cls, fields: Mapping[str, Any], axes: Mapping[str, Values], origin: str, **rest: Any) -> Grid:
        """A grid from a scenario's fields, of which the axes may give model and system, and its axes."""
        largest = {name: max(axes[name]) for name in ("isl", "verify") if name in axes}  # so that some point is sound
        some = {name: min(values) for name, values in axes.items()} | largest
        return cls(scenario=Scenario.read({**fields, **some}, origin), axes=dict(axes), **rest)

    @property
    def points(self) -> int:
        """Points of the whole product, filtered ones included."""
        return prod(len(values) for values in self.axes.values())

    @cached_property
    def inner(self) -> dict[str, np.ndarray]:
        """Axes of quantities, as arrays; whole numbers as integers, so that degrees divide as such."""
        return {name: _whole(np.asarray(v, dtype=float)) for name, v in self.axes.items() if name in ARRAYS}

    @cached_property
    def outer(self) -> dict[str, Values]:
        """Axes of names."""
        return {name: values for name, values in self.axes.items() if name not in ARRAYS}

    @cached_property
    def _cut(self) -> tuple[int, int, int]:
        """Which axis of quantities the tiles cut, how many of its values a tile has, and tiles along it."""
        lengths, most = [len(values) for values in self.inner.values()], min(TILE, self.file_points)
        if not lengths:
            return 0, 1, 1
        axis = next(i for i in range(len(lengths)) if prod(lengths[i + 1 :]) <= most)
        pieces = ceil(lengths[axis] / (most // prod(lengths[axis + 1 :])))
        size = ceil(lengths[axis] / pieces)
        return axis, size, ceil(lengths[axis] / size)

    @cached_property
    def _tiles_per_chunk(self) -> int:
        axis, size, _ = self._cut
        return max(1, self.file_points // (size * prod(len(v) for v in list(self.inner.values())[axis + 1 :])))

    @cached_property
    def _counts(self) -> list[int]:
        """Tiles along each axis that has more than one: axes of names, leading axes of quantities, the axis cut."""
        axis, _, pieces = self._cut
        leading = [len(values) for values in list(self.inner.values())[:axis]]
        return [*(len(values) for values in self.outer.values()), *leading, pieces]

    @property
    def chunks(self) -> int:
        """Chunks, each a file."""
        return ceil(prod(self._counts) / self._tiles_per_chunk)

    def tiles(self, chunk: int | None = None) -> Iterator[Tile]:
        """Tiles of a chunk, or of the whole grid, in order of their points."""
        start, stop = 0, prod(self._counts)
        if chunk is not None:
            start, stop = chunk * self._tiles_per_chunk, min((chunk + 1) * self._tiles_per_chunk, stop)
        axis, size, _ = self._cut
        for number in range(start, stop):
            at = np.unravel_index(number, self._counts)
            names = {name: values[i] for (name, values), i in zip(self.outer.items(), at, strict=False)}
            arrays: dict[str, np.ndarray] = {}
            for place, (name, values) in enumerate(self.inner.items()):
                here = at[len(self.outer) + place] if place <= axis else 0
                low, high = (here * size, here * size + size) if place == axis else (here, here + 1)
                arrays[name] = values if place > axis else values[low:high]
            yield Tile(names=names, arrays=arrays)

    def size(self, chunk: int) -> int:
        """Points of a chunk, filtered ones included."""
        return sum(prod(len(values) for values in tile.arrays.values()) for tile in self.tiles(chunk))

    def scenarios(self) -> Iterator[Scenario]:
        """The scenario of each combination of the axes of names, at some value of the others."""
        for values in product(*self.outer.values()):
            yield msgspec.structs.replace(self.scenario, **dict(zip(self.outer, values, strict=True)))

    # --- the file -----------------------------------------------------------------------------------------------------

    @classmethod
    def from_toml(
        cls,
        text: str,
        origin: str,
        fields: Mapping[str, Any] | None = None,
        axes: Mapping[str, Values] | None = None,
        **rest: Any,
    ) -> Grid:
        """A grid from the text of a grid file; `fields`, `axes` and what is not empty of `rest` replace the file's.

        Raises
        ------
        InputError
            For text that is no TOML, no axes, an axis that is also fixed, or a value that cannot be read;
            UnknownNameError for a key or an axis that does not exist.
        """
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise InputError(origin, f"not TOML: {' '.join(str(error).split())[:200]}") from None
        for key in table:
            if key not in (*Scenario.__struct_fields__, *KEYS):
                raise UnknownNameError(f"key in {origin}", key[:60], (*Scenario.__struct_fields__, *KEYS))
        given = table.get("axes")
        if not isinstance(given, dict) or not given:
            raise InputError(origin, "expected a table of axes", "such as [axes] and below it batch = [1, 8, 64]")
        fixed = {name: value for name, value in table.items() if name not in KEYS}
        own = dict(read(name, values, origin) for name, values in given.items())
        if twice := [name for name in fixed if name in own]:
            raise InputError(f"{origin}: {twice[0]}", "either fixed or an axis")
        fields, axes = fields or {}, axes or {}
        fixed = {name: value for name, value in fixed.items() if name not in axes} | dict(fields)
        own = {name: values for name, values in own.items() if name not in fields} | dict(axes)
        settings: dict[str, Any] = {
            "filters": _texts(table, "filters", origin),
            "columns": _texts(table, "columns", origin),
        }
        settings["file_points"] = table.get("file_points", CHUNK)
        if type(settings["file_points"]) is not int:
            raise InputError(f"{origin}: file_points = {settings['file_points']!r:.60}", "a whole number")
        settings["device"] = table.get("device", "")
        if not isinstance(settings["device"], str):
            raise InputError(f"{origin}: device = {settings['device']!r:.60}", "text such as gpu")
        return cls.of(fixed, own, origin, **(settings | {k: v for k, v in rest.items() if v}))

    def to_toml(self) -> str:
        """TOML text that asks the same."""
        fixed = {name: text for name, text in self.scenario.changed().items() if name not in self.axes}
        lines = [f"{name} = {_quoted(text)}" for name, text in fixed.items()]
        lines += [f"{key} = [{', '.join(map(_quoted, getattr(self, key)))}]" for key in ("filters", "columns")]
        lines += [f"device = {_quoted(self.device)}"] if self.device else []
        lines += [f"file_points = {self.file_points}", "", "[axes]"]
        for name, values in self.axes.items():
            texts = [exact(float(v), units()[name]) if name in units() else str(v) for v in values]
            lines.append(f"{name} = [{', '.join(map(_quoted, texts))}]")
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        names = {name: len(values) for name, values in self.axes.items()}
        shown = " x ".join(f"{count:,} {name}" for name, count in islice(names.items(), 12))
        subject = " on ".join(getattr(self.scenario, name) for name in ("model", "system") if name not in names)
        return f"{subject}{', ' * bool(subject)}{shown} = {self.points:,} points"


def load(
    path: str, fields: Mapping[str, Any] | None = None, axes: Mapping[str, Values] | None = None, **rest: Any
) -> Grid:
    """The grid of a file, with replacements; errors as `Grid.from_toml`, and for a file that cannot be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not text"
        raise InputError(path, f"cannot be read ({reason})") from None
    return Grid.from_toml(text, path, fields, axes, **rest)


def _whole(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int64) if (values == np.floor(values)).all() else values


def _texts(table: Mapping[str, Any], key: str, origin: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{origin}: {key} = {value!r:.60}", "a list of texts")
    return tuple(value)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
