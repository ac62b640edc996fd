"""`ridgeline lecture`: every claim of the lecture, recomputed."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.catalog import BUILT_IN
from ridgeline.cli.file import replacing
from ridgeline.cli.lecture_page import page
from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, shown, table
from ridgeline.errors import InputError
from ridgeline.lecture import Finding, chapters, examine, tornado
from ridgeline.lecture.claim import CHAPTERS
from ridgeline.lecture.finding import SWING, VERDICTS, Value, printed, stated

if TYPE_CHECKING:
    from rich.console import RenderableType

Part = Annotated[str, Parameter(help="A chapter (batch, experts, ... or 0 to 7) or a claim (C015); all without it.")]
PageFile = Annotated[str, Parameter(name="--html", help="Write a page with all of it to this .html.", group=OUTPUT)]


@command()
def lecture(part: Part = "", /, *, html: PageFile = "") -> Report:
    """Every claim of the lecture: what was said, what the laws give for its inputs and for real ones, and a verdict."""
    found = [examine(claim) for claim in chapters(part)]
    again = " ".join(filter(None, ("ridgeline lecture", part)))
    if html:
        if not html.endswith(".html"):
            raise InputError(f"--html {html!r}", "a file name that ends in .html")
        with replacing(html, "--html") as draft:
            draft.write_text(page(found, again), "utf-8")
    return Report(
        document=lambda: {
            "command": "lecture",
            "claims": [record(each) for each in found],
            "verdicts": _totals(found),
            "line": again,
        },
        rows=lambda: Rows.of([_row(each) for each in found]),
        text=lambda: _one(found[0], again) if len(found) == 1 else _all(found, again),
    )


def record(found: Finding) -> dict[str, Any]:
    """A finding as one record, values in SI units."""
    claim = found.claim
    known = {
        "id": claim.id,
        "chapter": claim.chapter,
        "says": claim.says,
        "equation": claim.equation,
        "stated": claim.stated,
        "unit": claim.unit if claim.stated else "",
        "heard": claim.heard,
        "verdict": found.verdict,
        "assuming": claim.assuming,
        "because": claim.because,
        "conflict": claim.conflict,
        "differs": claim.differs,
        "sources": sources(found),
        "laws": found.laws,
    }
    return known | {
        "said": _values(found.said),
        "otherwise": _values(found.otherwise),
        "real": [_values(value) for value in found.real],
        "tornado": [
            {"input": s.name, "halved": s.low, "doubled": s.high, "halved_holds": s.low_holds,
             "doubled_holds": s.high_holds}
            for s in tornado(claim)
        ],
    }  # fmt: skip


def sources(found: Finding) -> list[str]:
    """Who says what goes into a claim."""
    said = BUILT_IN.citations("lecture")
    own = BUILT_IN.citations(found.claim.source) if found.claim.source else []
    given = [given.source for value in found.real for given in value.inputs.values()]
    inputs = [line for text in given for line in text.split("\n") if line]
    return list(dict.fromkeys([*said, *own, *inputs]))


def verdict(found: Finding) -> str:
    """The verdict in words."""
    if found.verdict == VERDICTS[1]:
        return f"reproduced if {found.claim.assuming}"
    return found.verdict


def _values(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    inputs = {name: given.value for name, given in value.inputs.items()}
    return {"of": value.label, "inputs": inputs, "value": value.value, "holds": value.holds}


def _row(found: Finding) -> dict[str, Any]:
    claim = found.claim
    return {
        "id": claim.id,
        "chapter": claim.chapter,
        "says": claim.says,
        "stated": claim.stated,
        "unit": claim.unit if claim.stated else "",
        "said": None if found.said is None else found.said.value,
        "real": found.real[0].value if found.real else None,
        "real_of": found.real[0].label if found.real else "",
        "verdict": found.verdict,
        "because": claim.because,
    }


def _totals(found: list[Finding]) -> dict[str, int]:
    counts = Counter(each.verdict for each in found)
    return {verdict: counts[verdict] for verdict in VERDICTS}


def _all(found: list[Finding], again: str) -> list[RenderableType]:
    totals = ", ".join(f"{count} {verdict}" for verdict, count in _totals(found).items())
    parts: list[RenderableType] = [f"{len(found)} claims: {totals}"]
    for chapter, group in groupby(found, key=lambda each: each.claim.chapter):
        rows = [
            (
                each.claim.id,
                each.claim.says,
                each.claim.stated or NONE,
                NONE if each.said is None else printed(each.claim, each.said.value),
                printed(each.claim, each.real[0].value) if each.real else NONE,
                verdict(each),
            )
            for each in group
        ]
        number = list(CHAPTERS).index(chapter)
        columns = ["<", "<says", "stated", "as said", "real", "<verdict"]
        parts += [heading(f"{number}  {CHAPTERS[chapter]}"), table(columns, rows)]
    return [*parts, "", "each in full: ridgeline lecture C015", copied(f"again: {again}")]


def _one(found: Finding, again: str) -> list[RenderableType]:
    claim = found.claim
    parts: list[RenderableType] = [
        f"{claim.id}  {claim.says}",
        f"chapter {list(CHAPTERS).index(claim.chapter)}, {CHAPTERS[claim.chapter].lower()}; "
        + ("in the transcript" if claim.heard == "lecture" else "in summaries only, not in the transcript"),
        "",
        f"verdict: {verdict(found)}",
    ]
    for name, text in (("why", claim.because), ("sources disagree", claim.conflict), ("ledger", claim.differs)):
        parts += [f"{name}: {text}"] if text else []
    if claim.equation:
        parts += ["", copied(f"    {claim.equation}")]
    if claim.stated:
        low, high = stated(claim)
        parts += ["", f"stated: {claim.stated}; holds from {printed(claim, low)} to {printed(claim, high)}"]
    named = [("as said", found.said), ("without the assumption", found.otherwise)]
    named += [(value.label, value) for value in found.real]
    values = [(label, value) for label, value in named if value is not None]
    if values:
        inputs = [name for name in values[0][1].inputs if name != "scenario"]
        rows = [
            (label, printed(claim, value.value), "yes" if value.holds else "no", *(_cell(value, n) for n in inputs))
            for label, value in values
        ]
        parts += [heading("What the laws give"), table(["<", "value", "<holds", *inputs], rows)]
    swings = tornado(claim)
    if swings:
        rows = [
            (s.name, printed(claim, s.low), _held(s.low_holds), printed(claim, s.high), _held(s.high_holds))
            for s in swings
        ]
        title = f"What it hangs on: each input divided and multiplied by {SWING:g}"
        parts += [heading(title), table(["<input", "divided", "<", "multiplied", "<"], rows)]
    if found.laws:
        parts += ["", f"laws: {', '.join(found.laws)}"]
    return [*parts, "", *(f"source: {text}" for text in sources(found)), copied(f"again: {again}")]


def _held(holds: bool) -> str:
    return "holds" if holds else "fails"


def _cell(value: Value, name: str) -> str:
    given = value.inputs[name]
    if given.unit == "1":
        return f"{given.value:,.5g}"
    return shown(given.value, given.unit) if given.unit else str(given.value)
