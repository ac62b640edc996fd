"""A worker of a pool: `python -m ridgeline.sweep.worker FOLDER` computes the chunks whose numbers it reads.

One line in, one line of JSON out (`executor.Reply`). Ends when nobody is left to ask. Knows nothing of other workers.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import msgspec

from ridgeline.errors import InputError
from ridgeline.sweep.executor import Reply
from ridgeline.sweep.grid import load
from ridgeline.sweep.store import GRID, FullError, compute


def main() -> None:
    """Reply until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    path = sys.argv[1]
    grid = load(str(Path(path) / GRID))
    for line in sys.stdin.buffer:
        chunk = int(line)
        try:
            reply = Reply(chunk, rows=compute(grid, path, chunk))
        except InputError as error:
            parts = (error.given, error.expected, error.fix)
            reply = Reply(chunk, input=parts, full=isinstance(error, FullError))
        except Exception as error:
            reply = Reply(chunk, error=f"{type(error).__name__}: {error}")
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
