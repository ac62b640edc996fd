"""`context`: its forms agree, its line reproduces it, it draws, and mistakes are one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

ASKED = "context llama-3-8b hgx-h100 --chips 2 --attention published,block,linear --shortest 10k --longest 10M"


@pytest.mark.parametrize("more", ["", "--tpot 10ms --cost $2/Mtok --models qwen3-8b", "--user-rate 50tok/s"])
def test_forms_agree_and_lines_reproduce(run: Runner, more: str) -> None:
    document = run(f"{ASKED} {more} --json").json
    assert run(f"{document['line']} --json").json == document
    rows = list(csv.DictReader(io.StringIO(run(f"{ASKED} {more} --csv").out)))
    assert len(rows) == sum(len(row["points"]) for row in document["rows"])
    out = run(f"{ASKED} {more}").out
    assert out.splitlines()[-1] == f"again: {document['line']}"
    assert "…" not in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("again:")) <= 110
    labels = [row["attention"] for row in document["rows"]]
    assert labels == ["llama-3-8b", "block", "linear"] + (["qwen3-8b"] if "models" in more else [])
    assert "fits" in document["rows"][2]["endless"]


def test_it_draws(run: Runner, tmp_path: Path) -> None:
    assert run(f"{ASKED} --tpot 20ms --plot {tmp_path / 'context.svg'}").code == 0
    assert "one sequence alone" in (tmp_path / "context.svg").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--attention nosuch", "unknown attention"),
        ("--attention dense,dense", "each once"),
        ("--attention ,", "at least one kind"),
        ("--models nosuch", "nosuch"),
        ("--shortest 1M --longest 10k", "the second above the first"),
        ("--longest 8bananas", "--longest"),
        ("--cost $0/Mtok", "above $0"),
        ("--cost 5", "no unit"),
        ("--tpot 0s", "above 0"),
        ("--price nosuch", "nosuch price"),
    ],
)
def test_mistakes_are_one_line(run: Runner, more: str, message: str) -> None:
    result = run(f"context llama-3-8b hgx-h100 --chips 2 {more}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
