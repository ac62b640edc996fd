"""`ridgeline context`: cost and speed against context, for a model and for it with another attention."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.headline import ESTIMATE, headline
from ridgeline.cli.options import PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.errors import InputError
from ridgeline.model.variant import KINDS
from ridgeline.planner.contexts import Contexts, allowed, compared, grid
from ridgeline.scenario import Scenario
from ridgeline.subject import subject
from ridgeline.units import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = (
    "chunk", "verify", "accepted", "acceptance", "skew", "weights", "kv", "activations", "engine", "overlap", "tpot",
    "user_rate", "price", "utilisation", "chips", "memory_utilisation", "set", "catalog",
)  # fmt: skip
_ALL = ",".join(KINDS)
_SHOWN = 6
"""Contexts side by side."""


def _option(text: str) -> Parameter:
    return Parameter(help=text, group="Contexts")


Kinds = Annotated[str, _option(f"Attention in every layer \\[{_ALL}].")]
Others = Annotated[str, _option("Other models of the catalogue on the same chips \\[such as qwen3-next-80b-a3b].")]
First = Annotated[str, _option("Shortest context \\[1k].")]
Last = Annotated[str, _option("Longest context \\[100M].")]
Cost = Annotated[str, _option("Cost of an output token up to which the longest context is sought \\[such as $5/Mtok].")]


@command(*_FIELDS)
def context(
    scenario: Scenario,
    *,
    attention: Kinds = _ALL,
    models: Others = "",
    shortest: First = "1k",
    longest: Last = "100M",
    cost: Cost = "",
    plot: PlotFile = "",
) -> Report:
    """Cost and speed against context, to 100M tokens: dense, latent, sliding, sparse, linear and hybrid attention.

    Each context has the layout and the batch that cost least on all chips, within --tpot. Two walls: what fits, and
    from where reading the cache takes longer than math.
    """
    asked = {
        "attention": (attention, _ALL), "models": (models, ""), "shortest": (shortest, "1k"),
        "longest": (longest, "100M"), "cost": (cost, ""),
    }  # fmt: skip
    first, last = parse(shortest, "tok", "--shortest"), parse(longest, "tok", "--longest")
    if not 1 <= first < last:
        raise InputError(f"--shortest {shortest} --longest {longest}", "from 1 token, the second above the first")
    limit = parse(cost, "USD/tok", "--cost") if cost else 0.0
    if cost and not limit:
        raise InputError(f"--cost {cost}", "above $0", "leave it out for no limit")
    rows = compared(
        scenario,
        [name.strip() for name in attention.split(",") if name.strip()],
        [name.strip() for name in models.split(",") if name.strip()],
        grid(first, last),
        cost=limit,
    )
    within = allowed(scenario)
    own = [f"--{name} {shlex.quote(value)}" for name, (value, default) in asked.items() if value != default]
    again = " ".join([scenario.to_cli("context"), *own])
    head = headline(scenario, subject(scenario))
    if plot:
        from ridgeline.cli.plot_context import draw_contexts

        draw_contexts(rows, plot, head[:1], again, within)
    return Report(
        document=lambda: {"command": "context", "rows": [_record(each) for each in rows], "line": again},
        rows=lambda: Rows.of([_point(each, i) for each in rows for i in range(len(each.points))]),
        text=lambda: _text(within, head[0], rows, limit, again),
    )


def _number(value: float | None) -> float | None:
    """None for what is not known or has no end."""
    return None if value is None or not math.isfinite(value) else value


def _point(each: Contexts, row: int) -> dict[str, Any]:
    at = each.points[row]
    unit = "usd" if each.priced else "chip_s"
    return {
        "attention": each.label, "context_tok": at.context, f"cost_{unit}_per_tok": _number(at.cost),
        f"cost_low_{unit}_per_tok": _number(at.cost * math.exp(each.interval[0])),
        f"cost_high_{unit}_per_tok": _number(at.cost * math.exp(each.interval[1])),
        f"cost_floor_{unit}_per_tok": _number(at.cost_floor), "batch": _number(at.batch), "tpot_s": _number(at.tpot),
        "layout": at.layout, "fastest_tpot_s": _number(at.fastest), "fastest_floor_s": _number(at.fastest_floor),
        f"input_{unit}_per_tok": _number(at.reading), "ttft_s": _number(at.ttft), "stored_bytes": at.stored,
        "read_bytes": at.read,
    }  # fmt: skip


def _record(each: Contexts) -> dict[str, Any]:
    limits = ("balance_context", "fits", "within_tpot", "within_cost")
    return {
        "attention": each.label,
        "model": each.subject.model.name,
        "parameters": each.subject.model.parameters,
        **{f"{name}_tok": _number(getattr(each, name)) for name in limits},
        "endless": [name for name in limits if (value := getattr(each, name)) is not None and math.isinf(value)],
        "points": [_point(each, i) for i in range(len(each.points))],
    }


def _text(within: float, head: str, rows: Sequence[Contexts], limit: float, again: str) -> list[RenderableType]:
    at = [point.context for point in rows[0].points]
    few = _few(at)
    names = [shown(at[i], "tok") for i in few]
    unit = "" if rows[0].priced else " (chip-seconds: no price is known)"
    tpot = f", each sequence within {shown(within, 's')}" if within else ""
    walls = [
        (
            each.label, f"{each.subject.model.parameters / 1e9:,.0f}e9", shown(each.points[few[-1]].stored, "B"),
            shown(each.points[few[-1]].read, "B"), _balance(each.balance_context) if each.balance_context else "always",
            _context(each.fits),
            *([_context(each.within_tpot)] if within else []), *([_context(each.within_cost)] if limit else []),
        )
        for each in rows
    ]  # fmt: skip
    return [
        head,
        "decode at each context; every layout on all chips, its batch as large as memory and time allow",
        heading("Walls: longest contexts"),
        table(
            ["<attention", "parameters", f"kept at\n{names[-1]}", "read\nper token", "reading beats\nmath from",
             "one fits\nup to", *([f"within {shown(within, 's')}\nup to"] if within else []),
             *([f"{shown(limit, 'USD/tok')}\nup to"] if limit else [])],
            walls,
        ),
        heading(f"Output: $ per million tokens of the cheapest deployment{tpot}{unit}"),
        _table(rows, few, names, lambda each, i: _usd(each, each.points[i].cost)),
        heading("Speed: time per output token of one sequence alone, on the fastest layout"),
        _table(rows, few, names, lambda each, i: _seconds(each.points[i].fastest)),
        heading("Input: $ per million tokens of a prompt of that length, cheapest"),
        _table(rows, few, names, lambda each, i: _usd(each, each.points[i].reading)),
        heading("Time to read such a prompt alone, on the fastest layout"),
        _table(rows, few, names, lambda each, i: _seconds(each.points[i].ttft)),
        "",
        "what such a model would answer is not known here: a window or a state forgets what a cache keeps",
        ESTIMATE,
        copied(f"again: {again}"),
    ]  # fmt: skip


def _few(at: Sequence[float]) -> list[int]:
    """Powers of ten, or evenly spread ones where there are few of those; always the last."""
    tens = [i for i, c in enumerate(at) if math.log10(c) == round(math.log10(c))]
    if len(tens) < 3:
        tens = list(range(0, len(at), max(1, len(at) // _SHOWN)))
    return sorted({*tens[-_SHOWN:], len(at) - 1})[-_SHOWN:]


def _table(rows: Sequence[Contexts], few: Sequence[int], names: Sequence[str], cell: Any) -> RenderableType:
    return table(["<attention", *names], [(each.label, *(cell(each, i) for i in few)) for each in rows])


def _usd(each: Contexts, value: float) -> str:
    if not math.isfinite(value):
        return NONE
    return f"{'$' if each.priced else ''}{plain(value * 1e6)}"


def _seconds(value: float) -> str:
    return shown(value, "s") if math.isfinite(value) else NONE


def _balance(value: float) -> str:
    return _context(value) if value else "always"


def _context(value: float | None) -> str:
    if not value:
        return NONE
    return "no end" if math.isinf(value) else shown(value, "tok")
