"""`reversible --plot`: bytes and inversion error by depth, loss by step."""

from __future__ import annotations

import numpy as np

from ridgeline.cli.figure import BLUE, GREEN, ORANGE, RED, label, picture, ticks
from ridgeline.training.rematerialisation import METHODS
from ridgeline.training.reversible.experiment import Experiment
from ridgeline.units import show

COLOURS = (RED, ORANGE, BLUE, GREEN)
NAMES = ("store all", "checkpoints", "recompute", "reversible")


def draw(found: Experiment, path: str, again: str) -> None:
    """Three panels; dots are measured, lines are the law."""
    head = ["Activations stored, recomputed and rebuilt", f"a small transformer on this machine's {found.device}"]
    with picture(path, 3, head, again) as panels:
        bytes_, errors, losses = panels
        for method, name, colour in zip(METHODS, NAMES, COLOURS, strict=True):
            rows = [each for each in found.kept if each.method == method]
            depth = [each.layers for each in rows]
            bytes_.plot(depth, [each.law for each in rows], color=colour, lw=1.5)
            bytes_.scatter(depth, [each.measured for each in rows], color=colour, s=24, zorder=3)
            label(bytes_, name, (depth[-1], rows[-1].law), colour, (6, 0), va="center")
        bytes_.set(xscale="log", yscale="log", title="Bytes kept: measured (dots) on the law (lines)",
                   xlabel="layers", ylabel="bytes")  # fmt: skip
        ticks(bytes_.xaxis, lambda value: f"{value:,g}")
        ticks(bytes_.yaxis, lambda value: show(value, "B"))
        for name, colour in zip(("bf16", "fp32", "fp64"), COLOURS, strict=False):
            rows = [each for each in found.inversions if each.format == name]
            errors.plot([each.layers for each in rows], [each.error for each in rows], color=colour, marker="o", ms=4)
            label(errors, name, (rows[-1].layers, rows[-1].error), colour, (6, 0), va="center")
        errors.set(xscale="log", yscale="log", title="Error there and back (fixed point: none)",
                   xlabel="layers", ylabel="relative error")  # fmt: skip
        ticks(errors.xaxis, lambda value: f"{value:,g}")
        for curve, colour in zip(found.curves, (GREEN, RED, BLUE), strict=True):
            steps = np.array(curve.steps) + 1
            losses.plot(steps, curve.losses, color=colour, lw=4 if curve.network == "stored" else 1.6,
                        alpha=0.4 if curve.network == "stored" else 1)  # fmt: skip
            if curve.network != "stored":
                shift = 6 if curve.network == "ordinary" else -6
                label(losses, curve.network, (steps[-1], curve.losses[-1]), colour, (6, shift), va="center")
        losses.set(title="Loss: stored (wide), rebuilt upon it", xlabel="step", ylabel="nats per character")
