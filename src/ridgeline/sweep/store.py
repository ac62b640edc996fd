"""The folder of a large sweep: `grid.toml` says what was asked, and each finished chunk is one Parquet file.

A file is written beside its place and moved into it, so that a chunk is there in full or not at all, whatever kills the
process; finished chunks stay readable. Numbers are 32-bit floats (seven digits; the error of an estimate is in the
second), axes are exact, names are text; what a refused point lacks is null. Files are a function of the grid and of
Ridgeline's code and data, whose digest `laws` stands in `grid.toml`, byte for byte. Knows no executor.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.layout import Layout
from ridgeline.roofline import TERMS
from ridgeline.scenario import units
from ridgeline.subject import subject
from ridgeline.sweep.block import KEPT, evaluate
from ridgeline.sweep.grid import ARRAYS, Grid, load

GRID = "grid.toml"
_MAGIC = b"PAR1"
_PACKING = "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 122880"


class FullError(InputError):
    """A chunk that could not be written."""


def duckdb(what: str) -> Any:
    """The library that reads and writes Parquet; InputError naming `what` needs it."""
    try:
        import duckdb
    except ImportError:
        raise InputError(what, "needs DuckDB", "pip install 'ridgeline[store]'") from None
    return duckdb


@contextmanager
def opened(path: str, grid: Grid) -> Iterator[set[int]]:
    """Make or resume the folder of a grid, alone; gives the chunks that are finished.

    Raises
    ------
    InputError
        For a folder that cannot be written to, that has other files but no grid, that holds another grid or one
        computed by other laws, or in which another sweep is running.
    """
    duckdb(f"-o {path}")
    folder, mine = Path(path), _manifest(grid)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / GRID).exists():
            if others := [each.name for each in folder.iterdir()]:
                raise InputError(f"-o {path}", f"holds {others[0]!r} and no {GRID}", "a new or empty folder")
            draft = folder / f".{GRID}.{os.getpid()}"
            draft.write_text(mine, encoding="utf-8")
            draft.replace(folder / GRID)
        with (folder / GRID).open(encoding="utf-8") as file, _alone(file, path):
            if (theirs := file.read()) != mine:
                raise _other(path, theirs, grid, mine)
            _sweep_up(folder)
            try:
                yield finished(path)
            finally:
                _sweep_up(folder)
    except OSError as error:
        raise InputError(f"-o {path}", f"cannot be written ({error.strerror})") from None


def _sweep_up(folder: Path) -> None:
    """Remove what killed workers left."""
    for scrap in folder.glob(".*.part"):
        scrap.unlink(missing_ok=True)


def finished(path: str) -> set[int]:
    """Numbers of the chunks that are there in full."""
    return {int(file.stem) for file in Path(path).glob("*.parquet") if file.stem.isdigit() and _whole(file)}


def compute(grid: Grid, path: str, chunk: int) -> int:
    """Evaluate a chunk and write its file; the number of rows.

    Raises
    ------
    FullError
        If the file cannot be written; nothing of it is left then.
    """
    draft = Path(path) / f".{chunk:06}.{os.getpid()}.part"
    try:
        rows = pack(grid, chunk, draft)
        draft.replace(_place(path, chunk))
    except OSError as error:
        raise _full(path, error.strerror or str(error)) from None
    finally:
        draft.unlink(missing_ok=True)
    return rows


def put(path: str, chunk: int, content: bytes) -> None:
    """Write the file of a chunk that was computed elsewhere; errors as `compute`."""
    draft = Path(path) / f".{chunk:06}.{os.getpid()}.part"
    try:
        draft.write_bytes(content)
        draft.replace(_place(path, chunk))
    except OSError as error:
        raise _full(path, error.strerror or str(error)) from None
    finally:
        draft.unlink(missing_ok=True)


def pack(grid: Grid, chunk: int, file: Path) -> int:
    """Evaluate a chunk into a Parquet file of its own; the number of rows. OSError if it cannot be written."""
    wanted = grid.columns or KEPT
    blocks = [evaluate(grid, tile, wanted, np.float32) for tile in grid.tiles(chunk)]
    columns = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    database = duckdb("a large sweep")
    source: dict[str, np.ndarray] = {}
    parts = [_part(i, name, values, source) for i, (name, values) in enumerate(columns.items())]
    with database.connect() as connection:
        connection.execute("SET threads = 1")
        try:
            connection.execute(f"COPY (SELECT {', '.join(parts)} FROM source) TO '{_literal(str(file))}' ({_PACKING})")
        except database.IOException as error:
            raise OSError(None, str(error).rpartition(":")[2].strip() or "input/output error") from None
    return len(next(iter(columns.values())))


class Answer(msgspec.Struct, frozen=True):
    """Answer of a query, and how much of the sweep it rests on."""

    names: list[str]
    rows: list[tuple[Any, ...]]
    finished: int
    chunks: int


def answered(path: str, sql: str) -> Answer:
    """Rows of an SQL statement on the finished points of a folder, which are the table `sweep`.

    Raises
    ------
    InputError
        For a folder without a grid or without a finished chunk, and for SQL that cannot be run.
    """
    database = duckdb("ridgeline query")
    if not (Path(path) / GRID).is_file():
        raise InputError(
            f"{path!r:.200}", f"no folder of a sweep: it has no {GRID}", "ridgeline sweep GRID.toml -o FOLDER"
        )
    done = sorted(finished(path))
    if not done:
        raise InputError(f"{path!r:.200}", "has no finished chunk yet")
    files = ", ".join(f"'{_literal(str(_place(path, chunk)))}'" for chunk in done)
    with database.connect() as connection:
        connection.execute(f"CREATE VIEW sweep AS SELECT * FROM read_parquet([{files}])")
        try:
            found = connection.execute(sql)
            names = [column[0] for column in found.description or ()]
            rows = found.fetchall() if names else []
        except database.Error as error:
            raise InputError(f"SQL {sql!r:.80}", str(error).partition("\n\n")[0]) from None
    return Answer(names, rows, len(done), load(str(Path(path) / GRID)).chunks)


@lru_cache(maxsize=1)
def _code() -> str:
    """Digest of Ridgeline's code and data; its faces do not change a number."""
    home, digest = Path(__file__).parents[1], sha256()
    for file in sorted(home.rglob("*")):
        inside = file.relative_to(home)
        if file.suffix in (".py", ".toml", ".json") and inside.parts[0] not in ("cli", "web"):
            digest.update(inside.as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def laws(grid: Grid) -> str:
    """Digest of the code, and of the models and systems that the grid names, built-in or the user's own."""
    digest = sha256(_code().encode())
    named = {(s.model, s.system, s.catalog, s.weights, s.kv, s.activations): s for s in grid.scenarios()}
    for scenario in named.values():
        found = subject(msgspec.structs.replace(scenario, **msgspec.structs.asdict(Layout())))
        digest.update(msgspec.json.encode((found.model, found.system, found.precision)))
    return digest.hexdigest()[:16]


def _manifest(grid: Grid) -> str:
    return f'laws = "{laws(grid)}"\n{grid.to_toml()}'


def _other(path: str, theirs: str, grid: Grid, mine: str) -> InputError:
    """The error for a folder of another grid: both, and where they differ."""
    old, new = tomllib.loads(theirs), tomllib.loads(mine)
    flat = [{**{k: v for k, v in each.items() if k != "axes"}, **each["axes"]} for each in (old, new)]
    keys = [key for key in dict.fromkeys((*flat[0], *flat[1])) if flat[0].get(key) != flat[1].get(key)]
    if keys == ["laws"]:
        return InputError(
            f"-o {path}", "the same grid, computed by another version of Ridgeline's laws or data", "another folder"
        )
    told = ", ".join(key for key in keys if key != "laws") or "the order of the axes"
    return InputError(
        f"-o {path}",
        f"holds another grid: {load(str(Path(path) / GRID))}; asked: {grid}; they differ in {told}",
        "another folder",
    )


@contextmanager
def _alone(file: Any, path: str) -> Iterator[None]:
    """Hold the lock of a folder, where the system has locks."""
    try:
        import fcntl
    except ImportError:  # Windows: two sweeps of one folder repeat work, and end with the same files
        yield
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"-o {path}", "another sweep is writing there", "wait for it, or another folder") from None
    yield


def _part(number: int, name: str, values: np.ndarray, source: dict[str, np.ndarray]) -> str:
    """SQL of one column; its array goes into `source`. Text is written as numbers into a list of it."""
    key, quoted = f"c{number}", f'"{name}"'
    if name == "binding":
        source[key] = values
        return f"{[*TERMS]}[{key} + 1] AS {quoted}"
    if values.dtype.kind == "U":
        texts, source[key] = np.unique(values, return_inverse=True)
        listed = ", ".join(f"'{_literal(str(text))}'" for text in texts)
        return f"[{listed}][{key} + 1] AS {quoted}"
    source[key] = np.ascontiguousarray(values)
    if values.dtype.kind == "f" and name not in ARRAYS and name not in units() and np.isnan(values).any():
        return f"nullif({key}, 'NaN'::FLOAT) AS {quoted}"
    return f"{key} AS {quoted}"


def _literal(text: str) -> str:
    return text.replace("'", "''")


def _place(path: str, chunk: int) -> Path:
    return Path(path) / f"{chunk:06}.parquet"


def _whole(file: Path) -> bool:
    """Whether a Parquet file has its end: a machine that stopped may have left a part of one."""
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        if size < 2 * len(_MAGIC):
            return False
        opened.seek(-len(_MAGIC), os.SEEK_END)
        return opened.read() == _MAGIC


def _full(path: str, reason: str) -> FullError:
    return FullError(f"-o {path}", f"cannot be written ({reason})")
