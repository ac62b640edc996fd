"""Lines of JSON, each a request: Mooncake's keys, and those that its descendants add."""

from __future__ import annotations

from itertools import chain
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload.formats import Columns
from ridgeline.workload.piece import Rows, shown


def keys(text: bytes, origin: str) -> list[str]:
    """Keys of the first object.

    Raises
    ------
    InputError
        If the first line is no object.
    """
    line = text.lstrip().partition(b"\n")[0]
    try:
        return list(msgspec.json.decode(line, type=dict[str, msgspec.Raw]))
    except msgspec.DecodeError:
        raise InputError(f"{origin}: line 1: {shown(line)}", "JSON lines: one object on each line") from None


def jsonl(text: bytes, found: Columns, line: int, origin: str, sessions: dict[bytes, int]) -> Rows:
    """Rows of whole lines of JSON.

    Raises
    ------
    InputError
        For a line that is no object with these keys and numbers.
    """
    decoder, cut = _decoder(found), 0
    try:
        made = decoder.decode_lines(text)
    except msgspec.DecodeError:
        made = []
        lines = text.split(b"\n")
        for i, one in enumerate(lines):
            try:
                made += [decoder.decode(one)] if one.strip() else []
            except msgspec.DecodeError as error:
                if i == len(lines) - 1:
                    cut = 1
                    continue
                raise InputError(f"{origin}: line {line + i:,}: {shown(one)}", f"{error}") from None
    blank = b"\n\n" in text or text[:1] == b"\n" or b"\n\r" in text or b" \n" in text
    places = [i for i, one in enumerate(text.split(b"\n")) if one.strip()] if blank else range(len(made))
    values: dict[str, np.ndarray] = {}
    for meaning in found.place:
        column = [getattr(row, meaning) for row in made]
        if meaning == "session":
            values[meaning] = np.array([_number(name, sessions) for name in column], dtype=np.int64)
        elif meaning != "hashes":
            values[meaning] = np.array(column, dtype=np.float64)
    counts = ids = None
    if "hashes" in found.place:
        counts = np.fromiter((len(row.hashes) for row in made), np.int64, len(made))
        ids = _hashes([row.hashes for row in made], int(counts.sum()))
    return Rows(
        columns=found,
        line=line + np.array(places[: len(made)], dtype=np.int64),
        values=values,
        hash_counts=counts,
        hash_ids=ids,
        cut=cut,
    )


def _hashes(rows: list[list[int]], count: int) -> np.ndarray:
    """Hash ids one after another; of those beyond 63 bits, as unsigned hashes are, the lowest 64 bits."""
    try:
        return np.fromiter(chain.from_iterable(rows), np.int64, count)
    except OverflowError:
        low = (name & (1 << 64) - 1 for name in chain.from_iterable(rows))
        return np.fromiter(low, np.uint64, count).view(np.int64)


def _decoder(found: Columns) -> msgspec.json.Decoder:
    """A decoder of the keys that mean something; the others are passed over."""
    kinds = {"session": str | int | None, "hashes": list[int]}
    needed = ("prompt", "output")
    fields: list[Any] = [(meaning, float) for meaning in needed]
    for meaning in found.place.keys() - {*needed}:
        default = msgspec.field(default_factory=list) if meaning == "hashes" else None
        fields.append((meaning, kinds.get(meaning, float | None), default))
    names = {meaning: found.names[place] for meaning, place in found.place.items()}
    return msgspec.json.Decoder(msgspec.defstruct("Line", fields, rename=names))


def _number(name: str | int | None, known: dict[bytes, int]) -> int:
    """A session's number in the order of appearance; -1 without a name."""
    return -1 if name is None else known.setdefault(str(name).encode(), len(known))
