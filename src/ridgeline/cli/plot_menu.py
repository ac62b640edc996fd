"""Costs and prices of a menu against the length of the prompt: what each request costs, and what tiers make it pay."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.cli.figure import BLUE, GREY, INK, ORANGE, label, picture, ticks
from ridgeline.cli.table import plain, shown
from ridgeline.pricing.menu import Menu


def draw_menu(found: Menu, path: str, head: Sequence[str], again: str) -> None:
    """Draw input and output: cost with its interval and floor, and the steps of the most tiers; log over log."""
    lengths = found.lengths
    costs = found.costs
    paid = found.steps[-1]
    with picture(path, 2, head, again) as panels:
        for row, (axes, name) in enumerate(zip(panels, ("input", "output"), strict=True)):
            cost = getattr(costs, name) * 1e6
            axes.fill_between(lengths.isl, cost.low, cost.high, color=BLUE, alpha=0.2, lw=0)
            axes.plot(lengths.isl, cost.estimate, color=BLUE)
            axes.plot(lengths.isl, cost.floor, color=GREY, lw=1, ls=":")
            flat = float(found.lines[row].cost.estimate) * 1e6
            axes.axhline(flat, color=INK, lw=0.8, ls="--")
            edges = [*(max(tier.above, lengths.isl[0]) for tier in paid.tiers), lengths.longest[-1]]
            for a, b, tier in zip(edges, edges[1:], paid.tiers, strict=False):
                axes.plot([a, b], [tier.prices[row] * 1e6] * 2, color=ORANGE, lw=2)
            axes.set(
                xscale="log", yscale="log", title=f"{name}: cost against the length of the prompt",
                xlabel="tokens of prompt", ylabel="$ per million tokens, at cost",
            )  # fmt: skip
            ticks(axes.xaxis, lambda value: shown(value, "tok").replace(" ", "\N{NO-BREAK SPACE}"))
            ticks(axes.yaxis, lambda value: f"${plain(value)}")
            at = len(lengths.isl) // 3
            label(axes, "estimate, 80% interval", (lengths.isl[at], cost.high[at]), BLUE, (0, 10), ha="right")
            label(axes, "floor", (lengths.isl[at], cost.floor[at]), GREY, (0, -12))
            label(axes, "one price", (lengths.isl[0], flat), INK, (0, 4))
            if len(paid.tiers) > 1:
                label(axes, f"{len(paid.tiers)} tiers", (edges[-2], paid.tiers[-1].prices[row] * 1e6), ORANGE, (0, 6))
