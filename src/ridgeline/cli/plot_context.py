"""Cost and speed against context, a line for each attention: ends are capacity, bends bandwidth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ridgeline.cli.figure import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, apart, picture, ticks
from ridgeline.cli.table import plain, shown
from ridgeline.planner.contexts import Contexts

COLOURS = (INK, BLUE, ORANGE, GREEN, RED, PURPLE, "#56B4E9", "#8c6d31")


def draw_contexts(rows: Sequence[Contexts], path: str, head: Sequence[str], again: str, tpot: float) -> None:
    """Draw cost of output, time per token alone, and cost of input; log over log. Dots: the balance context."""
    sides = (
        ("output: $ per million tokens" if rows[0].priced else "output: chip-seconds per million tokens", "cost", 1e6),
        ("one sequence alone: time per output token", "fastest", 1.0),
        ("input: per million tokens of such a prompt", "reading", 1e6),
    )
    with picture(path, len(sides), head, again) as panels:
        for axes, (title, name, unit) in zip(panels, sides, strict=True):
            ends: dict[int, float] = {}
            for i, each in enumerate(rows):
                x = np.array([point.context for point in each.points])
                y = np.array([getattr(point, name) * unit for point in each.points])
                ink, known = COLOURS[i % len(COLOURS)], np.isfinite(y)
                if not known.any():
                    continue
                axes.plot(x[known], y[known], color=ink, lw=1.6, alpha=0.9)
                ends[i] = float(y[known][-1])
                if not known.all():
                    axes.plot(x[known][-1], y[known][-1], "x", color=ink, ms=6)
                bend = each.balance_context
                if name == "cost" and math.isfinite(bend) and x[known][0] <= bend <= x[known][-1]:
                    at = np.exp(np.interp(np.log(bend), np.log(x[known]), np.log(y[known])))
                    axes.plot(bend, at, "o", color=ink, ms=4)
            if name == "fastest" and tpot:
                axes.axhline(tpot, color=GREY, lw=0.8, ls="--")
            axes.set(xscale="log", yscale="log", title=title, xlabel="tokens of context")
            low, high = axes.get_ylim()
            axes.set_ylim(low / 1.8, high * 1.5)
            axes.set_xlim(rows[0].points[0].context, rows[0].points[-1].context * 30)
            ticks(axes.xaxis, lambda value: shown(value, "tok").replace(" ", "\N{NO-BREAK SPACE}"))
            ticks(axes.yaxis, (lambda v: shown(v, "s")) if name == "fastest" else (lambda v: f"${plain(v)}"))
            for i, y in apart(ends, axes).items():
                x = max(p.context for p in rows[i].points if math.isfinite(getattr(p, name)))
                axes.annotate(rows[i].label, (x, ends[i]), xytext=(rows[0].points[-1].context * 1.3, y),
                              textcoords="data", color=COLOURS[i % len(COLOURS)], va="center", fontsize=8,
                              arrowprops={"arrowstyle": "-", "color": COLOURS[i % len(COLOURS)], "lw": 0.4,
                                          "alpha": 0.5})  # fmt: skip
        note = "x: longer ones do not fit or are too slow\ndot: from here reading takes longer than math"
        note = "x: longer ones do not fit or are too slow\ndot: from here reading takes longer than math"
        corner = {"transform": panels[0].transAxes, "ha": "right", "va": "bottom"}
        panels[0].text(0.98, 0.02, note, fontsize=8, color=GREY, **corner)
