"""Replicas of every layout at every batch of a fine grid: what each gives and takes, evaluated as arrays.

Batches run up to what memory holds, four to an octave, and the largest that fits. That this grid misses no best plan is
proven, not hoped: every part of a decode step's time t(b) is built from constants, b, max(1, b/n) and n (1 - (1 - q)^b)
by sums, maxima, minima and positive factors. Each of these grows with b while t(b) / b falls, and the two properties
survive those operations. Hence with the batch

    TPOT, TTFT and E2E do not fall,   chip-seconds per request (a constant plus t(b) / b) do not rise

so that the cheapest batch of a layout within limits is its largest feasible one, the fastest its smallest. Where limits
bind between two grid points the largest is found by bisection; only for layouts whose infeasible grid point, which is
no dearer than any batch below it, could still be among the best. Knows no pair of pools.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ridgeline.layout import Layout
from ridgeline.planner.limits import Limits
from ridgeline.planner.space import layouts, take
from ridgeline.roofline import Time
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator
from ridgeline.subject import Subject
from ridgeline.timing import Step

BLOCK = 8192
"""Points evaluated together: enough to amortise Python, few enough to stay in cache."""
PER_OCTAVE = 4
CHUNKS = (2048, 4096, 8192, 16384)
"""Prompt tokens per rank and step that a plan tries."""
DECODE_CHUNK = 1024
"""Tokens per rank in the largest step of a replica that only decodes."""


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """Layouts of one subject and how many sequences each holds under each chunk; rows of decode steps already timed."""

    scenario: Scenario
    found: Subject
    space: Layout
    chunks: tuple[int, ...]
    most: np.ndarray
    """Sequences that memory holds, by chunk and layout; below 1 where not even one fits."""
    index: np.ndarray
    """Row of `space` of each timed decode step, ascending; with `batch` also ascending."""
    batch: np.ndarray
    seconds: np.ndarray
    spread: tuple[float, float]
    """ln(measured / estimate) of decode steps, below and above which a tenth lie."""

    def evaluator(self, chunk: int) -> Evaluator:
        """Laws of these replicas with prefill steps of a chunk."""
        return Evaluator(msgspec.structs.replace(self.scenario, chunk=chunk), self.found)

    def decode(self, index: np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Seconds of decode steps."""
        return decode_seconds(self.evaluator(self.chunks[0]), self.space, index, batch)


def replicas(
    scenario: Scenario, found: Subject, chunks: tuple[int, ...], only: Callable[[Layout], np.ndarray] | None = None
) -> Replicas:
    """Layouts of a subject, all or `only` some, with the batches that fit under the roomiest chunk, decode timed."""
    space = layouts(found.model, found.chips, skew=scenario.skew)
    space = take(space, np.flatnonzero(only(space))) if only else space
    space = take(space, np.flatnonzero(found.system.reaches(space.chips)))
    most = np.stack([_most(_evaluator(scenario, found, chunk), space) for chunk in chunks])
    fits = np.flatnonzero((most >= 1).any(axis=0))
    space, most = take(space, fits), most[:, fits]
    index, batch = grid(most)
    evaluate = _evaluator(scenario, found, chunks[0])
    seconds, spread = np.empty(0), (0.0, 0.0)
    if len(index):
        seconds = decode_seconds(evaluate, space, index, batch)
        one = take(space, np.zeros(1, dtype=np.int64))
        estimate = evaluate.estimate(evaluate.decode(one, np.ones(1)), one)
        spread = (estimate.log_low, estimate.log_high)
    return Replicas(
        scenario=scenario,
        found=found,
        space=space,
        chunks=chunks,
        most=most,
        index=index,
        batch=batch,
        seconds=seconds,
        spread=spread,
    )


def _evaluator(scenario: Scenario, found: Subject, chunk: int) -> Evaluator:
    return Evaluator(msgspec.structs.replace(scenario, chunk=chunk), found)


def _most(evaluate: Evaluator, space: Layout) -> np.ndarray:
    """Sequences that a replica of each layout holds; one alone must fit at the end of its life."""
    one = evaluate.memory(space, np.ones(len(space.tp)))
    most = evaluate.memory(space, np.full(len(space.tp), 1e9)).most_sequences * space.dp * (one.most_sequences >= 1)
    return np.where(evaluate.memory(space, most).fits, most, most - space.dp)


def grid(most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Layouts with batches 1 .. most, PER_OCTAVE to an octave, and `most` of each chunk itself."""
    room = most.max(axis=0, initial=0)
    if not len(room):
        return np.empty(0, dtype=np.int64), np.empty(0)
    octaves = int(np.ceil(np.log2(max(room.max(), 1))))
    steps = np.unique(np.round(2.0 ** (np.arange(octaves * PER_OCTAVE + 1) / PER_OCTAVE)))
    row, column = np.nonzero(steps[None, :] < room[:, None])
    some, layout = np.nonzero(most >= 1)
    return merged(np.concatenate([row, layout]), np.concatenate([steps[column], most[some, layout]]))


def merged(index: np.ndarray, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct pairs, sorted by layout and batch (whole numbers below 2^31)."""
    both = np.sort((index.astype(np.int64) << 32) | batch.astype(np.int64))
    both = both[np.diff(both, prepend=-1) != 0]
    return both >> 32, (both & 0xFFFFFFFF).astype(float)


def decode_seconds(evaluate: Evaluator, space: Layout, index: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Estimated seconds of decode steps, BLOCK at a time."""

    def run(part: slice) -> np.ndarray:
        layout, size = take(space, index[part]), batch[part]
        return evaluate.estimate(evaluate.decode(layout, size), layout).seconds

    return blockwise(run, len(index))


def prefill_seconds(evaluate: Evaluator, space: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Estimated seconds of a full prefill step of each layout, and of one prompt alone, all its pieces."""

    def run(of: Callable[[Layout], tuple[Step, np.ndarray | float]]) -> np.ndarray:
        def times(part: slice) -> np.ndarray:
            layout = take(space, np.arange(part.start, part.stop))
            made, often = of(layout)
            return evaluate.estimate(made, layout).seconds * often

        return blockwise(times, len(space.tp))

    return run(lambda layout: (evaluate.prefill(layout), 1.0)), run(evaluate.alone)


def blockwise(run: Callable[[slice], np.ndarray], n: int) -> np.ndarray:
    """`run` of slices of BLOCK of n rows, joined."""
    out = np.empty(n)
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        out[part] = run(part)
    return out


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Aggregated replicas as columns: rows of layouts with a batch and a chunk."""

    index: np.ndarray
    batch: np.ndarray
    chunk: np.ndarray
    tpot: np.ndarray
    ttft: np.ndarray
    e2e: np.ndarray
    chip_seconds: np.ndarray


def aggregated(found: Replicas, limits: Limits, top: int) -> list[Served]:
    """Every layout, batch and chunk of replicas that do both phases; and the largest batches within the limits."""
    tables: list[Served] = []
    for number, chunk in enumerate(found.chunks):
        evaluate = found.evaluator(chunk)
        prefill = alone = np.zeros(len(found.space.tp))
        if not evaluate.decode_only:
            prefill, alone = prefill_seconds(evaluate, found.space)

        def serve(
            index: np.ndarray, batch: np.ndarray, decode: np.ndarray,
            evaluate: Evaluator = evaluate, prefill: np.ndarray = prefill, alone: np.ndarray = alone,
            chunk: int = chunk,
        ) -> Served:  # fmt: skip
            s = evaluate.scenario
            out = evaluate.expect(
                take(found.space, index), batch, Time(overhead=decode), Time(overhead=prefill[index]),
                Time(overhead=alone[index]),
            )  # fmt: skip
            e2e = out.ttft + max(s.osl - 1, 1) * out.tpot
            return Served(
                index=index, batch=batch, chunk=np.full(len(index), chunk), tpot=out.tpot, ttft=out.ttft, e2e=e2e,
                chip_seconds=out.chip_seconds,
            )  # fmt: skip

        rows = np.flatnonzero(found.batch <= found.most[number][found.index])
        table = serve(found.index[rows], found.batch[rows], found.seconds[rows])
        tables.append(table)
        if limits.given:
            edge = _edges(found, table, limits, serve, tables, top)
            if len(edge.index):
                tables.append(edge)
    return tables


def _edges(
    found: Replicas,
    table: Served,
    limits: Limits,
    serve: Callable[[np.ndarray, np.ndarray, np.ndarray], Served],
    tables: list[Served],
    top: int,
) -> Served:
    """The largest feasible batch of every layout that may be among the best, where it lies between two grid points.

    A layout's first infeasible grid point costs no more than any smaller batch. If that is more than the `top`-th best
    layout is known to cost, no batch of this layout is among the best.
    """
    keeps = limits.keeps(table.tpot, table.ttft, table.e2e)
    count = len(found.space.tp)
    good = np.bincount(table.index[keeps], minlength=count)
    first = np.searchsorted(table.index, np.arange(count))
    after = first + good
    edge = np.flatnonzero((good >= 1) & (after < np.append(first[1:], len(table.index))))
    known = np.full(count, np.inf)
    for each in tables:
        kept = limits.keeps(each.tpot, each.ttft, each.e2e)
        np.minimum.at(known, each.index[kept], each.chip_seconds[kept])
    reach = np.sort(known)[min(top, count) - 1] * 1.02
    edge = edge[table.chip_seconds[after[edge]] <= reach]
    low, high = table.batch[after[edge] - 1], table.batch[after[edge]] - 1
    for _ in range(int(np.ceil(np.log2((high - low).max(initial=0) + 1)))):
        middle = np.ceil((low + high) / 2)
        now = serve(edge, middle, found.decode(edge, middle))
        ok = limits.keeps(now.tpot, now.ttft, now.e2e)
        low, high = np.where(ok, middle, low), np.where(ok, high, np.maximum(middle - 1, low))
    return serve(edge, low, found.decode(edge, low))
