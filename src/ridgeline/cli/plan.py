"""`ridgeline plan`: the best layouts and batches, and why the others lose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ridgeline.cli.document import line, record
from ridgeline.cli.front import front, records
from ridgeline.cli.headline import ESTIMATE, FLOOR, expected, headline
from ridgeline.cli.launch import Checkpoint, EmitPlan, EmitTo, HostChips, launched
from ridgeline.cli.options import PLAN, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.sketch import sketch
from ridgeline.cli.table import cell, copied, counted, heading, plain, shown, table, times
from ridgeline.errors import InputError
from ridgeline.launch import deployed
from ridgeline.planner import Plan, PlanResult
from ridgeline.planner import plan as search
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.serving import Number

if TYPE_CHECKING:
    from rich.console import RenderableType

Top = Annotated[int, Parameter(help="Plans to show, each of another layout; 5 if not given.", group="Limits")]
_COLUMNS = {
    "TPOT": "tpot_estimate_s",
    "(floor)": "tpot_s",
    "TTFT": "ttft_estimate_s",
    "tok/s\n/user": "tokens_per_s_per_user_estimate",
    "tok/s\n/chip": "output_tokens_per_s_per_chip_estimate",
    "$/Mtok\ninput": "usd_per_input_token_estimate",
    "$/Mtok\noutput": "usd_per_output_token_estimate",
    "memory\nused": "memory_used_bytes",
}
"""Headings and numbers; all are estimates but for one floor. A unit that stands in the heading is not in the cell."""


@command(*PLAN)
def plan(
    scenario: Scenario,
    *,
    top: Top = 5,
    plot: PlotFile = "",
    emit: EmitTo = "",
    emit_plan: EmitPlan = 1,
    checkpoint: Checkpoint = "",
    host_chips: HostChips = 0,
) -> Report:
    """The best layouts and batches of a model on a system, and what a token costs.

    Every valid layout is evaluated with every batch that fits; the cheapest that keep the limits are shown.
    """
    if not 1 <= top <= 1000:
        raise InputError(f"--top {top}", "1 to 1000")
    result = search(scenario, top=top)
    if plot:
        from ridgeline.cli.plot import draw_plan

        draw_plan(result, plot)
    if emit:
        plans = [partial(deployed, each.point) for each in result.plans]
        return launched(plans, emit, emit_plan, checkpoint, host_chips, result.scenario.to_cli("plan"))
    return Report(
        document=lambda: {
            "command": "plan",
            "model": result.subject.model.name,
            "system": result.subject.system.name,
            "chips": result.subject.chips,
            "evaluated": result.evaluated,
            "layouts": result.layouts,
            "plans": [record(each.point) | {"why": each.why} for each in result.plans],
            "front": records(result),
            "line": result.scenario.to_cli("plan"),
        },
        rows=lambda: Rows.of([_row(each) for each in result.plans]),
        text=lambda: _text(result),
    )


def _row(each: Plan) -> dict[str, object]:
    fields = record(each.point)
    layout = fields.pop("layout")
    return layout | fields | {"why": each.why}


def _text(result: PlanResult) -> list[RenderableType]:
    best, others = result.plans[0], result.plans[1:]
    return [
        *headline(result.scenario, result.subject),
        heading(f"Best of {counted(result.evaluated, 'point')} in {counted(result.layouts, 'layout')} that fit"),
        _plans(result),
        *([heading("Why the others lose"), _why(others)] if others else []),
        heading(f"Where the time of the best goes: decode step of {plain(best.batch)} sequences{_prompts(best)}"),
        _times(best),
        "",
        f"decode step: {expected(best.point.estimate, best.point.subject.system.chip.name)}",
        f"balance: {_balance(best)}",
        heading("Cost against speed: the best that any layout and batch can do"),
        *_sketch(result),
        "",
        ESTIMATE,
        FLOOR,
        copied(f"in full: {line(best.point)}"),
        copied(f"again:   {result.scenario.to_cli('plan')}"),
    ]


def _plans(result: PlanResult) -> RenderableType:
    numbers = [each.point.numbers for each in result.plans]
    shown_columns = {name: key for name, key in _COLUMNS.items() if key in numbers[0]}
    rows = [
        (
            str(i + 1),
            str(each.layout),
            f"{each.point.replicas} x {each.layout.chips}",
            plain(each.batch),
            *(_cell(values[key]) for key in shown_columns.values()),
            _bound(each),
        )
        for i, (each, values) in enumerate(zip(result.plans, numbers, strict=True))
    ]
    return table(["<", "<layout", "replicas", "batch", *shown_columns, "<floor\nbound by"], rows)


def _cell(number: Number) -> str:
    if number.unit == "tok/s":
        return plain(number.value)
    return shown(number.value, number.unit).removesuffix("/Mtok")


def _bound(each: Plan) -> str:
    """The term that binds the floor of a request, prefill and decode together."""
    serving = each.point.serving
    return "" if serving is None else TERMS[int(serving.request.binding)]


def _why(others: tuple[Plan, ...]) -> RenderableType:
    return table(["<", "<layout", "<"], [(str(i), str(each.layout), each.why) for i, each in enumerate(others, 2)])


def _prompts(best: Plan) -> str:
    return "" if best.point.prefill is None else f", prefill step of {plain(best.point.prefill.seqs)} prompts"


def _times(best: Plan) -> RenderableType:
    """Bars of what a decode and a prefill step go into."""
    point = best.point
    steps = {"decode step": (point.estimate, point.step.time)}
    if point.prefill is not None and point.prefill_estimate is not None:
        steps["prefill step"] = (point.prefill_estimate, point.prefill.time)
    return times(steps)


def _balance(best: Plan) -> str:
    """The numbers that say where this model balances on this chip."""
    numbers = best.point.numbers
    parts = [f"B* {cell(numbers, 'balance_batch')} sequences"]
    if "balance_context_tok" in numbers:
        parts.append(f"L* {cell(numbers, 'balance_context_tok')}")
    parts.append(f"HBM drain {cell(numbers, 'drain_s')}")
    return ", ".join([*parts, f"all weights read by all chips in {cell(numbers, 'weight_read_s')}"])


def _sketch(result: PlanResult) -> list[str]:
    curve = front(result)
    marks = [(*at, str(i)) for i, at in enumerate(curve.best, start=1)]
    return [
        f"{curve.label} (log)",
        *sketch(curve.speed[curve.rows], curve.cost[curve.rows], marks),
        "tok/s of a user (log)",
    ]
