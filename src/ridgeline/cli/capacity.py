"""`ridgeline capacity`: the highest rate of requests that one replica serves within its objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli import asked as asking
from ridgeline.cli import traffic
from ridgeline.cli.options import command, defaults
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.simulated import document, text
from ridgeline.cli.table import copied, heading, plain, shown
from ridgeline.cli.traffic import deployed, line
from ridgeline.scenario import Scenario
from ridgeline.serving.point import chip_price
from ridgeline.simulate.capacity import Capacity
from ridgeline.simulate.capacity import capacity as search
from ridgeline.simulate.objectives import objectives
from ridgeline.workload import Requests

if TYPE_CHECKING:
    from rich.console import RenderableType

Attain = Annotated[float, Parameter(help="Share of requests that must keep all objectives.")]


@command(*traffic.FIELDS, shared=(asking.options, traffic.batching))
def capacity(scenario: Scenario, *, attain: Attain = 0.99, requests: traffic.Count = "5000", **options: Any) -> Report:
    """The highest rate of requests that one replica serves within its objectives, and what it is like there.

    Rates are tried with the same random numbers and bracketed to 1%.
    """
    usual = defaults(capacity)
    given = usual | options | {"attain": attain, "requests": requests}
    limits = objectives(given["slo"]) if given["slo"] else {}

    def draw(rate: float) -> Requests:
        return asking.asked({**given, "rate": rate}, usual).requests

    replica = deployed(scenario, draw(1.0), given)
    price = chip_price(scenario, replica.subject)
    found = search(replica, draw, limits, attain=attain)
    rate_usd = None if price is None else price * replica.chips
    again = line("capacity", scenario, given, usual)
    best = document(found.best, rate_usd, again)
    return Report(
        document=lambda: {**best, "command": "capacity", **_found(found), "attain": attain},
        rows=lambda: Rows.of([_found(found)]),
        text=lambda: _text(found, rate_usd, limits, attain, again),
    )


def _found(found: Capacity) -> dict[str, Any]:
    return {
        "capacity_per_s": found.rate,
        "capacity_per_chip_s": found.rate / found.best.deployment.chips,
        "missed_at_per_s": found.above,
        "missed_attained": found.beyond.metrics.attained,
        "rates_tried": found.tried,
    }


def _text(
    found: Capacity, usd_per_s: float | None, limits: dict[str, float], attain: float, again: str
) -> list[RenderableType]:
    asked = ", ".join(f"{name} {shown(limit, 's')}" for name, limit in limits.items())
    missed = found.beyond
    why = "the queue grows without end" if missed.overloaded else f"only {missed.metrics.attained:.1%} do"
    return [
        heading(f"{plain(found.rate)} requests/s: the most at which {attain:.3g} of requests keep {asked}"),
        f"at {plain(found.above)} requests/s {why} ({found.tried} rates tried)",
        heading("At that rate"),
        *text(found.best, usd_per_s, limits),
        copied(f"again: {again}"),
    ]
