"""Slow questions run in processes of their own, which are ended when time is up or nobody waits any longer.

A worker reads one question per line of standard input and writes one answer per line: `document {...}`, `error {...}`
or `mistake KIND`; before it, for who watches, any number of `progress {"share": ..., "sofar": {...}}`. It is started
when first needed and answers many questions, so that what it has imported and compiled is kept. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import msgspec
from cyclopts import CycloptsError

from ridgeline.cli.watch import WATCHER
from ridgeline.errors import InputError

LIMIT = 64 * 1024 * 1024
"""Bytes of an answer."""
MEMORY = 6 * 1024**3
"""Bytes of addresses of a worker: a question that needs more is refused, not the machine filled."""

SELDOM = 0.1
"""Seconds between two lines of progress at least."""
_PART = 10.0
"""Times that a line of progress may have cost since the one before: watching slows an answer by a tenth at most."""
_CLOSING = 5.0
"""Seconds for a worker to end."""
_PROGRESS = b"progress "


class BusyError(RuntimeError):
    """All workers are taken, and others wait already."""


class OvertimeError(RuntimeError):
    """A question took longer than it may."""


class MistakeError(RuntimeError):
    """A mistake of ours, by its kind; its traceback is on standard error."""


class RefusedError(RuntimeError):
    """What a command refused: its parts as `InputError` has them."""

    def __init__(self, parts: dict[str, str]) -> None:
        self.parts = parts
        super().__init__(parts.get("given", ""))


class Workers:
    """At most `count` processes; at most `queue` questions wait for one."""

    def __init__(self, count: int = 2, queue: int = 8, seconds: float = 30.0) -> None:
        self.seconds = seconds
        self._free: list[Process] = []
        self._all: list[Process] = []
        self._places = asyncio.Semaphore(count)
        self._waiting, self._queue = 0, queue

    @property
    def processes(self) -> list[int]:
        """Those that run, by number."""
        return [worker.pid for worker in self._all if worker.returncode is None]

    async def answer(
        self, command: str, texts: dict[str, list[str]], told: Callable[[bytes], None] | None = None
    ) -> bytes:
        """The document of a question as JSON; `told` is given each line of progress as JSON.

        Raises
        ------
        BusyError, OvertimeError, MistakeError
            If no worker is free soon, the answer takes too long, or it fails.
        RefusedError
            For what the command refuses.
        """
        if self._waiting >= self._queue:
            raise BusyError
        self._waiting += 1
        try:  # asyncio.wait_for may swallow a cancellation, and the question would be answered for nobody
            async with asyncio.timeout(self.seconds):
                await self._places.acquire()
        except TimeoutError:
            raise BusyError from None
        finally:
            self._waiting -= 1
        try:
            asked = {"command": command, "texts": texts, "watched": told is not None}
            return await self._ask(msgspec.json.encode(asked), told or (lambda _: None))
        finally:
            self._places.release()

    async def _ask(self, question: bytes, told: Callable[[bytes], None]) -> bytes:
        try:
            async with asyncio.timeout(self.seconds):
                line = await self._line(question, told)
        except TimeoutError:
            raise OvertimeError from None
        head, _, body = line.partition(b" ")
        if head == b"mistake":
            raise MistakeError(body.strip().decode())
        if head == b"error":
            raise RefusedError(msgspec.json.decode(body))
        return body

    async def _line(self, question: bytes, told: Callable[[bytes], None]) -> bytes:
        """What a worker answers; one that has died meanwhile is replaced, once if it dies of the question."""
        while self._free:
            worker = self._free.pop()
            if worker.returncode is None and (line := await self._exchanged(worker, question, told)):
                return line
        line = await self._exchanged(await self._started(), question, told)
        if not line:
            raise RefusedError(
                {"given": "this question", "expected": "one that needs less memory", "fix": "ask for less"}
            )
        return line

    async def _exchanged(self, worker: Process, question: bytes, told: Callable[[bytes], None]) -> bytes:
        """One question and its answer; empty if the worker ended. A worker that is not done with it is ended."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        done = False
        try:
            worker.stdin.write(question + b"\n")
            await worker.stdin.drain()
            while (line := await worker.stdout.readline()).startswith(_PROGRESS):
                told(line[len(_PROGRESS) : -1])
            done = line.endswith(b"\n")
        except (ConnectionError, ValueError):  # it ended, or answers more than LIMIT
            line = b""
        finally:
            if done:
                self._free.append(worker)
            elif worker.returncode is None:
                worker.kill()
        return line if done else b""

    async def _started(self) -> Process:
        self._all = [worker for worker in self._all if worker.returncode is None]
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ridgeline.web.worker", stdin=PIPE, stdout=PIPE, limit=LIMIT
        )
        self._all.append(worker)
        return worker

    async def close(self) -> None:
        """End all workers."""
        for worker in self._all:
            if worker.returncode is None:
                worker.kill()
            if worker.stdin is not None:
                worker.stdin.close()
        for worker in self._all:  # Python waits for the pipes too, which a child of the worker may hold open
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.wait(), _CLOSING)
        self._free, self._all = [], []


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    return value.tolist()


def _limited() -> None:
    """Limit this process's memory where the system can."""
    try:
        from resource import RLIMIT_AS, setrlimit
    except ImportError:  # not on Windows
        return
    setrlimit(RLIMIT_AS, (MEMORY, MEMORY))


def _error(given: str, expected: str, fix: str) -> bytes:
    return b"error " + msgspec.json.encode({"given": given, "expected": expected, "fix": fix})


class _Told:
    """Writes how far an answer is, and what is known by then; not more often than is worth it."""

    def __init__(self) -> None:
        self.next = 0.0

    def __call__(self, share: float, sofar: Callable[[], dict[str, Any]]) -> None:
        begin = time.monotonic()
        if begin < self.next:
            return
        out = msgspec.json.encode({"share": share, "sofar": sofar()}, enc_hook=plain)
        sys.stdout.buffer.write(_PROGRESS + out + b"\n")
        sys.stdout.buffer.flush()
        end = time.monotonic()
        self.next = end + max(SELDOM, _PART * (end - begin))


def main() -> None:
    """Answer questions until standard input ends."""
    from ridgeline.web.question import answer

    _limited()
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line)
        try:
            WATCHER.set(_Told() if question["watched"] else None)
            document = answer(question["command"], question["texts"])
            out = b"document " + msgspec.json.encode(document, enc_hook=plain)
        except InputError as error:
            out = _error(error.given, error.expected, error.fix)
        except CycloptsError as error:
            error.verbose = False
            out = _error(" ".join(str(error).split()), "another value", "")
        except MemoryError:
            out = _error("this question", "one that needs less memory", "ask for less")
        except Exception as error:
            traceback.print_exc()
            out = f"mistake {type(error).__name__}".encode()
        sys.stdout.buffer.write(out + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
