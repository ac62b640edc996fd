"""An answer in three forms: a document (--json), rows (--csv), and text for a reader; nothing is printed before all of
it is known, so that an error prints nothing.

Numbers in document and rows are in SI units, named by their keys; text shows units. Knows no command.
"""

from __future__ import annotations

import csv as comma_separated
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 110
"""Columns of text where no terminal says how many it has."""


class Rows(NamedTuple):
    """Names of columns, and the values of each row."""

    names: Sequence[str]
    values: Iterable[Sequence[Any]]

    @classmethod
    def of(cls, records: Sequence[dict[str, Any]]) -> Rows:
        """Rows of records; a value that a record lacks is empty."""
        names = list(dict.fromkeys(chain.from_iterable(records)))
        return cls(names, [[record.get(name) for name in names] for record in records])

    def write(self, file: Any) -> None:
        """Write as CSV, with as many digits as read back exactly."""
        writer = comma_separated.writer(file, lineterminator="\n")
        writer.writerow(self.names)
        writer.writerows(self.values)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a command answers; each form is made when it is asked for."""

    document: Callable[[], dict[str, Any]]
    rows: Callable[[], Rows]
    text: Callable[[], list[RenderableType]] | None = None
    """None: the rows are what there is to read."""

    def show(self, *, json: bool = False, csv: bool = False) -> None:
        """Print one of the forms to standard output."""
        if json:
            encoded = msgspec.json.encode(self.document(), enc_hook=_plain)
            print(msgspec.json.format(encoded, indent=2).decode())
        elif csv or self.text is None:
            buffer = StringIO()
            self.rows().write(buffer)
            sys.stdout.write(buffer.getvalue())
        else:
            _print(self.text())


def _print(parts: list[RenderableType]) -> None:
    """Print without the spaces that fill up tables."""
    from rich.console import Console

    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if known else WIDTH, highlight=False, markup=False, emoji=False, soft_wrap=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist()
