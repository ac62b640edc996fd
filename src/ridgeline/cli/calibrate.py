"""`ridgeline calibrate`: the constants of engines fitted to measured steps, or those of kernels to measured kernels."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from cyclopts import Parameter

from ridgeline.cli.file import replacing
from ridgeline.cli.options import CatalogFolder, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, heading, plain, shown, table
from ridgeline.cli.trained import calibrated
from ridgeline.errors import InputError
from ridgeline.training.framework import frameworks
from ridgeline.validate import calibrate as engines
from ridgeline.validate.training import board as training
from ridgeline.validate.training import calibrate as runs
from ridgeline.validate.training.row import Question

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ridgeline.efficiency import Constants
    from ridgeline.engines import EngineConstants, Engines
    from ridgeline.training.framework import Frameworks

Points = Annotated[
    list[str] | None,
    Parameter(help="Measured points, of which rows with mtp=0 are fitted: the engines' constants; or training runs."),
]
Kernels = Annotated[str, Parameter(help="Folder of measured kernel tables instead: the kernels' constants.")]
Output = Annotated[str, Parameter(name=("--output", "-o"), help="Write the constants to this .json.")]


@command()
def calibrate(
    points: Points = None, /, *, kernels: Kernels = "", output: Output = "", catalog: CatalogFolder = ""
) -> Report:
    """The constants of engines fitted to measured steps, those of training frameworks to tables of training runs, or
    (--kernels) those of kernels to measured kernels.

    Ridgeline's own are catalog/engines.json, catalog/training.json and catalog/constants.json of the package: write
    there to replace them. Kernels come first, since engines are fitted with the kernels' constants that are in place.
    """
    if bool(points) == bool(kernels):
        raise InputError("calibrate", "either POINTS or --kernels FOLDER")
    files = points or []
    if files and training.read(Path(files[0]))[1]:
        fitted = _fit_frameworks(files)
    else:
        fitted = _fit_kernels(kernels) if kernels else _fit_engines(files, catalog)
    if output:
        with replacing(output, "-o") as draft:
            fitted.write(draft)
    words = [*files, *(["--kernels", kernels] if kernels else []), *(["-o", output] if output else [])]
    again = shlex.join(["ridgeline", "calibrate", *filter(None, words)])
    written = [f"written to {output}"] if output else []
    return Report(
        document=lambda: msgspec.to_builtins(fitted.constants),
        rows=lambda: Rows.of([each if isinstance(each, dict) else _record(each) for each in fitted.rows]),
        text=lambda: [*fitted.text, "", *written, copied(f"again: {again}")],
    )


class _Fitted(NamedTuple):
    """Constants, their rows, their tables, and how they are written to a file."""

    constants: Engines | Constants | Frameworks
    rows: Sequence[Any]
    text: list[RenderableType]
    write: Callable[[Path], None]


def _fit_engines(points: Sequence[str], catalog: str) -> _Fitted:
    found = engines.calibrate(*map(Path, points), catalog=catalog)
    return _Fitted(found, found.engines, _engines(found), lambda path: engines.write(found, path))


def _fit_frameworks(paths: Sequence[str]) -> _Fitted:
    """Constants of training frameworks from tables of runs."""
    asked: list[Question] = []
    for path in paths:
        rows, what = training.read(Path(path))
        if not what:
            raise InputError(path, "a table of training runs", "docs/accuracy.md has its columns")
        asked += [each for each in training.questions(rows, what) if not isinstance(each, str)]
    found = runs.calibrate(asked, ", ".join(Path(path).name for path in paths), frameworks())
    fitted, text = calibrated(found)
    return _Fitted(found, fitted, text, lambda path: runs.write(found, path))


def _fit_kernels(folder: str) -> _Fitted:
    if not Path(folder).is_dir():
        raise InputError(f"--kernels {folder!r}", "a folder of kernel tables")
    try:
        from ridgeline.validate.kernels import fit_kernels, write
    except ImportError as error:
        raise InputError("--kernels", f"needs {error.name}", "pip install scipy duckdb") from None
    found = fit_kernels(Path(folder))
    if not found.kernels and not found.links:
        raise InputError(f"--kernels {folder!r}", "a folder of kernel tables", "it has none that can be read")
    rows = (*found.kernels, *found.links)
    return _Fitted(found, rows, _kernel_tables(found), lambda path: write(found, path))


def _engines(found: Engines) -> list[RenderableType]:
    steps = [((each.engine, _where(each), plain(each.rows)), each) for each in found.engines]
    clients = [((each.engine, _where(each)), each.client) for each in found.engines if not each.place]
    clients += [(tuple(name.split(", ", 1)), client) for name, client in found.clients.items()]
    errors = [
        (name, plain(e.n), f"{e.median_abs_error:.1%}", f"{e.p90_abs_error:.0%}", f"{e.bias:+.1%}")
        for name, e in found.held_out.items()
    ]
    return [
        f"constants of engines, fitted to {found.source}",
        heading("Steps: factors on kernels' work, their fixed time, quantisation and messages; seconds"),
        _constants(["<engine", "<chips", "rows"], steps),
        heading("Clients: seconds per request and per other open one; own prefill over that alone; shares"),
        _constants(["<engine", "<chips or benchmark"], clients),
        heading("Error of predictions with constants fitted without the row's model and chip"),
        table(["<mode/metric, engine", "rows", "median\nerror", "90% of\nerrors", "bias"], errors),
    ]


def _where(each: EngineConstants) -> str:
    """The chips that constants are for, or the model and the system."""
    return each.place.partition(", ")[2] or each.generation or "all"


def _kernel_tables(found: Constants) -> list[RenderableType]:
    rows = (*found.kernels, *found.links)
    parts: list[RenderableType] = [found.source, found.notice]
    parts += ["", "seconds, and shares of the peaks; of 80% of the measured rows the error is below that shown"]
    for family in dict.fromkeys(row.family for row in rows):
        own = [
            ((row.format, row.place, row.engine, plain(row.rows), f"{row.error:.0%}"), row)
            for row in rows
            if row.family == family
        ]
        parts += [heading(family), _constants(["<format", "<place", "<engine", "rows", "error"], own)]
    return parts


def _constants(columns: list[str], rows: Sequence[tuple[tuple[str, ...], msgspec.Struct]]) -> RenderableType:
    """A table of what names a row of constants, and of its constants."""
    names = [name for name in rows[0][1].__struct_fields__ if name in _UNITS] if rows else []
    cells = [(*head, *(_constant(getattr(each, name), _UNITS[name]) for name in names)) for head, each in rows]
    return table([*columns, *(name.replace("_", "\n") for name in names)], cells)


_UNITS: dict[str, str] = dict.fromkeys(
    ("sync", "host", "sequence", "frontend", "per_request", "launch", "fixed", "hop", "switch"), "s"
)
_UNITS |= dict.fromkeys(
    (
        "kernels",
        "attention",
        "prefill",
        "scores",
        "launches",
        "quantise",
        "messages",
        "layer",
        "first",
        "burst",
        "missing",
    ),
    "1",
)
_UNITS |= dict.fromkeys(("passes", "compute", "bandwidth", "overlap", "eager", "bulk", "serial", "softmax"), "1")
"""Units of constants; `serial` and `softmax` are seconds too short to have a name."""


def _constant(value: float, unit: str) -> str:
    return shown(value, unit, 2) if value else "0"


def _record(row: Any) -> dict[str, Any]:
    """A row of constants, flat."""
    fields = msgspec.structs.asdict(row)
    client = fields.pop("client", None)
    if "chips" in fields:
        fields["chips"] = "; ".join(fields["chips"])
    return fields | (msgspec.structs.asdict(client) if client else {})
