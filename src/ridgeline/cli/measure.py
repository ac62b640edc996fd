"""`ridgeline measure`: micro-benchmarks of this machine, as a catalogue folder that the other commands read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.file import replacing
from ridgeline.cli.options import command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import heading, plain, shown, table
from ridgeline.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ridgeline.hardware import Chip
    from ridgeline.validate.measure import Measurement
    from ridgeline.validate.measure.check import Check
    from ridgeline.validate.measure.reading import Reading

Folder = Annotated[str, Parameter(name=("--output", "-o"), help="Catalogue folder to write the machine into.")]
Kind = Annotated[str, Parameter(help="cpu or cuda; without it, a GPU if there is one.")]
Quick = Annotated[bool, Parameter(help="In 20 seconds rather than two minutes, less exactly.", negative=())]
Checked = Annotated[bool, Parameter(name="--check", help="Also run a small transformer, and predict it.", negative=())]


@command()
def measure(
    *, output: Folder = "measured", device: Kind = "", quick: Quick = False, checked: Checked = False
) -> Report:
    """Micro-benchmarks of this machine through PyTorch: its peaks, and the constants of its kernels.

    Writes chips/NAME.toml, systems/NAME.toml and readings/NAME.json; then `ridgeline step MODEL NAME --catalog FOLDER`.
    """
    from rich.console import Console

    from ridgeline.validate.measure import measure as run
    from ridgeline.validate.measure import open_device
    from ridgeline.validate.measure.check import check

    opened = open_device(device)
    paths = [str(Path(output, kind, f"{opened.name}{end}")) for kind, end in _FILES.items()]
    with Console(stderr=True).status("") as status:
        with ExitStack() as stack:
            drafts = [stack.enter_context(replacing(path, "-o")) for path in map(_made, paths)]
            found = run(opened, quick=quick, tell=status.update)
            for draft, text in zip(drafts, found.files().values(), strict=True):
                draft.write_text(text)
        held = check(opened, found.system, quick=quick, tell=status.update) if checked else None
    records = [_record(row) for row in held.rows] if held else [_reading(reading) for reading in found.readings]
    return Report(
        document=lambda: _document(found, held, output, paths),
        rows=lambda: Rows.of(records),
        text=lambda: _text(found, held, output),
    )


_FILES = {"systems": ".toml", "chips": ".toml", "readings": ".json"}
"""Folders and endings; files appear from the last to the first, so that a system's chip is there when it is."""
BUSY = 0.3
"""Load of a processor from which the reader is told."""


def _made(path: str) -> str:
    """The path of a file, after its folder was made."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"-o {str(Path(path).parent)!r}", f"cannot be made ({error.strerror})") from None
    return path


def _reading(reading: Reading) -> dict[str, Any]:
    operation = reading.operation
    size = " ".join(f"{name}={plain(value)}" for name, value in reading.shape.items())
    names = {"kernel": operation.name, "family": operation.family, "format": operation.stored, "size": size}
    counts = {"flop": operation.flop, "memory_bytes": operation.memory, "activation_bytes": operation.activations}
    spread = {"s": reading.seconds, "low_s": reading.low, "high_s": reading.high, "samples": reading.samples}
    return names | counts | spread


def _record(row: Any) -> dict[str, Any]:
    times = {f"{name}_s": getattr(row, name) for name in ("measured", "floor", "estimate")}
    return {"phase": row.phase, "batch": row.batch, "context_tok": row.context} | times | {"error": row.error}


def _document(found: Measurement, held: Check | None, output: str, paths: list[str]) -> dict[str, Any]:
    chip = found.chip.value
    checked = held and {
        "model": held.model,
        "rows": [_record(row) for row in held.rows],
        "median_abs_error": held.median_error,
        "knee_batch": held.knee,
        "predicted_knee_batch": held.predicted_knee,
        "balance_batch": held.balance_batch,
    }
    return {
        "command": "measure",
        "system": chip.name,
        "machine": chip.title,
        "source": found.source,
        "load": found.load,
        "date": found.date,
        "files": paths,
        "peak_flop_per_s": {name: rate for name, rate in asdict(chip.peak).items() if rate},
        "bandwidth_bytes_per_s": chip.hbm_bandwidth,
        "kernels": [asdict(kernel) for kernel in chip.kernels],
        "readings": [_reading(reading) for reading in found.readings],
        "check": checked,
        "line": _line(chip, output),
    }


def _line(chip: Chip, output: str) -> str:
    return f"ridgeline step qwen3-0.6b {chip.name} --catalog {output}"


def _text(found: Measurement, held: Check | None, output: str) -> list[RenderableType]:
    chip, busy = found.chip.value, found.load > BUSY
    rates = ", ".join(f"{shown(rate, 'FLOP/s')} {name}" for name, rate in asdict(chip.peak).items() if rate)
    machine = [reading for reading in found.readings if reading.operation.family == "peak"]
    timed = table(
        ["<machine", "<format", "<size", "time", "bytes", "FLOP"],
        [
            (
                reading.operation.name,
                reading.operation.stored,
                _reading(reading)["size"],
                shown(reading.seconds, "s"),
                _rate(reading.operation.memory / reading.seconds, "B/s"),
                _rate(reading.operation.flop / reading.seconds, "FLOP/s"),
            )
            for reading in machine
        ],
    )
    constants = table(
        ["<kernels", "<format", "timed", "error", "fixed", "passes", "compute", "bandwidth", "overlap"],
        [
            (
                kernel.family,
                kernel.format,
                str(kernel.rows),
                f"{kernel.error:.0%}",
                shown(kernel.fixed, "s"),
                plain(kernel.passes),
                *(f"{share:.0%}" for share in (kernel.compute, kernel.bandwidth, kernel.overlap)),
            )
            for kernel in chip.kernels
        ],
    )
    return [
        f"{chip.name}: {chip.title}, {found.source}",
        *(
            [f"others were using this machine (load {found.load:.1f} per processor): times are too long"]
            if busy
            else []
        ),
        f"peaks: {rates}; {shown(chip.hbm_bandwidth, 'B/s')}",
        heading("What it copies, reads, launches and multiplies"),
        timed,
        heading("Its kernels (of 80%, the error is below; shares are of the peaks)"),
        constants,
        *(_checked(held) if held else []),
        "",
        f"written to {output}; now: {_line(chip, output)}",
    ]


def _checked(held: Check) -> list[RenderableType]:
    rows = [
        (
            row.phase,
            str(row.batch),
            shown(row.context, "tok"),
            *(shown(seconds, "s") for seconds in (row.measured, row.floor, row.estimate)),
            f"{row.error:+.0%}",
        )
        for row in held.rows
    ]
    return [
        heading(f"{held.model}, a transformer that was run, and its prediction"),
        table(["<phase", "batch", "context", "measured", "floor", "estimate", "error"], rows),
        "",
        f"median error {held.median_error:.1%}; decode takes longer from batch {plain(held.knee)} on, "
        f"predicted {plain(held.predicted_knee)} (B* of the roofline: {plain(held.balance_batch)})",
    ]


def _rate(value: float, unit: str) -> str:
    return shown(value, unit) if value else ""
