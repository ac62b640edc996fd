"""Scores: numbers worked out by hand, and groups that lose no row."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import scoreboard

from ridgeline.engines import engines
from ridgeline.errors import InputError
from ridgeline.validate.calibrate import calibration_rows
from ridgeline.validate.fit import learn
from ridgeline.validate.points import Prediction
from ridgeline.validate.score import NO_VALUE, score, select
from ridgeline.validate.sets import SETS

BASE = {"chip": "h100", "model": "m", "engine": "vLLM", "mode": "online", "mtp": "0", "osl": "101", "batch": "4"}


def row(name: str, metric: str, value: object, **changes: str) -> dict[str, str]:
    return BASE | {"id": name, "metric": metric, "value": str(value)} | changes


def answer(name: str, metric: str, estimate: float, floor: float, spread: float = 0.2) -> Prediction:
    low, high = estimate * (1 - spread), estimate * (1 + spread)
    return Prediction(id=name, metric=metric, floor=floor, low=low, estimate=estimate, high=high)


ROWS = [
    row("a:tpot", "tpot_s", 0.010),
    row("b:tpot", "tpot_s", 0.010),
    row("c:tpot", "tpot_s", 0.010, chip="b200"),
    row("d", "out_tok_s", 100.0, batch="", engine="SGLang"),
    row("a:ttft", "ttft_s", 1.0),
    row("e", "tpot_s", "", mode="decode_step"),
    row("f", "tpot_s", 0.010, mtp="unknown"),
]
ANSWERS = [
    answer("a:tpot", "tpot_s", 0.011, 0.005),
    answer("b:tpot", "tpot_s", 0.008, 0.005),
    answer("c:tpot", "tpot_s", 0.020, 0.011),
    answer("d", "out_tok_s", 90.0, 95.0),
    answer("a:ttft", "ttft_s", 0.5, 0.2),
    answer("e", "tpot_s", 0.5, 0.2),
    Prediction(id="f", metric="tpot_s", refused="unknown model"),
]


def test_worked_by_hand() -> None:
    """Errors of +10%, -20% and +100%: median 20%, 90th percentile 84%, bias +10%, two of three inside."""
    board = score(ROWS, ANSWERS)
    tpot = board.overall["tpot_s"]
    assert (board.rows, board.predicted, tpot.n) == (7, 5, 3)
    assert tpot.median_abs_error == pytest.approx(0.2)
    assert tpot.p90_abs_error == pytest.approx(0.2 + 0.8 * 0.8)
    assert tpot.bias == pytest.approx(0.1)
    assert tpot.coverage80 == pytest.approx(1 / 3)  # 8 ms +- 20% ends at 9.6 ms
    assert tpot.faster_than_floor == 1
    assert board.overall["out_tok_s"].faster_than_floor == 1
    assert board.refused == {NO_VALUE: 1, "unknown model": 1}


def test_groups() -> None:
    """Every group of a column holds its rows and nothing is counted twice."""
    board = score(ROWS, ANSWERS)
    assert list(board.groups) == [
        "chip: b200", "chip: h100", "model: m", "engine: SGLang", "engine: vLLM", "mode: online",
    ]  # fmt: skip
    for column in ("chip", "model", "engine", "mode"):
        counted = sum(s.n for name, by in board.groups.items() if name.startswith(f"{column}:") for s in by.values())
        assert counted == board.predicted
    assert board.asked["", "tpot_s"] == 5
    assert board.asked["chip: h100", "tpot_s"] == 4


def test_sets() -> None:
    """Sets keep the order of the scoreboard; a run of two latencies is one end-to-end time."""
    board = score(ROWS, ANSWERS)
    assert list(board.sets) == ["online TPOT", "online TTFT, vLLM", "end to end", "KV-limited throughput"]
    whole = board.sets["end to end"]
    assert whole.n == 1
    assert whole.median_abs_error == pytest.approx(abs((0.5 + 100 * 0.011) / (1.0 + 100 * 0.010) - 1))
    known = [msgspec.structs.replace(ANSWERS[-1], refused="", floor=0.1, low=1, estimate=2, high=3)]
    assert list(score(ROWS[-1:], known).sets) == ["online TPOT; speculation not recorded"]


def test_worst_are_the_furthest_off() -> None:
    """Furthest by ratio: half is as far as twice."""
    board = score(ROWS, ANSWERS, worst=2)
    assert {each.id for each in board.worst} == {"c:tpot", "a:ttft"}
    assert [each.cause for each in board.worst if each.id == "a:ttft"] == ["waiting: prompts sent in a burst or queued"]
    assert all(each.cause for each in score(ROWS, ANSWERS).worst)


def test_select() -> None:
    assert [each["id"] for each in select(ROWS, ["mtp=0", "engine!=vLLM"])] == ["d"]
    assert select(ROWS, []) == ROWS
    for condition in ("mtp", "speculation=0", "=0"):
        with pytest.raises(InputError, match="COLUMN=VALUE"):
            select(ROWS, [condition])


def test_nothing_to_score() -> None:
    """A file of which no row can be predicted has an empty board, not an error."""
    board = score(ROWS[-1:], ANSWERS[-1:])
    assert (board.predicted, board.overall, board.sets, board.worst) == (0, {}, {}, [])


def test_blocks_are_renewed_and_the_rest_kept() -> None:
    """Twice is the same as once; a page without the markers stays as it is."""
    page = "before\n<!-- scoreboard -->\nold\n<!-- /scoreboard -->\nafter\n"
    once = scoreboard.rewritten(page, {"scoreboard": "new \\1", "other": "x"})
    assert once == "before\n<!-- scoreboard -->\nnew \\1\n<!-- /scoreboard -->\nafter\n"
    assert scoreboard.rewritten(once, {"scoreboard": "new \\1"}) == once
    assert scoreboard.rewritten("plain", {"scoreboard": "new"}) == "plain"


FITTED_TO = ("points_dev.csv", "disagg_dev.csv")


@pytest.mark.parametrize("page", ["README.md", "docs/accuracy.md", "docs/exclusions.md"])
def test_documentation_shows_the_scoreboard_of_today(shared: Path, page: str) -> None:
    """No typed number, no stale one: after a change of constants `make scoreboard` has to run."""
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    made, _ = scoreboard.scored(shared / "measured" / "points_dev.csv")
    undated = [scoreboard.DATE.sub("", each) for each in (text, scoreboard.rewritten(text, made))]
    assert undated[0] == undated[1]
    dates = re.findall(rf"\(({scoreboard.DATE.pattern})\)", text)
    assert all(datetime.fromisoformat(each).date() <= datetime.now(UTC).date() for each in dates)
    if "<!-- scoreboard -->" in text:
        assert all(name in text for name in SETS if not name.startswith("single"))


def test_shipped_constants_regenerate(shared: Path) -> None:
    """`ridgeline calibrate` on the development data gives the constants of the package.

    Its intervals need a fit without each model on each system, which takes minutes: here they only have to be some.
    """
    again, shipped = learn(*calibration_rows(*(shared / "measured" / name for name in FITTED_TO))), engines()
    assert shipped.source == ", ".join(FITTED_TO)
    assert again.places == shipped.places
    assert [(e.engine, e.generation, e.place, e.rows) for e in again.engines] == [
        (e.engine, e.generation, e.place, e.rows) for e in shipped.engines
    ]
    for mine, theirs in zip(again.engines, shipped.engines, strict=True):
        for name in ("kernels", "attention", "launches", "quantise", "messages", "layer", "host", "sequence"):
            assert getattr(mine, name) == pytest.approx(getattr(theirs, name), rel=0.05, abs=1e-6), (mine.engine, name)
    assert again.clients.keys() == shipped.clients.keys()
    for name, client in again.clients.items():
        assert client.burst == pytest.approx(shipped.clients[name].burst, rel=0.1, abs=0.01), name
    for by_level in shipped.spread.values():
        assert all(low < 0 < high < math.inf for low, high in by_level.values())
