"""`lecture --html`: a page that needs no other file; each claim opens to its formula, values and sources."""

from __future__ import annotations

from html import escape
from itertools import groupby

from ridgeline.cli.page import STYLE
from ridgeline.cli.table import shown
from ridgeline.lecture import Finding, tornado
from ridgeline.lecture.claim import CHAPTERS
from ridgeline.lecture.finding import SWING, VERDICTS, Value, printed

_OWN = """
summary { cursor: pointer; padding: .35rem 0; border-top: 1px solid #eee } details { margin: 0 }
details > div { margin: .2rem 0 1rem 1.2rem } .v { border-radius: 3px; padding: .1em .45em; font-size: 13px }
.v0 { background: #dff0e0 } .v1 { background: #fdf3d3 } .v2 { background: #f8dede } .v3 { background: #eee }
"""


def page(found: list[Finding], again: str) -> str:
    """All claims of `found`, chapter by chapter."""
    body = "\n".join(
        f"<h2>{list(CHAPTERS).index(chapter)} {escape(CHAPTERS[chapter])}</h2>\n" + "\n".join(map(_claim, group))
        for chapter, group in groupby(found, key=lambda each: each.claim.chapter)
    )
    title = "The lecture, recomputed"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}{_OWN}</style>\n<h1>{title}</h1>\n'
        f"{body}\n<p>Again: <code>{escape(again)}</code></p>\n</html>\n"
    )


def _claim(found: Finding) -> str:
    claim = found.claim
    lines = [
        f"Assuming that {claim.assuming}." if claim.assuming else "",
        claim.because,
        f"Sources disagree: {claim.conflict}" if claim.conflict else "",
        claim.differs,
        "Not in the transcript." if claim.heard == "summaries" else "",
    ]
    named = [("as said", found.said), ("without the assumption", found.otherwise)]
    values = [(label, value) for label, value in (*named, *((v.label, v) for v in found.real)) if value is not None]
    swings = [
        f"<tr><td>{escape(s.name)}</td><td>{printed(claim, s.low)}</td><td>{printed(claim, s.high)}</td></tr>"
        for s in tornado(claim)
    ]
    head = f"<tr><td>each input</td><td>divided by {SWING:g}</td><td>multiplied</td></tr>"
    return (
        f'<details id="{claim.id}"><summary><code>{claim.id}</code> {escape(claim.says)} '
        f'<span class="v v{VERDICTS.index(found.verdict)}">{found.verdict}</span></summary><div>\n'
        + (f"<p><code>{escape(claim.equation)}</code></p>\n" if claim.equation else "")
        + (f"<p>Stated: {escape(claim.stated)}</p>\n" if claim.stated else "")
        + "".join(f"<p>{escape(text)}</p>\n" for text in lines if text)
        + (f"<table>{''.join(_row(found, *each) for each in values)}</table>\n" if values else "")
        + (f"<table>{head}{''.join(swings)}</table>\n" if swings else "")
        + (f"<p>Laws: <code>{escape(', '.join(found.laws))}</code></p>\n" if found.laws else "")
        + "</div></details>"
    )


def _row(found: Finding, label: str, value: Value) -> str:
    inputs = ", ".join(
        f"{name} = {shown(given.value, given.unit) if given.unit else given.value}"
        for name, given in value.inputs.items()
    )
    return (
        f"<tr><td>{escape(label)}</td><td>{escape(printed(found.claim, value.value))}</td>"
        f"<td>{escape(inputs)}</td></tr>"
    )
