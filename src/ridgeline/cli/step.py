"""`ridgeline step`: one layout and batch, taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.breakdown import breakdown
from ridgeline.cli.document import line, record
from ridgeline.cli.headline import ESTIMATE, FLOOR, expected, headline
from ridgeline.cli.options import OUTPUT, STEP, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, counted, heading, plain, shown, table, times
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point
from ridgeline.serving.elasticity import Elasticity
from ridgeline.serving.elasticity import elasticities as elastic

if TYPE_CHECKING:
    from rich.console import RenderableType


Elastic = Annotated[
    bool,
    Parameter(help="Also by how many percent the time changes with each input (needs JAX).", group=OUTPUT),
]


@command(*STEP)
def step(scenario: Scenario, *, plot: PlotFile = "", elasticities: Elastic = False) -> Report:
    """One layout and batch: what every operation takes, and what binds.

    Operations and messages are those of one device and one micro-batch, all layers of a kind together.
    """
    found = point(scenario)
    if plot:
        from ridgeline.cli.plot import draw_point

        draw_point(found, plot)
    slopes = elastic(scenario) if elasticities else {}
    more = {"elasticities": {name: asdict(each) for name, each in slopes.items()}} if elasticities else {}
    names = {"command": "step", "model": found.subject.model.name, "system": found.subject.system.name}
    head = names | {"chips": found.subject.chips, "phase": scenario.phase}
    return Report(
        document=lambda: head | record(found) | {"breakdown": breakdown(found.step)} | more,
        rows=lambda: Rows.of(breakdown(found.step)),
        text=lambda: _text(found, slopes),
    )


def _text(found: Point, slopes: dict[str, Elasticity]) -> list[RenderableType]:
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
        *(_slopes(slopes) if slopes else []),
        "",
        ESTIMATE,
        FLOOR,
        copied(f"again: {line(found)}{' --elasticities' * bool(slopes)}"),
    ]


def _slopes(slopes: dict[str, Elasticity]) -> list[RenderableType]:
    """Inputs by how much the estimate depends on them."""
    order = sorted(slopes.items(), key=lambda each: -abs(each[1].estimate))
    rows = [(name, plain(e.value), f"{e.floor:+.3f} %", f"{e.estimate:+.3f} %") for name, e in order]
    head = heading("One percent more of an input changes the step by")
    return [head, table(["<input", "value (SI)", "floor", "estimate"], rows)]


def _size(value: float, unit: str) -> str:
    return shown(value, unit) if value else ""
