"""The lecture, claim by claim: each verdict is what the laws give, and none can change unseen.

What is written down here is the verdict that a reader was told. A change of a law that turns one has to say so.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from ridgeline.cli.app import main
from ridgeline.lecture import Claim, chapters, claims, examine, tornado
from ridgeline.lecture.finding import VERDICTS, stated

LEDGER = next(iter(Path(__file__).parents[3].glob("*/lecture/claims.csv")), None)
CONTRADICTED = [
    "C014", "C016", "C032", "C041", "C050", "C052", "C076", "C085", "C088", "C107", "C120", "C124",
    "C134", "C135", "C136", "C139", "C163", "C164",
]  # fmt: skip
NOT_COMPUTABLE = [
    "C036", "C054", "C056", "C060", "C078", "C079", "C080", "C081", "C083", "C101", "C102", "C103",
    "C110", "C113", "C119", "C138", "C142", "C146", "C147", "C155", "C160",
]  # fmt: skip


@pytest.mark.parametrize("claim", claims().values(), ids=lambda claim: claim.id)
def test_verdict(claim: Claim) -> None:
    found = examine(claim)
    if claim.id in CONTRADICTED:
        assert found.verdict == "contradicted"
    elif claim.id in NOT_COMPUTABLE:
        assert found.verdict == "not computable"
        assert claim.because, "why not?"
    else:
        assert found.verdict == ("under an assumption" if claim.assuming else "reproduced")


def test_every_claim_of_the_lecture_is_here_once_and_in_its_order() -> None:
    """165 claims, C001 to C165."""
    assert sorted(claims()) == [f"C{i:03d}" for i in range(1, 166)]


@pytest.mark.parametrize("claim", [c for c in claims().values() if c.assuming], ids=lambda claim: claim.id)
def test_an_assumption_matters(claim: Claim) -> None:
    """Without it, or with real inputs, the claim fails: else it would be no assumption."""
    found = examine(claim)
    if found.otherwise is not None:
        assert not found.otherwise.holds
    elif claim.judged == "said":
        assert claim.because or any(not value.holds for value in found.real), "what is it without?"


def test_a_single_number_is_within_its_tolerance() -> None:
    low, high = stated(Claim(says="", stated="20 ms", unit="s", within=0.1))
    assert (low, high) == pytest.approx((0.018, 0.022))
    assert stated(Claim(says="", stated="2000..3000")) == (2000, 3000)
    assert stated(Claim(says="", stated=">= 8"))[0] == 8


def test_a_tornado_turns_the_verdict_where_the_number_is_needed() -> None:
    """B* = 300 x 8 is 2,400 for no other ridge or sparsity."""
    swings = {swing.name: swing for swing in tornado(claims()["C015"])}
    assert swings["ridge"].low == 1200
    assert swings["ridge"].high == 4800
    assert not swings["ridge"].low_holds


@pytest.mark.parametrize("part", ["", "4", "wall", "c015"])
def test_a_part_is_a_chapter_or_a_claim(part: str) -> None:
    assert len(chapters(part)) == {"": 165, "4": 11, "wall": 11, "c015": 1}[part]


def test_the_command_prints_json_and_a_page(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "lecture.html"
    assert main(["lecture", "wall", "--json", "--html", str(page)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert sum(document["verdicts"].values()) == len(document["claims"]) == 11
    assert page.read_text("utf-8").count("<details") == 11


def test_an_unknown_part_is_refused_by_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["lecture", "C999"]) == 2
    assert "C999" in capsys.readouterr().err
    assert main(["lecture", "wall", "--html", str(tmp_path / "page.pdf")]) == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    LEDGER is None,
    reason="the verdicts of other readers of the lecture (lecture/claims.csv beside the repository) are not shipped",
)
def test_verdicts_are_those_of_the_ledger_or_say_why_not() -> None:
    assert LEDGER is not None
    with LEDGER.open(encoding="utf-8", newline="") as file:
        ledger = {row["id"]: row["verdict"] for row in csv.DictReader(file)}
    words: dict[str, str] = dict(
        zip(VERDICTS, ("reproduced", "reproduced only", "contradicted", "not computable"), strict=True)
    )
    for claim in claims().values():
        theirs = ledger[claim.id]
        ours = words[examine(claim).verdict]
        same = theirs.startswith(ours) and ("only" in ours or not theirs.startswith("reproduced only"))
        assert same != bool(claim.differs), f"{claim.id}: {theirs!r} there, {ours!r} here"
