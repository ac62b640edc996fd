"""Tables, bars and numbers as a reader wants them: units in the cells, three digits, no frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ridgeline.units import show

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ridgeline.estimate import Estimate
    from ridgeline.roofline import Time
    from ridgeline.serving import Numbers

NONE = "-"
WHOLE = 22
"""Characters of text that stay on one line."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table; a heading that begins with "<" is of text and set to the left, others are of numbers.

    Only text of more than WHOLE characters is broken into lines where a row is too long.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
        show_header=any(h.strip("<") for h in columns),
    )
    cells = list(rows)
    for i, heading in enumerate(columns):
        text = heading.startswith("<")
        broken = text and any(" " in line and len(line) > WHOLE for row in cells for line in row[i].split("\n"))
        made.add_column(heading.removeprefix("<"), justify="left" if text else "right", no_wrap=not broken)
    for row in cells:
        made.add_row(*row)
    return made


def footnotes(cited: Iterable[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Citations as numbers into a list: the numbers of each group of citations, and the lines of the list."""
    known: dict[str, int] = {}
    marks = [", ".join(str(known.setdefault(text, len(known) + 1)) for text in group) for group in cited]
    return marks, [f"[{number}] {text}" for text, number in known.items()]


def times(steps: Mapping[str, tuple[Estimate, Time]], width: int = 30) -> Table:
    """Where the time of steps goes, by the estimate and by the floor: bars as shares of the estimate."""
    columns: list[dict[str, float]] = []
    for estimate, floor in steps.values():
        parts = {f"  {name}": value for name, value in estimate.terms.parts(estimate.engine).items()}
        terms = {f"  {name}": getattr(floor, name) for name in ("math", "memory", "comms")}
        columns.append({"estimate": estimate.seconds, **parts, "floor": floor.lower, **terms})
    return table(
        ["<", *(part for name in steps for part in ("", f"<{name}"))],
        [
            [name, *(part for c in columns for part in (shown(c[name], "s"), bar(c[name] / c["estimate"], width)))]
            for name in columns[0]
        ],
    )


def heading(text: str) -> Text:
    """A line above a part of the answer."""
    from rich.text import Text

    return Text(f"\n{text}", style="bold")


def copied(text: str) -> Text:
    """A line to be copied: never broken."""
    from rich.text import Text

    return Text(text)


def bar(share: float, width: int = 24) -> str:
    """A bar of blocks, in eighths of a character."""
    eighths = round(share * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).strip()


def plain(value: float, digits: int = 3) -> str:
    """A count without unit: three digits, or all before the point with separators."""
    if value == int(value) or abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:,.{digits}g}"


def counted(number: int, noun: str) -> str:
    """A number of things: "1 chip", "8 chips"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: float | None, unit: str, digits: int = 3) -> str:
    """A value with its unit, "-" for none."""
    if value is None:
        return NONE
    return plain(value, digits) if unit == "1" else show(float(value), unit, digits)


def cell(numbers: Numbers, name: str) -> str:
    """A number by its name, "-" if there is none."""
    return shown(numbers[name].value, numbers[name].unit) if name in numbers else NONE
