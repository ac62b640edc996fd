"""`train`: what it prints, that its lines lead to the same numbers, and what a mistake looks like."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

MAIN = "train llama-3-8b hgx-h100 --chips 8 --batch 64 --tokens 1T"


def test_document(run: Runner) -> None:
    """The keys that programs read, and that parts add up to their wholes."""
    found = run(f"{MAIN} --json").json
    assert (found["command"], found["model"], found["chips"]) == ("train", "llama-3-8b", 8)
    assert 0 < found["fitting"] <= found["evaluated"]
    best = found["plans"][0]
    assert best["floor_s"] <= best["low_s"] <= best["step_s"] <= best["high_s"]
    assert sum(best["time_s"].values()) == pytest.approx(best["step_s"])
    assert sum(best["memory_parts_bytes"].values()) == pytest.approx(best["memory_bytes"])
    assert best["usd"] == pytest.approx(best["days"] * 24 * 8 * 1.3)
    assert best["mfu"]["nvidia"] < best["mfu"]["megatron"] < best["mfu"]["hardware"]
    assert all(each["step_s"] >= best["step_s"] for each in found["plans"])


def test_line_and_rows_lead_to_the_same(run: Runner) -> None:
    found = run(f"{MAIN} --top 2 --json").json
    assert run(found["line"].removeprefix("ridgeline ") + " --json").json == found
    rows = list(csv.DictReader(io.StringIO(run(f"{MAIN} --top 2 --csv").out)))
    assert [float(row["step_s"]) for row in rows] == [each["step_s"] for each in found["plans"]]


def test_one_layout_is_that_of_the_search(run: Runner) -> None:
    best = run(f"{MAIN} --json").json["plans"][0]
    names = ("tp", "pp", "vp", "cp", "dp", "ep", "etp", "zero", "micro_batch", "recompute")
    options = " ".join(f"--{name.replace('_', '-')} {best[name]}" for name in names)
    lone = run(f"{MAIN} {options} --json").json
    assert lone["evaluated"] == 1
    assert lone["plans"][0]["step_s"] == pytest.approx(best["step_s"], rel=1e-12)


def test_text_names_what_it_must(run: Runner) -> None:
    out = run(MAIN).out
    for words in ("Why the others lose", "of held-out measurements", "floor: no machine can be faster", "again: "):
        assert words in out


def test_megatron_options(run: Runner) -> None:
    """Degrees, sharding and model of the layout, in Megatron-LM's names."""
    out = run(f"{MAIN} --tp 2 --pp 2 --vp 2 --emit megatron").out
    for words in (
        "--tensor-model-parallel-size 2",
        "--pipeline-model-parallel-size 2",
        "--num-virtual-stages-per-pipeline-rank 2",
        "--use-distributed-optimizer",
        "--sequence-parallel",
        "--num-query-groups 8",
        "--global-batch-size 64",
    ):
        assert words in out
    assert "--nproc-per-node 8 --nnodes 1" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--micro-batch 0", "at least 1"),
        ("--tp 3", "a divisor of llama-3-8b's attention heads, 32; try 2 or 4"),
        ("--tp 2 --dp 8", "the 8 chips"),
        ("--schedule zigzag", "unknown --schedule"),
        ("--emit slurm", "unknown launcher"),
        ("--schedule zb-h1 --pp 2 --emit megatron", "--schedule 1f1b"),
        ("--top 0", "1 to 100"),
        ("--seq 1001 --cp 2", "a divisor of the"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run: Runner, options: str, words: str) -> None:
    result = run(f"{MAIN} {options}")
    assert result.code == 2
    assert words in result.err
    assert result.err.count("\n") == 1
    assert not result.out


def test_picture(run: Runner, tmp_path: Path) -> None:
    path = tmp_path / "front.svg"
    assert run(f"{MAIN} --plot {path}").code == 0
    assert path.read_text(encoding="utf-8").count("<svg") == 1
