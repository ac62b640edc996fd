"""How accurate Ridgeline is, written into the documentation: blocks between markers, from a file of measured points.

    <!-- scoreboard -->     the table of sets            <!-- exclusions -->     rows without a prediction, and why
    <!-- apart -->          rows with speculation        <!-- ablation -->       what each term of the estimate buys
    <!-- unfitted -->       rows that no constant saw    <!-- parts -->          collectives, kernels, real runs

`python docs/scoreboard.py POINTS.csv FILE ...` rewrites the blocks of the files that have them (`make scoreboard`), so
that no number there is typed, and prints what is left out; a file that ends in .json becomes the table of sets and the
exclusions, for the page of accuracy in the explorer. Other measurements that lie beside the points are taken in.
Knows no law.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from ridgeline.engines import HeldOut, engines
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points
from ridgeline.validate.score import Score, Scoreboard, score, select
from ridgeline.validate.sets import SETS

DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


POOLS = "disagg_dev.csv"
PARTS = ("comm_dev.csv", "kernels_small_dev.csv", "vllm_runs")
UNTOLD = ("vllm_h100_actuals.csv",)
"""Measurements beside the points: separate pools, parts of steps and real runs, and what cannot be predicted."""


def scored(points: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Text of each block by its marker, and the table of sets as a record."""
    rows = read_points(points) + _beside(points, (POOLS,))
    known, apart = select(rows, ["mtp=0"]), select(rows, ["mtp!=0"])
    parts, untold = _beside(points, PARTS), _beside(points, UNTOLD)
    made = predict(known)
    board, others = score(known, made), score(apart, predict(apart))
    today = datetime.now(UTC).date().isoformat()
    public = [not prediction.refused for row, prediction in zip(known, made, strict=True) if _public(row)]
    share = (
        f"{board.predicted:,} of {board.rows:,} rows without speculation are predicted; "
        f"{sum(public):,} of the {len(public):,} whose config and chip are public"
    )
    single = score(parts, predict(parts))
    refused = board.refused, others.refused, single.refused, score(untold, predict(untold)).refused
    reasons = [f"| {count:,} | {reason.replace('|', ' ')} |" for of in refused for reason, count in of.items()]
    unfitted = Counter((row.get("source", ""), row.get("mtp") or "unknown") for row in apart)
    marks = [f"| {n:,} | {source} | {mtp} |" for (source, mtp), n in unfitted.most_common()]
    bought = [f"| {name} | {median:.1%} | {p90:.0%} |" for name, (median, p90) in engines().ablation.items()]
    text = {
        "scoreboard": "\n".join([*_table(board.sets, board.asked), "", f"{share} ({today})."]),
        "apart": "\n".join(_table(others.sets, others.asked)),
        "parts": "\n".join(_table(single.sets, single.asked)),
        "exclusions": "\n".join(["| rows | reason |", "| --: | :-- |", *reasons]),
        "unfitted": "\n".join(["| rows | source | speculation |", "| --: | :-- | :-- |", *marks]),
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


def _beside(points: Path, names: Sequence[str]) -> list[dict[str, str]]:
    """Rows of other files in the folder of the points, of those that are there."""
    return [row for name in names if (path := points.with_name(name)).exists() for row in read_points(path)]


def _public(row: Mapping[str, str]) -> bool:
    return "0" not in (row.get("has_config"), row.get("has_chip")) and row.get("layout_complete") != "0"


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
        "| left out at random: median, 90% | unseen: median, 90% |",
        "| :-- |" + " --: |" * 9,
    ]
    for name, found in sets.items():
        of = asked.get((name, ""), 0)
        share = f"{found.n / of:.0%}" if of else ""
        errors = (
            f"{found.median_abs_error:.1%} | {found.p90_abs_error:.0%} | {found.bias:+.1%} | {found.coverage80:.0%}"
        )
        unseen = " | ".join(_unseen(name, held) for held in (engines().near, engines().held_out))
        lines.append(f"| {name} | {found.n:,} | {share} | {errors} | {found.faster_than_floor} | {unseen} |")
    return lines


def _unseen(name: str, held: Mapping[str, HeldOut]) -> str:
    """Error of predictions with constants fitted without the rows predicted."""
    found = held.get(SETS.get(name, ""))
    return f"{found.median_abs_error:.1%}, {found.p90_abs_error:.0%}" if found else ""


if __name__ == "__main__":
    made, board = scored(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        if page.suffix == ".json":
            page.write_text(json.dumps(board, indent=1) + "\n", encoding="utf-8")
            continue
        page.write_text(rewritten(page.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(made["exclusions"])
