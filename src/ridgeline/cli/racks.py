"""`ridgeline racks`: decode beyond one scale-up domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import asdict

from ridgeline.cli.headline import ESTIMATE, headline
from ridgeline.cli.options import GROUPS, SEARCHED, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.planner.racks import HOP, Racks
from ridgeline.planner.racks import racks as search
from ridgeline.scenario import Scenario
from ridgeline.subject import subject

if TYPE_CHECKING:
    from rich.console import RenderableType

RATE = ["tok/s\n/chip"]
SLOW = f"TPOT, hops\nof {shown(HOP, 's')}"
_LEFT_OUT = (*SEARCHED, *GROUPS["Search"], "chips", "ttft", "e2e", "user_rate", "budget", "power", "chunk", "price")
_FIELDS = tuple(n for names in GROUPS.values() for n in names if n not in _LEFT_OUT or n == "context")


@command(*_FIELDS)
def racks(scenario: Scenario) -> Report:
    """Decode beyond one rack: experts over several, domains of other sizes, pipelines of racks, less memory.

    A rack is one scale-up domain of SYSTEM; each row is the cheapest within --tpot.
    """
    found = search(scenario)
    again = scenario.to_cli("racks")
    parts = {"spread": found.spread, "domains": found.domains, "stages": found.stages, "capacities": found.capacities}
    records = {name: [asdict(row) for row in rows] for name, rows in parts.items()}
    return Report(
        document=lambda: {"command": "racks", "rack": found.rack, **records, "line": again},
        rows=lambda: Rows.of([{"question": name} | row for name, rows in records.items() for row in rows]),
        text=lambda: _text(scenario, found, again),
    )


def _text(scenario: Scenario, found: Racks, again: str) -> list[RenderableType]:
    spread = [
        (
            plain(row.racks), row.layout, plain(row.batch), f"{row.off_rack:.0%}", shown(row.floor, "s"),
            shown(row.exchange, "s"), shown(row.tpot, "s"), plain(row.rate),
        )
        for row in found.spread
    ]  # fmt: skip
    domains = [
        (
            plain(row.domain), plain(row.chips), row.layout, plain(row.batch), shown(row.tpot, "s"), plain(row.rate),
            shown(row.fastest, "s"), shown(row.weight_read, "s"),
        )
        for row in found.domains
    ]  # fmt: skip
    stages = [
        (
            plain(row.racks), plain(row.batch), shown(row.weights, "B"), shown(row.cache, "B"), f"{row.unused:.0%}",
            shown(row.tpot, "s"), shown(row.hop, "s"), shown(row.slow_hop, "s"), plain(row.rate),
        )
        for row in found.stages
    ]  # fmt: skip
    capacities = [
        (
            f"{row.capacity:g}x", plain(row.racks), plain(row.batch) if row.batch else "does not fit",
            shown(row.tpot, "s") if row.batch else NONE, plain(row.rate) if row.batch else NONE,
        )
        for row in found.capacities
    ]  # fmt: skip
    rack = f"{found.rack} chips"
    return [
        *headline(found.scenario, subject(found.scenario)),
        f"a rack is one scale-up domain of {rack}; decode alone, the cheapest within the TPOT",
        *(
            [
                heading("One layer's experts over several racks, without stages"),
                table(
                    ["racks", "<layout", "batch", "off-rack\nranks", "all-to-all\nat peak", "messages", "TPOT", *RATE],
                    spread,
                ),
            ]
            if spread
            else []
        ),
        heading("Domains of other sizes, with the same chips and links"),
        table(
            ["domain", "chips", "<layout", "batch", "TPOT", *RATE, "fastest\nTPOT", "all weights read\nby a domain"],
            domains,
        ),
        heading("A pipeline of racks, as many sequences in each as in one alone"),
        table(
            ["racks", "batch", "weights\n/chip", "cache\n/chip", "unused", "TPOT", "hops", SLOW, *RATE],
            stages,
        ),
        heading("Less memory, filled as far as the TPOT allows, with and without a pipeline"),
        table(["HBM", "racks", "sequences\n/rack", "TPOT", *RATE], capacities),
        "",
        ESTIMATE,
        copied(f"again: {again}"),
    ]  # fmt: skip
