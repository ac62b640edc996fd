"""A number that carries its formula, the values put into it, and their sources; and how a table of them is evaluated.

A number *is* its formula: `Number.value` is the formula evaluated with the inputs, in SI units. Formulas are Python
expressions over inputs and over the numbers above them in their table.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import Any

import msgspec

from ridgeline.arrays import Array, namespace, traced


class Given(msgspec.Struct, frozen=True):
    """A value that goes into a formula: its unit, and where it comes from."""

    value: Any
    unit: str
    source: str = ""


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A result: `value` in `unit` is `formula` of `inputs`; `text` says in words what it is."""

    name: str
    value: Any
    unit: str
    text: str
    formula: str
    inputs: dict[str, Given]


Numbers = dict[str, Number]
Row = tuple[str, str, str, str]
"""Name, unit, formula and words of a number."""


def evaluate(rows: Iterable[Row], given: dict[str, Given]) -> Numbers:
    """Numbers of the rows in order; a formula may use the inputs and the numbers before it."""
    numbers: Numbers = {}
    known = dict(given)
    for name, unit, formula, text in rows:
        inputs = {key: known[key] for key in _names(formula)}
        value = eval(_code(formula), {"max": _largest}, {key: item.value for key, item in inputs.items()})
        numbers[name] = Number(name=name, value=value, unit=unit, text=text, formula=formula, inputs=inputs)
        known[name] = Given(value, unit, f"see {name}")
    return numbers


def renamed(number: Number, names: dict[str, str]) -> Number:
    """A number under its full name; inputs that are numbers themselves point to theirs."""
    inputs = {
        key: Given(item.value, item.unit, f"see {names[key]}") if key in names else item
        for key, item in number.inputs.items()
    }
    return msgspec.structs.replace(number, name=names[number.name], inputs=inputs)


@lru_cache(maxsize=256)
def _names(formula: str) -> tuple[str, ...]:
    return tuple(name for name in _code(formula).co_names if name != "max")  # ast.parse of two threads fails on 3.11


@lru_cache(maxsize=256)
def _code(formula: str) -> Any:
    return compile(formula, "<formula>", "eval")


def _largest(*values: Array) -> Array:
    xp = namespace(*values)
    return reduce(xp.maximum, (value + 0.0 * sum(values) for value in values))


def positive(value: Any) -> bool:
    """Whether a number is, or any of an array is, above 0; so is taken to be what is not known yet."""
    if traced(value):
        return True
    return bool(value > 0) if isinstance(value, (int, float)) else bool((value > 0).any())
