"""`rl`: its forms agree, its line reproduces, mistakes are one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

ASKED = "rl qwen3-30b-a3b hgx-h100 --chips 32 --tp 2"


@pytest.mark.parametrize(
    "more", ["", "--lag 1 --sequences 2048 --batch 512 --most 4k --mean 3050 --no-reference --kept 50% --stack ideal"]
)
def test_forms_agree_and_lines_reproduce(run: Runner, more: str) -> None:
    found = run(f"{ASKED} {more} --json").json
    assert run(f"{found['line']} --json").json == found
    assert len(run(f"{ASKED} {more} --csv").out.splitlines()) == 1 + len(found["policies"])
    assert "A step of" in run(f"{ASKED} {more}").out
    assert 0 < found["utilisation"] < 1
    assert found["floor_s"] <= found["step_s"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--stack nemo", "did you mean nemo-rl"),
        ("--tp 3", "tp"),
        ("--lag -1", "0 (on-policy) or more"),
        ("--mean 9k", "at most that"),
        ("--mean 0", "above 0"),
        ("--batch 300", "a divisor"),
        ("--train-pp 64", "a divisor"),
        ("--train-pp 5", "a divisor"),
        ("--kept 200%", "a share"),
        ("--judge x", "--judge"),
        ("--generators 16", "on-policy"),
        ("--sequences 0", "1 or more"),
    ],
)
def test_mistakes_are_one_line(run: Runner, more: str, message: str) -> None:
    result = run(f"{ASKED} {more}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
