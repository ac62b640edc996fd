"""`--plot`: three panels: roofline, time against batch, cost against speed.

    roofline   FLOP/s = min(peak, bandwidth * intensity); each operation of the step at its intensity on its roof
    time       estimate with its interval, floor and the floor's terms, of this layout at every batch that fits
    cost       the trade that the search, the layout's batches, or the sweep's points offer, by estimate

Lines are labelled where they end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from ridgeline.cli.document import line
from ridgeline.cli.figure import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, apart, label, picture, ticks
from ridgeline.cli.front import Front, front
from ridgeline.cli.headline import FLOOR, headline
from ridgeline.cli.page import page
from ridgeline.cli.series import along, largest, roofline, speed_and_cost, times
from ridgeline.errors import InputError
from ridgeline.planner import PlanResult
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point
from ridgeline.sweep.block import Block
from ridgeline.units import show

FAMILY = {"gemm": BLUE, "experts": ORANGE, "attention": GREEN, "recurrence": RED, "lookup": PURPLE}
TERM = {"estimate": RED, "floor": INK, "weights": ORANGE, "cache": GREEN, "math": BLUE, "messages": PURPLE}
BOLD = ("estimate", "floor")
SMALL = 0.02
"""Share of the time below which an operation gets no label."""


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """Series of the cost panel: all points, the line of the best ones, labelled points."""

    cloud: tuple[np.ndarray, np.ndarray]
    best: tuple[np.ndarray, np.ndarray] | None = None
    marks: Sequence[tuple[float, float, str]] = ()
    label: str
    x_label: str = "speed, tokens per second of a user"
    title: str = "Cost against speed"


def draw_plan(result: PlanResult, path: str, again: str, names: tuple[str, str] = ("speed", "cost")) -> None:
    """The best plan's roofline and times, and the search's front."""
    curve = front(result, names)
    order = curve.rows
    trade = Trade(
        cloud=(curve.x, curve.y),
        best=(curve.x[order], curve.y[order]),
        marks=[(*curve.best[0], f"best: {result.plans[0].name}, batch {result.plans[0].batch:,}")],
        label=curve.y_label,
        x_label=curve.x_label,
        title="Cost against speed" if names == ("speed", "cost") else f"{names[1].capitalize()} against {names[0]}",
    )
    _draw(result.plans[0].point, trade, path, again)


def draw_fronts(curves: Sequence[tuple[str, Front]], path: str, head: Sequence[str], again: str) -> None:
    """The fronts of several searches in one panel, each labelled at its fast end."""
    colours = (BLUE, ORANGE, GREEN, RED, PURPLE, INK)
    with picture(path, 1, head, f"{again}      {FLOOR}") as panels:
        axes = panels[0]
        for i, (name, curve) in enumerate(curves):
            colour, x, y = colours[i % len(colours)], curve.x[curve.rows], curve.y[curve.rows]
            axes.plot(x, y, color=colour, lw=2)
            axes.scatter(*zip(*curve.best[:1], strict=True), s=36, color=colour, zorder=4)
            label(axes, name, (float(x[0]), float(y[0])), colour, (4, 4), weight="bold")
        first = curves[0][1]
        axes.set(xscale="log", yscale="log", title="Cost against speed", xlabel=first.x_label, ylabel=first.y_label)
        ticks(axes.xaxis, lambda value: f"{value:,g}")
        ticks(axes.yaxis, lambda value: f"{'$' if '$' in first.y_label else ''}{value:,g}")


def draw_point(found: Point, path: str) -> None:
    """A point's roofline and times, and the trade along its layout's batches."""
    trade = None
    if found.serving is not None:
        x, y = speed_and_cost(along(largest(found)))
        speed, cost = speed_and_cost(found)
        mark = (float(speed), float(cost), f"batch {found.scenario.batch:,}")
        trade = Trade(cloud=(x, y), best=(x, y), marks=[mark], label=_cost_label(found))
    _draw(found, trade, path, line(found))


def draw_sweep(scenario: Scenario, blocks: Sequence[Block], path: str, again: str) -> None:
    """The roofline and times of the first point that fits, and the trade of all that do."""
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    fits = np.flatnonzero(columns["fits"])
    if not len(fits):
        raise InputError("--plot", "no point of the sweep fits in memory")
    axes = {name: column[fits[0]].item() for name, column in columns.items() if name in Scenario.__struct_fields__}
    found = point(replace(scenario, **axes))
    trade = None
    if found.serving is not None:
        cost = (
            columns["usd_per_output_token_estimate"]
            if found.usd_per_chip_second
            else 1 / columns["output_tokens_per_s_per_chip_estimate"]
        )
        trade = Trade(cloud=(1 / columns["tpot_estimate_s"][fits], 1e6 * cost[fits]), label=_cost_label(found))
    _draw(found, trade, path, again)


def _cost_label(found: Point) -> str:
    return f"{'$' if found.usd_per_chip_second else 'chip-seconds'} per million output tokens"


def _draw(found: Point, trade: Trade | None, path: str, again: str) -> None:
    """Draw all panels into a file whose name says the format."""
    head, foot = headline(found.scenario, found.subject), f"{again}      {FLOOR}"
    with picture(path, 2 if trade is None else 3, head, foot, lambda svg: page(found, svg, again)) as panels:
        _roofline(panels[0], found)
        _times(panels[1], found)
        if trade is not None:
            _trade(panels[2], trade)


def _roofline(axes: Any, found: Point) -> None:
    chip, roofs = found.subject.system.chip, roofline(found)
    intensity = [dot.intensity for dot in roofs.dots]
    ridges = [peak / roofs.bandwidth for peak in roofs.peaks.values()]
    x = np.geomspace(min(*intensity, *ridges) / 4, max(*intensity, *ridges) * 6, 200)
    for number, peak in roofs.peaks.items():
        axes.plot(x, np.minimum(peak, x * roofs.bandwidth), color=GREY, lw=1.2, zorder=1)
        label(axes, f"{number}, {show(peak, 'FLOP/s')}", (x[-1], peak), GREY, (0, 4), ha="right")
    label(axes, f"HBM, {show(roofs.bandwidth, 'B/s')}", (x[60], x[60] * roofs.bandwidth), GREY, (-8, 2), ha="right")
    axes.set(xscale="log", yscale="log", title=f"Roofline of one {chip.name}: a {found.scenario.phase} step",
             xlabel="arithmetic intensity, FLOP per byte of HBM", ylabel="arithmetic per second")  # fmt: skip
    for dot in roofs.dots:
        colour = FAMILY.get(dot.family, GREEN)
        axes.scatter(dot.intensity, dot.rate, s=20 + 500 * dot.share, color=colour, alpha=0.75, lw=0, zorder=3)
    large = {dot: dot.rate for dot in roofs.dots if dot.share > SMALL}
    for dot, height in apart(large, axes).items():
        text = f"{dot.family} {dot.format}, {dot.share:.0%}"
        label(axes, text, (dot.intensity, height), FAMILY.get(dot.family, GREEN), (13, -5), va="center")
    ticks(axes.xaxis, lambda value: f"{value:,g}")
    ticks(axes.yaxis, lambda value: show(value, "FLOP/s"))


def _times(axes: Any, found: Point) -> None:
    curve = times(along(largest(found)))
    axes.fill_between(curve.batch, curve.low, curve.high, color=TERM["estimate"], alpha=0.15, lw=0)
    for name, values in curve.lines.items():
        axes.plot(curve.batch, values, color=TERM[name], lw=3.2 if name in BOLD else 1.8)
    axes.axvline(float(found.scenario.batch), color=GREY, lw=0.8, ls=(0, (4, 3)), zorder=1)
    axes.set(xscale="log", yscale="log", title=f"Time of a {found.scenario.phase} step, {found.scenario.layout}",
             xlabel="batch, sequences in the replica", ylabel="time")  # fmt: skip
    for name, height in apart({name: float(values[-1]) for name, values in curve.lines.items()}, axes).items():
        bold = "bold" if name in BOLD else None
        label(axes, name, (curve.batch[-1], height), TERM[name], (5, 0), va="center", weight=bold)
    ticks(axes.xaxis, lambda value: f"{value:,g}")
    ticks(axes.yaxis, lambda value: show(value, "s"))


def _trade(axes: Any, trade: Trade) -> None:
    x, y = _thinned(trade.cloud)
    alone = trade.best is None
    axes.scatter(x, y, s=16 if alone else 5, color=BLUE if alone else "#c9c9c9", lw=0, zorder=1, rasterized=True)
    if trade.best is not None:
        axes.plot(*trade.best, color=BLUE, lw=2, zorder=2)
    for px, py, text in trade.marks:
        axes.scatter([px], [py], s=42, color=RED, zorder=4)
        label(axes, text, (px, py), RED, (8, -14), weight="bold")
    axes.set(xscale="log", yscale="log", title=trade.title, xlabel=trade.x_label, ylabel=trade.label)
    if trade.best is not None:
        axes.set_ylim(top=2 * float(trade.best[1].max()))
    ticks(axes.xaxis, lambda value: f"{value:,g}")
    ticks(axes.yaxis, lambda value: f"{'$' if '$' in trade.label else ''}{value:,g}")


def _thinned(cloud: tuple[np.ndarray, np.ndarray], most: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Every n-th point, so that a file stays small."""
    every = max(1, len(cloud[0]) // most)
    return cloud[0][::every], cloud[1][::every]
