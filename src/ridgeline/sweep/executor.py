"""Who computes the chunks of a sweep: this process, a pool of processes, or Ray. All write the same files.

A worker of the pool is a process that reads numbers of chunks and answers with numbers of rows; everything else it
needs is in the folder. One that dies costs its chunk, which another gets; one whose parent dies ends after its chunk.
On Ray the chunks come back as bytes, so that nodes need no common folder; the same Ridgeline must be on each.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

import msgspec

from ridgeline.errors import InputError
from ridgeline.sweep.grid import Grid
from ridgeline.sweep.store import FullError, compute

DEATHS = 3
"""Workers that one chunk may cost before it is given up."""

Worker = subprocess.Popen[bytes]
Finished = Iterator[tuple[int, int]]
"""Chunks with their rows, in the order in which they are finished."""
Executor = Callable[[Grid, str, Iterable[int]], Finished]
"""Given a grid, its folder and the chunks to compute."""


def serial(grid: Grid, path: str, chunks: Iterable[int]) -> Finished:
    """Compute the chunks in this process."""
    for chunk in chunks:
        yield chunk, compute(grid, path, chunk)


class Reply(msgspec.Struct, frozen=True):
    """What a worker says of a chunk: its rows, or what went wrong."""

    chunk: int
    rows: int = 0
    error: str = ""
    input: tuple[str, str, str] | None = None
    """Parts of an InputError."""
    full: bool = False
    """Whether it is a FullError."""


def pool(workers: int) -> Executor:
    """Compute the chunks in `workers` processes.

    Raises
    ------
    InputError
        When a chunk has cost DEATHS workers, or could not be written.
    """

    def execute(grid: Grid, path: str, chunks: Iterable[int]) -> Finished:
        waiting, deaths = deque(chunks), dict[int, int]()
        with selectors.DefaultSelector() as ready, ExitStack() as everyone:
            idle = [everyone.enter_context(_worker(path)) for _ in range(min(workers, len(waiting)))]
            busy: dict[Worker, int] = {}
            while waiting or busy:
                while idle and waiting:
                    worker = idle.pop()
                    busy[worker] = waiting.popleft()
                    ready.register(_ask(worker, busy[worker]), selectors.EVENT_READ, worker)
                for key, _ in ready.select():
                    ready.unregister(key.fileobj)
                    chunk = busy.pop(key.data)
                    if reply := _reply(key.data):
                        idle.append(key.data)
                        yield reply.chunk, reply.rows
                        continue
                    deaths[chunk] = deaths.get(chunk, 0) + 1
                    if deaths[chunk] == DEATHS:
                        raise _given_up(chunk, key.data.wait())
                    waiting.append(chunk)
                    idle.append(everyone.enter_context(_worker(path)))

    return execute


@contextmanager
def _worker(path: str) -> Iterator[Worker]:
    """A worker, ended with the block."""
    command = [sys.executable, "-m", "ridgeline.sweep.worker", path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def _ask(worker: Worker, chunk: int) -> IO[bytes]:
    """Give a worker a chunk; where its answer will come."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):  # it has died: the end of the other pipe says so
        worker.stdin.write(b"%d\n" % chunk)
    return worker.stdout


def _reply(worker: Worker) -> Reply | None:
    """What a worker says; None if it has died."""
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line.endswith(b"\n"):
        return None
    reply = msgspec.json.decode(line, type=Reply)
    if reply.input:
        raise (FullError if reply.full else InputError)(*reply.input)
    if reply.error:
        raise RuntimeError(f"chunk {reply.chunk}: {reply.error}")
    return reply


def _given_up(chunk: int, code: int) -> InputError:
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return InputError(
        "--executor pool",
        f"chunk {chunk} ended its worker {DEATHS} times ({how})",
        "most likely memory: fewer --workers, or a smaller `file_points` in the grid",
    )


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
