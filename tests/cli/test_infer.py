"""`ridgeline infer` as it is typed: sheets by name, by file, by price; many at once; and wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

ASKED = "infer --input 2 --output 12 --cached 0.2 --above 200k:4/18 --draws 30000"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    entry = {"litellm_provider": "us", "mode": "chat", "input_cost_per_token": 3e-7, "output_cost_per_token": 1.2e-6,
             "max_input_tokens": 131072, "cache_read_input_token_cost": 3e-8}  # fmt: skip
    free = entry | {"output_cost_per_token": 0.0}
    dearer = entry | {"input_cost_per_token": 4e-7}
    path.write_text(json.dumps({"a/minimax-m2": entry, "b/m": entry, "b/free": free, "c/m": dearer}))
    return path


def test_prices_on_the_command_line(run: Runner) -> None:
    """The issue's example; the line that is printed gives the same answer again."""
    first = run(f"{ASKED} --json").json
    beliefs = first["beliefs"]
    low, high = beliefs["active"]["posterior_low"], beliefs["active"]["posterior_high"]
    assert 1e9 < low < high < 1e12
    assert not beliefs["margin"]["identified"]
    assert len(first["misfits"]) == 2
    assert first["effective_draws"] > 400
    assert run(f"{first['line']} --json").json == first


def test_the_text_has_before_and_after(run: Runner) -> None:
    """Prior and posterior side by side, nats, what is not identified, diagnostics, how it did elsewhere."""
    out = run(ASKED).out
    for text in ("before, 80%", "nats", "not identified", "Pareto k", "each left out", "1.67 kB/tok", "caution"):
        assert text in out, text


def test_a_file_and_a_name_in_it(run: Runner, sheet: Path) -> None:
    """A model whose architecture is public stands beside the answer."""
    assert "minimax-m2" in run(f"infer {sheet} minimax-m2 --draws 30000").out
    found = run(f"infer {sheet} --all --draws 20000 --json").json
    assert [each["name"] for each in found["sheets"]] == ["a/minimax-m2", "b/m", "c/m"]


def test_beliefs_of_ones_own(run: Runner, tmp_path: Path) -> None:
    """--print-priors gives the file that --priors reads; believing in dense models only has its effect."""
    path = tmp_path / "priors.toml"
    text = run("infer --print-priors").out
    path.write_text(text)
    same, default = (run(f"{ASKED} {flag} --json").json["beliefs"] for flag in (f"--priors {path}", ""))
    assert same == default
    path.write_text(text.replace("experts = 0.5143", "experts = 0.001"))
    assert run(f"{ASKED} --priors {path} --json").json["beliefs"]["sparsity"]["posterior_high"] < 2


def test_an_unexplained_sheet_has_exit_code_one(run: Runner) -> None:
    """And no posterior."""
    found = run("infer --input 0.002 --output 90 --draws 30000")
    assert found.code == 1
    assert "no model in the prior explains" in found.out
    assert "active parameters" not in found.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("infer", "no input price"),
        ("infer --input 2", "no output price"),
        ("infer --input 0 --output 2", "above zero"),
        ("infer --input -1 --output 2", "negative"),
        ("infer --input nan --output 2", "not a number"),
        ("infer --input 0.000002 --output 0.000012", "is it $/token?"),
        ("infer --input €2 --output 12", "US dollars"),
        ("infer --input 2 --output 12 --above 400k:4/18,200k:5/20", "out of order"),
        ("infer --input 2 --output 12 --cached 3", "no dearer than input"),
        ("infer gpt-5 --input 2", "not both"),
        ("infer gtp-5", "did you mean"),
        ("infer FILE", "which of its models"),
        ("infer FILE m", "b/m, c/m"),
        ("infer FILE free", "above zero"),
        ("infer FILE nothing", "unknown model"),
        ("infer missing.json m", "cannot be read"),
        ("infer gpt-5 --priors missing.toml", "cannot be read"),
        ("infer gpt-5 --draws 3", "1,000"),
        ("infer --all", "a file"),
    ],
)
def test_wrong_input_is_named(run: Runner, sheet: Path, words: str, says: str) -> None:
    """One line, exit code 2, nothing printed."""
    found = run(words.replace("FILE", str(sheet)))
    assert found.code == 2
    assert not found.out
    assert says in found.err


def test_the_picture_is_drawn(run: Runner, sheet: Path, tmp_path: Path) -> None:
    path = tmp_path / "belief.svg"
    assert run(f"infer {sheet} a/minimax-m2 --draws 30000 --plot {path}").code == 0
    assert "active against total" in path.read_text() or path.stat().st_size > 10_000
