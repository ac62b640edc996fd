"""The step law: how long any step of an engine takes, as integers that a simulation can add without rounding.

A step computes n decoding sequences with S cached tokens in all, and chunks of prompts, c with `past` cached tokens:

    decode(n, S) = base[n, j] + slope[n, j] * S      for bound[n, j - 1] <= S < bound[n, j]
    with chunks  + tokens[T] - tokens[n] + sequences[m] - sequences[n]
                 + sum over chunks of new * chunk(new, past) + first(longest)

T tokens and m sequences are the step's, chunks included; `longest` is the most tokens that a chunk sees. While a decode
batch stays together only S grows, so its steps are an arithmetic progression until S meets a bound. What depends on T
(matrices, experts that are read, messages) need not be affine or even convex: it is a table. `chunk` and `first` are
interpolated between knots; they are exact where attention is affine in pairs.

A tick is so short that the smallest slope has thousands of them, and time is a whole number of ticks: sums are exact,
in whatever order they are taken. Knows neither models nor chips: `stepping.py` builds one from the estimate.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate.ticks import BASE, FAR, SLOPE, Tables, chunk_ticks, decode_ticks, mixed_ticks

LONGEST_TICK = 1e-12
"""Seconds: time then reaches 106 days."""
STEPS_OF_SLOPE = 4096
"""Ticks that the smallest slope has at least."""


class StepLaw(msgspec.Struct, frozen=True, kw_only=True):
    """A step law with its unit of time and how true it is."""

    tables: Tables
    tick: float
    """Seconds."""
    deviation: float = 0.0
    """Largest |law / estimate - 1| over random steps; 0 for a law that was given."""
    median_deviation: float = 0.0
    verify: int = 1
    """Tokens that each decoding sequence computes: 1 + drafts."""

    def __post_init__(self) -> None:
        """Tables that came from another process may be read-only, which is another type to compiled code."""
        if not all(table.flags.writeable for table in self.tables):
            msgspec.structs.force_setattr(self, "tables", Tables(*map(np.copy, self.tables)))

    @property
    def most_tokens(self) -> int:
        """Tokens of the largest step it knows."""
        return self.tables.tokens.shape[1] - 1

    @property
    def most_sequences(self) -> int:
        """Sequences of the largest step it knows."""
        return len(self.tables.sequences) - 1

    def in_ticks(self, tick: float) -> StepLaw:
        """The same law in shorter ticks."""
        if tick == self.tick:
            return self
        ratio, t = self.tick / tick, self.tables
        pieces = t.pieces.copy()
        pieces[..., [BASE, SLOPE]] = np.rint(pieces[..., [BASE, SLOPE]] * ratio)
        chunk = t.chunk.copy()
        chunk[1:, 1:] *= ratio
        tables = Tables(
            tokens=np.array([np.rint(t.tokens[0] * ratio).astype(np.int64), t.tokens[1]]),
            sequences=np.rint(t.sequences * ratio).astype(np.int64),
            pieces=pieces,
            chunk=chunk,
            first=t.first * np.array([[1.0], [ratio]]),
        )
        return msgspec.structs.replace(self, tables=tables, tick=tick)

    def seconds(self, decodes: int, contexts: int, chunks: list[tuple[int, int]]) -> float:
        """Seconds of a step of `decodes` sequences with `contexts` cached tokens in all and chunks (new, past)."""
        if not chunks:
            return int(decode_ticks(self.tables.pieces, decodes, contexts)) * self.tick
        cost = sum(chunk_ticks(self.tables.chunk, new, past) for new, past in chunks)
        new, longest = sum(c for c, _ in chunks), max(new + past for new, past in chunks)
        usual = decodes * self.verify
        ticks = mixed_ticks(self.tables, decodes, contexts, usual, usual + new, len(chunks), cost, longest)
        return int(ticks) * self.tick


def quantised(
    *,
    tokens: np.ndarray,
    sequences: np.ndarray,
    contexts: np.ndarray,
    decode: np.ndarray,
    new: np.ndarray,
    past: np.ndarray,
    chunk: np.ndarray,
    first: Sequence[Sequence[float]] | np.ndarray = ((0.0, 1.0), (0.0, 0.0)),
    binds: np.ndarray | None = None,
    binds_mixed: np.ndarray | None = None,
) -> StepLaw:
    """A law from seconds.

    Parameters
    ----------
    tokens, sequences
        Seconds by number of tokens and of sequences, from 0 on.
    contexts
        Mean cached tokens per sequence, rising from 0: knots between which a decode step is affine.
    decode
        float[most sequences + 1, knots]: seconds of a decode step at the knots, the row of 0 sequences zero.
    new, past, chunk
        Knots, and seconds per new token at them.
    first
        float[2, k]: knots of the most tokens that a chunk sees, and seconds that a step with chunks takes more there.
    """
    count, knots = decode.shape
    each = np.arange(count, dtype=np.int64)[:, None]
    at = contexts[None, :].astype(np.int64) * each
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.diff(decode, axis=1) / np.diff(at, axis=1)
    slope = np.maximum(np.nan_to_num(slope), 0.0)
    noticed = slope * np.maximum(np.diff(at, axis=1), 1) > 1e-6 * np.maximum(decode[:, 1:], 1e-30)
    slope = np.where(noticed, slope, 0.0)
    least = slope[slope > 0].min() if noticed.any() else LONGEST_TICK * STEPS_OF_SLOPE
    tick = min(LONGEST_TICK, float(2.0 ** np.floor(np.log2(least / STEPS_OF_SLOPE))))
    rise = np.rint(slope / tick).astype(np.int64)
    base = np.rint(decode[:, :-1] / tick).astype(np.int64) - rise * at[:, :-1]
    bound = at[:, 1:].copy()
    bound[:, -1] = FAR
    kind = np.zeros((count, knots - 1), np.int64) if binds is None else binds[:, : knots - 1].astype(np.int64)
    pieces = _merged(bound, base, rise, kind)
    if (np.diff(tokens) < 0).any() or (np.diff(sequences) < 0).any():
        tokens, sequences = np.maximum.accumulate(tokens), np.maximum.accumulate(sequences)
    binding = np.zeros(len(tokens)) if binds_mixed is None else binds_mixed
    grid = np.zeros((len(new) + 1, len(past) + 1))
    grid[1:, 0], grid[0, 1:], grid[1:, 1:] = new, past, chunk / tick
    tables = Tables(
        tokens=np.array([np.rint(tokens / tick), binding]).astype(np.int64),
        sequences=np.rint(sequences / tick).astype(np.int64),
        pieces=pieces,
        chunk=grid,
        first=np.array(first, float) / np.array([[1.0], [tick]]),
    )
    return StepLaw(tables=tables, tick=tick)


def _merged(bound: np.ndarray, base: np.ndarray, slope: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Pieces of each number of sequences, without those that only go on with the one before.

    That is where the same resource binds and slopes differ by less than 0.01%.
    """
    like = np.abs(slope[:, 1:] - slope[:, :-1]) <= 1e-4 * np.maximum(slope[:, 1:], slope[:, :-1])
    like &= kind[:, 1:] == kind[:, :-1]
    starts = np.concatenate([np.ones((len(bound), 1), bool), ~like], axis=1)
    place = np.cumsum(starts, axis=1) - 1
    most = int(place.max()) + 1
    rows = np.arange(len(bound))[:, None]
    ends = np.full((len(bound), most), FAR)
    ends[rows, place] = bound  # of several the last is kept, which ends last
    out = [np.zeros((len(bound), most), np.int64) for _ in range(3)]
    for table, values in zip(out, (base, slope, kind), strict=True):
        table[np.broadcast_to(rows, place.shape)[starts], place[starts]] = values[starts]
    return np.ascontiguousarray(np.stack([ends, *out], axis=-1))


def affine(
    *,
    step: float = 0.0,
    token: float = 0.0,
    sequence: float = 0.0,
    context: float = 0.0,
    pair: float = 0.0,
    most_tokens: int = 8192,
    most_sequences: int = 1024,
) -> StepLaw:
    """A law with five constants: seconds per step, token, sequence, cached token of a decode, and pair of a chunk.

    Raises
    ------
    InputError
        For a negative or infinite constant, or a law under which a step takes no time.
    """
    for name, value in (("step", step), ("token", token), ("sequence", sequence), ("context", context), ("pair", pair)):
        if not 0 <= value < 1e6:
            raise InputError(f"{name} = {value}", "seconds, from 0")
    if not step + token + sequence:
        raise InputError("step = token = sequence = 0", "a step that takes time")
    tokens = np.arange(most_tokens + 1.0) * token
    tokens[1:] += step
    sequences = np.arange(most_sequences + 1.0) * sequence
    n = np.minimum(np.arange(most_sequences + 1), most_tokens)
    contexts = np.array([0.0, 1e6])
    read = context * contexts[None, :] * np.arange(most_sequences + 1.0)[:, None]
    decode = (tokens[n] + sequences)[:, None] + read
    new, past = np.array([0.0, 1e7]), np.array([0.0, 1e7])
    chunk = pair * (past[None, :] + (new[:, None] + 1.0) / 2.0)
    return quantised(
        tokens=tokens, sequences=sequences, contexts=contexts, decode=decode, new=new, past=past, chunk=chunk
    )
