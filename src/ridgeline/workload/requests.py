"""Requests as arrays: when each arrives, how long its prompt and its answer are, what it follows and what it shares.

    open loop      request i starts at arrival[i]
    closed loop    `concurrency` of them are open at any time; they start in order, as others end
    follow-up      request i starts at (end of request after[i]) + think[i]

24 bytes per request, and 8 more for each optional column. Knows no engine: a block here is a block of the trace.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError

MOST_TOKENS = 1_000_000_000
"""Tokens of a prompt or an answer beyond which a number is a slip."""
MOST_SECONDS = 1e11
"""Arrival beyond which a number is a slip: three thousand years."""


class Requests(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Requests, in the order in which they arrive.

    Columns are checked and made contiguous float64 or int64 arrays when the object is built, and are not copied if
    they are that already.

    Raises
    ------
    InputError
        With the number of the first request (from 0) that is wrong: columns of different lengths, no request, an
        arrival that is missing, negative or earlier than the one before, a prompt or an answer of no token, a
        predecessor that does not come before, negative think time, hash ids that do not fit the lengths.
    """

    arrival: np.ndarray
    """float64[n], s: sorted; the first may be later than 0. Ignored in a closed loop. Of a follow-up: its session's
    first arrival, which keeps the order and is otherwise ignored."""
    prompt: np.ndarray
    """int64[n], tokens: the whole prompt, with the history that a follow-up repeats; at least 1."""
    output: np.ndarray
    """int64[n], tokens: at least 1; the first comes out of the prefill."""
    concurrency: int = 0
    """0: open loop; otherwise a closed loop that keeps this many open."""
    after: np.ndarray | None = None
    """int64[n]: index of the request whose end starts this one, less than its own; -1: none."""
    think: np.ndarray | None = None
    """float64[n], s: time between that end and this start; 0 where `after` is -1."""
    session: np.ndarray | None = None
    """int64[n]: requests with the same number belong together (sticky routing)."""
    tenant: np.ndarray | None = None
    """int64[n]: whose request it is."""
    priority: np.ndarray | None = None
    """int64[n]: smaller is served first, as in vLLM."""
    hash_offsets: np.ndarray | None = None
    """int64[n+1]: request i has the ids ``hash_ids[hash_offsets[i]:hash_offsets[i + 1]]``."""
    hash_ids: np.ndarray | None = None
    """int64[m]: ids of successive blocks of `hash_block` tokens. They cover the prompt, or only its beginning; where
    there are more, they go on into the answer, so that a follow-up finds the answer it repeats. Equal ids at equal
    places after equal ids are equal tokens. The last may stand for a part of a block."""
    hash_block: int = 0
    """Tokens that each id stands for; 0 without ids."""

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            if getattr(self, name) is not None:
                msgspec.structs.force_setattr(self, name, _column(name, getattr(self, name), kind))
        self._check()

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def nbytes(self) -> int:
        """Bytes of all columns."""
        return sum(column.nbytes for name in _KINDS if (column := getattr(self, name)) is not None)

    def _check(self) -> None:
        n = len(self.prompt)
        if not n:
            raise InputError("requests", "at least one request")
        for name in _KINDS:
            column, length = getattr(self, name), n + (name == "hash_offsets")
            if column is not None and name != "hash_ids" and len(column) != length:
                raise InputError(f"{name}: {len(column):,} values", f"{length:,}, for {n:,} requests")
        if self.concurrency < 0:
            raise InputError(f"concurrency {self.concurrency}", "0 (open loop), or the number of requests kept open")
        _within("arrival", self.arrival, 0, MOST_SECONDS, "a time in s from 0")
        for name in ("prompt", "output"):
            _within(name, getattr(self, name), 1, MOST_TOKENS, f"1 to {MOST_TOKENS:,} tokens")
        earlier = self.arrival[1:] < self.arrival[:-1]
        if earlier.any():
            i = int(earlier.argmax()) + 1
            given = f"request {i}: arrival {self.arrival[i]:g} s"
            raise InputError(given, f"not before the one before it, {self.arrival[i - 1]:g} s", "sort by arrival")
        if (self.after is None) != (self.think is None):
            raise InputError("after, think", "both or neither")
        if self.after is not None and self.think is not None:
            wrong = (self.after < -1) | (self.after >= np.arange(n))
            _refuse("after", self.after, wrong, "an earlier request, or -1")
            _within("think", self.think, 0, MOST_SECONDS, "a time in s from 0")
        self._check_hashes()

    def _check_hashes(self) -> None:
        offsets, ids, block = self.hash_offsets, self.hash_ids, self.hash_block
        if offsets is None or ids is None:
            if offsets is not ids or block:
                raise InputError("hash_offsets, hash_ids, hash_block", "all three or none")
            return
        if block < 1:
            raise InputError(f"hash_block {block}", "the tokens that each id stands for, from 1")
        counts = np.diff(offsets)
        if offsets[0] != 0 or offsets[-1] != len(ids) or (counts < 0).any():
            raise InputError("hash_offsets", f"from 0 to the number of ids, {len(ids):,}, never falling")
        _refuse("hash ids:", counts, (counts - 1) * block >= self.prompt + self.output, "no more than it has tokens")


_KINDS: dict[str, Any] = {
    "arrival": np.float64, "prompt": np.int64, "output": np.int64, "after": np.int64, "think": np.float64,
    "session": np.int64, "tenant": np.int64, "priority": np.int64, "hash_offsets": np.int64, "hash_ids": np.int64,
}  # fmt: skip
"""Columns and their types."""


def _column(name: str, values: Any, kind: Any) -> np.ndarray:
    """One column as a contiguous array of its type."""
    given = np.asarray(values)
    if given.dtype == kind and given.ndim == 1 and given.flags.c_contiguous:
        return given
    if given.ndim != 1 or given.dtype.kind not in "iuf":
        raise InputError(f"{name} of shape {given.shape} and type {given.dtype}", "one number for each request")
    with np.errstate(invalid="ignore"):
        column = np.ascontiguousarray(given, dtype=kind)
    if given.dtype.kind == "f" and kind is np.int64:
        _refuse(name, given, column != given, "a whole number")
    return column


def _within(name: str, values: np.ndarray, low: float, high: float, expected: str) -> None:
    """Raise for the first value that is not from `low` to `high`, as NaN is not."""
    if not (values.min() >= low and values.max() <= high):
        _refuse(name, values, ~((values >= low) & (values <= high)), expected)


def _refuse(name: str, values: np.ndarray, wrong: np.ndarray, expected: str) -> None:
    """Raise for the first wrong value, if there is one."""
    if wrong.any():
        i = int(wrong.argmax())
        raise InputError(f"request {i}: {name} {values[i]:g}", expected)
