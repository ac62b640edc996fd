"""`ridgeline validate`: predictions of a file of points held against what was measured."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.options import CatalogFolder, PlotFile, PointsFile, Strict, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.cli.trained import training_report
from ridgeline.errors import InputError
from ridgeline.validate.points import predict
from ridgeline.validate.row import read_points
from ridgeline.validate.score import Score, Scoreboard, score, select
from ridgeline.validate.training.board import read as training

if TYPE_CHECKING:
    from rich.console import RenderableType

Where = Annotated[
    list[str] | None, Parameter(help="Only rows of which this holds: mtp=0, engine!=vLLM. Once for each condition.")
]
_UNITS = {"tpot_s": "s", "ttft_s": "s", "e2e_s": "s", "out_tok_s": "tok/s", "in_tok_s": "tok/s", "total_tok_s": "tok/s"}
_UNITS["latency_s"] = "s"
_HEADINGS = (
    "rows",
    "predicted",
    "median\nerror",
    "90% of\nerrors",
    "bias",
    "in the\ninterval",
    "faster than\nthe floor",
)


@command()
def validate(
    points: PointsFile,
    /,
    *,
    where: Where = None,
    strict: Strict = False,
    catalog: CatalogFolder = "",
    plot: PlotFile = "",
) -> Report:
    """Predictions of a file of points held against what was measured: by chip, model, engine, mode and metric.

    Error is |estimate / measured - 1|; 80% of the measurements should lie in their intervals. A table of training runs
    is known by its columns.
    """
    conditions = where or []
    runs, what = training(Path(points))
    if what:
        return training_report(points, runs, what, conditions, strict=strict)
    every = read_points(Path(points))
    rows = select(every, conditions)
    if not rows:
        raise InputError(" ".join([points, *conditions]), "at least one row")
    predictions = predict(rows, catalog)
    board = score(rows, predictions)
    again = shlex.join(["ridgeline", "validate", points, *(word for each in conditions for word in ("--where", each))])
    if plot:
        from ridgeline.cli.scatter import draw_scatter

        draw_scatter(rows, predictions, plot, again)
    return Report(
        document=lambda: {name: getattr(board, name) for name in ("rows", "predicted", "overall", "groups")},
        rows=lambda: Rows.of(_records(board)),
        text=lambda: _text(board, len(every) - len(rows), again),
        code=1 if strict and board.refused else 0,
    )


def _records(board: Scoreboard) -> list[dict[str, Any]]:
    """A record for each group and metric; the sets of rows come after all rows together."""
    named = {"all": board.overall} | {name: {"": found} for name, found in board.sets.items()} | board.groups
    return [
        {"group": group, "metric": metric} | asdict(found)
        for group, by_metric in named.items()
        for metric, found in by_metric.items()
    ]


def _text(board: Scoreboard, left_out: int, again: str) -> list[RenderableType]:
    sets = [(name, *_cells(found, board.asked[name, ""])) for name, found in board.sets.items()]
    overall = [(metric, *_cells(found, board.asked["", metric])) for metric, found in board.overall.items()]
    grouped = [
        (group if i == 0 else "", metric, *_cells(found, board.asked[group, metric]))
        for group, by_metric in board.groups.items()
        for i, (metric, found) in enumerate(by_metric.items())
    ]
    refused = [(plain(count), reason) for reason, count in board.refused.items()]
    return [
        f"{board.predicted:,} of {board.rows:,} rows predicted ({board.predicted / board.rows:.0%})"
        + (f"; {left_out:,} other rows left out by --where" if left_out else ""),
        heading("All rows"),
        table(["<metric", *_HEADINGS], overall),
        heading("By what was measured"),
        table(["<set", *_HEADINGS], sets),
        heading("By chip, model, engine and mode"),
        table(["<group", "<metric", *_HEADINGS], grouped),
        heading(f"The worst {len(board.worst)}"),
        *(text for each in board.worst for text in _worst(each)),
        *([heading("Not predicted"), table(["rows", "<reason"], refused)] if refused else []),
        "",
        copied(f"again: {again}"),
    ]


def _cells(found: Score, asked: int) -> list[str]:
    return [
        plain(found.n),
        f"{found.n / asked:.0%}" if asked else NONE,
        f"{found.median_abs_error:.1%}",
        f"{found.p90_abs_error:.0%}",
        f"{found.bias:+.1%}",
        f"{found.coverage80:.0%}",
        plain(found.faster_than_floor),
    ]


def _worst(each: Any) -> list[RenderableType]:
    measured, estimate = (shown(value, _UNITS[each.metric]) for value in (each.measured, each.estimate))
    return [copied(each.id), f"   {each.metric} {measured}, estimate {estimate} ({each.error:+.0%}): {each.cause}"]
