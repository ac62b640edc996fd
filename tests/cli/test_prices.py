"""`ridgeline prices`: sheets of the catalogue and of files, filters, and wrong input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner


def test_the_catalogues_sheets(run: Runner) -> None:
    """Ratios, steps and dates of one provider; three forms of one answer."""
    found = run("prices --provider openai --json").json
    assert found["ratios"]["output / input"]["sheets"] >= 8
    assert {step["above_tok"] for step in found["steps"]} == {272e3}
    assert [day["date"] for day in found["days"]] == sorted(day["date"] for day in found["days"])
    rows = list(csv.DictReader(io.StringIO(run("prices --provider openai --csv").out)))
    assert len(rows) == found["sheets"]
    assert all(row["provider"] == "openai" for row in rows)
    assert run(f"{found['line']} --json").json == found
    assert "272k 2x 1.5x" in run("prices --provider openai").out


def test_two_files_with_their_dates(run: Runner, tmp_path: Path) -> None:
    """How a ratio moved between two files in litellm's format; what is no sheet is counted, with its reason."""
    for name, hit in (("old", 5e-7), ("new", 1e-7)):
        entry = {"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6,
                 "cache_read_input_token_cost": hit}  # fmt: skip
        broken = entry | {"cache_read_input_token_cost": 2e-6}
        (tmp_path / f"{name}.json").write_text(json.dumps({"a/m": entry, "a/broken": broken}))
    words = f"prices 2025-06={tmp_path / 'old.json'} 2026-06={tmp_path / 'new.json'}"
    found = run(f"{words} --json").json
    assert [(day["date"], day["cached_over_input"]) for day in found["days"]] == [("2025-06", 0.5), ("2026-06", 0.1)]
    assert len(found["refused"]) == 2
    assert "no dearer than input" in run(words).out
    path = tmp_path / "ratios.png"
    assert run(f"{words} --plot {path}").code == 0
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("prices --provider nobody", "no sheet is left"),
        ("prices missing.json", "cannot be read"),
        ("prices sheet.xlsx", "litellm"),
        ("prices --plot x.doc", "file name"),
    ],
)
def test_wrong_input_is_named(run: Runner, words: str, says: str) -> None:
    """One line, exit code 2, nothing printed."""
    found = run(words)
    assert (found.code, found.out) == (2, "")
    assert says in found.err
