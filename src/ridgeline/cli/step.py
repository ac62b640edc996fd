"""`ridgeline step`: one layout and batch, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.cli.breakdown import breakdown
from ridgeline.cli.document import line, record
from ridgeline.cli.headline import ESTIMATE, FLOOR, expected, headline
from ridgeline.cli.options import STEP, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, counted, heading, plain, shown, table, times
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point

if TYPE_CHECKING:
    from rich.console import RenderableType


@command(*STEP)
def step(scenario: Scenario, *, plot: PlotFile = "") -> Report:
    """One layout and batch: what every operation takes, and what binds.

    Operations and messages are those of one device and one micro-batch, all layers of a kind together.
    """
    found = point(scenario)
    if plot:
        from ridgeline.cli.plot import draw_point

        draw_point(found, plot)
    names = {"command": "step", "model": found.subject.model.name, "system": found.subject.system.name}
    head = names | {"chips": found.subject.chips, "phase": scenario.phase}
    return Report(
        document=lambda: head | record(found) | {"breakdown": breakdown(found.step)},
        rows=lambda: Rows.of(breakdown(found.step)),
        text=lambda: _text(found),
    )


def _text(found: Point) -> list[RenderableType]:
    scenario, numbers = found.scenario, found.numbers
    each = f"{counted(scenario.layout.chips, 'chip')} ({scenario.layout})"
    rows = breakdown(found.step)
    operations = table(
        ["<layers", "<operation", "<format", "FLOP", "bytes", "math", "memory", "comms", "share"],
        [
            (
                f"{row['count']} x {row['layer']}" if i == 0 or row["layer"] != rows[i - 1]["layer"] else "",
                row["operation"],
                row["format"],
                _size(row["flop"], "FLOP"),
                _size(row["weights_bytes"] + row["kv_read_bytes"] + row["kv_write_bytes"] + row["sent_bytes"], "B"),
                _size(row["math_s"], "s"),
                _size(row["memory_s"], "s"),
                _size(row["comms_s"], "s"),
                f"{row['share']:.1%}",
            )
            for i, row in enumerate(rows)
        ],
    )
    listed = table(
        ["<number", "value", "<what it is"],
        [(number.name, shown(number.value, number.unit), number.text) for number in numbers.values()],
    )
    return [
        *headline(scenario, found.subject),
        f"{scenario.phase} step of batch {plain(scenario.batch)}; {counted(found.replicas, 'replica')} of {each}",
        heading("One device, one micro-batch"),
        operations,
        heading(f"Its time: {expected(found.estimate, found.subject.system.chip.name)}"),
        times({"": (found.estimate, found.step.time)}, 60),
        "",
        f"of the floor, {TERMS[int(found.step.time.binding)]} binds",
        heading("Every number (`ridgeline explain` with a name shows formula, values and sources)"),
        listed,
        "",
        ESTIMATE,
        FLOOR,
        copied(f"again: {line(found)}"),
    ]


def _size(value: float, unit: str) -> str:
    return shown(value, unit) if value else ""
