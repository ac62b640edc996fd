"""Slow questions run in processes of their own, which are ended when time is up or nobody waits any longer.

A worker reads one question per line of standard input and writes one answer per line: `document {...}`, `error {...}`
or `mistake KIND`. It is started when first needed and answers many questions, so that what it has imported and compiled
is kept. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from asyncio.subprocess import PIPE, Process
from typing import Any

import msgspec
from cyclopts import CycloptsError

from ridgeline.errors import InputError

LIMIT = 64 * 1024 * 1024
"""Bytes of an answer."""
MEMORY = 6 * 1024**3
"""Bytes of addresses of a worker: a question that needs more is refused, not the machine filled."""

_CLOSING = 5.0
"""Seconds for a worker to end."""


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

    async def answer(self, command: str, texts: dict[str, list[str]]) -> bytes:
        """The document of a question as JSON.

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
            return await self._ask(msgspec.json.encode({"command": command, "texts": texts}))
        finally:
            self._places.release()

    async def _ask(self, question: bytes) -> bytes:
        try:
            async with asyncio.timeout(self.seconds):
                line = await self._line(question)
        except TimeoutError:
            raise OvertimeError from None
        head, _, body = line.partition(b" ")
        if head == b"mistake":
            raise MistakeError(body.strip().decode())
        if head == b"error":
            raise RefusedError(msgspec.json.decode(body))
        return body

    async def _line(self, question: bytes) -> bytes:
        """What a worker answers; one that has died meanwhile is replaced, once if it dies of the question."""
        while self._free:
            worker = self._free.pop()
            if worker.returncode is None and (line := await self._exchanged(worker, question)):
                return line
        line = await self._exchanged(await self._started(), question)
        if not line:
            raise RefusedError(
                {"given": "this question", "expected": "one that needs less memory", "fix": "ask for less"}
            )
        return line

    async def _exchanged(self, worker: Process, question: bytes) -> bytes:
        """One question and its answer; empty if the worker ended. A worker that is not done with it is ended."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        done = False
        try:
            worker.stdin.write(question + b"\n")
            await worker.stdin.drain()
            line = await worker.stdout.readline()
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


def main() -> None:
    """Answer questions until standard input ends."""
    from ridgeline.web.question import answer

    _limited()
    for line in sys.stdin.buffer:
        question = msgspec.json.decode(line)
        try:
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
