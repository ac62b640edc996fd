"""`ridgeline sweep`: a grid of points, to standard output, to a CSV or Parquet file, or in chunks to a folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ridgeline.cli.options import OUTPUT, STEP, PlotFile, command, scenario
from ridgeline.cli.progress import shown_progress, told
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.save import save
from ridgeline.cli.table import copied
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.sweep import RESULTS, Grid, load, run, table, terms
from ridgeline.sweep.axis import axis
from ridgeline.sweep.block import Block
from ridgeline.sweep.cluster import on_ray
from ridgeline.sweep.executor import Executor, pool, processors, serial

EXECUTORS = ("pool", "serial", "ray")
MODEL = "A grid file (.toml; then without SYSTEM), or a model: its name in the catalogue or a config.json."

Over = Annotated[
    list[str] | None,
    Parameter(
        help="An axis: batch=1:4096:x2, isl=1k:8k:+1k, context=1k,8k, weights=fp8,nvfp4. Once for each axis.",
        group="Grid",
    ),
]
Where = Annotated[
    list[str] | None,
    Parameter(help='Only points that keep a condition, such as "tp * dp <= 8". As often as needed.', group="Grid"),
]
Columns = Annotated[
    str, Parameter(help="Results to keep, with commas between: floor_s,estimate_s,ttft_estimate_s.", group="Grid")
]
Output = Annotated[
    str,
    Parameter(
        name=("--output", "-o"), help="Write to this .csv or .parquet, or in chunks to this folder.", group=OUTPUT
    ),
]
Who = Annotated[
    str,
    Parameter(name="--executor", help="Who fills a folder: pool (default), serial, ray.", group="Folder"),
]
Workers = Annotated[int, Parameter(help="Processes; as many as processors if not given.", group="Folder")]
Address = Annotated[str, Parameter(help="Ray cluster: HOST:PORT, ray://HOST:PORT, auto.", group="Folder")]
Device = Annotated[str, Parameter(help="Compute with JAX on this kind of device: cpu, gpu, tpu.", group="Grid")]
FilePoints = Annotated[int, Parameter(help="Points of a file; about 500,000 if not given.", group="Folder")]


def _words(texts: dict[str, str]) -> dict[str, str]:
    """What is asked, as text: the axes come by another option."""
    if "system" in texts or Path(texts["model"]).suffix == ".toml":
        return texts
    raise InputError("sweep", f"SYSTEM requires an argument after {texts['model']!r:.60}", "or give a grid file, .toml")


@command(*STEP, read=_words, model=MODEL, system=False)
def sweep(
    words: dict[str, str],
    *,
    over: Over = None,
    where: Where = None,
    columns: Columns = "",
    output: Output = "",
    plot: PlotFile = "",
    executor: Who = "",
    workers: Workers = 0,
    address: Address = "",
    file_points: FilePoints = 0,
    device: Device = "",
) -> Report:
    """A grid of layouts, batches, contexts or options: the full product of the axes.

    A layout that model or system do not allow has refused = 1 and no numbers; fits = 0 is too large for memory. A
    folder is filled in chunks, shows how far it is, and goes on after a stop where it was.
    """
    kept = tuple(name.strip() for name in columns.split(",") if name.strip())
    grid, again = _grid(words, over or [], where or [], columns=kept, file_points=file_points, device=device)
    again += _again(columns=columns, device=device)
    if output and (not Path(output).suffix or Path(output).is_dir()):
        if plot:
            raise InputError("--plot with a folder", "one of them", "-o FILE.parquet for a smaller grid")
        who = _executor(executor or ("serial" if grid.device else "pool"), workers, address)
        return _folder(grid, output, who, again + _again(**{"file-points": file_points}))
    if misplaced := _again(executor=executor, workers=workers, address=address, **{"file-points": file_points}):
        raise InputError(misplaced.strip(), "a folder to fill", "-o FOLDER")
    return _table(grid, output, plot, again)


def _again(**options: Any) -> str:
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in options.items() if value)


def _grid(words: dict[str, str], over: list[str], where: list[str], **settings: Any) -> tuple[Grid, str]:
    """The grid, and the command line that asks for it again."""
    axes: dict[str, list[Any]] = {}
    for text in over:
        name, values = axis(text)
        if name in axes:
            raise InputError(f"--over {name}", "each axis once")
        axes[name] = list(values)
    rest = {name: value for name, value in {"filters": tuple(where), **settings}.items() if value}
    options = [f"--over {shlex.quote(text)}" for text in over] + [f"--where {shlex.quote(text)}" for text in where]
    if "system" in words:
        if not axes:
            raise InputError("sweep", "at least one axis", "--over batch=1:4096:x2")
        grid = Grid.of(words, axes, "command line", **rest)
        return grid, " ".join([scenario(words).to_cli("sweep"), *options])
    file = words.pop("model")
    grid = load(file, words, axes, **rest)
    changed = [word for name, text in words.items() for word in (f"--{name.replace('_', '-')}", text)]
    return grid, " ".join([shlex.join(["ridgeline", "sweep", file, *changed]), *options])


def _table(grid: Grid, output: str, plot: str, again: str) -> Report:
    """All points as rows."""
    blocks = table(grid)
    if plot:
        from ridgeline.cli.plot import draw_sweep

        if missing := [name for name in RESULTS if grid.columns and name not in grid.columns]:
            raise InputError("--plot with --columns", f"a picture needs {missing[0]} too", "leave --columns out")
        kept = list(blocks)
        draw_sweep(grid.scenario, kept, plot, again)
        blocks = iter(kept)
    rows = Rows(*_rows(blocks))
    if not output:
        return Report(
            document=lambda: {
                "command": "sweep",
                "line": again,
                "rows": [dict(zip(rows.names, row, strict=True)) for row in rows.values],
            },
            rows=lambda: rows,
        )
    count = save(rows, output)
    return Report(
        document=lambda: {"command": "sweep", "line": again, "output": output, "points": count},
        rows=lambda: Rows.of([{"output": output, "points": count}]),
        text=lambda: [f"{count:,} points in {output}", copied(f"again: {again} -o {shlex.quote(output)}")],
    )


def _rows(blocks: Iterator[Block]) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """Names of the columns, and the rows of all blocks; refusals as 1 and 0."""
    first = next(blocks)
    values = (
        zip(*(_plain(name, column) for name, column in block.items()), strict=True) for block in chain([first], blocks)
    )
    return list(first), chain.from_iterable(values)


def _plain(name: str, column: Any) -> list[Any]:
    if name == "binding":
        return terms(column).tolist()
    return (column.astype(int) if column.dtype.kind == "b" else column).tolist()


def _folder(grid: Grid, output: str, executor: Executor, again: str) -> Report:
    """All points in a folder."""
    with shown_progress() as progress:
        done = run(grid, output, executor, progress)
    line = f"{again} -o {shlex.quote(output)}"
    record = {"output": output, **msgspec.structs.asdict(done)}
    return Report(
        document=lambda: {"command": "sweep", "line": line, **record},
        rows=lambda: Rows.of([record]),
        text=lambda: [
            told(done, output, filtered=bool(grid.filters)),
            copied(f"ask:   ridgeline query {shlex.quote(output)} 'SELECT * FROM sweep LIMIT 10'"),
            copied(f"again: {line}"),
        ],
    )


def _executor(name: str, workers: int, address: str) -> Executor:
    if name not in EXECUTORS:
        raise UnknownNameError("executor", name[:60], EXECUTORS)
    if address and name != "ray":
        raise InputError(f"--address {address}", "a cluster of Ray", "--executor ray")
    if not 0 <= workers <= 1024:
        raise InputError(f"--workers {workers}", "1 to 1024 processes")
    if name == "ray":
        return on_ray(workers or processors(), address)
    return serial if name == "serial" else pool(workers or processors())
