"""`ridgeline sweep`: a grid of points, to standard output or to a CSV or Parquet file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.axis import axis
from ridgeline.cli.options import STEP, OutputFile, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.save import save
from ridgeline.cli.table import copied
from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.serving.sweep import Block
from ridgeline.serving.sweep import sweep as evaluate

Over = Annotated[
    list[str],
    Parameter(
        help="An axis: batch=1:4096:x2, isl=1k:8k:+1k, context=1k,8k, weights=fp8,nvfp4. Once for each axis.",
        group="Grid",
    ),
]


@command(*STEP)
def sweep(scenario: Scenario, *, over: Over, output: OutputFile = "", plot: PlotFile = "") -> Report:
    """A grid of layouts, batches, contexts or options, to CSV or Parquet: the full product of the axes.

    A layout that model or system do not allow has refused = 1 and no numbers; fits = 0 is too large for memory.
    """
    axes: dict[str, list[Any]] = {}
    for text in over:
        name, values = axis(text)
        if name in axes:
            raise InputError(f"--over {name}", "each axis once")
        axes[name] = list(values)
    again = " ".join([scenario.to_cli("sweep"), *(f"--over {shlex.quote(text)}" for text in over)])
    blocks = evaluate(scenario, axes)
    if plot:
        from ridgeline.cli.plot import draw_sweep

        kept = list(blocks)
        draw_sweep(scenario, kept, plot, again)
        blocks = iter(kept)
    rows = Rows(*_rows(blocks))
    if not output:
        return Report(
            document=lambda: {
                "command": "sweep",
                "line": again,
                "rows": [dict(zip(rows.names, row, strict=True)) for row in rows.values],
            },
            rows=lambda: rows,
        )
    count = save(rows, output)
    return Report(
        document=lambda: {"command": "sweep", "line": again, "output": output, "points": count},
        rows=lambda: Rows.of([{"output": output, "points": count}]),
        text=lambda: [f"{count:,} points in {output}", copied(f"again: {again} -o {shlex.quote(output)}")],
    )


def _rows(blocks: Iterator[Block]) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Names of the columns, and the rows of all blocks."""
    first = next(blocks)
    values = (zip(*(column.tolist() for column in block.values()), strict=True) for block in chain([first], blocks))
    return list(first), chain.from_iterable(values)
