"""A trace of real requests: read in pieces, checked, cut, scaled, and made into requests.

    time    (time of the row - `begin`) / speed, with speed = `rate` / mean rate where a rate is asked for
    tokens  ceil(length * scale), so that no length becomes 0 and the blocks of hash ids still fit

Rows must be in the order of their times. Nothing is left out silently: `Reading.notes` counts what was skipped, by rule
(failed requests of formats that record them, a last line that is cut off) or because it was asked for (empty requests,
what lies outside the cut). A trace begins with a cold cache where the server that was recorded was warm: leave out a
warm-up. Memory: pieces of 2 MB while reading, and 24 bytes per request kept, hash ids apart.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.workload.checked import checked
from ridgeline.workload.formats import Columns
from ridgeline.workload.lengths import Lengths, empirical
from ridgeline.workload.piece import Rows
from ridgeline.workload.requests import Requests
from ridgeline.workload.trace import Trace


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The requests of a trace, and what is to be said of them."""

    requests: Requests
    columns: Columns
    read: int
    """Rows read, skipped ones included."""
    skipped: dict[str, int]
    """Rows left out, by reason."""

    def notes(self) -> list[str]:
        """What a user must know: what the file was taken for, what was left out, what was ignored."""
        form = self.columns.format
        source = f" ({form.source}, {form.licence})" if form.source else ""
        notes = [f"format {form.name}{source}: {self.read:,} rows read, {len(self.requests):,} requests played"]
        notes += [f"skipped: {count:,} x {reason}" for reason, count in self.skipped.items()]
        notes += [f"columns without use: {', '.join(self.columns.ignored)}"] if self.columns.ignored else []
        return notes


def read(trace: Trace, seed: int = 0) -> Reading:
    """Requests of a trace; `seed` is of drawn arrivals.

    Raises
    ------
    InputError
        With the line: what cannot be read, times out of order, negative or missing, empty requests, lengths that are
        not whole; and a file without requests, or options that its columns do not allow.
    """
    pieces: list[Rows] = []
    skipped: Counter[str] = Counter()
    total = kept = 0
    for piece, seen, dropped in checked(trace):
        total += seen
        skipped.update(dropped)
        enough = 0 < trace.requests <= kept + len(piece.line)
        pieces.append(_compact(piece.take(slice(trace.requests - kept)) if enough else piece, trace))
        kept = trace.requests if enough else kept + len(piece.line)
        if enough:
            break
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        raise InputError(trace.path, "at least one request", f"skipped: {reasons}" if reasons else "")
    found = pieces[0].columns
    values = {name: np.concatenate([piece.values.pop(name) for piece in pieces]) for name in [*pieces[0].values]}
    arrival, speed = _arrival(values, trace, seed)
    extra = {**_follow(values, trace, found.scale / speed), **_hashes(pieces, trace)}
    try:
        requests = Requests(
            arrival=arrival,
            prompt=values["prompt"],
            output=values["output"],
            concurrency=trace.concurrency,
            session=_own(values.get("session")),
            tenant=_numbers(values, "tenant"),
            priority=_numbers(values, "priority"),
            **extra,
        )
    except InputError as error:
        raise InputError(f"{trace.path}: {error.given}", error.expected, error.fix) from None
    return Reading(requests=requests, columns=found, read=total, skipped=dict(skipped))


def _compact(piece: Rows, trace: Trace) -> Rows:
    """A piece with scaled whole lengths, and without line numbers."""
    scales = {"prompt": trace.prompt_scale, "output": trace.output_scale}
    scaled = {name: np.ceil(piece.values[name] * scale).astype(np.int64) for name, scale in scales.items()}
    return replace(piece, line=piece.line[:0], values={**piece.values, **scaled})


def lengths_of(path: str) -> tuple[Lengths, Lengths]:
    """Prompts and answers of a trace as distributions; drawn together they keep their pairs."""
    requests = read(Trace(path=path, concurrency=1, skip_empty=True)).requests
    return empirical(requests.prompt), empirical(requests.output)


def _arrival(values: dict[str, np.ndarray], trace: Trace, seed: int) -> tuple[np.ndarray, float]:
    """Times at which the requests come, and how much faster than recorded that is."""
    count = len(values["prompt"])
    if trace.concurrency:
        return np.zeros(count), 1.0
    if trace.arrivals is not None:
        return trace.arrivals.draw(np.random.Generator(np.random.SFC64(seed)), count, trace.rate), 1.0
    if "time" not in values:
        given = f"{trace.path}: no times"
        raise InputError(given, "a column of times", "--arrivals poisson --rate 10, or --concurrency 8")
    time, speed = values["time"], trace.speed
    time -= trace.begin
    if trace.rate:
        span = time[-1] - time[0]
        if not span:
            raise InputError(f"{trace.path}: all at one time", "some time between requests, to be played at a rate")
        speed = trace.rate * span / (count - 1)
    time /= speed
    return time, speed


def _follow(values: dict[str, np.ndarray], trace: Trace, scale: float) -> dict[str, np.ndarray | None]:
    """Predecessor and think time of rows with a delay, of `scale` s: the row before of the same session."""
    delay = values.get("delay")
    if delay is None or np.isnan(delay).all():
        return {"after": None, "think": None}
    last: dict[int, int] = {}
    after = np.full(len(delay), -1)
    session = values.get("session", np.full(len(delay), -1))
    for i, (one, pause) in enumerate(zip(session.tolist(), delay.tolist(), strict=True)):
        if pause == pause:
            if one < 0 or one not in last:
                raise InputError(f"{trace.path}: request {i:,}: a delay", "an earlier request of the same session")
            after[i] = last[one]
        last[one] = i
    return {"after": after, "think": np.where(after >= 0, delay * scale, 0.0)}


def _hashes(pieces: list[Rows], trace: Trace) -> dict[str, Any]:
    """Offsets, ids and block of the pieces; nothing if there are no ids."""
    counts = [piece.hash_counts for piece in pieces if piece.hash_counts is not None]
    ids = [piece.hash_ids for piece in pieces if piece.hash_ids is not None]
    if not ids or not sum(map(len, ids)):
        return {}
    block = (trace.hash_block or pieces[0].columns.format.block or 512) * trace.prompt_scale
    if block != int(block):
        raise InputError(
            f"prompts scaled by {trace.prompt_scale:g}: hash ids of {block:g} tokens",
            "a whole number",
            "such as 0.5 or 2",
        )
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return {"hash_offsets": offsets, "hash_ids": np.concatenate(ids), "hash_block": int(block)}


def _own(session: np.ndarray | None) -> np.ndarray | None:
    """Sessions; a request without one gets its own. None if no request has one."""
    if session is None or not (session >= 0).any():
        return None
    alone = session < 0
    return np.where(alone, session.max() + np.cumsum(alone), session)


def _numbers(values: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    """A column of whole numbers, if the trace has it; 0 where a row has none."""
    column = values.get(name)
    return None if column is None or np.isnan(column).all() else np.nan_to_num(column)
