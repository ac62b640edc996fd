"""`ridgeline cite`: the sources that a scenario's numbers rest on, each with the values it stands behind."""

from __future__ import annotations

from ridgeline.cli.options import STEP, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, table
from ridgeline.efficiency import constants
from ridgeline.scenario import Scenario
from ridgeline.subject import Subject, subject


@command(*STEP)
def cite(scenario: Scenario) -> Report:
    """The sources that a scenario's numbers rest on."""
    found = subject(scenario)
    cited = _cited(scenario, found)
    records = [{"citation": citation, "values": values} for citation, values in cited.items()]
    return Report(
        document=lambda: {"command": "cite", "line": scenario.to_cli("cite"), "sources": records},
        rows=lambda: Rows.of([record | {"values": "; ".join(record["values"])} for record in records]),
        text=lambda: [
            table(["<source", "<of"], [(citation, ", ".join(values)) for citation, values in cited.items()]),
            "",
            copied(f"again: {scenario.to_cli('cite')}"),
        ],
    )


def _cited(scenario: Scenario, found: Subject) -> dict[str, list[str]]:
    """Citation -> values it stands behind: model, price, all of the system that the numbers use, measured kernels."""
    formats = {*found.precision.math.values(), found.precision.attention_math}
    sources = [(found.model.source or scenario.model, found.model.name)]
    for path, said in found.sources.items():
        unused = path.startswith("chip.peak.") and path.removeprefix("chip.peak.") not in formats
        if not unused and "prices." not in path:
            sources.append((said.source, path))
    if found.system.prices and scenario.price[:1] not in ("$", *"0123456789"):
        sources.append((found.system.price(scenario.price).source, "price"))
    sources.append((constants().source, "constants of kernels"))
    cited: dict[str, list[str]] = {}
    for source, value in sources:
        for citation in found.catalog.citations(source):
            cited.setdefault(citation, []).append(value)
    return cited
