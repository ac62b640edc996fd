"""`modes`, `compare`, `sensitivity`, `racks`: their three forms agree, and their lines ask the same again."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

QUESTIONS = {
    "modes mixtral-8x7b hgx-h200 --isl 2k": "modes",
    "compare llama-3-8b hgx-h100,tpu-v5e --chips 4 --tpot 30ms": "cases",
    "compare llama-3-8b hgx-h100 --over weights=bf16,fp8 --context 8k": "cases",
    "sensitivity llama-3-8b hgx-h100 --tpot 20ms": "inputs",
    "sensitivity mixtral-8x7b hgx-h100 --context 8k --set chip.hbm_bandwidth=2x": "inputs",
    "racks mixtral-8x7b hgx-h100 --tpot 30ms": "spread",
}


@pytest.mark.parametrize("words", QUESTIONS)
def test_forms_agree_and_lines_reproduce(run: Runner, words: str) -> None:
    document = run(f"{words} --json").json
    assert document[QUESTIONS[words]]
    assert document["command"] == words.split()[0]
    assert run(f"{document['line']} --json").json == document
    rows = list(csv.DictReader(io.StringIO(run(f"{words} --csv").out)))
    assert len(rows) >= len(document[QUESTIONS[words]])
    out = run(words).out
    assert out.splitlines()[-1].split(":", 1)[1].strip() == document["line"]
    copied = ("in full:", "again:")
    assert max(len(line) for line in out.splitlines() if not line.startswith(copied)) <= 110


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("compare llama-3-8b hgx-h100", "compare of 1 cases"),
        ("compare llama-3-8b hgx-h100,nosuch", "unknown system 'nosuch'"),
        ("compare llama-3-8b hgx-h100 --over nosuch=1,2", "unknown axis in --over 'nosuch'"),
        ("compare llama-3-70b rtx-3090,rtx-4090 --chips 1", "no case has a plan"),
        ("modes llama-3-70b hgx-h100 --tpot 1ms", "the lowest is"),
        ("racks deepseek-v3 hgx-h100", "no layout without stages fits"),
        ("racks llama-3-8b m2-ultra", "network.bandwidth"),
        ("sensitivity llama-3-8b hgx-h100 --pools disaggregated", "one pool"),
        ("plan llama-3-8b hgx-h100 --over batch=1,2", "searched anyway"),
        ("plan llama-3-8b hgx-h100 --front cost", "two of cost"),
        ("step llama-3-8b hgx-h100 --set chip.speed=2x", "unknown value to --set"),
    ],
)
def test_mistakes_are_one_line(run: Runner, words: str, message: str) -> None:
    result = run(words)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_compare_is_drawn(run: Runner, tmp_path: Path) -> None:
    """The same picture twice, with both names in it."""
    pictures = [tmp_path / name for name in ("a.svg", "b.svg")]
    for path in pictures:
        assert run(f"compare llama-3-8b hgx-h100,hgx-h200 --chips 2 --plot {path}").code == 0
    first, second = (path.read_bytes() for path in pictures)
    assert len(first) > 5_000
    assert json.dumps(len(first)) == json.dumps(len(second))


def test_what_if_is_in_the_answer(run: Runner) -> None:
    """It changes the numbers, is said at the head, and its value is explained by it."""
    plain, twice = (
        run(f"step llama-3-8b hgx-h100 --context 8k {words} --json").json["decode_memory_s"]
        for words in ("", "--set chip.hbm_bandwidth=2x")
    )
    assert plain == pytest.approx(2 * twice)
    out = run("explain llama-3-8b hgx-h100 --context 8k --set chip.hbm_bandwidth=2x decode_memory_s").out
    assert "what if: chip.hbm_bandwidth=2x" in out
    assert "2x, --set" in out
