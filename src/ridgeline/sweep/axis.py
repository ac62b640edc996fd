"""One axis of a grid: `batch=1:4096:x2`, `context=1k,8k,32k`, `isl=1k:8k:+1k`, `weights=fp8,nvfp4`.

LOW:HIGH:xF is LOW, LOW F, LOW F^2, ... up to HIGH (a log range); LOW:HIGH:+S is LOW, LOW + S, ... up to HIGH; a list
may hold any of these. A command line writes a list with commas, a grid file as a TOML array. Knows no grid.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.scenario import Scenario, units
from ridgeline.units import parse

_RANGE = re.compile(r"(?P<low>[^:]+):(?P<high>[^:]+):(?P<how>[x+])(?P<step>[^:]+)")
_MOST = 1_000_000
_SLACK = 1e-9
"""Relative error of repeated steps that still reaches the end."""

Values = list[float] | list[str]


def axis(text: str) -> tuple[str, Values]:
    """Name and values of an axis as a command line gives it.

    Raises
    ------
    InputError
        For text without "=", an unknown field, a value or range that cannot be read.
    """
    name, equals, given = text.partition("=")
    if not equals or not given:
        raise InputError(f"--over {text!r:.60}", "NAME=VALUES", "such as batch=1:4096:x2 or context=1k,8k,32k")
    return read(name, [item.strip() for item in given.split(",")], "--over")


def read(name: str, given: Any, origin: str) -> tuple[str, Values]:
    """Name and values of an axis: a field of `Scenario`, and a value, a range or a list of them; errors as `axis`."""
    name = name.strip().replace("-", "_")
    if name not in Scenario.__struct_fields__:
        raise UnknownNameError(f"axis in {origin}", name[:60], Scenario.__struct_fields__)
    items: Sequence[Any] = given if isinstance(given, list) else [given]
    what = f"{origin} {name}"
    if not items:
        raise InputError(what, "at least one value")
    if name in units():
        return name, [value for item in items for value in values(item, units()[name], what)]
    if wrong := [item for item in items if not isinstance(item, str)]:
        raise InputError(f"{what} = {wrong[0]!r:.60}", "text")
    return name, list(items)


def values(item: Any, unit: str, what: str) -> list[float]:
    """The values of one item of a list: a number, or a range of them; errors as `axis`."""
    match = _RANGE.fullmatch(item) if isinstance(item, str) else None
    if match is None:
        return [parse(item, unit, what)]
    low, high = parse(match["low"], unit, what), parse(match["high"], unit, what)
    grows = match["how"] == "x"
    step = parse(match["step"], "1" if grows else unit, what)
    if high < low or (grows and (low <= 0 or step <= 1)) or step <= 0:
        raise InputError(f"{what} {item!r:.60}", "a range upwards: LOW:HIGH:xFACTOR above 1, or LOW:HIGH:+STEP above 0")
    found: list[float] = []
    while (value := low * step ** len(found) if grows else low + step * len(found)) <= high * (1 + _SLACK):
        found.append(value)
        if len(found) > _MOST:
            raise InputError(f"{what} {item!r:.60}", f"at most {_MOST:,} values", "a larger step")
    return found
