"""Comma-separated lines, a column at a time.

Fields are found by the places of commas and line ends and read in place; no field becomes a Python object unless it is
wrong. Quotation marks may stand around a field and commas within them; a line end within them is not understood.
"""

from __future__ import annotations

import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload.decimals import NO_INSTANT, instants, numbers
from ridgeline.workload.formats import Columns
from ridgeline.workload.piece import Rows, shown


def header(line: bytes, origin: str) -> list[str]:
    """Names of the columns.

    Raises
    ------
    InputError
        If the file is not text, or its first line has no name.
    """
    try:
        names = line.decode("utf-8").rstrip("\r").split(",")
    except UnicodeDecodeError:
        names = []
    if not names or "\0" in names[0]:
        raise InputError(origin, "text, CSV or JSON lines", "unpack it first, or name it .gz")
    if len(names) == 1 and (other := next((mark for mark in ";\t|" if mark in names[0]), "")):
        raise InputError(f"{origin}: line 1: {shown(line)}", f"fields separated by commas, not by {other!r}")
    if not any(any(c.isalpha() for c in field) for field in names):
        raise InputError(f"{origin}: line 1: {shown(line)}", "names of columns", "such as arrival,prompt,output")
    return names


def separated(text: bytes, found: Columns, line: int, origin: str, sessions: dict[bytes, int]) -> Rows:
    """Rows (InputError for what is no CSV) of whole lines of CSV."""
    ended = text.endswith(b"\n")
    data = np.frombuffer(text if ended else text + b"\n", np.uint8)
    stop = np.flatnonzero(data == 10)
    start = np.concatenate([[0], stop[:-1] + 1])
    number = line + np.arange(len(stop))
    stop = stop - ((stop > start) & (data[np.maximum(stop - 1, 0)] == 13))
    full = stop > start
    if not full.all():
        start, stop, number = start[full], stop[full], number[full]
    commas = np.flatnonzero(data == 44)
    if b'"' in text:
        commas = _unquoted(data, commas)
    each = np.searchsorted(commas, stop) - np.searchsorted(commas, start)
    wrong = np.flatnonzero(each != len(found.names) - 1)
    cut = 0
    if len(wrong) and wrong[0] == len(start) - 1 and not ended:
        cut, start, stop, number = 1, start[:-1], stop[:-1], number[:-1]
        commas = commas[: len(commas) - int(each[-1])]
    elif len(wrong):
        i = int(wrong[0])
        given = f"{origin}: line {number[i]:,}: {shown(data[start[i] : stop[i]].tobytes())}"
        raise InputError(given, f"{len(found.names)} fields as in the header, not {each[i] + 1}")
    commas = commas.reshape(len(start), len(found.names) - 1)
    values: dict[str, np.ndarray] = {}
    for meaning, place in found.place.items():
        begin = commas[:, place - 1] + 1 if place else start
        end = commas[:, place] if place < len(found.names) - 1 else stop
        if b'"' in text:
            begin, end = begin + (data[begin] == 34), end - ((end > begin) & (data[end - 1] == 34))
        if meaning == "session":
            values[meaning] = _names(data, begin, end, sessions)
            continue
        values[meaning] = column = _times(data, begin, end) if meaning == "time" else numbers(data, begin, end)
        bad = np.flatnonzero(column == NO_INSTANT if column.dtype == np.int64 else np.isnan(column))
        if len(bad) and bad[0] == len(start) - 1 and not ended:
            cut, start, stop, number, commas = 1, start[:-1], stop[:-1], number[:-1], commas[:-1]
            values = {key: column[: len(start)] for key, column in values.items()}
        elif len(bad):
            i = int(bad[0])
            given = f"{origin}: line {number[i]:,}: {meaning} {shown(data[begin[i] : end[i]].tobytes())}"
            raise InputError(given, "a number" if meaning != "time" else "a time in seconds, or date and time")
    return Rows(columns=found, line=number, values=values, cut=cut)


def _times(data: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Seconds as float64, or nanoseconds of instants as int64, whichever the first field is."""
    first = data[begin[0] : end[0]].tobytes() if len(begin) else b""
    return instants(data, begin, end) if b":" in first or first.count(b"-") == 2 else numbers(data, begin, end)


def _unquoted(data: np.ndarray, commas: np.ndarray) -> np.ndarray:
    """Commas outside quotation marks: those before which their number is even."""
    quotes = np.flatnonzero(data == 34)
    return commas[np.searchsorted(quotes, commas) % 2 == 0]


def _names(data: np.ndarray, begin: np.ndarray, end: np.ndarray, known: dict[bytes, int]) -> np.ndarray:
    """Names as numbers in the order of their appearance; a row without one is a session of its own."""
    width = end - begin
    if not len(begin):
        return np.empty(0, dtype=np.int64)
    place = begin[:, None] + np.arange(max(int(width.max()), 1))
    letters = np.where(place < end[:, None], data[np.minimum(place, len(data) - 1)], 0).astype(np.uint8)
    texts = np.ascontiguousarray(letters).view(f"S{letters.shape[1]}")[:, 0]
    unique, first, inverse = np.unique(texts, return_index=True, return_inverse=True)
    words = unique.tolist()
    number = np.empty(len(words), dtype=np.int64)
    for i in np.argsort(first):
        number[i] = known.setdefault(words[i], len(known)) if words[i] else -1
    return number[inverse]
