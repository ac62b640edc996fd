"""How accurate Ridgeline is, written into the documentation: blocks between markers, from a file of measured points.

    <!-- scoreboard -->     the table of sets            <!-- exclusions -->     rows without a prediction, and why
    <!-- apart -->          rows with speculation        <!-- ablation -->       what each term of the estimate buys

`python docs/scoreboard.py POINTS.csv FILE ...` rewrites the blocks of the files that have them (`make scoreboard`), so
that no number there is typed; a file that ends in .json becomes the table of sets and the exclusions, for the page of
accuracy in the explorer. Knows no law.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from ridgeline.estimate import engines
from ridgeline.validate.ablation import ablation
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points
from ridgeline.validate.score import Score, Scoreboard, score, select
from ridgeline.validate.sets import SETS

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def scored(points: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Text of each block by its marker, and the table of sets as a record."""
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
    text = {
        "scoreboard": "\n".join([*_table(board.sets, board.asked), "", f"{share} ({today})."]),
        "apart": "\n".join(_table(others.sets, others.asked)),
        "exclusions": "\n".join(["| rows | reason |", "| --: | :-- |", *refused]),
        "ablation": "\n".join(["| online TPOT | median error | 90% of errors |", "| :-- | --: | --: |", *bought]),
    }
    return text, record(board, today)


def record(board: Scoreboard, date: str) -> dict[str, Any]:
    """The sets and what was refused, in numbers."""
    sets: list[dict[str, Any]] = []
    for name, found in board.sets.items():
        unseen = engines().held_out.get(SETS.get(name, ""))
        sets.append(
            {"name": name, "rows": found.n, "asked": board.asked.get((name, ""), 0)}
            | {key: value for key, value in asdict(found).items() if key != "n"}
            | ({"unseen_median": unseen.median_abs_error, "unseen_p90": unseen.p90_abs_error} if unseen else {})
        )
    refused = [{"rows": count, "reason": reason} for reason, count in board.refused.items()]
    return {"date": date, "rows": board.rows, "predicted": board.predicted, "sets": sets, "refused": refused}


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
    made, board = scored(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        if page.suffix == ".json":
            page.write_text(json.dumps(board, indent=1) + "\n", encoding="utf-8")
            continue
        page.write_text(rewritten(page.read_text(encoding="utf-8"), made), encoding="utf-8")
