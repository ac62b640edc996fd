"""`step`: the parts add up to the whole."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from ridgeline import Scenario, step

if TYPE_CHECKING:
    from .conftest import Runner

POINTS = (
    "llama-3-70b hgx-h100 --tp 8 --batch 64 --context 8k",
    "deepseek-v3 gb200-nvl72 --pp 2 --dp 8 --ep 8 --batch 512",
    "llama-3-70b hgx-h100 --tp 4 --cp 2 --phase prefill --isl 32k",
    "gpt-oss-120b hgx-b200 --tp 2 --phase mixed --batch 32",
)


@pytest.mark.parametrize("words", POINTS)
def test_rows_add_up(run: Runner, words: str) -> None:
    """Every row's seconds sum to the step's terms, its shares to one: nothing is left out or counted twice."""
    result = run(f"step {words} --json").json
    for term in ("math_s", "memory_s", "comms_s"):
        total = sum(row[term] for row in result["breakdown"])
        assert total == pytest.approx(result[f"{result['phase']}_{term}"], rel=1e-9)
    assert sum(row["share"] for row in result["breakdown"]) == pytest.approx(1)


def test_numbers_are_those_of_python(run: Runner) -> None:
    """The command is a face only."""
    point = step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=64, context="8k"))
    result = run(f"step {POINTS[0]} --json").json
    assert result["floor_s"] == point.step.floor
    assert {name: result[name] for name in point.numbers} == {n.name: n.value for n in point.numbers.values()}


def test_estimate_and_its_parts(run: Runner) -> None:
    """The three answers are those of Python, and the parts shown as bars sum to the estimate."""
    result = run(f"step {POINTS[0]} --engine vllm --json").json
    scenario = Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=64, context="8k", engine="vllm")
    estimate = step(scenario).estimate
    assert (
        result["estimate_s"] == estimate.seconds == pytest.approx(sum(estimate.terms.parts(estimate.engine).values()))
    )
    assert result["interval_s"] == {"low_s": estimate.low, "high_s": estimate.high, "level": 0.8}
    assert result["estimate_s"] != run(f"step {POINTS[0]} --json").json["estimate_s"]
    assert "from kernels measured on h100" in run(f"step {POINTS[0]}").out


def test_csv_is_the_breakdown(run: Runner) -> None:
    rows = list(csv.DictReader(io.StringIO(run(f"step {POINTS[1]} --csv").out)))
    told = run(f"step {POINTS[1]} --json").json["breakdown"]
    assert [row["operation"] for row in rows] == [row["operation"] for row in told]
    assert [float(row["memory_s"]) for row in rows] == [row["memory_s"] for row in told]


@pytest.mark.parametrize("words", POINTS)
def test_text(run: Runner, words: str) -> None:
    """Every number has its name and its words, and the last line reproduces it all."""
    result = run(f"step {words}")
    lines = result.out.splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[-1] == f"again: ridgeline step {words.replace('8k', '8000').replace('32k', '32000')}"
    for name in ("memory_used_bytes", "balance_batch", "drain_s"):
        assert any(line.startswith(name) for line in lines)
