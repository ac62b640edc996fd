"""How price sheets are built: the ratios of their lines to input and output, context steps, and how these moved.

    output / input    cached / input    write / input    batch, flex, priority, fast / standard    above / below a step

Prices that one provider asks for several models count once: sheets with the same provider, input, output, cached price
and first step are one. Ratios are conventions of a trade, not evidence of a cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from ridgeline.pricing.sheet import MODES, Sheet

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
FIRST_PARTY = (
    "anthropic", "openai", "gemini", "google", "xai", "deepseek", "moonshot", "moonshotai", "zai", "minimax", "mistral",
    "dashscope", "alibaba",
)  # fmt: skip
"""Providers that sell their own models, as public sheets name them."""
_WRITES = {300.0: "write 5 min / input", 3600.0: "write 1 h / input", 43200.0: "write 12 h / input"}


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio over the sheets that have both lines."""

    sheets: int
    quantiles: tuple[float, ...]
    """At `QUANTILES`."""
    mode: float
    """The most common value, to two digits after the point."""


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The sheets of one date."""

    date: str
    sheets: int
    output: float
    """Median of output / input."""
    cached: float | None
    """Median of cached / input; None if nobody sells hits."""
    stepped: int
    """Sheets with a context step."""
    input_price: float
    output_price: float
    """Medians, $/tok."""


def distinct(sheets: Iterable[Sheet]) -> list[Sheet]:
    """Sheets that ask different prices, the first of each kind."""
    first: dict[tuple[object, ...], Sheet] = {}
    for sheet in sheets:
        step = sheet.steps[0].above if sheet.steps else None
        price = (round(each * 1e6, 9) if each else None for each in (sheet.input, sheet.output, sheet.cached))
        first.setdefault((sheet.provider, *price, step), sheet)
    return list(first.values())


def ratios(sheets: Sequence[Sheet]) -> dict[str, Ratio]:
    """Ratios of the lines of sheets, by name, those that none has left out."""
    found: dict[str, list[float]] = {}

    def add(name: str, above: float | None, below: float | None) -> None:
        if above is not None and below is not None:
            found.setdefault(name, []).append(above / below)

    for sheet in sheets:
        add("output / input", sheet.output, sheet.input)
        add("cached / input", sheet.cached, sheet.input)
        for write in sheet.writes:
            if write.hold in _WRITES:
                add(_WRITES[write.hold], write.price, sheet.input)
        for mode in sheet.modes:
            add(f"{mode.name} input / input", mode.input, sheet.input)
            add(f"{mode.name} output / output", mode.output, sheet.output)
        for step in sheet.steps[:1]:
            add("step input / input", step.input, sheet.input)
            add("step output / output", step.output, sheet.output)
            add("step cached / cached", step.cached, sheet.cached)
    order = ["output / input", "cached / input", *_WRITES.values()]
    order += [f"{mode} {line} / {line}" for mode in MODES for line in ("input", "output")]
    order += [f"step {line} / {line}" for line in ("input", "output", "cached")]
    return {name: _ratio(found[name]) for name in order if name in found}


def steps(sheets: Iterable[Sheet]) -> Counter[tuple[float, float, float]]:
    """How many sheets have which first step: threshold in tokens, factor on input, factor on output."""
    return Counter(
        (step.above, round(step.input / sheet.input, 2), round(step.output / sheet.output, 2))
        for sheet in sheets
        for step in sheet.steps[:1]
    )


def days(sheets: Iterable[Sheet]) -> list[Day]:
    """Medians by date, the oldest first; sheets without a date are left out."""
    by_date: dict[str, list[Sheet]] = {}
    for sheet in sheets:
        if sheet.date:
            by_date.setdefault(sheet.date, []).append(sheet)
    return [_day(date, by_date[date]) for date in sorted(by_date)]


def _day(date: str, sheets: list[Sheet]) -> Day:
    hits = [sheet.cached / sheet.input for sheet in sheets if sheet.cached is not None]
    return Day(
        date=date, sheets=len(sheets), output=float(np.median([sheet.ratio for sheet in sheets])),
        cached=float(np.median(hits)) if hits else None, stepped=sum(bool(sheet.steps) for sheet in sheets),
        input_price=float(np.median([sheet.input for sheet in sheets])),
        output_price=float(np.median([sheet.output for sheet in sheets])),
    )  # fmt: skip


def _ratio(values: list[float]) -> Ratio:
    return Ratio(
        sheets=len(values), quantiles=tuple(float(q) for q in np.quantile(values, QUANTILES)),
        mode=Counter(round(value, 2) for value in values).most_common(1)[0][0],
    )  # fmt: skip
