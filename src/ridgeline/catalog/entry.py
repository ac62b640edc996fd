"""What an entry of the catalogue says, value by value, and who says so.

The class that a file describes is its schema: `Annotated[float, "B/s"]` reads text with that unit, `Annotated[Chip,
"chips"]` reads the name of another entry. Every number is either plain (`size = 8`, `read = "14 GB/s"`) or a table
`{ value = "14 GB/s", source = "...", date = "...", note = "..." }`; `source`, `date` and `note` of a table hold for
everything below it. A number without a source is refused. Knows no folder and no chip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.units import QUANTITIES, parse

T = TypeVar("T")


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Who says a value, when, and what there is to know about it. `text` is the value as written."""

    text: str = ""
    source: str = ""
    date: str = ""
    note: str = ""


class Entry(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A thing from the catalogue and the provenance of its numbers by dotted field name ("chip.hbm_bandwidth")."""

    value: T
    sources: dict[str, Provenance]


_PROVENANCE = ("source", "date", "note")
_CONVERTING = Lock()
"""msgspec learns what a class is when it is first asked, and ends the process if two threads ask at once."""


def fill(shape: type[T], table: Mapping[str, Any], origin: str, named: Callable[..., Entry[Any]]) -> Entry[T]:
    """Read the table of one file as `shape`, with the provenance of each number; `named(kind, name, shape)` reads the
    entries that it refers to.

    Raises
    ------
    InputError
        Naming file and key: a quantity that does not parse, a number without source or unit, a wrong type.
    UnknownNameError
        For a key that `shape` does not have.
    """
    sources: dict[str, Provenance] = {}

    def read(hint: Any, value: Any, path: str, above: Provenance) -> Any:
        kind, note = _strip(hint)
        where = f"{origin}: {path}" if path else origin
        fields = _fields(kind)
        if isinstance(value, str) and fields and note:  # the name of another entry
            entry = named(note, value, kind)
            sources.update({f"{path}.{key}": provenance for key, provenance in entry.sources.items()})
            return entry.value
        if fields or get_origin(kind) is dict:  # a table
            if not isinstance(value, Mapping):
                raise InputError(where, "expected a table", f"write [{path}]")
            here = _here(value, above)
            inner = {key: item for key, item in value.items() if key not in _PROVENANCE}
            for key in inner.keys() - (fields or inner).keys():
                raise UnknownNameError(f"key in {where},", key[:60], fields)
            data = {
                key: read(fields[key] if fields else get_args(kind)[1], item, f"{path}.{key}".lstrip("."), here)
                for key, item in inner.items()
            }
            return data | {key: getattr(here, key) for key in _PROVENANCE if key in fields}
        if isinstance(value, list):
            return [read(next(iter(get_args(kind)), None), item, f"{path}.{i}", above) for i, item in enumerate(value)]
        if isinstance(value, Mapping):  # a value with its own source
            for key in value.keys() - {"value", *_PROVENANCE}:
                raise UnknownNameError(f"key in {where},", key[:60], ("value", *_PROVENANCE))
            if "value" not in value:
                raise InputError(where, "expected a value", 'write { value = ..., source = "..." }')
            above, value = _here(value, above), value["value"]
        if note in QUANTITIES:  # a quantity, else text, else a plain number
            if not isinstance(value, str):
                raise InputError(f"{where} {value!r:.60}", f"expected text such as {QUANTITIES[note].example!r}")
            number = parse(value, note, where)
        elif isinstance(value, str):
            return value
        else:
            number = value
        if not above.source:
            raise InputError(where, "no source", 'add source = "..." to the value or at the top of the file')
        sources[path] = Provenance(text=str(value)[:60], source=above.source, date=above.date, note=above.note)
        return number

    data = read(shape, table, "", Provenance())
    try:
        with _CONVERTING:
            return Entry(value=msgspec.convert(data, shape), sources=sources)
    except msgspec.ValidationError as error:
        raise InputError(origin, str(error).replace("`$.", "`")) from None


def _here(table: Mapping[str, Any], above: Provenance) -> Provenance:
    own = {key: str(table[key]) for key in _PROVENANCE if key in table}
    return msgspec.structs.replace(above, **own)


def _strip(hint: Any) -> tuple[Any, str]:
    """A type hint without `| None` and `Annotated`, and the text it was annotated with."""
    note = ""
    while True:
        if get_origin(hint) is Annotated:
            note = next((item for item in hint.__metadata__ if isinstance(item, str)), note)
            hint = hint.__origin__
        elif get_origin(hint) in (Union, UnionType):
            hint = next(option for option in get_args(hint) if option is not NoneType)
        else:
            return hint, note


@lru_cache(maxsize=64)
def _fields(kind: Any) -> Mapping[str, Any]:
    """Type hints of a class by field; empty for what is not a class of fields."""
    return get_type_hints(kind, include_extras=True) if hasattr(kind, "__struct_fields__") else {}
