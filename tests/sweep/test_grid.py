"""A grid: every point once, in the same chunks wherever they are computed; what it keeps is what was asked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import InputError, Scenario, step
from ridgeline.serving import Point
from ridgeline.sweep import Grid, table, terms
from ridgeline.sweep import grid as module
from ridgeline.sweep.filter import wanted

HEAD = 'model = "mixtral-8x22b"\nsystem = "hgx-h100"\n'
AXES = {
    "tp": [1, 2, 3, 8], "dp": [1, 2], "ep": [1, 2, 4], "pp": [1, 2], "batch": [1, 7, 300], "isl": [100, 4000],
    "cached": [0, 100], "verify": [1, 3], "accepted": [1, 2.5], "context": [50, 1000], "weights": ["bf16", "fp8"],
    "skew": [0.0, 0.7], "phase": ["decode", "prefill", "mixed"],
}  # fmt: skip
grids = st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=5, unique=True)


def _grid(axes: dict[str, Any], **rest: Any) -> Grid:
    return Grid.of({"model": "mixtral-8x22b", "system": "hgx-h100"}, axes, "test", **rest)


@given(grids, st.integers(1, 40), st.integers(1, 200))
def test_every_point_once_and_as_the_scalar_step_says(names: list[str], tile: int, chunk: int) -> None:
    """The oracle is a loop over single steps: tiles, chunks and open boxes must neither lose, double nor mix points."""
    before, module.TILE = module.TILE, tile
    try:
        grid = _grid({name: AXES[name] for name in names}, file_points=chunk)
        blocks = list(table(grid))
        assert sum(grid.size(i) for i in range(grid.chunks)) == grid.points
        told = [each for i in range(grid.chunks) for each in grid.tiles(i)]
        assert len(told) == len(blocks)
    finally:
        module.TILE = before
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    points = list(zip(*(columns[name].tolist() for name in names), strict=True))
    assert len(points) == len(set(points)) == grid.points
    rng = np.random.default_rng(0)
    for row in rng.choice(len(points), min(12, len(points)), replace=False):
        fields = dict(zip(names, points[row], strict=True))
        one = _step(fields)
        if isinstance(one, str):
            assert columns["refused"][row] == ("does not fit" not in one), (fields, one)
            assert not columns["fits"][row]
            continue
        assert not columns["refused"][row]
        assert columns["fits"][row]
        assert columns["floor_s"][row] == pytest.approx(one.step.floor, rel=1e-12)
        assert columns["estimate_s"][row] == pytest.approx(one.estimate.seconds, rel=1e-12)
        assert columns["low_s"][row] == pytest.approx(one.estimate.low, rel=1e-12)
        assert terms(columns["binding"])[row] == ("math", "memory", "comms", "overhead")[one.step.time.binding]


def _step(fields: dict[str, Any]) -> Point | str:
    """The scalar point, or why there is none."""
    try:
        return step(Scenario(model="mixtral-8x22b", system="hgx-h100", **fields))
    except InputError as error:
        return str(error)


FILTERS = ["tp * dp <= 4", "batch > 5 and tp != 3", "isl - cached >= 50", 'weights == "fp8"', "not (batch in (1, 7))"]


@given(grids, st.lists(st.sampled_from(FILTERS), max_size=2, unique=True))
def test_filters_drop_rows_and_change_none(names: list[str], filters: list[str]) -> None:
    """The filtered sweep is the whole sweep without rows, whichever way a sparse box is evaluated."""
    grid = _grid({name: AXES[name] for name in names})
    whole = {k: np.concatenate(v) for k, v in _columns(grid).items()}
    fields = {name: getattr(grid.scenario, name) for name in Scenario.__struct_fields__} | whole
    keep = np.ones(grid.points, bool)
    for text in filters:
        keep &= wanted(text, fields)
    kept = {k: np.concatenate(v) for k, v in _columns(_grid(grid.axes, filters=tuple(filters))).items()}
    for name, values in kept.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, whole[name][keep], rtol=1e-12)
        else:
            assert (values == whole[name][keep]).all()


def _columns(grid: Grid) -> dict[str, list[np.ndarray]]:
    blocks = list(table(grid))
    return {name: [block[name] for block in blocks] for name in blocks[0]}


def test_a_grid_reads_back() -> None:
    """The folder of a sweep holds its grid as text: reading that must give the same points to the last digit."""
    grid = Grid.from_toml(
        HEAD + 'filters = ["tp <= 4"]\ncolumns = ["ttft_s"]\nfile_points = 1000\ntpot = "1.1 ms"\n'
        '[axes]\nbatch = ["1:100:x1.7", 3]\nisl = "1k:2k:+0.1k"\nprice = ["$1/h", "it\'s"]\nskew = [0.1, 0.3]',
        "grid",
    )
    again = Grid.from_toml(grid.to_toml(), "again")
    assert again == grid
    assert len(grid.axes["batch"]) == 10
    assert grid.axes["isl"] == pytest.approx(np.arange(1000, 2001, 100))


def test_values_of_the_command_line_come_before_those_of_the_file() -> None:
    """A file is a start: an option fixes an axis, `--over` makes an axis of a fixed field."""
    text = HEAD + "tp = 2\n[axes]\nbatch = [1, 2]\nisl = [1000, 2000]"
    grid = Grid.from_toml(text, "grid", {"batch": "8"}, {"tp": [1.0, 4.0]})
    assert grid.scenario.batch == 8
    assert list(grid.axes) == ["isl", "tp"]


BAD = {
    "no axes": (HEAD, "table of axes"),
    "no TOML": ("[", "not TOML"),
    "unknown axis": (HEAD + "[axes]\nbach = [1]", "did you mean batch"),
    "unknown key": (HEAD + "ax = 1\n[axes]\nbatch = [1]", "unknown key"),
    "empty axis": (HEAD + "[axes]\nbatch = []", "at least one value"),
    "fixed and an axis": (HEAD + "batch = 1\n[axes]\nbatch = [1]", "either fixed or an axis"),
    "wrong unit": (HEAD + '[axes]\nisl = ["3 GB"]', "a size in bytes"),
    "number for a name": (HEAD + "[axes]\nweights = [8]", "text"),
    "too many points": (HEAD + '[axes]\nisl = "1:1000k:+1"\nosl = "1:1000k:+1"', "at most"),
    "zero": (HEAD + "[axes]\ntp = [0, 1]", "more than 0"),
    "no system": ('model = "llama-3-8b"\n[axes]\ntp = [1]', "a system is needed"),
    "chunk of nothing": (HEAD + "file_points = 0\n[axes]\ntp = [1]", "at least 1"),
    "filter on nothing": (HEAD + 'filters = ["tpp <= 8"]\n[axes]\ntp = [1]', "did you mean tpp".replace("tpp", "tp")),
    "filter that computes": (HEAD + 'filters = ["tp * dp"]\n[axes]\ntp = [1]', "a comparison"),
    "filter that calls": (HEAD + "filters = [\"__import__('os') == 1\"]\n[axes]\ntp = [1]", "unknown field"),
    "filter of an attribute": (HEAD + 'filters = ["tp.real == 1"]\n[axes]\ntp = [1]', "fields, numbers and text"),
    "filter of unlike things": (HEAD + 'filters = ["weights <= 8"]\n[axes]\ntp = [1]', "text beside text"),
    "filter in another unit": (HEAD + "filters = [\"isl <= '3 s'\"]\n[axes]\ntp = [1]", "is a time"),
    "half a filter": (HEAD + 'filters = ["tp <="]\n[axes]\ntp = [1]', "not a condition"),
    "filters of numbers": (HEAD + "filters = [1]\n[axes]\ntp = [1]", "a list of texts"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BAD)
def test_mistake(mistake: str) -> None:
    """A grid that cannot be meant is refused with the place and the way out."""
    text, told = BAD[mistake]
    with pytest.raises(InputError, match=told):
        Grid.from_toml(text, "grid.toml")


def test_conditions_are_python_conditions() -> None:
    """The same text means what Python means by it, chained comparisons and division by zero included."""
    fields = dict.fromkeys(Scenario.__struct_fields__, 1) | {"tp": np.array([1, 2, 8]), "weights": "fp8"}
    for text in ("1 < tp <= 8", "tp % 3 == 2 or tp // 8 == 1", "not tp > 2", "tp in (1, 8)", "-tp + 3 >= 1"):
        expected = [eval(text, {"tp": tp}) for tp in (1, 2, 8)]
        assert wanted(text, fields).tolist() == expected
    assert not wanted("tp / 0 < 1", fields).any()
    assert wanted('weights == "fp8"', fields)
    assert math.isclose(Grid.from_toml(HEAD + "[axes]\ntp = [1]\nisl = [1, 2]", "g").points, 2)
