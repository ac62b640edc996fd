"""How accurate Ridgeline is, written into the documentation: blocks between markers, from a file of measured points.

    <!-- scoreboard -->     the table of sets            <!-- exclusions -->     rows without a prediction, and why
    <!-- apart -->          rows with speculation        <!-- ablation -->       what each term of the estimate buys

`python docs/scoreboard.py POINTS.csv FILE ...` rewrites the blocks of the files that have them (`make scoreboard`), so
that no number there is typed. Knows no law.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ridgeline.estimate import engines
from ridgeline.validate.ablation import ablation
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points
from ridgeline.validate.score import Score, score, select
from ridgeline.validate.sets import SETS

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def blocks(points: Path) -> dict[str, str]:
    """Text of each block by its marker."""
    rows = read_points(points)
    known, apart = select(rows, ["mtp=0"]), select(rows, ["mtp!=0"])
    made = predict(known)
    board, others = score(known, made), score(apart, predict(apart))
    today = datetime.now(UTC).date().isoformat()
    public = [not prediction.refused for row, prediction in zip(known, made, strict=True) if _public(row)]
    share = (
        f"{board.predicted:,} of {board.rows:,} rows without speculation are predicted; "
        f"{sum(public):,} of the {len(public):,} whose config and chip are public"
    )
    refused = [f"| {count:,} | {reason.replace('|', ' ')} |" for reason, count in board.refused.items()]
    bought = [f"| {name} | {median:.1%} | {p90:.0%} |" for name, (median, p90) in ablation(known).items()]
    return {
        "scoreboard": "\n".join([*_table(board.sets, board.asked), "", f"{share} ({today})."]),
        "apart": "\n".join(_table(others.sets, others.asked)),
        "exclusions": "\n".join(["| rows | reason |", "| --: | :-- |", *refused]),
        "ablation": "\n".join(["| online TPOT | median error | 90% of errors |", "| :-- | --: | --: |", *bought]),
    }


def _public(row: Mapping[str, str]) -> bool:
    return "0" not in (row.get("has_config"), row.get("has_chip"))


def rewritten(text: str, blocks: dict[str, str]) -> str:
    """A page with its blocks renewed."""
    for name, block in blocks.items():
        pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda _, block=block: f"{block}\n", text)
    return text


def _table(sets: dict[str, Score], asked: dict[tuple[str, str], int]) -> list[str]:
    """Markdown of the sets: errors over all rows, and, where known, of rows that the constants had not seen."""
    lines = [
        "| | rows | predicted | median error | 90% of errors | bias | in the 80% interval | faster than the floor "
        "| unseen: median, 90% |",
        "| :-- |" + " --: |" * 8,
    ]
    for name, found in sets.items():
        of = asked.get((name, ""), 0)
        share = f"{found.n / of:.0%}" if of else ""
        errors = (
            f"{found.median_abs_error:.1%} | {found.p90_abs_error:.0%} | {found.bias:+.1%} | {found.coverage80:.0%}"
        )
        lines.append(f"| {name} | {found.n:,} | {share} | {errors} | {found.faster_than_floor} | {_unseen(name)} |")
    return lines


def _unseen(name: str) -> str:
    """Error of predictions with constants fitted without the row's model and chip."""
    found = engines().held_out.get(SETS.get(name, ""))
    return f"{found.median_abs_error:.1%}, {found.p90_abs_error:.0%}" if found else ""


if __name__ == "__main__":
    made = blocks(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        page.write_text(rewritten(page.read_text(encoding="utf-8"), made), encoding="utf-8")
