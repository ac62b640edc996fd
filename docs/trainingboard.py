"""How accurate training is, written into the documentation: blocks between markers, from tables of measured runs.

    <!-- training -->                sets of runs, fitted and unseen
    <!-- training-memory -->         runs out of memory, told from those that went through
    <!-- training-exclusions -->     rows without a prediction

`python docs/trainingboard.py FOLDER FILE ...` reads every table of training runs in a folder and rewrites the blocks of
the files that have them (`make scoreboard`). Knows no law.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from scoreboard import rewritten

from ridgeline.training.framework import frameworks
from ridgeline.validate.training.board import SETS, TrainingBoard, board, read


def blocks(folder: Path) -> dict[str, str]:
    """Text of each block by its marker."""
    tables = [read(path) for path in sorted(folder.glob("*.csv"))]
    boards = [board(rows, what) for rows, what in tables if what]
    today = datetime.now(UTC).date().isoformat()
    predicted, every = sum(each.predicted for each in boards), sum(each.rows for each in boards)
    refused = [(count, reason) for each in boards for reason, count in each.refused.items()]
    lines = [f"| {count:,} | {reason.replace('|', ' ')} |" for count, reason in sorted(refused, key=lambda x: -x[0])]
    return {
        "training": "\n".join([*_table(boards), "", f"{predicted:,} of {every:,} rows are predicted ({today})."]),
        "training-memory": "\n".join(_memory(boards)),
        "training-exclusions": "\n".join(["| rows | reason |", "| --: | :-- |", *lines]),
    }


def _table(boards: list[TrainingBoard]) -> list[str]:
    lines = [
        "| | rows | median error | 90% of errors | bias | in the 80% interval | faster than the floor "
        "| unseen: median, 90% |",
        "| :-- |" + " --: |" * 7,
    ]
    for name, key in SETS.items():
        for each in boards:
            if found := each.sets.get(name):
                held = frameworks().held_out.get(key)
                unseen = f"{held.median_abs_error:.1%}, {held.p90_abs_error:.0%}" if held else ""
                lines.append(
                    f"| {name} | {found.n:,} | {found.median_abs_error:.1%} | {found.p90_abs_error:.0%} | "
                    f"{found.bias:+.1%} | {found.coverage80:.0%} | {found.faster_than_floor} | {unseen} |"
                )
    return lines


def _memory(boards: list[TrainingBoard]) -> list[str]:
    lines = [
        "| predicted to run out | of them failed | failed for memory | of them predicted | failed for other reasons |",
        "| --: |" + " --: |" * 4,
    ]
    for each in boards:
        if out := each.out_of_memory:
            lines.append(
                f"| {out.predicted:,} | {out.precision:.1%} | {out.failed:,} | {out.recall:.1%} | "
                f"{sum(out.other.values()):,} |"
            )
    return lines


if __name__ == "__main__":
    made = blocks(Path(sys.argv[1]))
    for page in map(Path, sys.argv[2:]):
        page.write_text(rewritten(page.read_text(encoding="utf-8"), made), encoding="utf-8")
