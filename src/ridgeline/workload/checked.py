"""Rows of a trace held against what a trace must be: whole lengths, times in order; cut to what is asked for.

What is left out is counted by reason; whatever else is wrong is refused with its line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload.piece import Rows
from ridgeline.workload.requests import MOST_TOKENS
from ridgeline.workload.rows import rows
from ridgeline.workload.trace import Trace

EMPTY = "requests with no prompt or no answer"
CUT = "a last line that is cut off"
OUTSIDE = "rows outside the time asked for"
CALENDAR = 1e8
"""Seconds from which on a number is a time since 1970 (March 1973), and counts from the first row."""


def checked(trace: Trace) -> Iterator[tuple[Rows, int, Counter[str]]]:
    """Pieces with only the rows that are kept and times in seconds; rows read; rows left out by reason
    (InputError for a wrong row).
    """
    latest, zero = -np.inf, None
    for piece in rows(trace.path, trace.format):
        values, dropped = dict(piece.values), Counter[str]()
        form, count = piece.columns.format, len(piece.line)
        keep = np.ones(count, dtype=bool)
        for name in ("prompt", "output"):
            _lengths(values[name], name, piece, trace)
        empty = (values["prompt"] == 0) | (values["output"] == 0)
        if empty.any():
            if not (form.skips or trace.skip_empty):
                i = int(empty.argmax())
                given = f"{values['prompt'][i]:g} tokens in, {values['output'][i]:g} out"
                raise InputError(_line(trace, piece, i, given), "1 of each at least", "--skip-empty leaves such out")
            dropped[form.skips or EMPTY] += int(empty.sum())
            keep &= ~empty
        if "time" in values and not trace.concurrency and trace.arrivals is None and count:
            zero = values["time"][0] if zero is None else zero
            values["time"], latest = _seconds(values, piece, trace, zero, latest)
            inside = (values["time"] >= trace.begin) & (values["time"] < trace.begin + trace.length)
            dropped[OUTSIDE] += int((keep & ~inside).sum())
            keep &= inside
        else:
            values.pop("time", None)
        dropped[CUT] += piece.cut
        whole = Rows(columns=piece.columns, line=piece.line, values=values)
        whole = msgspec.structs.replace(whole, hash_counts=piece.hash_counts, hash_ids=piece.hash_ids)
        yield whole if keep.all() else whole.take(np.flatnonzero(keep)), count + piece.cut, +dropped
        if latest >= trace.begin + trace.length:
            return


def _lengths(tokens: np.ndarray, name: str, piece: Rows, trace: Trace) -> None:
    """Refuse what is no number of tokens; zeros are looked at later."""
    wrong = ~((tokens >= 0) & (tokens <= MOST_TOKENS)) | (tokens != np.floor(tokens))
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(_line(trace, piece, i, f"{name} {tokens[i]:g}"), f"a whole number up to {MOST_TOKENS:,}")


def _seconds(
    values: dict[str, np.ndarray], piece: Rows, trace: Trace, zero: float, latest: float
) -> tuple[np.ndarray, float]:
    """Times in seconds, of instants since the first; a follow-up without one has that of the row before it."""
    time, scale = values["time"], piece.columns.scale
    if time.dtype == np.int64:
        seconds = (time - zero) / 1e9
    else:
        seconds = (time - zero if zero * scale >= CALENDAR else time) * scale
    missing = np.isnan(seconds)
    if missing.any():
        lost = missing & np.isnan(values.get("delay", np.full(len(seconds), np.nan)))
        if lost.any():
            raise InputError(_line(trace, piece, int(lost.argmax()), "no time"), "a time, or a delay after its session")
        seconds = np.maximum.accumulate(np.where(missing, -np.inf, seconds))
        seconds = np.maximum(seconds, max(latest, 0.0))
    before = np.concatenate([[latest], seconds[:-1]])
    wrong = (seconds < before) | (seconds < 0)
    if wrong.any():
        i = int(wrong.argmax())
        expected = "not negative" if before[i] < 0 else f"not before the row above, {before[i]:.9g} s"
        raise InputError(_line(trace, piece, i, f"time {seconds[i]:.9g} s"), expected, "sort the file by time")
    return seconds, float(seconds[-1])


def _line(trace: Trace, piece: Rows, i: int, given: str) -> str:
    return f"{trace.path}: line {piece.line[i]:,}: {given}"
