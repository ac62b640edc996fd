"""`--plot` of an inference: parameters and cache before and after a sheet, and active against total parameters."""

from __future__ import annotations

import numpy as np

from ridgeline.cli.figure import BLUE, GREY, ORANGE, label, picture, ticks
from ridgeline.pricing.infer import Inference, Posterior
from ridgeline.pricing.open_weights import Truth
from ridgeline.units import show

_PANELS = (("active", "active parameters"), ("total", "total parameters"), ("cache", "cache, bytes per token"))
_BINS = 60
_DOTS = 1500


def draw_belief(inference: Inference, found: Posterior, truth: Truth | None, path: str, again: str) -> None:
    """Densities before (grey) and after (blue); orange where the model is public; the last panel shows the ridge."""
    models, weights = inference.models, found.weights
    sheet = found.sheet
    asked = f"input {show(sheet.input, 'USD/tok')}, output {show(sheet.output, 'USD/tok')}"
    head = [f"What {sheet.name} says of its model", f"{asked}; grey: before the sheet, blue: after".replace("$", r"\$")]
    with picture(path, 4, head, again) as panels:
        for axes, (name, title) in zip(panels, _PANELS, strict=False):
            x = getattr(models, name)
            edges = np.linspace(np.quantile(x, 0.001), np.quantile(x, 0.999), _BINS + 1)
            told = found.beliefs[name].identified
            for mass, colour in ((None, GREY), (weights, BLUE))[: 2 if told else 1]:
                height, _ = np.histogram(x, edges, weights=mass, density=True)
                axes.stairs(height, 10**edges, color=colour, fill=True, alpha=0.35, lw=0)
                axes.stairs(height, 10**edges, color=colour, lw=1.2)
            if truth:
                axes.axvline(getattr(truth, name), color=ORANGE, lw=1.5)
            title += "" if told else ": not identified"
            axes.set(xscale="log", title=title, ylabel="density per factor of 10", ylim=(0, None))
            ticks(axes.xaxis, _size)
        axes = panels[3]
        stream = np.random.default_rng(0)
        for mass, colour in ((None, GREY), (weights, BLUE)):
            drawn = stream.choice(len(models), _DOTS, p=mass)
            axes.plot(10 ** models.active[drawn], 10 ** models.total[drawn], ".", color=colour, ms=2, alpha=0.5)
        axes.set(xscale="log", yscale="log", title="active against total", xlabel="active", ylabel="total")
        ticks(axes.xaxis, _size)
        ticks(axes.yaxis, _size)
        if truth:
            axes.plot(truth.active, truth.total, "o", color=ORANGE, ms=6)
            label(axes, truth.model, (truth.active, truth.total), ORANGE, (6, 4))


def _size(value: float) -> str:
    """10e9 as 10B, 1e12 as 1T, 100e3 as 100k."""
    power = min(int(np.log10(value)) // 3, 4)
    return f"{value / 10 ** (3 * power):.3g}{('', 'k', 'M', 'e9', 'e12')[power]}"
