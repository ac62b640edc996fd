"""The sheets that a word on the command line means: a file in one of three formats, or a name in the catalogue.

Knows no price.
"""

from __future__ import annotations

from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.pricing.dated import read_dated
from ridgeline.pricing.litellm import find_litellm, load_litellm, priced, read_all, read_litellm
from ridgeline.pricing.sheet import Sheet
from ridgeline.pricing.spelling import find_sheet, read_toml

_SHOWN = 12


def one(text: str, model: str = "", date: str = "") -> Sheet:
    """The sheet of a model: SHEET is a .json in litellm's format, a .csv of dated prices, a .toml, or a catalogue name.

    Raises
    ------
    InputError
        A file of many models without `model`, a name that matches several, and all that makes no sheet.
    UnknownNameError
        No such name.
    """
    kind = Path(text).suffix.lower()
    if kind == ".toml":
        return read_toml(text)
    if kind in (".json", ".csv") and not model:
        raise InputError(text, "which of its models?", "give a name after the file, or --all")
    if kind == ".json":
        entries = load_litellm(text)
        name = find_litellm(entries, model, Path(text).name)
        return read_litellm(name, entries[name], date)
    if kind == ".csv":
        return _newest(read_dated(text)[0], model, Path(text).name)
    if model:
        raise InputError(f"{text} {model}", "one name from the catalogue, or a file and a name in it")
    return find_sheet(text)


def every(text: str, date: str = "") -> tuple[list[Sheet], list[str]]:
    """All sheets of text models in a file, and why others are none (InputError)."""
    kind = Path(text).suffix.lower()
    if kind == ".csv":
        return read_dated(text)
    if kind == ".json":
        entries = load_litellm(text)
        return read_all(entries, priced(entries), date)
    if kind == ".toml":
        return [read_toml(text)], []
    raise InputError(f"{text!r:.80}", "a .json in litellm's format, a .csv of dated prices or a .toml")


def _newest(sheets: list[Sheet], name: str, where: str) -> Sheet:
    """The last sheet of a model, if all that match are of one seller."""
    key = name.lower().strip()
    found = [sheet for sheet in sheets if key in (sheet.name.lower(), f"{sheet.provider}/{sheet.name}".lower())]
    if not found:
        near = sorted({f"{sheet.provider}/{sheet.name}" for sheet in sheets if key in sheet.name.lower()})
        listed = f"contains it: {', '.join(near[:_SHOWN])}" if near else "has no such model"
        raise InputError(f"model {name!r:.80}", f"{where} {listed}", "give provider/name in full")
    sellers = sorted({f"{sheet.provider}/{sheet.name}" for sheet in found})
    if len(sellers) > 1:
        given = f"model {name!r:.80} in {where}"
        raise InputError(given, f"is sold by {len(sellers)}: {', '.join(sellers[:_SHOWN])}", "name one in full")
    return max(found, key=lambda sheet: sheet.date)
