"""A large sweep from its grid to its folder: what is finished stays, the rest is computed, on whatever executor.

Knows neither how a chunk is computed nor by whom.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from ridgeline.errors import InputError
from ridgeline.sweep.block import check
from ridgeline.sweep.executor import Executor
from ridgeline.sweep.grid import Grid
from ridgeline.sweep.store import FullError, opened


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a sweep is: points of the grid, filtered ones included, and chunks."""

    points: int
    """Points done, in this run or before it."""
    total: int
    chunks: int
    """Chunks done."""
    all_chunks: int
    found: int
    """Chunks that were finished when the run began."""
    rate: float
    """Points per second of this run; 0 before its first chunk."""

    @property
    def left(self) -> float | None:
        """Seconds left at this rate; None if nothing is known yet."""
        return (self.total - self.points) / self.rate if self.rate else None


def run(grid: Grid, path: str, executor: Executor, progress: Callable[[Progress], None] = lambda _: None) -> Progress:
    """Compute the chunks of a grid that its folder lacks.

    Raises
    ------
    InputError
        As `block.check` and `store.opened`; for a disk that is full: what was finished stays, and the same command goes
        on from there.
    """
    check(grid)
    with opened(path, grid) as found:
        missing = [chunk for chunk in range(grid.chunks) if chunk not in found]
        size = {chunk: grid.size(chunk) for chunk in range(grid.chunks)}
        now = Progress(
            points=sum(size[chunk] for chunk in found),
            total=grid.points,
            chunks=len(found),
            all_chunks=grid.chunks,
            found=len(found),
            rate=0.0,
        )
        progress(now)
        began, before = time.perf_counter(), now.points
        try:
            for chunk, _ in executor(grid, path, missing) if missing else ():
                points = now.points + size[chunk]
                rate = (points - before) / (time.perf_counter() - began)
                now = msgspec.structs.replace(now, points=points, chunks=now.chunks + 1, rate=rate)
                progress(now)
        except FullError as error:
            kept = f"{now.chunks:,} of {now.all_chunks:,} chunks are finished and readable"
            raise InputError(error.given, error.expected, f"{kept}; the same command goes on from there") from None
        return now
