"""`cipher --plot`: share of the output that a flipped bit flips, and growth of a small change, by depth."""

from __future__ import annotations

from typing import Any

from ridgeline.cli.figure import BLUE, GREEN, INK, ORANGE, PURPLE, RED, apart, label, picture, ticks
from ridgeline.training.ciphers.network import Growth

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)


def draw(ciphers: list[dict[str, Any]], networks: dict[str, list[Growth]], path: str, again: str) -> None:
    """Two panels over the same depths."""
    head = ["How a small change spreads", "ciphers want it everywhere, networks want it small"]
    with picture(path, 2, head, again) as panels:
        left, right = panels
        names = list(dict.fromkeys(each["cipher"] for each in ciphers))
        for name, colour in zip(names, COLOURS, strict=False):
            rows = [each for each in ciphers if each["cipher"] == name]
            left.plot([r["depth"] for r in rows], [r["flipped"] for r in rows], color=colour, lw=2, marker="o", ms=4)
            label(left, name, (rows[0]["depth"], rows[0]["flipped"]), colour, (6, -10))
        left.axhline(0.5, color=INK, lw=0.8, ls=(0, (4, 3)))
        left.set(
            xscale="log", title="Share of the output bits that one input bit flips", xlabel="rounds", ylabel="share"
        )
        for found, colour in zip(networks.values(), (BLUE, GREEN, ORANGE, RED), strict=False):
            right.plot([g.depth for g in found], [g.random for g in found], color=colour, lw=2, marker="o", ms=4)
            right.plot([g.depth for g in found], [g.worst for g in found], color=colour, lw=1.2, ls=(0, (4, 3)))
        right.set(xscale="log", yscale="log", title="Growth of a change of 0.1%; dashed: the worst direction",
                  xlabel="layers", ylabel="relative growth")  # fmt: skip
        ends = {name: found[-1].worst for name, found in networks.items()}
        for (name, height), colour in zip(
            sorted(apart(ends, right).items(), key=lambda item: list(networks).index(item[0])),
            (BLUE, GREEN, ORANGE, RED), strict=False,
        ):  # fmt: skip
            label(right, name, (networks[name][-1].depth, height), colour, (5, 0), va="center")
        ticks(left.xaxis, lambda value: f"{value:,g}")
        ticks(right.xaxis, lambda value: f"{value:,g}")
        ticks(right.yaxis, lambda value: f"{value:,g}")
