"""`ridgeline query`: SQL on the folder of a large sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.options import command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import counted, plain, table
from ridgeline.sweep.store import Answer, answered

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST = 40
"""Rows of text; --csv and --json have all."""
WIDE, FEW = 8, 5
"""Columns beyond which a row is printed as a column; how many of those."""


@command()
def query(
    folder: Annotated[str, Parameter(help="Folder of a sweep.")],
    sql: Annotated[str, Parameter(help='DuckDB SQL on the table "sweep", such as "SELECT * FROM sweep LIMIT 10".')],
) -> Report:
    """SQL on the folder of a large sweep: the table `sweep` has its axes and columns, one row for each point.

    Times are in seconds, memory in bytes, money in dollars. What is finished can be asked while the rest is computed.
    """
    answer = answered(folder, sql)
    return Report(
        document=lambda: {
            "command": "query",
            "finished": answer.finished,
            "chunks": answer.chunks,
            "rows": [dict(zip(answer.names, row, strict=True)) for row in answer.rows],
        },
        rows=lambda: Rows(answer.names, answer.rows),
        text=lambda: _text(answer),
    )


def _text(answer: Answer) -> list[RenderableType]:
    shown = [[_cell(value) for value in row] for row in answer.rows[:MOST]]
    words = [any(isinstance(row[i], str) for row in answer.rows[:MOST]) for i in range(len(answer.names))]
    heads = [f"<{name}" if left else name for name, left in zip(answer.names, words, strict=True)]
    out: list[RenderableType] = []
    if answer.finished < answer.chunks:
        out.append(f"of {answer.finished:,} of {counted(answer.chunks, 'chunk')}: the sweep is not finished")
    if len(answer.names) <= WIDE:
        out.append(table(heads, shown))
    else:
        turned = [[name, *(row[i] for row in shown[:FEW])] for i, name in enumerate(answer.names)]
        out.append(table(["<", *(f"row {i}" for i in range(1, len(shown[:FEW]) + 1))], turned))
        if len(shown) > FEW:
            out.append(f"the first {FEW} of {counted(len(answer.rows), 'row')}, one to a column; --csv prints all")
            return out
    if len(answer.rows) > MOST:
        out.append(f"the first {MOST} of {counted(len(answer.rows), 'row')}; --csv prints all")
    return out


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return plain(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
