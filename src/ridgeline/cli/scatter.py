"""`--plot` of a validation: predicted against measured, a panel to each metric, both axes logarithmic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ridgeline.cli.figure import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, label, picture
from ridgeline.validate.points import Prediction
from ridgeline.validate.row import METRICS
from ridgeline.validate.score import measured

COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, INK)
"""Of the engines with the most rows; all others are grey."""
TWICE = 2.0


def draw_scatter(rows: Sequence[Mapping[str, str]], predictions: Sequence[Prediction], path: str, again: str) -> None:
    """Draw all rows that have both numbers; on the line they are the same, between the dotted ones within twofold."""
    held = [(row.get("engine", ""), p, value) for row, p, value in measured(rows, predictions)]
    count = {name: sum(engine == name for engine, _, _ in held) for name in {engine for engine, _, _ in held}}
    engines = sorted(count, key=lambda name: (-count[name], name))
    colour = dict(zip(engines, COLOURS, strict=False))
    metrics = [metric for metric in METRICS if any(p.metric == metric for _, p, _ in held)]
    head = ["Predicted against measured", f"{len(held):,} of {len(rows):,} rows; dotted: half and twice"]
    with picture(path, max(len(metrics), 1), head, again) as panels:
        for axes, metric in zip(panels, metrics, strict=False):
            own = [(engine, p.estimate, value) for engine, p, value in held if p.metric == metric]
            for name in reversed(engines):
                points = np.array([(value, estimate) for engine, estimate, value in own if engine == name])
                if len(points):
                    axes.scatter(*points.T, s=9, color=colour.get(name, GREY), alpha=0.6, lw=0, rasterized=True)
            ends = np.array([min(min(e, v) for _, e, v in own) / 1.5, max(max(e, v) for _, e, v in own) * 1.5])
            for factor in (1.0, TWICE, 1.0 / TWICE):
                axes.plot(ends, ends * factor, color=GREY, lw=0.8, ls="-" if factor == 1.0 else ":", zorder=1)
            axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=f"{metric}, {len(own):,} rows",
                     xlabel="measured", ylabel="predicted")  # fmt: skip
        for i, (name, ink) in enumerate(colour.items() if metrics else ()):
            label(panels[0], name, (0.03, 0.94 - 0.06 * i), ink, (0, 0), xycoords="axes fraction")
