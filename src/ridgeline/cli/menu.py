"""`ridgeline menu`: what to charge for each kind of token, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from cyclopts import Parameter

from ridgeline.cache import reuse as law
from ridgeline.catalog import BUILT_IN
from ridgeline.cli.headline import headline
from ridgeline.cli.options import GROUPS, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, counted, heading, plain, shown, table
from ridgeline.cli.traffic import Answers, Lengths, line
from ridgeline.errors import InputError
from ridgeline.planner.kept import MEDIA, Media
from ridgeline.pricing.menu import GROUPS as MOST_GROUPS
from ridgeline.pricing.menu import Menu
from ridgeline.pricing.menu import menu as priced
from ridgeline.pricing.menu_beside import beside as laid
from ridgeline.pricing.menu_modes import operations
from ridgeline.pricing.menu_steps import grouped
from ridgeline.pricing.sheet import Sheet
from ridgeline.pricing.spelling import find_sheet, read_toml
from ridgeline.scenario import Scenario
from ridgeline.units import parse
from ridgeline.workload import Trace, read
from ridgeline.workload.lengths import lengths as distribution

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = tuple(
    name
    for names in GROUPS.values()
    for name in names
    if name not in ("phase", "context", "isl", "osl", "cached", "objective")
)
_MEDIA = ",".join(MEDIA)
DRAWN = 20_000
"""Requests that are drawn from distributions."""


def _priced(text: str) -> Parameter:
    return Parameter(help=text, group="Prices", allow_leading_hyphen=True)


Margin = Annotated[str, _priced("Share of each price that is not cost \\[0%].")]
Tiers = Annotated[int, _priced("Most context tiers \\[3].")]
Fast = Annotated[str, _priced("Speeds of fast modes over standard; empty for none \\[2.5].")]
Ttl = Annotated[str, _priced("Guaranteed times of cache writes \\[5min,1h].")]
Law = Annotated[str, _priced("When prompts come back, for a cache that keeps what pays; as of `ridgeline cache`.")]
Filled = Annotated[str, _priced("Share of the time in which chips work when batch requests fill idle hours \\[100%].")]
MediumNames = Annotated[str, _priced("Media for cached prompts, with a price if wanted \\[such as ddr5,cxl=$5/GB].")]
Overhead = Annotated[str, _priced("Cost of a medium with server, power and network over its price \\[1].")]
Devices = Annotated[int, _priced("Devices that a cached prompt is striped over \\[1].")]
Sheets = Annotated[str, _priced("Price sheets to lay beside: of the catalogue, or a sheet's .toml file.")]
TraceFile = Annotated[str, _priced("Lengths of a trace in place of --isl and --osl; docs/workloads.md.")]


@command(*_FIELDS)
def menu(
    scenario: Scenario,
    *,
    margin: Margin = "0%",
    isl: Lengths = "4096",
    osl: Answers = "1024",
    trace: TraceFile = "",
    tiers: Tiers = 3,
    fast: Fast = "2.5",
    ttl: Ttl = "5min,1h",
    reuse: Law = "",
    batch_utilisation: Filled = "100%",
    medium: MediumNames = _MEDIA,
    overhead: Overhead = "1",
    devices: Devices = 1,
    beside: Sheets = "",
    plot: PlotFile = "",
) -> Report:
    """What to charge for input, output, cached, long, fast, slow and batch tokens, and what each costs.

    Costs are those of the best deployment within the limits, or of the layout and batch that are given.
    """
    asked = {name: value for name, value in locals().items() if name not in ("scenario", "plot")}
    prompt, output = _requests(asked)
    mean = msgspec.structs.replace(scenario, isl=float(prompt.mean()), osl=float(output.mean()))
    speeds = [parse(text, "1", "--fast") for text in fast.split(",") if text.strip()]
    found = priced(
        operations(mean, speeds),
        grouped(prompt, output, MOST_GROUPS),
        margin=parse(margin, "1", "--margin"),
        tiers=tiers,
        ttls=[parse(text, "s", "--ttl") for text in ttl.split(",") if text.strip()],
        law=law(reuse) if reuse else None,
        media=Media(
            names=[name.strip() for name in medium.split(",") if name.strip()],
            overhead=parse(overhead, "1", "--overhead"),
            devices=devices,
        ),
        batch_utilisation=parse(batch_utilisation, "1", "--batch-utilisation"),
    )
    sheets = [_sheet(name.strip(), mean) for name in beside.split(",") if name.strip()]
    again = line("menu", scenario, asked, _DEFAULTS)
    if plot:
        from ridgeline.cli.plot_menu import draw_menu

        draw_menu(found, plot, headline(mean, found.found.subject)[:1], again)
    rows = [_record(found, i) for i in range(len(found.lines))]
    return Report(
        document=lambda: _document(found, sheets, rows, again),
        rows=lambda: Rows.of(rows),
        text=lambda: _text(found, sheets, again),
    )


_DEFAULTS: dict[str, Any] = {
    "margin": "0%", "isl": "4096", "osl": "1024", "trace": "", "tiers": 3, "fast": "2.5", "ttl": "5min,1h", "reuse": "",
    "batch_utilisation": "100%", "medium": _MEDIA, "overhead": "1", "devices": 1, "beside": "",
}  # fmt: skip


def _requests(asked: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Prompt and output tokens, one value per request."""
    if asked["trace"]:
        for name in ("isl", "osl"):
            if asked[name] != _DEFAULTS[name]:
                raise InputError(f"--{name} beside --trace", "one of them")
        found = read(Trace(path=asked["trace"])).requests
        return found.prompt, found.output
    rng = np.random.default_rng(0)
    prompt, output = (distribution(asked[name], f"--{name}").whole(rng, DRAWN) for name in ("isl", "osl"))
    return prompt, output


def _record(found: Menu, row: int) -> dict[str, Any]:
    each = found.lines[row]
    return {
        "line": each.name,
        "price_usd_per_tok": each.price,
        "cost_usd_per_tok": float(each.cost.estimate),
        "low_usd_per_tok": float(each.cost.low),
        "high_usd_per_tok": float(each.cost.high),
        "floor_usd_per_tok": float(each.cost.floor),
        "note": each.note,
    }


def _sheet(name: str, scenario: Scenario) -> Sheet:
    if name.endswith(".toml"):
        return read_toml(name)
    return find_sheet(name, BUILT_IN.under(scenario.catalog) if scenario.catalog else BUILT_IN)


def _document(found: Menu, sheets: list[Sheet], rows: list[dict[str, Any]], again: str) -> dict[str, Any]:
    marked, subject = 1.0 - found.margin, found.found.subject
    return {
        "command": "menu",
        "model": subject.model.name,
        "system": subject.system.name,
        "chips": subject.chips,
        "margin": found.margin,
        "utilisation": found.found.scenario.utilisation,
        "deployments": {
            each.name: {"deployment": _layout(found, i), "tpot_limit_s": each.tpot if np.isfinite(each.tpot) else None}
            for i, each in enumerate(_operations(found))
        },
        "too_fast": list(found.found.too_fast),
        "isl_mean_tok": found.found.scenario.isl,
        "osl_mean_tok": found.found.scenario.osl,
        "left_out": found.unfit,
        "lines": rows,
        "steps": [
            {
                "moved": each.moved,
                "tiers": [
                    {
                        "above_tok": tier.above,
                        "input_usd_per_tok": tier.prices[0] / marked,
                        "output_usd_per_tok": tier.prices[1] / marked,
                    }
                    for tier in each.tiers
                ],
            }
            for each in found.steps
        ],
        "bands": [
            {
                "longest_tok": each.longest, "requests": each.requests, "cost": each.cost,
                "cost_usd_per_request": each.per_request, "pays": list(each.pays),
            }
            for each in found.bands
        ],
        "beside": [
            {
                "sheet": sheet.name, "provider": sheet.provider, "date": sheet.date,
                "lines": [
                    {"line": e.name, "price_usd_per_tok": e.price, "cost_usd_per_tok": e.cost, "leaves": e.leaves}
                    for e in laid(found, sheet)
                ],
            }
            for sheet in sheets
        ],
        "line": again,
    }  # fmt: skip


def _operations(found: Menu) -> list[Any]:
    return [found.found.standard, *found.found.fast, found.found.slow]


def _layout(found: Menu, row: int) -> str:
    each = _operations(found)[row]
    return f"P {each.prefill.layout}, D {each.decode.layout}" if each.apart else str(each.decode.layout)


def _beside(found: Menu, sheet: Sheet) -> list[RenderableType]:
    """A provider's prices over these costs."""
    rows = [(e.name, _usd(e.price), _usd(e.cost), f"{e.leaves:.0%}") for e in laid(found, sheet)]
    who = ", ".join(filter(None, (sheet.provider, sheet.date)))
    return [
        heading(f"Beside it: {sheet.name}{f' ({who})' if who else ''}"),
        table(["<line", "price", "cost here", "leaves"], rows),
    ]


def _text(found: Menu, sheets: list[Sheet], again: str) -> list[RenderableType]:
    scenario = found.found.scenario
    modes = [
        (
            each.name, _layout(found, i), shown(each.tpot, "s") if np.isfinite(each.tpot) else "any",
        )
        for i, each in enumerate(_operations(found))
    ]  # fmt: skip
    searched = f"of {counted(found.found.evaluated, 'configuration')}" if found.found.evaluated else "of one layout"
    rows = [
        (
            each.name, _usd(each.price), _usd(float(each.cost.estimate)),
            f"{_usd(float(each.cost.low))} to {_usd(float(each.cost.high))}", _usd(float(each.cost.floor)), each.note,
        )
        for each in found.lines
    ]  # fmt: skip
    paid = f"chips work {scenario.utilisation:.0%} of the time that they are paid for"
    return [
        *headline(scenario, found.found.subject),
        f"margin {found.margin:.0%} of the price; {paid}",
        heading(f"Deployments, each the cheapest at its speed {searched}"),
        table(["<mode", "<layout", "TPOT up to"], modes),
        *([f"too fast for these chips: {', '.join(found.found.too_fast)}"] if found.found.too_fast else []),
        heading("Menu: dollars per million tokens"),
        table(["<line", "price", "cost", "80% interval", "floor", "<"], rows),
        *_steps(found),
        *_bands(found),
        *(part for sheet in sheets for part in _beside(found, sheet)),
        "",
        *([f"left out: {found.unfit:.2%} of requests, too long for memory or the TPOT"] if found.unfit > 1e-9 else []),
        "cost: estimate at the mean of all tokens; floor: the same steps on a perfect machine; caches: bare media",
        copied(f"again: {again}"),
    ]


def _steps(found: Menu) -> list[RenderableType]:
    """Thresholds and factors by number of tiers."""
    if len(found.steps) == 1:
        return ["", "context steps and cross-subsidy: give --isl a distribution, such as lognormal:mean=8k,cv=2"]
    marked = 1.0 - found.margin
    rows = []
    for count, each in enumerate(found.steps, 1):
        base = each.tiers[0].prices
        for i, tier in enumerate(each.tiers):
            rows.append(
                (
                    "" if i else str(count),
                    f"{shown(tier.above, 'tok')}" if tier.above else "0",
                    _usd(tier.prices[0] / marked), f"{tier.prices[0] / base[0]:.2f}x",
                    _usd(tier.prices[1] / marked), f"{tier.prices[1] / base[1]:.2f}x",
                    "" if i else f"{each.moved:.1%}",
                )
            )  # fmt: skip
    return [
        heading("Context steps that recover cost: the thresholds that move least money between customers"),
        table(["tiers", "prompts\nabove", "input", "", "output", "", "of the cost is\npaid by others"], rows),
    ]


def _bands(found: Menu) -> list[RenderableType]:
    """What the short pay for the long."""
    if len(found.steps) == 1:
        return []
    rows = [
        (
            f"up to {shown(each.longest, 'tok')}", f"{each.requests:.1%}", f"{each.cost:.1%}",
            f"${each.per_request:.3g}", *(f"{pays:.2f}x" for pays in each.pays),
        )
        for each in found.bands
    ]  # fmt: skip
    tiers = [counted(i, "tier") for i in range(1, len(found.steps) + 1)]
    return [
        heading("Cross-subsidy: what requests pay over what they cost"),
        table(["<prompts", "of requests", "of the cost", "cost of one", *tiers], rows),
    ]


def _usd(value: float) -> str:
    return f"${plain(value * 1e6)}"
