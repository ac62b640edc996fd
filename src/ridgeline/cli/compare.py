"""`ridgeline compare`: several systems, models or options on one workload: one table, one picture."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from ridgeline.cli.document import deployment, record
from ridgeline.cli.front import front
from ridgeline.cli.headline import ESTIMATE
from ridgeline.cli.options import PLAN, Over, PlotFile, command
from ridgeline.cli.plan import axes
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.sketch import sketch
from ridgeline.cli.table import NONE, copied, heading, plain, shown, table
from ridgeline.planner.compare import Case
from ridgeline.planner.compare import compare as search
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario

if TYPE_CHECKING:
    from rich.console import RenderableType


@command(*PLAN)
def compare(scenario: Scenario, *, over: Over = None, plot: PlotFile = "") -> Report:
    """Several systems, models or options on one workload, each at its best: one table, one picture.

    MODEL and SYSTEM may be lists with commas; --over NAME=VALUES compares the values of an option.
    """
    models, systems = ([part.strip() for part in text.split(",")] for text in (scenario.model, scenario.system))
    cases = search(scenario, models, systems, axes(over))
    again = " ".join([scenario.to_cli("compare"), *(f"--over {shlex.quote(text)}" for text in over or ())])
    if plot:
        from ridgeline.cli.plot import draw_fronts

        draw_fronts([(each.label, front(each.result)) for each in cases if each.result], plot, _head(scenario), again)
    return Report(
        document=lambda: {"command": "compare", "cases": [_record(each) for each in cases], "line": again},
        rows=lambda: Rows.of([_row(each) for each in cases]),
        text=lambda: _text(scenario, cases, again),
    )


def _head(scenario: Scenario) -> list[str]:
    lengths = f"prompts of {plain(scenario.isl)} tokens, answers of {plain(scenario.osl)}"
    return [f"{scenario.model} on {scenario.system}: {lengths}"]


def _record(each: Case) -> dict[str, Any]:
    head = {"case": each.label, "line": each.scenario.to_cli("plan")}
    if each.result is None:
        return head | {"refused": each.refused}
    best = each.result.plans[0]
    return head | {
        "chips": each.result.subject.chips,
        "evaluated": each.result.evaluated,
        "deployment": deployment(best),
        "point": record(best.point),
    }


def _row(each: Case) -> dict[str, Any]:
    if each.result is None:
        return {"case": each.label, "refused": each.refused}
    found = deployment(each.result.plans[0])
    found.pop("prefill", None)
    spread = found.pop("tpot_interval_s")
    return {"case": each.label, "layout": each.result.plans[0].name, **found, **spread, "refused": ""}


def _text(scenario: Scenario, cases: tuple[Case, ...], again: str) -> list[RenderableType]:
    per = "output" if all(each.result is None or each.result.decode_only for each in cases) else "in + out"
    head = ["<", "<case", "chips", "<best", "TPOT", "TTFT", "tok/s\n/user", "tok/s\n/chip", f"$/Mtok\n{per}", "J/tok"]
    head.append("<floor\nbound by")
    refused = [f"{i}  {each.label}: {each.refused}" for i, each in enumerate(cases, 1) if each.result is None]
    return [
        *_head(scenario),
        heading("Each at its best"),
        table(head, [(str(i), *_cells(each)) for i, each in enumerate(cases, 1)]),
        *([heading("Not possible"), *refused] if refused else []),
        *_sketches(cases),
        "",
        ESTIMATE,
        copied(f"again: {again}"),
    ]


def _cells(each: Case) -> list[str]:
    if each.result is None:
        return [each.label, *[NONE] * 9]
    best, s = each.result.plans[0], each.result.plans[0].point.scenario
    first = not each.result.decode_only
    per = best.usd / (s.osl + (s.isl if first else 0)) if best.usd is not None else None
    serving = best.point.serving
    return [
        each.label, plain(best.chips), best.name.replace(", D", "\nD"), shown(best.tpot, "s"),
        shown(best.ttft, "s") if first else NONE, plain(best.user_rate), plain(best.output_rate_per_chip),
        shown(per, "USD/tok").removesuffix("/Mtok"), shown(best.joules_per_token, "J/tok").removesuffix(" J/tok"),
        "" if serving is None else TERMS[int(serving.request.binding)],
    ]  # fmt: skip


def _sketches(cases: tuple[Case, ...]) -> list[RenderableType]:
    """One picture with the front of every case, numbered at its best and at its fast end."""
    curves = [(i, front(each.result)) for i, each in enumerate(cases, 1) if each.result]
    if len({curve.y_label for _, curve in curves}) > 1:
        return ["", "no picture: some cases have a price and others none"]
    lines = [(curve.x[curve.rows], curve.y[curve.rows]) for _, curve in curves]
    marks = [(*curve.best[0], str(i)) for i, curve in curves]
    marks += [(float(x[0]), float(y[0]), str(i)) for (i, _), (x, y) in zip(curves, lines, strict=True)]
    return [
        heading("Cost against speed: the best that any deployment can do"),
        f"{curves[0][1].y_label} (log)",
        *sketch(*lines[0], marks, others=lines[1:]),
        f"{curves[0][1].x_label} (log)",
    ]
