"""`ridgeline explain`: any printed number as its formula, with the values put in, and who says them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ridgeline.cli.headline import headline
from ridgeline.cli.options import STEP, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, heading, shown, table
from ridgeline.errors import UnknownNameError
from ridgeline.scenario import Scenario
from ridgeline.serving import Given, Number, Numbers, Point, point

if TYPE_CHECKING:
    from rich.console import RenderableType

DIGITS = 6
"""Digits of values in formulas: enough to check them by hand."""
_NAME = re.compile(r"\b[A-Za-z_]\w*\b")
_SEE = "see "
"""How the source of an input begins that is a number itself."""


@command(*STEP)
def explain(scenario: Scenario, *numbers: str) -> Report:
    """Any printed number: its formula, the values in it, and who says them.

    Parameters
    ----------
    numbers
        Names as `step` prints them ("tpot_s", "attention+dense/q/math_s"); without any, all names are listed.
    """
    found = point(scenario)
    numbers = tuple(f"{scenario.phase}_{name}" if name in ("floor_s", "estimate_s") else name for name in numbers)
    known = found.numbers | (found.operations if any("/" in name for name in numbers) else {})
    for name in numbers:
        if name not in known:
            raise UnknownNameError("number", name[:60], known, "`ridgeline explain` without a number lists them")
    asked = [known[name] for name in numbers]
    told = [_explanation(number) for number in asked or known.values()]
    return Report(
        document=lambda: {
            "command": "explain",
            "line": " ".join([scenario.to_cli("explain"), *numbers]),
            "numbers": told,
        },
        rows=lambda: Rows.of([{key: item for key, item in each.items() if key != "inputs"} for each in told]),
        text=lambda: _text(found, asked),
    )


def _explanation(number: Number) -> dict[str, Any]:
    """A number as a record."""
    return {
        "number": number.name,
        "text": number.text,
        "formula": number.formula,
        "substituted": substituted(number),
        "value": number.value,
        "unit": number.unit,
        "inputs": {
            name: {"value": given.value, "unit": given.unit, "source": given.source}
            for name, given in number.inputs.items()
        },
    }


def substituted(number: Number) -> str:
    """The formula with values in the place of names."""

    def value(match: re.Match[str]) -> str:
        given = number.inputs.get(match[0])
        return match[0] if given is None else _value(given)

    return _NAME.sub(value, number.formula)


def _value(given: Given | Number) -> str:
    return shown(given.value, given.unit, DIGITS)


def _text(found: Point, asked: list[Number]) -> list[RenderableType]:
    numbers = found.numbers
    head: list[RenderableType] = [*headline(found.scenario, found.subject)]
    if not asked:
        rows = [(each.name, shown(each.value, each.unit), each.text) for each in numbers.values()]
        more = next(iter(found.operations), "")
        return [
            *head,
            "",
            table(["<number", "value", "<what it is"], rows),
            "",
            f"and each row of the breakdown: {more} ...",
        ]
    for number in asked:
        head += [heading(f"{number.name}: {number.text}"), *_derivation(number, numbers)]
    return head


def _derivation(number: Number, numbers: Numbers) -> list[RenderableType]:
    """Formula, values and sources of a number; below it those of the numbers in it."""
    parts: list[RenderableType] = [*_equation(number), ""]
    named = dict.fromkeys(name for name in _NAME.findall(number.formula) if name in number.inputs)
    rows = [(name, _value(number.inputs[name]), number.inputs[name].source) for name in named]
    parts.append(table(["<input", "value", "<source"], rows))
    for source in (number.inputs[name].source for name in named):
        if source.startswith(_SEE):
            parts += ["", *_equation(numbers[source.removeprefix(_SEE)])]
    return parts


def _equation(number: Number) -> list[RenderableType]:
    lines = [f"{number.name} = {number.formula}"]
    if number.inputs and number.formula not in number.inputs:
        lines.append(f"= {substituted(number)}")
    lines.append(f"= {_value(number)}")
    indent = " " * (len(number.name) + 1)
    return [copied(text if i == 0 else indent + text) for i, text in enumerate(lines)]
