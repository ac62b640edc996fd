"""How far a large sweep is, on standard error: a line that renews itself on a terminal, else one every half minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ridgeline.cli.table import counted, shown
from ridgeline.sweep import Progress

SELDOM = 30.0
"""Seconds between lines where nothing can be renewed."""


@contextmanager
def shown_progress() -> Iterator[Callable[[Progress], None]]:
    """A function that shows each state it is given."""
    live, last = sys.stderr.isatty(), time.monotonic()

    def show(now: Progress) -> None:
        nonlocal last
        if live:
            print(f"\r\033[K{line(now)}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > SELDOM:
            last = time.monotonic()
            print(line(now), file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def line(now: Progress) -> str:
    """Points done, their rate, and the time left."""
    share = f"{now.points:,} of {counted(now.total, 'point')} ({now.points / now.total:.0%})"
    if now.left is None:
        return share
    return f"{share}, {now.rate / 1e6:.3g} million/s, {shown(now.left, 's', 2)} left"


def told(now: Progress, output: str, *, filtered: bool) -> str:
    """What was done, and what had been before."""
    points = counted(now.total, "point") + " before filters" * filtered
    files = counted(now.all_chunks, "file")
    before = f" ({now.found:,} of them from an earlier run)" if now.found else ""
    return f"{points} in {files}{before} in {output}"
