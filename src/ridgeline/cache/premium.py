"""What a price sheet says of the tier behind it: write premiums as a line, and the bytes that its slope pays for.

    premium(t) = base + slope t  [$/tok]            k = slope capacity / rent  [B/tok]

The slope is the price of storage, the base what writing and the provider's margin take. Knows no provider.
"""

from __future__ import annotations

import numpy as np

from ridgeline.arrays import Array
from ridgeline.errors import InputError
from ridgeline.units import parse


def premium_line(seconds: Array, premium: Array) -> tuple[float, float]:
    """Intercept ($/tok) and slope ($/tok/s) of the least-squares line through write premiums at guaranteed times.

    Two points give the line itself: 5 min for $1.25 and 1 h for $5 per million tokens are $0.91 + $4.09 per hour.

    Parameters
    ----------
    seconds
        Guaranteed times, two different ones at least.
    premium
        Price of the cache write less that of plain input, $/tok.
    """
    t, y = np.asarray(seconds, float), np.asarray(premium, float)
    slope = float(((t - t.mean()) * (y - y.mean())).sum() / ((t - t.mean()) ** 2).sum())
    return float(y.mean() - slope * t.mean()), slope


def implied_bytes(storage: Array, capacity: Array, rent: Array) -> Array:
    """Bytes per token at which holding costs what `storage`, $/tok/s, asks: k = storage capacity / rent."""
    return storage * capacity / rent


def read_premiums(text: str) -> list[tuple[float, float]]:
    """Write premiums by guaranteed time: "5min=$1.25/Mtok,1h=$5/Mtok".

    Raises
    ------
    InputError
        For what is no such list, and for fewer than two different times.
    """
    out: list[tuple[float, float]] = []
    for part in filter(None, text.split(",")):
        time, equals, price = part.partition("=")
        if not equals:
            raise InputError(f"--premiums {part!r:.60}", "time=price", "such as 5min=$1.25/Mtok,1h=$5/Mtok")
        out.append((parse(time, "s", "--premiums"), parse(price, "USD/tok", "--premiums")))
    if text and len({time for time, _ in out}) < 2:
        raise InputError(f"--premiums {text!r:.60}", "two different times at least: one gives no line")
    return out
