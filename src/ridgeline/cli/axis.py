"""One axis of a sweep as text: `batch=1:4096:x2`, `context=1k,8k,32k`, `isl=1k:8k:+1k`, `weights=fp8,nvfp4`.

LOW:HIGH:xF is LOW, LOW F, LOW F^2, ... up to HIGH; LOW:HIGH:+S is LOW, LOW + S, ... up to HIGH; a list may hold any of
these. Knows no grid.
"""

from __future__ import annotations

import re

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.scenario import Scenario, units
from ridgeline.units import parse

_RANGE = re.compile(r"(?P<low>[^:]+):(?P<high>[^:]+):(?P<how>[x+])(?P<step>[^:]+)")
_MOST = 1_000_000
_SLACK = 1e-9
"""Relative error of repeated steps that still reaches the end."""


def axis(text: str) -> tuple[str, list[float] | list[str]]:
    """Name and values of an axis.

    Raises
    ------
    InputError
        For text without "=", an unknown field, a value or range that cannot be read.
    """
    name, equals, given = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not given:
        raise InputError(f"--over {text!r:.60}", "NAME=VALUES", "such as batch=1:4096:x2 or context=1k,8k,32k")
    if name not in Scenario.__struct_fields__:
        raise UnknownNameError("axis", name[:60], Scenario.__struct_fields__)
    items = [item.strip() for item in given.split(",")]
    if name not in units():
        return name, items
    return name, [value for item in items for value in _values(item, units()[name], f"--over {name}")]


def _values(item: str, unit: str, what: str) -> list[float]:
    """The values of one item of a list: a number, or a range of them."""
    match = _RANGE.fullmatch(item)
    if match is None:
        return [parse(item, unit, what)]
    low, high = parse(match["low"], unit, what), parse(match["high"], unit, what)
    grows = match["how"] == "x"
    step = parse(match["step"], "1" if grows else unit, what)
    if high < low or (grows and (low <= 0 or step <= 1)) or step <= 0:
        raise InputError(f"{what} {item!r:.60}", "a range upwards: LOW:HIGH:xFACTOR above 1, or LOW:HIGH:+STEP above 0")
    values: list[float] = []
    while (value := low * step ** len(values) if grows else low + step * len(values)) <= high * (1 + _SLACK):
        values.append(value)
        if len(values) > _MOST:
            raise InputError(f"{what} {item!r:.60}", f"at most {_MOST:,} values", "a larger step")
    return values
