"""`--plot` of price sheets: output against input, how often which ratios are asked, and their medians by date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ridgeline.cli.figure import BLUE, GREY, ORANGE, apart, label, picture, ticks
from ridgeline.pricing.history import Day
from ridgeline.pricing.sheet import Sheet

_MTOK = 1e6
_BINS = 41


def draw_ratios(sheets: Sequence[Sheet], over: Sequence[Day], path: str, again: str) -> None:
    """Draw sheets with different prices; the last panel only where there are two dates at least."""
    head = ["Price sheets", f"{len(sheets):,} with different prices"]
    first, second = (np.array([getattr(sheet, name) for sheet in sheets]) * _MTOK for name in ("input", "output"))
    hits = np.array([sheet.cached / sheet.input for sheet in sheets if sheet.cached is not None])
    with picture(path, 3, head, again) as panels:
        axes = panels[0]
        axes.plot(first, second, "o", ms=3.5, color=BLUE, alpha=0.35, mew=0)
        ends = np.array([first.min() / 1.3, first.max() * 1.3])
        for factor in (1, 2, 5, 10):
            axes.plot(ends, ends * factor, color=GREY, lw=0.8, zorder=1)
            label(axes, f"{factor}x", (ends[1], ends[1] * factor), GREY, (2, -3))
        axes.set(xscale="log", yscale="log", title="Output against input", xlabel="input, \\$ per million tokens",
                 ylabel="output, \\$ per million tokens")  # fmt: skip
        for axis in (axes.xaxis, axes.yaxis):
            ticks(axis, lambda value: f"{value:g}")
        axes = panels[1]
        ends = (0.02, 20.0)
        edges = np.geomspace(*ends, _BINS)
        for values, colour, name, height in ((second / first, BLUE, "output / input", 0.93),
                                             (hits, ORANGE, "cached / input", 0.86)):  # fmt: skip
            if len(values):
                share = np.histogram(np.clip(values, *ends), edges)[0] / len(values)
                axes.stairs(share, edges, fill=True, color=colour, alpha=0.55)
                label(axes, name, (0.03, height), colour, (0, 0), xycoords="axes fraction")
        top = 1.2 * axes.get_ylim()[1]
        axes.set(xscale="log", title="Ratios", xlabel="ratio", ylabel="share of sheets", ylim=(0, top))
        ticks(axes.xaxis, lambda value: f"{value:g}")
        _dates(panels[2], over)


def _dates(axes: Any, over: Sequence[Day]) -> None:
    """Medians by date."""
    axes.set_title("Medians by date")
    if len(over) < 2:
        axes.text(0.5, 0.5, "one date only", ha="center", color=GREY, transform=axes.transAxes)
        return
    places = np.arange(len(over))
    series = {
        "output / input": (BLUE, [day.output for day in over]),
        "cached / input": (ORANGE, [np.nan if day.cached is None else day.cached for day in over]),
    }
    for colour, values in series.values():
        axes.plot(places, values, "o-", color=colour, lw=1.5, ms=4)
    axes.set(yscale="log", ylabel="ratio", xlim=(-0.3, len(over) - 1 + 0.35 * len(over)))
    axes.set_xticks(places, [day.date for day in over], rotation=45, ha="right", fontsize=7)
    ticks(axes.yaxis, lambda value: f"{value:g}")
    ends = {name: values[-1] for name, (_, values) in series.items() if np.isfinite(values[-1])}
    for name, height in apart(ends, axes).items():
        label(axes, name, (places[-1], height), series[name][0], (6, -3))
