"""`sweep`: a grid is the same as so many steps."""

from __future__ import annotations

import csv
import io
import math
import random
from typing import TYPE_CHECKING

import pytest

from ridgeline.sweep.axis import axis

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run, Runner

GRID = "--over tp=1,2,3,8 --over batch=1:4096:x4 --over context=1k,8k --over weights=fp8,bf16"
RESULTS = ("estimate_s", "tpot_s", "tpot_estimate_s", "output_tokens_per_s_per_chip_estimate", "memory_used_bytes")


def _rows(result: Run) -> list[dict[str, str]]:
    assert result.code == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


@pytest.mark.parametrize("grid", ["llama-3-70b hgx-h100", "mixtral-8x22b hgx-h100 --dp 2 --ep 4"])
def test_rows_are_steps(run: Runner, grid: str) -> None:
    """Random rows against the scalar command; `step` refuses what a row marks, for that reason."""
    rows = _rows(run(f"sweep {grid} {GRID}"))
    assert len(rows) == 4 * 7 * 2 * 2
    for row in random.Random(0).sample(rows, 40):
        options = " ".join(f"--{name} {row[name]}" for name in ("tp", "batch", "context", "weights"))
        result = run(f"step {grid} {options} --json")
        if row["refused"] == "1":
            assert result.code == 2
            assert "does not fit" not in result.err
            assert math.isnan(float(row["floor_s"]))
        elif row["fits"] == "0":
            assert "does not fit" in result.err
        else:
            step = result.json
            assert float(row["floor_s"]) == pytest.approx(step["floor_s"], rel=1e-12)
            assert row["binding"] == step["binding"]
            for name in RESULTS:
                assert float(row[name]) == pytest.approx(step[name], rel=1e-12)


def test_order_is_that_of_the_axes(run: Runner) -> None:
    """The last axis runs fastest, names among numbers included."""
    rows = _rows(run("sweep llama-3-8b hgx-h100 --over batch=1,2 --over osl=10,20"))
    assert [(row["batch"], row["osl"]) for row in rows] == [("1", "10"), ("1", "20"), ("2", "10"), ("2", "20")]


def test_axis_of_systems(run: Runner) -> None:
    """Names and prices can be axes too; a layout that only one system allows is refused on the other only."""
    rows = _rows(run("sweep llama-3-8b hgx-h100 --tp 16 --over system=hgx-h100,gb200-nvl72 --over price=$1/h,$2/h"))
    assert [row["refused"] for row in rows] == ["1", "1", "0", "0"]
    assert float(rows[3]["usd_per_output_token"]) == pytest.approx(2 * float(rows[2]["usd_per_output_token"]))


def test_phase_without_a_user(run: Runner) -> None:
    """A prefill step has seconds but no time per output token."""
    (row,) = _rows(run("sweep llama-3-8b hgx-h100 --over phase=prefill"))
    assert float(row["floor_s"]) > 0
    assert math.isnan(float(row["tpot_s"]))


def test_file_and_document_are_the_same_rows(run: Runner, tmp_path: Path) -> None:
    """CSV file, standard output and --json tell the same; null stands for no number."""
    words = "sweep llama-3-70b hgx-h100 --over tp=3,8 --over batch=1,8"
    printed = run(words).out
    told = run(f"{words} -o {tmp_path}/a.csv")
    assert (tmp_path / "a.csv").read_text() == printed
    assert told.out.splitlines()[-1] == f"again: ridgeline {words} -o {tmp_path}/a.csv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
    rows = run(f"{words} --json").json["rows"]
    assert [row["floor_s"] for row in rows][:2] == [None, None]
    assert [str(row["floor_s"]) for row in rows][2:] == [
        row["floor_s"] for row in csv.DictReader(io.StringIO(printed))
    ][2:]


def test_parquet_round_trip(run: Runner, tmp_path: Path) -> None:
    """Parquet holds the numbers of the CSV exactly, more rows than one block of them."""
    duckdb = pytest.importorskip("duckdb")
    words = f"sweep llama-3-8b hgx-h100 --over batch=1:180:+1 --over context=1k:100k:+1k -o {tmp_path}/a"
    assert run(f"{words}.csv").out.startswith("18,000 points")
    assert run(f"{words}.parquet").code == 0
    with duckdb.connect() as database:
        packed = database.read_parquet(f"{tmp_path}/a.parquet").fetchall()
        names = database.read_parquet(f"{tmp_path}/a.parquet").columns
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [dict(zip(names, map(str, row), strict=True)) for row in packed] == rows


def test_failure_leaves_the_old_file(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted half-way: what was there stays, and no scrap is left beside it."""
    (tmp_path / "a.csv").write_text("old")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ridgeline.cli.report.Rows.write", interrupted)
    assert run(f"sweep llama-3-8b hgx-h100 --over batch=1 -o {tmp_path}/a.csv").code == 130
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "old")]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("batch=1:16:x2", [1, 2, 4, 8, 16]),
        ("batch=1:10:x3", [1, 3, 9]),
        ("context=1k:3k:+1k", [1000, 2000, 3000]),
        ("skew=0:0.3:+0.1", [0, 0.1, 0.2, 0.3]),
        ("batch=1,8,16:64:x2", [1, 8, 16, 32, 64]),
        ("memory-utilisation=80%,90%", [0.8, 0.9]),
    ],
)
def test_axis(text: str, values: list[float]) -> None:
    """Ranges include their end, in spite of rounding, and mix with single values."""
    assert axis(text)[1] == pytest.approx(values)


FILE = """
model = "llama-3-8b"
system = "hgx-h100"
filters = ["tp * batch <= 64"]

[axes]
tp = [1, 2, 8]
batch = "1:64:x2"
weights = ["bf16", "fp8"]
"""


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    (tmp_path / "grid.toml").write_text(FILE)
    return tmp_path / "grid.toml"


def test_a_file_is_the_same_grid_as_options(run: Runner, grid: Path) -> None:
    """Two spellings of one grid print the same rows, and the line of each reproduces it."""
    words = "llama-3-8b hgx-h100 --over tp=1,2,8 --over batch=1:64:x2 --over weights=bf16,fp8"
    words += " --where 'tp * batch <= 64'"
    rows = run(f"sweep {grid}")
    assert rows == run(f"sweep {words}")
    assert len(_rows(rows)) == 2 * (7 + 6 + 4)
    line = run(f"sweep {grid} --tp 2 --over batch=4,8 --json").json["line"]
    assert line == f"ridgeline sweep {grid} --tp 2 --over batch=4,8"
    assert [row["batch"] for row in run(f"{line} --json").json["rows"]] == [4, 8, 4, 8]


def test_folder_and_query(run: Runner, grid: Path, tmp_path: Path) -> None:
    """What a folder holds is what the table prints; SQL finds it, and the folder's own grid makes it again."""
    pytest.importorskip("duckdb")
    rows = _rows(run(f"sweep {grid}"))
    folder = tmp_path / "out"
    told = run(f"sweep {grid} -o {folder} --executor serial --columns estimate_s,ttft_estimate_s,refused")
    assert told.out.startswith("42 points before filters in 1 file in")
    again = f"ridgeline sweep {grid} --columns estimate_s,ttft_estimate_s,refused -o {folder}"
    assert told.out.splitlines()[-1] == f"again: {again}"
    answer = run(f"query {folder} 'SELECT * FROM sweep' --json").json["rows"]
    assert list(answer[0]) == ["tp", "batch", "weights", "estimate_s", "ttft_estimate_s", "refused"]
    assert [row["estimate_s"] for row in answer] == pytest.approx([float(row["estimate_s"]) for row in rows], rel=1e-6)
    assert run(f"query {folder} 'SELECT count(*) AS n FROM sweep'").out.split()[-1] == str(len(rows))
    again = run(f"sweep {folder}/grid.toml -o {tmp_path}/again --json").json
    assert (again["points"], again["found"]) == (42, 0)
    assert (tmp_path / "again/000000.parquet").read_bytes() == (folder / "000000.parquet").read_bytes()


def test_numbers_of_a_prompt_as_columns(run: Runner) -> None:
    """Any number of a point can be a column, under the name that `step` prints."""
    row = _rows(run("sweep llama-3-8b hgx-h100 --over batch=8 --columns ttft_estimate_s,memory_cache_bytes"))[0]
    step = run("step llama-3-8b hgx-h100 --batch 8 --json").json
    assert list(row) == ["batch", "ttft_estimate_s", "memory_cache_bytes"]
    assert all(float(row[name]) == pytest.approx(step[name], rel=1e-12) for name in list(row)[1:])
