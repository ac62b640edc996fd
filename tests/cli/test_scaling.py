"""`scaling`: laws side by side, warned where they leave their range; a fit of a file of runs; mistakes are one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from .conftest import Runner


def made(path: Path, header: str = "Model Size,Training FLOP,loss") -> Path:
    """Runs of a known law, with the columns of Epoch's file."""
    rng = np.random.default_rng(3)
    n = np.exp(rng.uniform(np.log(1e8), np.log(1e10), 60))
    d = n * np.exp(rng.uniform(0, 5, 60))
    loss = (1.8 + 480 / n**0.35 + 2100 / d**0.37) * np.exp(rng.normal(0, 2e-4, 60))
    rows = "\n".join(f"{a},{6 * a * b},{c}" for a, b, c in zip(n, d, loss, strict=True))
    path.write_text(f"{header}\n{rows}\n")
    return path


def test_a_fit_finds_the_law_that_made_the_runs(run: Runner, tmp_path: Path) -> None:
    found = run(f"scaling --fit {made(tmp_path / 'runs.csv')} --bootstrap 30 --json").json
    values = {row["constant"]: (row["value"], row["error"]) for row in found["constants"]}
    assert found["runs"] == 60
    for name, truth in (("E", 1.8), ("alpha", 0.35), ("beta", 0.37)):
        value, error = values[name]
        assert abs(value - truth) < 4 * error < 0.1


def test_budgets_have_intervals_and_warnings(run: Runner) -> None:
    found = {each["law"]: each for each in run("scaling --compute 5.76e23 --json").json["budgets"]}
    assert found["besiroglu"]["low"] < found["besiroglu"]["parameters"] < found["besiroglu"]["high"]
    assert any("rounded constants: -20% parameters" in text for text in found["chinchilla-rounded"]["warnings"])
    assert all(each["warnings"] for each in found.values())
    assert not run("scaling --compute 1e21 --json").json["budgets"][0]["warnings"]


def test_all_questions_at_once_reproduce(run: Runner) -> None:
    line = (
        "scaling --compute 1e24 --parameters 70B --tokens 15T --inference 200T --unique 5T --experts 64 "
        "--granularity 12 --activation 3.1%"
    )
    found = run(f"{line} --json").json
    assert run(f"{found['line']} --json").json == found
    assert {"budgets", "models", "served", "repeated", "mixtures"} <= set(found)
    assert "beyond:" in run(line).out
    assert len(run(f"{line} --csv").out.splitlines()) == 1 + sum(
        len(found[name]) for name in ("budgets", "models", "served", "repeated", "mixtures")
    )


def test_a_law_of_ones_own(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "scaling").mkdir()
    law = tmp_path / "scaling" / "mine.toml"
    text = 'title = "t"\nform = "additive"\nsource = "us"\nE = 1.7\nA = 400.0\nB = 400.0\nalpha = 0.3\nbeta = 0.3\n'
    law.write_text(text)
    assert "us" in run(f"scaling --law mine --catalog {tmp_path}").out
    found = run(f"scaling --compute 1e22 --catalog {tmp_path} --json").json["budgets"]
    mine = next(each for each in found if each["law"] == "mine")
    assert mine["parameters"] == pytest.approx(mine["tokens_tok"])
    for i, (old, new, message) in enumerate((("0.3", "-0.3", "above 0"), ("additive", "magic", "unknown form"))):
        (tmp_path / "scaling" / f"bad{i}.toml").write_text(text.replace(old, new))
        result = run(f"scaling --law bad{i} --catalog {tmp_path}")
        assert (result.code, result.out) == (2, "")
        assert message in result.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--law chinchila", "did you mean chinchilla"),
        ("--compute 0", "above 0"),
        ("--compute 5GB", "is a size in bytes"),
        ("--parameters 70B", "both"),
        ("--parameters 0 --tokens 1T", "above 0"),
        ("--parameters 70Q --tokens 1T", "--parameters"),
        ("--parameters 70B --tokens 0", "above 0"),
        ("--inference 5T", "a model too"),
        ("--parameters 1B --tokens 1T --experts 0.5", "1 or more"),
        ("--parameters 1B --tokens 1T --granularity 8", "both"),
        ("--parameters 1B --tokens 1T --activation 200% --granularity 8", "at most 1"),
        ("--parameters 1B --tokens 1T --unique 0", "above 0"),
        ("--fit nosuch.csv", "cannot be read"),
    ],
)
def test_mistakes_are_one_line(run: Runner, words: str, message: str) -> None:
    result = run(f"scaling {words}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "a column of parameters and of loss and of tokens or flop"),
        ("params,tokens,loss\n1,2,x\n", "line 2: loss 'x'"),
        ("params,tokens,loss\n1,-2,3\n", "line 2: tokens '-2'"),
        ("params,tokens,loss\n1e9,2e9,3\n", "10 or more"),
        ("params,tokens,loss\n" + "1e9,2e9,3\n" * 20, "runs of different sizes"),
        ("", "a column of"),
    ],
)
def test_tables_that_cannot_be_fitted(run: Runner, tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "runs.csv").write_text(content)
    result = run(f"scaling --fit {tmp_path / 'runs.csv'}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
