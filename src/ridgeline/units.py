"""What does "3.35 TB/s" mean, and how is 3.35e12 printed?

A quantity is a number and a unit; a unit is a quotient of symbols ("B/s", "USD/tok/h"), each with a factor and a
dimension over the bases second, byte, FLOP, token, dollar and joule:

    value [wanted unit] = number * factor(given unit) / factor(wanted unit),   dimensions equal or refused.

Inside Ridgeline every number is in the SI unit that its caller names here. A prefix is decimal (k = 1000) unless it
ends in "i" (Ki = 1024). A bit is an eighth of a byte. int8 operations count as FLOP. Knows no model and no chip.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from functools import lru_cache
from typing import Annotated, NamedTuple

from ridgeline.errors import InputError

Seconds = Annotated[float, "s"]
Bytes = Annotated[float, "B"]
Flop = Annotated[float, "FLOP"]
Tokens = Annotated[float, "tok"]
Usd = Annotated[float, "USD"]
Watts = Annotated[float, "W"]
BytesPerSecond = Annotated[float, "B/s"]
FlopPerSecond = Annotated[float, "FLOP/s"]
UsdPerSecond = Annotated[float, "USD/s"]
UsdPerByte = Annotated[float, "USD/B"]


class Quantity(NamedTuple):
    """A kind of number: its name and an example for messages, the largest value that is no slip of the keyboard, and
    the units it is printed in, largest first.
    """

    name: str
    example: str
    most: float
    steps: tuple[tuple[float, str], ...]


def _steps(unit: str, prefixes: str = "ZEPTGMk.") -> tuple[tuple[float, str], ...]:
    """The unit with each prefix; "." is none."""
    return tuple((_PREFIX.get(prefix, 1.0), prefix.strip(".") + unit) for prefix in prefixes)


_YEAR = 365.25 * 86400.0
_PREFIX = dict(zip("numkKMGTPEZ", (1e-9, 1e-6, 1e-3, 1e3, 1e3, 1e6, 1e9, 1e12, 1e15, 1e18, 1e21), strict=True))
_PREFIX |= {symbol + "i": 1024.0 ** (i + 1) for i, symbol in enumerate("KMGTPE")} | {"µ": 1e-6, "μ": 1e-6}
_CLOCK = ((_YEAR, "years"), (86400.0, "days"), (3600.0, "h"), (60.0, "min"))

QUANTITIES: dict[str, Quantity] = {
    "1": Quantity("a number", "64, or 60% for a share", 1e18, ((1.0, ""),)),
    "s": Quantity("a time", "20 ms", 1e4 * _YEAR, (*_CLOCK, *_steps("s", ".mun"))),
    "B": Quantity("a size in bytes", "141 GB", 1e24, _steps("B")),
    "B/s": Quantity("a bandwidth", "3.35 TB/s", 1e24, _steps("B/s")),
    "FLOP": Quantity("an amount of arithmetic", "1 EFLOP", 1e36, _steps("FLOP")),
    "FLOP/s": Quantity("an arithmetic rate", "989 TFLOP/s", 1e24, _steps("FLOP/s")),
    "FLOP/B": Quantity("an arithmetic intensity", "295 FLOP/B", 1e12, ((1.0, "FLOP/B"),)),
    "tok": Quantity("a number of tokens", "8k (8000) or 8Ki (8192)", 1e18, _steps("tok", "TGMk.")),
    "tok/s": Quantity("a token rate", "5 ktok/s", 1e18, _steps("tok/s", "TGMk.")),
    "B/tok": Quantity("bytes per token", "70.3 kB/tok", 1e15, _steps("B/tok")),
    "USD": Quantity("an amount of money", "$2.50", 1e15, ((1.0, "USD"),)),
    "USD/s": Quantity("a price per time", "$2/h", 1e6, ((1 / 3600.0, "USD/h"),)),
    "USD/tok": Quantity("a price per token", "$0.50/Mtok", 1e3, ((1e-6, "USD/Mtok"),)),
    "USD/tok/s": Quantity("a price of storage", "$4.50/Mtok/h", 1e3, ((1e-6 / 3600.0, "USD/Mtok/h"),)),
    "USD/B": Quantity("a price per byte", "$0.10/GB", 1e3, ((1e-9, "USD/GB"),)),
    "USD/J": Quantity("a price of energy", "$0.08/kWh", 1e3, ((1 / 3.6e6, "USD/kWh"),)),
    "W": Quantity("a power", "1.2 kW", 1e15, _steps("W", "GMk.")),
    "J": Quantity("an energy", "3 J", 1e24, _steps("J", "TGMk.m")),
    "J/tok": Quantity("an energy per token", "0.4 J/tok", 1e12, _steps("J/tok", "k.m")),
}

# Symbols that take a prefix, and symbols that do not: the factor, and the dimension written in bases.
_SCALED: dict[str, tuple[float, str]] = {
    "s": (1.0, "s"), "B": (1.0, "B"), "b": (1 / 8, "B"), "bit": (1 / 8, "B"),
    "Bps": (1.0, "B/s"), "bps": (1 / 8, "B/s"),
    "FLOP": (1.0, "FLOP"), "FLOPs": (1.0, "FLOP"), "FLOPS": (1.0, "FLOP/s"),
    "tok": (1.0, "tok"), "token": (1.0, "tok"), "tokens": (1.0, "tok"),
    "1": (1.0, "1"), "USD": (1.0, "USD"), "J": (1.0, "J"), "Wh": (3600.0, "J"), "W": (1.0, "J/s"),
}  # fmt: skip
_PLAIN: dict[str, tuple[float, str]] = {
    "%": (0.01, "1"), "$": (1.0, "USD"),
    **dict.fromkeys(("sec", "second", "seconds"), (1.0, "s")),
    **dict.fromkeys(("min", "minute", "minutes"), (60.0, "s")),
    **dict.fromkeys(("h", "hr", "hour", "hours"), (3600.0, "s")), **dict.fromkeys(("d", "day", "days"), (86400.0, "s")),
    **dict.fromkeys(("week", "weeks"), (604800.0, "s")), **dict.fromkeys(("month", "months"), (_YEAR / 12, "s")),
    **dict.fromkeys(("yr", "year", "years"), (_YEAR, "s")),
}  # fmt: skip
_COUNTS = ("1", "tok", "tok/s")
"""Units whose symbol may be left out: "8k", "0.6"."""
_NUMBER = re.compile(
    r"(?P<sign>[+-]?)(?P<usd>\$?)\s*(?P<number>(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)"
    r"\s*(?P<unit>.*)"
)


def parse(given: str | float, unit: str, what: str = "") -> float:
    """Read a quantity: ``value = number * factor(given unit) / factor(unit)``.

    Parameters
    ----------
    given
        Text with its unit ("3.35 TB/s", "400 Gb/s", "$2/h", "60%"), or a number that is already in `unit`. Text may
        leave the unit out where `unit` is a count or share ("8k" tokens are 8000, "8Ki" are 8192), and for zero.
    unit
        The SI unit of the answer: a key of `QUANTITIES`.
    what
        What the quantity is, for the message ("--tpot", "chips/h100.toml: hbm_bandwidth").

    Returns
    -------
    float
        The value in `unit`; finite, at least 0 and at most `QUANTITIES[unit].most`.

    Raises
    ------
    InputError
        Empty, not a number, negative, not finite, unknown unit, unit of another dimension, or absurdly large.
    """
    quantity = QUANTITIES[unit]
    shown = f"{what} {_quote(given)}".lstrip()
    expected = f"expected {quantity.name} such as {quantity.example}"
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise InputError(shown, f"not a quantity; {expected}")
    value = _read(given, unit, shown, expected) if isinstance(given, str) else given
    if not 0 <= value <= quantity.most:
        problem = "negative" if value < 0 else "not a finite number" if value != value else "too large to be meant"
        raise InputError(shown, f"{problem}; {expected}")
    return float(value)


def show(value: float, unit: str, digits: int = 3) -> str:
    """Print a quantity with `digits` significant digits and a readable unit; `parse` reads it back.

    `value` is in `unit`, a key of `QUANTITIES`. Times from one minute on are printed in min, h, days or years.

    Examples
    --------
    >>> show(0.0232, "s"), show(671e9, "B"), show(4990, "tok/s"), show(1.39e-7, "USD/tok"), show(295.2, "FLOP/B")
    ('23.2 ms', '671 GB', '4.99 ktok/s', '$0.139/Mtok', '295 FLOP/B')
    """
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits}g}")
    steps = QUANTITIES[unit].steps
    scale, label = next((step for step in steps if abs(rounded) >= step[0]), steps[-1] if rounded else (1.0, unit))
    text = f"{float(f'{abs(value) / scale:.{digits}g}'):.{max(digits, 12)}g}"  # 671, not 6.7e+02
    sign = "-" if value < 0 else ""
    return f"{sign}${text}{label.removeprefix('USD')}" if "USD" in label else f"{sign}{text} {label}".rstrip()


def _read(given: str, unit: str, shown: str, expected: str) -> float:
    """Number and unit of a text, converted to `unit`."""
    match = _NUMBER.fullmatch(given.strip()) if len(given) <= 64 else None
    if match is None:
        raise InputError(shown, f"not a number with a unit; {expected}")
    number = float(match["sign"] + match["number"].replace(",", ""))
    head, slash, tail = match["unit"].strip().partition("/")
    if match["usd"]:
        head += "USD"
    elif unit in _COUNTS and (not head or _PREFIX.get(head, 0) > 1):
        head += unit.partition("/")[0]
    elif not head and not slash and number == 0:
        return 0.0
    elif not head:
        raise InputError(shown, f"no unit; {expected}")
    try:
        factor, dimension = _measure(head + slash + tail)
    except KeyError as unknown:
        raise InputError(shown, f"unknown unit {unknown.args[0]!r}; {expected}", _nearest(unknown.args[0])) from None
    wanted_factor, wanted = _measure(unit)
    if dimension != wanted:
        name = next((kind.name for key, kind in QUANTITIES.items() if _measure(key)[1] == dimension), "of another kind")
        meant = f"{given.strip()}/{QUANTITIES[unit].steps[-1][1].rpartition('/')[2]}"
        per_second = dict(dimension) | {"s": dict(dimension).get("s", 0) - 1} == dict(wanted)
        raise InputError(shown, f"is {name}; {expected}", f"did you mean {meant!r}?" if per_second else "")
    return number * (factor / wanted_factor)


@lru_cache(maxsize=256)
def _measure(unit: str) -> tuple[float, frozenset[tuple[str, int]]]:
    """Factor of a unit and its dimension as powers of the bases: "GB/s" is 1e9 and B^1 s^-1. KeyError: unknown part."""
    factor, powers = 1.0, Counter[str]()
    for i, part in enumerate(unit.split("/")):
        part_factor, bases = _symbol(part.strip())
        factor = factor * part_factor if i == 0 else factor / part_factor
        for j, base in enumerate(bases.split("/")):
            powers[base] += 1 if (i == 0) == (j == 0) else -1
    return factor, frozenset((base, power) for base, power in powers.items() if power and base != "1")


def _symbol(text: str) -> tuple[float, str]:
    """Factor and bases of one symbol with or without prefix."""
    if text in _PLAIN:
        return _PLAIN[text]
    for size in (0, 2, 1):
        if text[size:] in _SCALED and (not size or text[:size] in _PREFIX):
            factor, bases = _SCALED[text[size:]]
            return factor * _PREFIX.get(text[:size], 1.0), bases
    raise KeyError(text)


def _nearest(unknown: str) -> str:
    """The units that differ from an unknown one by case only, else the most similar ones."""
    known = [*_PLAIN, *(prefix + symbol for symbol in _SCALED for prefix in ("", *_PREFIX))]
    near = [name for name in known if name.lower() == unknown.lower()] or difflib.get_close_matches(unknown, known, 2)
    return f"did you mean {' or '.join(near[:3])}?" if near else ""


def _quote(given: object) -> str:
    """What was given, on one line and not too long."""
    text = repr(given)
    return text if len(text) <= 60 else text[:60] + "..."
