"""An answer in three forms: a document (--json), rows (--csv), and text for a reader; nothing is printed before all of
it is known, so that an error prints nothing.

Numbers in document and rows are in SI units, named by their keys; text shows units. Knows no command.
"""

from __future__ import annotations

import csv as comma_separated
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 110
"""Columns of text at least: a narrower terminal breaks lines itself, and nothing is cut off."""


class Rows(NamedTuple):
    """Names of columns, and the values of each row."""

    names: Sequence[str]
    values: Iterable[Sequence[Any]]

    @classmethod
    def of(cls, records: Sequence[dict[str, Any]]) -> Rows:
        """Rows of records; a value that a record lacks is empty."""
        names = list(dict.fromkeys(chain.from_iterable(records)))
        return cls(names, [[record.get(name) for name in names] for record in records])

    def write(self, file: IO[str]) -> int:
        """Write as CSV, with as many digits as read back exactly; the number of rows."""
        writer = comma_separated.writer(file, lineterminator="\n")
        writer.writerow(self.names)
        counter = count()
        writer.writerows(row for row, _ in zip(self.values, counter, strict=False))
        return next(counter)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a command answers; each form is made when it is asked for."""

    document: Callable[[], dict[str, Any]]
    rows: Callable[[], Rows]
    text: Callable[[], list[RenderableType]] | None = None
    """None: the rows are what there is to read."""
    code: int = 0
    """Exit code of the program."""

    def show(self, *, json: bool = False, csv: bool = False) -> None:
        """Print one of the forms to standard output."""
        if json:
            encoded = msgspec.json.encode(self.document(), enc_hook=_plain)
            print(msgspec.json.format(encoded, indent=2).decode())
        elif csv or self.text is None:
            with TemporaryFile("w+", encoding="utf-8", newline="") as whole:
                self.rows().write(whole)
                whole.seek(0)
                shutil.copyfileobj(whole, sys.stdout)
        else:
            _print(self.text())


def _print(parts: list[RenderableType]) -> None:
    """Print to standard output."""
    print(printed(parts))


def printed(parts: list[RenderableType]) -> str:
    """As text, without the spaces that fill up tables; text that is no plain string is not broken into lines."""
    from rich.console import Console
    from rich.text import Text

    width = max(shutil.get_terminal_size((WIDTH, 0)).columns, WIDTH)
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, Text))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist()
