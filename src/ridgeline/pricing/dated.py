"""Price sheets from a CSV of dated prices, $ per million tokens, and from several files side by side.

    date, provider, model, context_window, input, output, cache_read, cache_write_5m, cache_write_1h, batch_in,
    batch_out, flex_in, ..., priority_in, ..., fast_in, ..., ctx_threshold, above_in, above_out, above_cache_read

Only model, input and output must be there. Rows without prices above zero are counted, not guessed.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.pricing.sheet import Mode, Sheet, Step, Write

NEEDED = ("model", "input", "output")
_WRITES = {"cache_write_5m": 300.0, "cache_write_1h": 3600.0, "cache_write_12h": 43200.0}
_MODES = ("batch", "flex", "priority", "fast", "ultrafast")
_MTOK = 1e6


def read_dated(path: Path | str) -> tuple[list[Sheet], list[str]]:
    """The sheets of a file, and why other rows are none.

    Raises
    ------
    InputError
        No such file, or a column missing.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
            if missing:
                raise InputError(
                    str(path), f"expected the columns {', '.join(NEEDED)}", f"missing: {', '.join(missing)}"
                )
            return _sheets(rows)
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"is not CSV ({str(error)[:80]})") from None


def _sheets(rows: Iterable[Mapping[str, str]]) -> tuple[list[Sheet], list[str]]:
    sheets, refused = [], []
    for row in rows:
        try:
            sheets.append(_sheet(row))
        except InputError as error:
            refused.append(str(error))
    return sheets, refused


def _sheet(row: Mapping[str, str]) -> Sheet:
    def number(column: str) -> float | None:
        text = (row.get(column) or "").strip()
        if not text:
            return None
        try:
            return float(text)
        except ValueError:
            raise InputError(f"{row['model']}: {column} {text!r:.40}", "a number of $ per million tokens") from None

    def price(column: str) -> float | None:
        value = number(column)
        return value / _MTOK if value else None

    def needed(column: str) -> float:
        value = number(column)
        if value is None:
            raise InputError(f"{row['model']}: no {column} price", "a number of $ per million tokens")
        return value / _MTOK

    threshold, above, beyond = number("ctx_threshold"), price("above_in"), price("above_out")
    steps: tuple[Step, ...] = ()
    if threshold and above and beyond:
        steps = (Step(above=threshold, input=above, output=beyond, cached=price("above_cache_read")),)
    modes = [(name, price(f"{name}_in"), price(f"{name}_out")) for name in _MODES]
    return Sheet(
        name=row["model"],
        provider=row.get("provider") or "",
        date=row.get("date") or "",
        source=row.get("source") or "",
        context=number("context_window") or 0.0,
        input=needed("input"),
        output=needed("output"),
        cached=price("cache_read"),
        writes=tuple(Write(hold=hold, price=value) for name, hold in _WRITES.items() if (value := price(name))),
        steps=steps,
        modes=tuple(Mode(name=name, input=i, output=o) for name, i, o in modes if i and o),
    )
