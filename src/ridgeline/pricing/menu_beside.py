"""A provider's price sheet beside a menu: what each of its prices would leave over these costs.

    leaves = 1 - cost / price          below 0: the price is less than the cost

Of a sheet with context steps each step is held against the cost of those requests only. A write is held against one of
the same guaranteed time; batch, priority and fast against the menu's batch and fastest mode. Knows nothing of the
provider's own model and chips: the costs are the menu's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec
import numpy as np

from ridgeline.pricing.menu import Menu
from ridgeline.pricing.sheet import Sheet
from ridgeline.units import show

FAST = ("fast", "priority", "ultrafast")


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """One price of a provider and what it would leave."""

    name: str
    price: float
    """$/tok."""
    cost: float
    """$/tok of the menu's deployment."""

    @property
    def leaves(self) -> float:
        """Share of the price that is not cost."""
        return 1.0 - self.cost / self.price


def beside(found: Menu, sheet: Sheet) -> tuple[Beside, ...]:
    """Every price of a sheet that the menu has a cost for."""
    return tuple(Beside(name=name, price=price, cost=cost) for name, price, cost in _pairs(found, sheet))


def _pairs(found: Menu, sheet: Sheet) -> Iterator[tuple[str, float, float]]:
    edges = [0.0, *(step.above for step in sheet.steps), math.inf]
    for low, high, prices in zip(edges, edges[1:], (sheet, *sheet.steps), strict=False):
        named = f", above {show(low, 'tok')}" if low else f", up to {show(high, 'tok')}" if sheet.steps else ""
        own = _costs(found, low, high)
        if own is None:
            continue
        yield f"input{named}", prices.input, own[0]
        yield f"output{named}", prices.output, own[1]
        if prices.cached is not None and (reads := [x for x in found.lines if x.name.startswith("cached read")]):
            yield f"cached read{named}", prices.cached, float(reads[0].cost.estimate)
    for write in sheet.writes:
        for line in found.lines:
            if line.name == f"cache write, {show(write.hold, 's')}":
                yield line.name, write.price, float(line.cost.estimate)
    fast = next((line.name.partition(",")[0] for line in found.lines if line.name.startswith("fast")), "")
    for mode in sheet.modes:
        menu_mode = fast if mode.name in FAST else mode.name
        for part in ("input", "output"):
            for line in found.lines:
                if line.name == f"{menu_mode}, {part}":
                    yield f"{mode.name}, {part}", getattr(mode, part), float(line.cost.estimate)


def _costs(found: Menu, low: float, high: float) -> tuple[float, float] | None:
    """$/tok of input and output of the requests with prompts in a range; None if there are none."""
    lengths = found.lengths
    here = (lengths.isl > low) & (lengths.isl <= high)
    if not here.any():
        return None
    share = lengths.share[here]
    return (
        float(np.average(found.costs.input.estimate[here], weights=share * lengths.isl[here])),
        float(np.average(found.costs.output.estimate[here], weights=share * lengths.osl[here])),
    )
