"""`predict`, `validate` and `calibrate`: files in, files out, and what a bad row or a bad file does."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from ridgeline.cli.calibrate import _UNITS
from ridgeline.efficiency import KernelConstants, LinkConstants
from ridgeline.engines import Client, EngineConstants, Engines, read_engines
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Runner

COLUMNS = ["id", "metric", "floor", "low", "estimate", "high", "binding", "provenance", "refused"]
HEAD = "id,model,chip,engine,weight_dtype,kv_dtype,tp,chips,mode,isl,osl,batch,metric,value,mtp"
GOOD = "llama-3-8b,h100,vLLM,bf16,,1,1,online,1000,200"
BAD = "x,nobody,h100,vLLM,bf16,,1,1,online,1000,200,8,tpot_s,0.01,0"


def lines(count: int = 20) -> list[str]:
    """Rows of two metrics at growing batches, with values near what can be expected."""
    tpot = [f"r{i}:tpot,{GOOD},{2 * i + 1},tpot_s,{0.0065 + 0.00012 * i:.5f},0" for i in range(count)]
    ttft = [f"r{i}:ttft,{GOOD},{2 * i + 1},ttft_s,{0.05 + 0.003 * i:.4f},0" for i in range(count)]
    return tpot + ttft


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """A file of forty good rows and a bad one."""
    path = tmp_path / "points.csv"
    path.write_text("\n".join([HEAD, *lines(), BAD]) + "\n")
    return path


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_row_for_each_row(run: Runner, points: Path) -> None:
    """Columns, order and digits are those that programs rely on; a refused row has no numbers."""
    result = run(f"predict {points}")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0] == ",".join(COLUMNS)
    rows = table(result.out)
    wanted = predict(read_points(points))
    assert [row["id"] for row in rows] == [row["id"] for row in table(points.read_text())]
    for row, each in zip(rows, wanted, strict=True):
        if each.refused:
            assert row["refused"].startswith("unknown model 'nobody'")
            assert [row[name] for name in COLUMNS[2:8]] == [""] * 6
        else:
            assert [float(row[name]) for name in COLUMNS[2:6]] == [each.floor, each.low, each.estimate, each.high]
            assert (row["binding"], row["provenance"], row["refused"]) == (each.binding, each.provenance, "")


def test_file_and_document_are_the_same(run: Runner, points: Path) -> None:
    """-o, standard output and --json tell the same, and nothing is left beside the file."""
    printed = run(f"predict {points}").out
    told = run(f"predict {points} -o {points.parent}/out.csv").out.splitlines()
    assert told == [
        f"41 rows in {points.parent}/out.csv, 1 of them refused",
        f"again: ridgeline predict {points} -o {points.parent}/out.csv",
    ]
    assert (points.parent / "out.csv").read_text() == printed
    assert sorted(path.name for path in points.parent.iterdir()) == ["out.csv", "points.csv"]
    document = run(f"predict {points} --json").json
    assert (document["rows"], document["refused"], len(document["predictions"])) == (41, 1, 41)
    assert list(document["predictions"][0]) == COLUMNS
    assert document["predictions"][-1]["estimate"] is None


def test_a_folder_of_runs(run: Runner, tmp_path: Path) -> None:
    """Real runs, request by request, are points too: `validate` once asked for a file."""
    folder = tmp_path / "RTX4090" / "one"
    folder.mkdir(parents=True)
    engine = {"model": "meta-llama/Llama-3.1-8B", "max_num_seqs": 64, "max_num_batched_tokens": 2048}
    meta = {"engine_kwargs": engine, "vllm_version": "0.19.0", "started_at": "2026-08-20T23:19:39Z"}
    (folder / "meta.json").write_text(json.dumps(meta | {"kv_cache": {"num_gpu_blocks": 2588}}))
    names = ("arrival_time", "queued_ts", "first_token_ts", "last_token_ts")
    times = [[i + t for t in (1e9, 50.0, 50.2, 54.2)] for i in range(20)]
    rows = [{"input_toks": 1000, "output_toks": 201} | dict(zip(names, each, strict=True)) for each in times]
    (folder / "requests.jsonl").write_text("\n".join(map(json.dumps, rows)))
    measured = run(f"predict {tmp_path}")
    assert [row["metric"] for row in table(measured.out)] == ["ttft_s", "tpot_s", "e2e_s", "out_tok_s"]
    found = run(f"validate {tmp_path} --json").json
    assert (found["rows"], found["predicted"]) == (4, 4)
    assert found["overall"]["tpot_s"]["median_abs_error"] < 0.5


@pytest.mark.parametrize("command", ["predict", "validate"])
def test_strict(run: Runner, points: Path, command: str) -> None:
    """The exit code tells a script that a row was refused; the rest is printed as ever."""
    assert run(f"{command} {points}").code == 0
    strict = run(f"{command} {points} --strict")
    assert (strict.code, strict.out) == (1, run(f"{command} {points}").out)
    points.write_text("\n".join([HEAD, *lines()]) + "\n")
    assert run(f"{command} {points} --strict").code == 0


def test_values_need_not_be_known(run: Runner, tmp_path: Path) -> None:
    """What nobody measured yet can be predicted; only `validate` needs a value."""
    path = tmp_path / "p.csv"
    path.write_text(
        "model,chip,weight_dtype,mode,metric,isl,osl,batch\nllama-3-8b,h100,bf16,online,tpot_s,1000,200,8\n"
    )
    (row,) = table(run(f"predict {path}").out)
    assert float(row["floor"]) < float(row["estimate"])
    assert run(f"validate {path} --json").json == {"rows": 1, "predicted": 0, "overall": {}, "groups": {}}


def test_no_rows(run: Runner, tmp_path: Path) -> None:
    """A file of a heading only has as many predictions as rows."""
    path = tmp_path / "p.csv"
    path.write_text(HEAD + "\n")
    assert run(f"predict {path} --strict") == (0, ",".join(COLUMNS) + "\n", "")


def test_validation_as_document(run: Runner, points: Path) -> None:
    """The keys that programs read."""
    document = run(f"validate {points} --where mtp=0 --json").json
    assert document.keys() == {"rows", "predicted", "overall", "groups"}
    assert (document["rows"], document["predicted"]) == (41, 40)
    assert document["overall"].keys() == {"tpot_s", "ttft_s"}
    for scores in (document["overall"], *document["groups"].values()):
        for each in scores.values():
            assert list(each) == ["n", "median_abs_error", "p90_abs_error", "bias", "coverage80", "faster_than_floor"]
    assert document["groups"].keys() == {"chip: h100", "model: llama-3-8b", "engine: vLLM", "mode: online"}


def test_validation_as_text(run: Runner, points: Path) -> None:
    """Sets, groups, the worst with their cause, every refusal with its reason; no wider than the terminal."""
    result = run(f"validate {points} --where mtp=0 --where chip=h100")
    assert (result.code, result.err) == (0, "")
    out = result.out.splitlines()
    assert out[0] == "40 of 41 rows predicted (98%)"
    assert out[-1] == f"again: ridgeline validate {points} --where mtp=0 --where chip=h100"
    assert max(map(len, out[:-1])) <= 110
    for words in ("online TPOT", "end to end", "The worst 10", "Not predicted", "unknown model 'nobody'"):
        assert words in result.out
    assert "left out" not in result.out
    assert "21 other rows left out" in run(f"validate {points} --where metric=ttft_s").out


def test_validation_as_rows(run: Runner, points: Path) -> None:
    rows = table(run(f"validate {points} --csv").out)
    assert {row["group"] for row in rows} >= {"all", "online TPOT", "end to end", "chip: h100"}
    assert sum(int(row["n"]) for row in rows if row["group"] == "all") == 40


def test_scatter(run: Runner, points: Path) -> None:
    """Predicted against measured, twice the same; a page would need a point, which a file of them is not."""
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg", "a.png"):
        assert run(f"validate {points} --plot {points.parent}/{name}").code == 0
    drawn = (points.parent / "a.svg").read_bytes()
    assert drawn == (points.parent / "b.svg").read_bytes()
    refused = run(f"validate {points} --plot {points.parent}/a.html")
    assert (refused.code, refused.out) == (2, "")


def test_calibration(run: Runner, points: Path) -> None:
    """Constants are fitted to the good rows, printed and written; what is written reads back as what is printed."""
    path = points.parent / "engines.json"
    result = run(f"calibrate {points} -o {path}")
    assert (result.code, result.err) == (0, "")
    found = read_engines(path.read_bytes())
    assert {each.engine for each in found.engines} == {"any", "vllm"}
    assert "vllm" in result.out
    assert "online/tpot_s" in result.out
    assert f"written to {path}" in result.out
    assert found == msgspec.convert(run(f"calibrate {points} --json").json, Engines)
    assert sorted(each.name for each in points.parent.iterdir()) == ["engines.json", "points.csv"]
    assert {row["engine"] for row in table(run(f"calibrate {points} --csv").out)} == {"any", "vllm"}


@pytest.mark.parametrize("kind", [EngineConstants, Client, KernelConstants, LinkConstants])
def test_every_constant_is_printed(kind: type) -> None:
    """Those without a unit are left out of the tables: three were, and one that is no constant any more was not."""
    assert {field.name for field in msgspec.structs.fields(kind) if field.type is float} <= _UNITS.keys()


def test_calibration_of_kernels_without_tables(run: Runner, tmp_path: Path) -> None:
    """An empty folder fits nothing and writes nothing."""
    result = run(f"calibrate --kernels {tmp_path} -o {tmp_path}/constants.json")
    assert (result.code, result.out) == (2, "")
    assert not list(tmp_path.iterdir())
