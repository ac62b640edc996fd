"""`ridgeline plan`: the best deployments, and why the others lose."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.confirm import Simulate, confirmed
from ridgeline.cli.confirm import record as confirmation
from ridgeline.cli.document import deployment, line, record
from ridgeline.cli.front import Front, front, objectives, records
from ridgeline.cli.headline import ESTIMATE, FLOOR, expected, headline
from ridgeline.cli.launch import Checkpoint, EmitPlan, EmitTo, HostChips, launched
from ridgeline.cli.options import PLAN, Over, PlotFile, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.sketch import sketch
from ridgeline.cli.table import cell, copied, counted, heading, plain, shown, table, times
from ridgeline.errors import InputError
from ridgeline.planner import Plan, PlanResult
from ridgeline.planner import plan as search
from ridgeline.planner.confirm import Confirmed, confirm
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.sweep.axis import axis

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP = 5
Top = Annotated[int, Parameter(help="Plans to show, each of another layout; 5 if not given.", group="Limits")]
FrontOf = Annotated[
    str,
    Parameter(
        name="--front",
        help="Two of cost, throughput, speed, energy, ttft, e2e, to show the best trades of; speed,cost if not given.",
        group="Search",
    ),
]


@command(*PLAN)
def plan(
    scenario: Scenario,
    *,
    top: Top = TOP,
    over: Over = None,
    trade: FrontOf = "speed,cost",
    plot: PlotFile = "",
    emit: EmitTo = "",
    emit_plan: EmitPlan = 1,
    checkpoint: Checkpoint = "",
    host_chips: HostChips = 0,
    simulate: Simulate = False,
) -> Report:
    """The best deployments of a model on a system, and what a token costs.

    Every valid layout is evaluated with every batch that fits, on one pool of replicas or with prefill and decode
    apart; the best that keep the limits are shown.
    """
    if not 1 <= top <= 1000:
        raise InputError(f"--top {top}", "1 to 1000")
    names, searched = objectives(trade), axes(over)
    result = search(scenario, top=top, over=searched)
    again = " ".join(
        [
            result.scenario.to_cli("plan"),
            *(f"--over {shlex.quote(text)}" for text in over or ()),
            *([f"--front {','.join(names)}"] if names != ("speed", "cost") else []),
            *([f"--top {top}"] if top != TOP else []),
            *(["--simulate"] if simulate else []),
        ]
    )
    if plot:
        from ridgeline.cli.plot import draw_plan

        draw_plan(result, plot, again, names)
    if emit:
        return launched(result.plans, emit, emit_plan, checkpoint, host_chips, again)
    found = confirm(result) if simulate else ()
    return Report(
        document=lambda: {
            "command": "plan",
            "model": result.subject.model.name,
            "system": result.subject.system.name,
            "chips": result.subject.chips,
            "evaluated": result.evaluated,
            "layouts": result.layouts,
            "objective": result.scenario.objective,
            "limits": result.limits.given,
            "plans": [_record(*each) for each in zip_longest(result.plans, found)],
            "front": records(result, names),
            "line": again,
        },
        rows=lambda: Rows.of([_row(each) for each in result.plans]),
        text=lambda: _text(result, names, again, found),
    )


def axes(over: list[str] | None) -> dict[str, list[Any]]:
    """Further options to search, each once."""
    out: dict[str, list[Any]] = {}
    for text in over or ():
        name, values = axis(text)
        if name in out:
            raise InputError(f"--over {name}", "each axis once")
        out[name] = [int(v) if isinstance(v, float) and v == int(v) else v for v in values]
    return out


def _record(each: Plan, found: Confirmed | None) -> dict[str, Any]:
    simulated = {} if found is None else {"simulated": confirmation(found)}
    return record(each.point) | {"deployment": deployment(each), "why": each.why} | simulated


def _row(each: Plan) -> dict[str, object]:
    fields = record(each.point)
    layout, found = fields.pop("layout"), deployment(each)
    first = found.pop("prefill", None)
    spread = found.pop("tpot_interval_s")
    found |= {"tpot_low_s": spread["low_s"], "tpot_high_s": spread["high_s"]}
    found = {f"deployment_{name}": value for name, value in found.items()}
    if first is not None:
        found |= {f"prefill_{name}": degree for name, degree in first["layout"].items()}
    return layout | fields | found | {"why": each.why}


def _text(result: PlanResult, names: tuple[str, str], again: str, found: Sequence[Confirmed]) -> list[RenderableType]:
    best, others = result.plans[0], result.plans[1:]
    scenario = best.point.scenario if result.decode_only else result.scenario
    points = f"{counted(result.evaluated, 'configuration')} in {counted(result.layouts, 'layout')} that fit"
    curve = front(result, names)
    return [
        *headline(scenario if len(result.variants) == 1 else _chosen(result), result.subject),
        heading(f"Best {_objective(result)}of {points}"),
        _plans(result),
        *confirmed(result, found),
        *([heading("Why the others lose"), _why(others)] if others else []),
        *_pools(best),
        heading(f"Where the time of the best goes: decode step of {plain(best.batch)} sequences{_prompts(best)}"),
        _times(best),
        "",
        f"decode step: {expected(best.point.estimate, best.point.subject.system.chip.name)}",
        f"balance: {_balance(best)}",
        heading(_title(names)),
        *_sketch(curve),
        "",
        ESTIMATE,
        FLOOR,
        *([copied(f"prefill: {line(best.prefill)}")] if best.prefill is not None else []),
        copied(f"in full: {line(best.point)}"),
        copied(f"again:   {again}"),
    ]


def _objective(result: PlanResult) -> str:
    return "" if result.scenario.objective == "cost" else f"{result.scenario.objective} "


def _chosen(result: PlanResult) -> Scenario:
    """The variant of the best plan."""
    return result.variants[result.chosen]


def _title(names: tuple[str, str]) -> str:
    if names == ("speed", "cost"):
        return "Cost against speed: the best that any deployment can do"
    return f"{names[1].capitalize()} against {names[0]}: the best that any deployment can do"


def _plans(result: PlanResult) -> RenderableType:
    """One row to a plan; all are estimates but for one floor. A unit that stands in the heading is not in the cell."""
    varied = [name for name in ("weights", "kv", "activations", "engine", "system") if _varies(result, name)]
    drafted = any(each.point.scenario.verify > 1 for each in result.plans) and len(result.variants) > 1
    apart = any(each.prefill is not None for each in result.plans)
    crowded = bool(varied or drafted)
    money, first = result.plans[0].usd is not None, not result.decode_only
    columns: dict[str, Callable[[Plan], str]] = {
        "<layout": lambda p: p.name.replace(", D", "\nD"),
        **{f"<{name}": lambda p, name=name: str(getattr(p.point.scenario, name)) or "-" for name in varied},
        **({"drafts": lambda p: plain(p.point.scenario.verify - 1)} if drafted else {}),
        "chips": _chips,
        "batch": lambda p: plain(p.batch),
        "TPOT": lambda p: shown(p.tpot, "s"),
        **({} if crowded else {"(floor)": lambda p: shown(p.point.numbers["tpot_s"].value, "s")}),
        **({"TTFT": lambda p: shown(p.ttft, "s")} if first else {}),
        "tok/s\n/user": lambda p: plain(p.user_rate),
        "tok/s\n/chip": lambda p: plain(p.output_rate_per_chip),
        **({"$/Mtok\ninput": lambda p: _money(p.usd_per_input_token)} if money and first else {}),
        **({"$/Mtok\noutput": lambda p: _money(p.usd_per_output_token)} if money else {}),
        **({} if apart else {"memory\nused": lambda p: shown(p.point.memory.used, "B")}),
        **({} if crowded else {"<floor\nbound by": _bound}),
    }
    rows = [(str(i), *(cell(each) for cell in columns.values())) for i, each in enumerate(result.plans, 1)]
    return table(["<", *columns], rows)


def _chips(each: Plan) -> str:
    """Replicas and their chips, of each pool."""
    own = f"{each.replicas} x {each.layout.chips}"
    return own if each.prefill is None else f"{each.prefill_replicas} x {each.prefill.scenario.layout.chips}\n{own}"


def _varies(result: PlanResult, name: str) -> bool:
    return len({getattr(each, name) for each in result.variants}) > 1


def _money(value: float | None) -> str:
    return shown(value, "USD/tok").removesuffix("/Mtok")


def _bound(each: Plan) -> str:
    """The term that binds the floor of a request, prefill and decode together; of two pools of decode."""
    serving = each.point.serving
    return "" if serving is None else TERMS[int(serving.request.binding)]


def _why(others: tuple[Plan, ...]) -> RenderableType:
    return table(["<", "<layout", "<"], [(str(i), each.name, each.why) for i, each in enumerate(others, 2)])


def _pools(best: Plan) -> list[RenderableType]:
    """Of two pools: what each consists of."""
    if best.prefill is None:
        return []
    p, d = best.prefill, best.point
    rows = [
        ("prefill", str(p.scenario.layout), f"{best.prefill_replicas} x {p.scenario.layout.chips}",
         f"{plain(best.chunk)} tok/rank", shown(p.memory.used, "B"), TERMS[int(p.step.time.binding)],
         p.subject.system.name),
        ("decode", str(d.scenario.layout), f"{best.replicas} x {best.layout.chips}", f"{plain(best.batch)} sequences",
         shown(d.memory.used, "B"), TERMS[int(d.step.time.binding)], d.subject.system.name),
    ]  # fmt: skip
    head = ["<pool", "<layout", "replicas", "<a step of", "memory used", "<floor bound by", "<system"]
    return [heading("Pools of the best: prefill and decode apart, rates matched"), table(head, rows)]


def _prompts(best: Plan) -> str:
    step = best.point.prefill if best.prefill is None else best.prefill.step
    return "" if step is None else f", prefill step of {plain(step.seqs)} prompts"


def _times(best: Plan) -> RenderableType:
    """Bars of what a decode and a prefill step go into."""
    point = best.point
    steps = {"decode step": (point.estimate, point.step.time)}
    if best.prefill is not None:
        steps["prefill step"] = (best.prefill.estimate, best.prefill.step.time)
    elif point.prefill is not None and point.prefill_estimate is not None:
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


def _sketch(curve: Front) -> list[str]:
    marks = [(*at, str(i)) for i, at in enumerate(curve.best, start=1)]
    return [
        f"{curve.y_label} (log)",
        *sketch(curve.x[curve.rows], curve.y[curve.rows], marks),
        f"{curve.x_label} (log)",
    ]
