"""Rows of a trace file, read in pieces of bounded size: CSV a column at a time, JSON lines one by one.

A piece is some megabytes of text; what is kept of it are arrays. Line numbers count from 1, as editors do. A last line
that is cut off is counted and left out, by rule: a line without an end that cannot be read. Whatever else cannot be
read is refused with its line. Knows nothing of order, zeros or windows.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ridgeline.errors import InputError
from ridgeline.workload.formats import Columns, columns
from ridgeline.workload.jsonl import jsonl, keys
from ridgeline.workload.piece import Rows
from ridgeline.workload.separated import header, separated

PIECE = 2 << 20
"""Bytes read at once."""
LONGEST = 128 << 20
"""Bytes of a line beyond which a file is no trace."""


def rows(path: str | Path, name: str = "") -> Iterator[Rows]:
    """Pieces of a file, in order; `name` is its format if not told by its columns. Read as it is iterated.

    Raises
    ------
    InputError
        For a file that cannot be read, is empty, or has a line that cannot be read.
    """
    try:
        with _open(Path(path)) as file:
            yield from _rows(file, name, str(path))
    except (OSError, EOFError) as error:
        raise InputError(str(path), f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def _open(path: Path) -> gzip.GzipFile | IO[bytes]:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _rows(file: gzip.GzipFile | IO[bytes], name: str, origin: str) -> Iterator[Rows]:
    piece = file.read(PIECE).removeprefix(b"\xef\xbb\xbf")
    if not piece.strip():
        raise InputError(origin, "requests, not an empty file")
    lines = piece.lstrip()[:1] in b"{["
    sessions: dict[bytes, int] = {}
    found: Columns | None = None
    line = 1
    while piece:
        more = file.read(PIECE)
        whole = piece.rfind(b"\n") + 1 if more else len(piece)
        if not whole:
            if len(piece) > LONGEST:
                raise InputError(f"{origin}: line {line:,}", "a line of a trace, not one of over 128 MB")
            piece += more
            continue
        text, piece = piece[:whole], piece[whole:] + more
        if found is None:
            head = text.partition(b"\n")[0]
            names = keys(text, origin) if lines else header(head, origin)
            found = columns(names, lines=lines, name=name, origin=origin)
            if not lines:
                text, line = text[len(head) + 1 :], 2
        made = (jsonl if lines else separated)(text, found, line, origin, sessions)
        line += text.count(b"\n")
        if len(made.line) or made.cut:
            yield made
