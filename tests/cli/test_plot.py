"""`--plot` and the terminal's plot."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ridgeline.cli.sketch import sketch

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Runner

POINT = "step mixtral-8x7b hgx-h100 --tp 2 --batch 8"
DRAWN = (
    POINT,
    f"{POINT} --phase prefill",
    "plan llama-3-8b hgx-h100",
    "sweep llama-3-8b hgx-h100 --over batch=1:64:x2",
    "step llama-3-8b tpu-v5e --tp 4",
)


class Links(HTMLParser):
    """What a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = (value or "" for key, value in attrs if key in ("src", "href"))
        self.outside += [value for value in found if not value.startswith("#")]


@pytest.mark.parametrize("words", DRAWN)
def test_picture(run: Runner, tmp_path: Path, words: str) -> None:
    """A picture is drawn of every kind of answer, twice the same (alone and in a page), with its reproducing line."""
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "a.html", "a.png"):
        result = run(f"{words} --plot {tmp_path}/{name}")
        assert (result.code, result.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png", "a.svg"]
    page, picture = (tmp_path / "a.html").read_text(), (tmp_path / "a.svg").read_text()
    assert picture[picture.index("<svg") :] in page
    assert f"ridgeline {words.split()[0]}" in page
    assert "tpot_s" in page or "prefill" in words
    links = Links()
    links.feed(page)
    assert not links.outside


def test_without_matplotlib(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra that draws is named where it is missing."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(f"{POINT} --plot {tmp_path}/a.svg")
    assert (result.code, result.out) == (2, "")
    assert result.err == "ridgeline: --plot: needs matplotlib; pip install 'ridgeline[plot]'\n"
    assert not list(tmp_path.iterdir())


def test_without_duckdb(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is the one that writes Parquet."""
    monkeypatch.setitem(sys.modules, "duckdb", None)
    result = run(f"sweep llama-3-8b hgx-h100 --over batch=1,2 -o {tmp_path}/a.parquet")
    assert (result.code, result.out) == (2, "")
    assert "pip install 'ridgeline[store]'" in result.err
    assert not list(tmp_path.iterdir())


def test_sketch_puts_points_where_they_belong() -> None:
    """A straight line of a power law: corner to corner, its middle mark in the middle."""
    x = np.geomspace(1, 100, 50)
    lines = sketch(x, x**2, [(10.0, 100.0, "m")], width=41, height=11)
    body = [line.partition("┤")[2] for line in lines[:11]]
    assert body[5][20] == "m"
    assert body[10][0] not in " "
    assert body[0][40] not in " "
    assert lines[0].startswith("10,000 ┤")
    assert lines[-1].split() == ["1", "100"]


def test_sketch_of_one_point() -> None:
    """A front may be a single point."""
    lines = sketch(np.array([5.0]), np.array([2.0]), [(5.0, 2.0, "1")])
    assert sum("1" in line.partition("┤")[2] for line in lines) == 1
