"""How a price sheet is written: as flags, as a small TOML file, or in the catalogue.

    "2"  "$2"  "$2/Mtok"                 a price; a bare number is $ per million tokens, as price pages have it
    "200k:4/18"                          above 200k tokens input costs 4 and output 18
    "5min:6.25,1h:10"   "batch:1/6"      cache writes by guaranteed time; modes

In files every number has its unit. Knows no price.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ridgeline.catalog import BUILT_IN, Catalog
from ridgeline.catalog.entry import fill
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.pricing.sheet import Mode, Prices, Sheet, Step, Write, check_price
from ridgeline.units import parse, show

LARGEST = 1_000_000
"""Bytes of a file beyond which it is not read."""
_MTOK = 1e6
_CURRENCY = re.compile(r"[€£¥₹₩]|\b(EUR|GBP|CNY|RMB|JPY|INR|KRW|CHF)\b", re.IGNORECASE)
_BARE = re.compile(r"\$?\s*[+-]?[\d.,]+(?:[eE][+-]?\d+)?")
_UNITS = {"above": "tok", "context": "tok", "hold": "s", "storage": "USD/tok/s"}
"""Units of fields that are no price per token."""


class Provider(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sheets of one provider in the catalogue."""

    name: str
    title: str
    sheets: tuple[Sheet, ...]
    aliases: tuple[str, ...] = ()
    origin: str = ""


def read_price(text: str, what: str) -> float:
    """A price in $/tok: "$2/Mtok", or as price pages write it, "2" or "$2" for a million tokens.

    Raises
    ------
    InputError
        No price, another currency, not above zero, or a price per token where one per million is meant.
    """
    if _CURRENCY.search(text):
        raise InputError(f"{what} {text!r:.60}", "prices are in US dollars", "convert it and give the date of the rate")
    bare = _BARE.fullmatch(text.strip())
    price = parse(text.strip().removeprefix("$"), "1", what) / _MTOK if bare else parse(text, "USD/tok", what)
    check_price(price, what)
    return price


def read_prices(text: str, what: str) -> Prices:
    """Input, output and perhaps cached prices: "4/18" or "4/18/0.4", $ per million tokens (InputError)."""
    parts = [read_price(part, what) for part in text.split("/")]
    if len(parts) not in (2, 3):
        raise InputError(f"{what} {text!r:.60}", "INPUT/OUTPUT or INPUT/OUTPUT/CACHED", "such as 4/18, $ per million")
    return Prices(input=parts[0], output=parts[1], cached=parts[2] if len(parts) == 3 else None)


def read_steps(text: str) -> tuple[Step, ...]:
    """Context steps: "200k:4/18", several parted by commas (InputError)."""
    return tuple(
        Step(above=parse(threshold, "tok", "--above"), **msgspec.structs.asdict(read_prices(prices, "--above")))
        for threshold, prices in _pairs(text, "--above", "THRESHOLD:INPUT/OUTPUT", "200k:4/18")
    )


def read_writes(text: str) -> tuple[Write, ...]:
    """Cache writes by guaranteed time: "5min:6.25,1h:10" (InputError)."""
    return tuple(
        Write(hold=parse(hold, "s", "--write"), price=read_price(price, "--write"))
        for hold, price in _pairs(text, "--write", "TIME:PRICE", "5min:6.25,1h:10")
    )


def read_modes(text: str) -> tuple[Mode, ...]:
    """Modes: "batch:1/6,priority:3.6/21.6" (InputError)."""
    return tuple(
        Mode(name=name.strip(), **msgspec.structs.asdict(read_prices(prices, "--mode")))
        for name, prices in _pairs(text, "--mode", "NAME:INPUT/OUTPUT", "batch:1/6")
    )


def _pairs(text: str, option: str, shape: str, example: str) -> list[tuple[str, str]]:
    """Parts "a:b" of a list with commas."""
    out: list[tuple[str, str]] = []
    for part in filter(None, text.split(",")):
        left, colon, right = part.partition(":")
        if not colon or not left.strip():
            raise InputError(f"{option} {part!r:.60}", shape, f"such as {example}")
        out.append((left.strip(), right.strip()))
    return out


def write_sheet(sheet: Sheet) -> str:
    """A sheet as the TOML that `ridgeline infer` reads."""

    def block(pairs: Iterator[tuple[str, object]]) -> list[str]:
        return [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in pairs]

    def fields(struct: msgspec.Struct) -> Iterator[tuple[str, object]]:
        for name in struct.__struct_fields__:
            value = getattr(struct, name)
            if isinstance(value, int | float) and (value or name != "context"):
                yield name, show(value, _UNITS.get(name, "USD/tok"), 12)
            elif isinstance(value, str) and value:
                yield name, value

    out = block(fields(sheet))
    for key in ("writes", "steps", "modes"):
        for each in getattr(sheet, key):
            out += ["", f"[[{key}]]", *block(fields(each))]
    return "\n".join(out) + "\n"


def read_toml(path: Path | str) -> Sheet:
    """The sheet in a small TOML file, as `write_sheet` writes it: `input = "$2/Mtok"`.

    Raises
    ------
    InputError
        No such file, no TOML, a number without unit, no price of input or output, or what `sheet.check` refuses.
    UnknownNameError
        A key that a sheet does not have.
    """
    try:
        if Path(path).stat().st_size > LARGEST:
            raise InputError(str(path), f"is larger than {LARGEST // 10**6} MB, not a price sheet")
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(str(path), f"is not valid TOML ({' '.join(str(error).split())[:200]})") from None
    for key in ("input", "output"):
        if key not in table:
            raise InputError(f"{path}: no {key} price", f'write {key} = "$2/Mtok"')
    said = {"name": Path(path).stem, "source": str(path)} | table
    return fill(Sheet, said, str(path), BUILT_IN.read).value


def provider(name: str, catalog: Catalog = BUILT_IN) -> Provider:
    """A provider's sheets in the catalogue (UnknownNameError, InputError)."""
    return catalog.read("sheets", name, Provider).value


def sheets(catalog: Catalog = BUILT_IN) -> list[Sheet]:
    """All sheets in the catalogue, by provider, name and date."""
    return [sheet for name in catalog.names("sheets") for sheet in provider(name, catalog).sheets]


def find_sheet(name: str, catalog: Catalog = BUILT_IN) -> Sheet:
    """The newest sheet of a model in the catalogue: "gpt-5", "openai/gpt-5".

    Raises
    ------
    InputError
        Several providers have it: lists them.
    UnknownNameError
        None has it.
    """
    known = sheets(catalog)
    by_name = {full: each for each in sorted(known, key=lambda each: each.date) for full in [_full(each)]}
    key = name.lower().strip()
    found = [full for full in by_name if key in (full, full.partition("/")[2])]
    if len(found) > 1:
        raise InputError(
            f"price sheet {name!r:.80}", f"is sold by {len(found)}: {', '.join(found)}", "name one in full"
        )
    if not found:
        names = {*by_name, *(full.partition("/")[2] for full in by_name)}
        raise UnknownNameError("price sheet", name[:80], names, "`ridgeline catalog sheets` lists them")
    return by_name[found[0]]


def _full(sheet: Sheet) -> str:
    return f"{sheet.provider}/{sheet.name}".lower()
