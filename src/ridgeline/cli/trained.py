"""Tables of training runs in `validate` and `calibrate`: predictions held against them, and frameworks' constants."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.errors import InputError
from ridgeline.training.framework import Frameworks, frameworks
from ridgeline.validate.score import Score, select
from ridgeline.validate.training.board import SETS, TrainingBoard, board

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

_HEADINGS = (
    "rows", "median\nerror", "90% of\nerrors", "bias", "in the\ninterval", "faster than\nthe floor", "unseen:\nmedian",
    "unseen:\n90%",
)  # fmt: skip


def training_report(
    path: str, rows: list[dict[str, str]], what: str, conditions: Sequence[str], *, strict: bool
) -> Report:
    """What `validate` answers about a table of training runs (InputError if no row is left)."""
    picked = select(rows, conditions)
    if not picked:
        raise InputError(" ".join([path, *conditions]), "at least one row")
    found = board(picked, what)
    words = ["ridgeline", "validate", path, *(word for each in conditions for word in ("--where", each))]
    return Report(
        document=lambda: {
            "rows": found.rows, "predicted": found.predicted, "overall": found.overall, "groups": found.groups,
            "sets": found.sets, "out_of_memory": found.out_of_memory, "refused": found.refused,
        },
        rows=lambda: Rows.of(
            [{"group": name, "metric": ""} | asdict(score) for name, score in found.sets.items()]
            + [
                {"group": name, "metric": metric} | asdict(score)
                for name, by_metric in found.groups.items()
                for metric, score in by_metric.items()
            ]
        ),
        text=lambda: _text(found, shlex.join(words)),
        code=1 if strict and found.refused else 0,
    )  # fmt: skip


def _text(found: TrainingBoard, again: str) -> list[RenderableType]:
    sets = [(name, *_cells(score), *_unseen(name)) for name, score in found.sets.items()]
    groups = [
        (name, *_cells(by_metric["step_s"]), "", "")
        for name, by_metric in found.groups.items()
        if "step_s" in by_metric and not name.startswith("model: ")
    ]
    out = found.out_of_memory
    memory: list[RenderableType] = []
    if out is not None:
        memory = [
            heading("Out of memory"),
            f"{out.predicted:,} runs are predicted to run out, {out.precision:.1%} of them failed; of {out.failed:,} "
            f"runs that failed and may have run out, {out.recall:.1%} are predicted to",
            *(f"{count:,} failed for another reason: {reason}" for reason, count in out.other.items()),
        ]
    refused = [(plain(count), reason) for reason, count in found.refused.items()]
    return [
        f"{found.predicted:,} of {found.rows:,} rows predicted ({found.predicted / found.rows:.0%})",
        heading("By what was measured; errors of times are those of tokens per second"),
        table(["<set", *_HEADINGS], sets),
        *memory,
        heading("Step times by chip, framework and source; --json has models and memory too"),
        table(["<group", *_HEADINGS], groups),
        heading(f"The worst {len(found.worst)}"),
        table(
            ["<run", "<model", "<layout", "measured", "estimate", "error"],
            [
                (
                    q.id, q.model.name, str(q.layout), shown(value, "s"), shown(p.estimate, "s"),
                    f"{value / p.estimate - 1:+.0%}",
                )
                for q, p, value in found.worst
            ],
        ),
        *([heading("Not predicted"), table(["rows", "<reason"], refused)] if refused else []),
        "",
        copied(f"again: {again}"),
    ]  # fmt: skip


def _cells(score: Score) -> list[str]:
    return [
        plain(score.n), f"{score.median_abs_error:.1%}", f"{score.p90_abs_error:.0%}", f"{score.bias:+.1%}",
        f"{score.coverage80:.0%}", plain(score.faster_than_floor),
    ]  # fmt: skip


def _unseen(name: str) -> tuple[str, str]:
    held = frameworks().held_out.get(SETS[name])
    return (f"{held.median_abs_error:.1%}", f"{held.p90_abs_error:.0%}") if held else (NONE, NONE)


def calibrated(found: Frameworks) -> tuple[list[dict[str, Any]], list[RenderableType]]:
    """Rows and text of what `calibrate` fitted to tables of training runs."""
    rows = [
        {"framework": each.framework, "generation": each.generation, "rows": each.rows, **asdict(each.factors)}
        for each in found.fitted
    ]
    names = [name for name in rows[0] if name not in ("framework", "generation", "rows")]
    cells = [
        [name, *(f"{row[name]:.3g}" for row in rows)] for name in names
    ]  # fmt: skip
    heads = [f"{row['framework']}\n{row['generation']}".replace("megatron-", "megatron-\n") for row in rows]
    errors = [
        (name, plain(held.n), f"{held.median_abs_error:.1%}", f"{held.p90_abs_error:.0%}")
        for name, held in found.held_out.items()
    ]
    text: list[RenderableType] = [
        f"constants of training frameworks, fitted to {found.source}",
        heading("Factors, shares of messages that nothing hides, and seconds"),
        table(["<constant", *heads], cells),
        heading("Runs whose source, model and chip were left out"),
        table(["<of", "rows", "median\nerror", "90% of\nerrors"], errors),
    ]
    return rows, text
