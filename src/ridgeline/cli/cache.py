"""`ridgeline cache`: where to keep prompts between two uses, for how long, and the prices that follow."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cache import read_premiums
from ridgeline.cache import reuse as law
from ridgeline.cli.headline import headline
from ridgeline.cli.options import command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, counted, heading, plain, shown, table
from ridgeline.planner.caches import Caches, caches
from ridgeline.planner.kept import MEDIA, Media
from ridgeline.scenario import Scenario
from ridgeline.units import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = (
    "context", "chunk", "weights", "kv", "activations", "engine", "overlap", "ttft", "price", "chips",
    "memory_utilisation", "set", "catalog",
)  # fmt: skip
_ACROSS = 4
"""Guaranteed times side by side."""
_DEFAULTS = {
    "medium": ",".join(MEDIA), "hold": "1min,5min,1h,1day", "reuse": "", "premiums": "", "life": "1825 days",
    "overhead": "1", "stall": "1", "devices": 1,
}  # fmt: skip


def _option(text: str) -> Parameter:
    return Parameter(help=text, group="Storage")


MediumNames = Annotated[str, _option("Media beside the chip's HBM, with a price if wanted \\[such as ddr5,cxl=$5/GB].")]
Hold = Annotated[str, _option("Hold times to decide \\[such as 5min,1h].")]
Law = Annotated[str, _option("When prompts come back: exponential:mean=10min, lognormal:mean=10min,cv=2, both with "
                             "returns=60%, or trace:FILE.")]  # fmt: skip
Premiums = Annotated[str, _option("A price sheet's cache writes over plain input: 5min=$1.25/Mtok,1h=$5/Mtok.")]
Life = Annotated[str, _option("Time over which media are written off \\[5 years of 365 days].")]
Overhead = Annotated[str, _option("Cost of a device with server, power and network over its price \\[1].")]
Stall = Annotated[str, _option("Share of a fetch over the host link that the chip waits and is paid for \\[1].")]
Devices = Annotated[int, _option("Devices that a prompt is striped over \\[1].")]


@command(*_FIELDS)
def cache(
    scenario: Scenario,
    *,
    medium: MediumNames = _DEFAULTS["medium"],
    hold: Hold = _DEFAULTS["hold"],
    reuse: Law = "",
    premiums: Premiums = "",
    life: Life = _DEFAULTS["life"],
    overhead: Overhead = "1",
    stall: Stall = "1",
    devices: Devices = 1,
) -> Report:
    """Where to keep prompts between two uses: HBM, host memory, flash, disk, or compute them anew.

    A prompt is --context tokens long; --ttft is the longest time that fetching it may take.
    """
    asked = {
        "medium": medium, "hold": hold, "reuse": reuse, "premiums": premiums, "life": life, "overhead": overhead,
        "stall": stall, "devices": devices,
    }  # fmt: skip
    found = caches(
        scenario,
        media=Media(
            names=[name.strip() for name in medium.split(",") if name.strip()],
            life=parse(life, "s", "--life"),
            overhead=parse(overhead, "1", "--overhead"),
            stall=parse(stall, "1", "--stall"),
            devices=devices,
        ),
        holds=[parse(text, "s", "--hold") for text in hold.split(",")],
        law=law(reuse) if reuse else None,
        premiums=read_premiums(premiums),
    )
    own = [f"--{name} {shlex.quote(str(value))}" for name, value in asked.items() if value != _DEFAULTS[name]]
    again = " ".join([scenario.to_cli("cache"), *own])
    rows = [_record(found, i) for i in range(len(found.tiers))]
    return Report(
        document=lambda: {
            "command": "cache",
            "model": found.subject.model.name,
            "system": found.subject.system.name,
            "context_tok": found.context,
            "kv_bytes_per_tok": found.kv_bytes,
            "layout": found.again.layout,
            "recompute_usd_per_tok": found.again.cost,
            "recompute_s": found.again.seconds,
            "tiers": rows,
            "holds": [_hold(found, i) for i in range(len(found.holds))],
            "reuse": {"mean_s": found.law.mean, "returns": found.law.returns} if found.law else None,
            "premium": {"usd_per_tok": found.premium[0], "usd_per_tok_s": found.premium[1]} if found.premium else None,
            "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: _text(found, again, asked["overhead"] == "1"),
    )


def _record(found: Caches, row: int) -> dict[str, Any]:
    """A tier in SI units; what is infinite is null."""
    each = found.tiers[row]
    tier, best = each.tier, each.lifetime
    out: dict[str, Any] = {
        "tier": tier.name, "title": tier.title, "capacity_bytes": tier.capacity, "drain_s": tier.drain,
        "rent_usd_per_s": tier.rent, "hold_usd_per_tok_s": each.hold, "store_usd_per_tok": each.store,
        "wear_usd_per_tok": each.wear, "fetch_usd_per_tok": each.fetch, "fetch_s": each.fetch_time,
        "break_even_s": each.break_even, "cheapest_s": [[a, b if b < math.inf else None] for a, b in each.reigns],
        "residence_s": tier.residence or None,
    }  # fmt: skip
    if best is not None:
        out |= {
            "ttl_s": best.ttl, "hit": best.hit, "held_s": best.held, "usd_per_tok_use": best.cost,
            "saved": each.saved, "worn_out_s": each.worn_out,
        }  # fmt: skip
    if found.implied:
        out["implied_bytes_per_tok"] = found.implied[row]
    return {name: None if isinstance(value, float) and math.isinf(value) else value for name, value in out.items()}


def _hold(found: Caches, row: int) -> dict[str, Any]:
    each = found.holds[row]
    names = [kept.tier.name for kept in found.tiers]
    return asdict(each) | {
        "premiums": dict(zip(names, each.premiums, strict=True)), "shares": dict(zip(names, each.shares, strict=True)),
    }  # fmt: skip


def _text(found: Caches, again: str, bare: bool) -> list[RenderableType]:
    compute = f"{shown(found.again.cost, 'USD/tok')} and {shown(found.again.seconds, 's')}"
    late = [each.tier.name for each in found.tiers if not each.quick]
    slow = [each.tier.name for each in found.tiers if each.fetch_time > found.again.seconds]
    costs = [
        (
            each.tier.name, shown(each.tier.drain, "s"), _rate(each.hold), _price(each.store), _price(each.fetch),
            shown(each.fetch_time, "s"), shown(each.break_even, "s"), _spans(each.reigns),
        )
        for each in found.tiers
    ]  # fmt: skip
    holds = [
        (
            shown(each.seconds, "s"), each.matched, _price(each.matched_cost), each.best, _price(each.best_cost),
            f"{each.best_cost / found.again.cost:.3g}x", *([f"{each.back:.1%}"] if each.back is not None else []),
        )
        for each in found.holds
    ]  # fmt: skip
    return [
        *headline(found.scenario, found.subject)[:1],
        f"a prompt of {plain(found.context)} tokens keeps {shown(found.kv_bytes, 'B/tok')} (cache "
        f"{found.subject.precision.kv}); computing it anew: {compute} ({found.again.layout}, estimate)",
        heading("Tiers: what a token costs"),
        table(
            ["<tier", "drain", "hold\nper Mtok/h", "store\nper Mtok", "fetch\nper Mtok", "fetch a\nprompt",
             "break-even\nwith compute", "<cheapest for\nholds of"],
            costs,
        ),
        *(["", f"slower than computing anew: {', '.join(slow)} (--devices stripes, --ttft excludes)"] if slow else []),
        *(["", f"slower than --ttft allows, never the best: {', '.join(late)}"] if late else []),
        heading("Which tier for a hold time: drain time nearest to it, and least cost"),
        table(
            ["hold", "<by drain", "per Mtok", "<by cost", "per Mtok", "of compute",
             *(["of returns\nback by then"] if found.law else [])],
            holds,
        ),
        heading("Prices at cost: hit, storage, and the write premium for a guaranteed time; all per million tokens"),
        *_prices(found),
        *_endurance(found),
        *_reuse(found),
        *_sheet(found),
        "",
        f"media: full, at all of their bandwidth and at {'their bare price' if bare else 'their price with overhead'}; "
        "`ridgeline catalog media NAME` has sources",
        copied(f"again: {again}"),
    ]  # fmt: skip


def _prices(found: Caches) -> list[RenderableType]:
    """Hit, storage and write premiums, a few guaranteed times to a table."""
    out: list[RenderableType] = []
    for first in range(0, len(found.holds), _ACROSS):
        part = found.holds[first : first + _ACROSS]
        head = ["<tier", "hit", "of compute", "storage", *(f"write {shown(each.seconds, 's')}" for each in part)]
        rows = [
            (
                each.tier.name, _price(each.fetch), f"{each.fetch / found.again.cost:.2%}", f"{_rate(each.hold)}/h",
                *(_price(hold.premiums[i]) for hold in part),
            )
            for i, each in enumerate(found.tiers)
        ]  # fmt: skip
        out += [*([""] if first else []), table(head, rows)]
    return out


def _endurance(found: Caches) -> list[RenderableType]:
    """What writing wears out."""
    rows = [
        (each.tier.name, _price(each.wear), f"{each.wear / found.again.cost:.1%}", shown(each.tier.residence, "s"))
        for each in found.tiers
        if each.tier.residence
    ]
    if not rows:
        return []
    head = ["<tier", "wear of a write\nper Mtok", "of compute", "a byte must\nstay"]
    return [
        heading("Endurance: shorter stays on a full device wear it out before it is written off"),
        table(head, rows),
    ]


def _reuse(found: Caches) -> list[RenderableType]:
    """The best time to live in each tier."""
    law = found.law
    if law is None:
        return []
    source = f"{counted(len(law.gaps), 'gap')} of a trace" if law.gaps is not None else law.kind
    rows = []
    for each in found.tiers:
        best = each.lifetime
        assert best is not None
        ttl = "keep nothing" if not best.ttl else shown(best.ttl, "s") if math.isfinite(best.ttl) else "for ever"
        worn = shown(each.worn_out, "s") if math.isfinite(each.worn_out) else NONE
        saved = f"{each.saved:.1%}"
        rows.append((each.tier.name, ttl, f"{best.hit:.1%}", shown(best.held, "s"), _price(best.cost), saved, worn))
    head = f"Reuse after {shown(law.mean, 's')} on average ({source}; {law.returns:.1%} ever): the best time to live"
    return [
        heading(head),
        table(["<tier", "TTL", "hits", "held", "per Mtok\nand use", "saved", "worn out\nafter"], rows),
        "",
        f"best: {found.best.tier.name if found.best.saved else 'to keep nothing'}; without a cache a use costs "
        f"{shown(law.returns * found.again.cost, 'USD/tok')}",
    ]


def _sheet(found: Caches) -> list[RenderableType]:
    """What a price sheet's write premiums say."""
    if found.premium is None:
        return []
    base, slope = found.premium
    rows = [
        (each.tier.name, shown(size, "B/tok"), f"{size / found.kv_bytes:.3g}x")
        for each, size in zip(found.tiers, found.implied, strict=True)
    ]
    return [
        heading(f"The price sheet's write premium is {shown(base, 'USD/tok')} + {shown(slope, 'USD/tok/s')}"),
        table(["<if held in", "it pays for", "of this model's"], rows),
    ]


def _price(value: float) -> str:
    return shown(value, "USD/tok").removesuffix("/Mtok") if value else "$0"


def _rate(value: float) -> str:
    return shown(value, "USD/tok/s").removesuffix("/Mtok/h")


def _spans(reigns: tuple[tuple[float, float], ...]) -> str:
    return ", ".join(_span(*each) for each in reigns) or NONE


def _span(begin: float, end: float) -> str:
    if math.isinf(end):
        return f"from {shown(begin, 's')}" if begin else "any time"
    return f"{shown(begin, 's')} to {shown(end, 's')}" if begin else f"up to {shown(end, 's')}"
