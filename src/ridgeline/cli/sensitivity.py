"""`ridgeline sensitivity`: which input moves the cost, as elasticities and as a tornado."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from ridgeline.cli.document import line
from ridgeline.cli.headline import ESTIMATE, headline
from ridgeline.cli.options import PLAN, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.planner.sensitivity import Sensitivity, Tornado, sensitivities
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 18


@command(*PLAN)
def sensitivity(scenario: Scenario) -> Report:
    """Which input moves the cost of the best plan: elasticities at its layout and batch, and plans made anew.

    Elasticities are central differences of 1%; halved and doubled are other best plans.
    """
    found = sensitivities(scenario)
    again = scenario.to_cli("sensitivity")
    return Report(
        document=lambda: {
            "command": "sensitivity",
            "layout": asdict(found.base.layout),
            "batch": found.base.batch,
            "cost_per_token": found.cost,
            "cost_unit": "USD/tok" if found.base.usd is not None else "chip-s/tok",
            "inputs": [asdict(row) for row in found.rows],
            "line": again,
        },
        rows=lambda: Rows.of([asdict(row) for row in found.rows]),
        text=lambda: _text(scenario, found, again),
    )


def _text(scenario: Scenario, found: Tornado, again: str) -> list[RenderableType]:
    base = found.base
    widest = max((abs(math.log(x)) for row in found.rows for x in (row.halved, row.doubled) if x == x), default=1.0)
    cost = shown(found.cost, "USD/tok") if base.usd is not None else f"{plain(found.cost * 1e6)} chip-s/Mtok"
    rows = [
        (
            row.name, _slope(row.cost), _slope(row.tpot), _slope(row.ttft), *_swing(row, max(widest, 1e-9)),
        )
        for row in found.rows
    ]  # fmt: skip
    head = [
        "<input",
        "elasticity\nof cost",
        "of TPOT",
        "of TTFT",
        "x 1/2",
        "cheaper",
        "<dearer",
        "x 2",
        "cheaper",
        "<dearer",
    ]
    return [
        *headline(scenario, base.point.subject),
        f"best with one pool: {base.name}, batch {plain(base.batch)}: TPOT {shown(base.tpot, 's')}, {cost}",
        heading("Elasticities at this layout and batch; cost of the best plan with the input halved and doubled"),
        table(head, rows),
        "",
        "elasticity: 1% more of the input changes the number by so many per cent (central difference of 1%)",
        "-: nothing keeps the limits",
        ESTIMATE,
        copied(f"in full: {line(base.point)}"),
        copied(f"again:   {again}"),
    ]


def _slope(value: float) -> str:
    return f"{value:+.2f}" if abs(value) >= 0.005 else "0"


def _swing(row: Sensitivity, widest: float) -> list[str]:
    """Cost ratio, and a bar to the left for cheaper or to the right for dearer, of both swings."""
    out: list[str] = []
    for value in (row.halved, row.doubled):
        if value != value:
            out += [NONE, "", ""]
            continue
        size = "█" * round(abs(math.log(value)) / widest * WIDTH / 2)
        out += [f"{value:.2f}x", size if value < 1 else "", size if value > 1 else ""]
    return out
