"""`ridgeline reversible`: activations stored, recomputed and rebuilt, measured on a small transformer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.figure import drawable
from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, heading, plain, shown, table
from ridgeline.errors import InputError
from ridgeline.training.rematerialisation import METHODS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ridgeline.training.reversible.experiment import Experiment

NAMES = {"none": "store all", "sqrt": "checkpoints", "full": "recompute", "reversible": "reversible"}
Width = Annotated[int, Parameter(help="Width of a stream: even, a multiple of 4.")]
Depth = Annotated[int, Parameter(help="Layers of the deepest network whose bytes are counted.")]
Quick = Annotated[bool, Parameter(help="Fewer depths, steps and repetitions: seconds, not minutes.")]
Seed = Annotated[int, Parameter(help="Seed of weights and batches.")]
Device = Annotated[str, Parameter(help="cpu or cuda; CUDA where there is one if not given.")]
Picture = Annotated[str, Parameter(name="--plot", help="Draw it to this .svg or .png.", group=OUTPUT)]


@command()
def reversible(
    *, width: Width = 64, depth: Depth = 64, quick: Quick = False, seed: Seed = 0, device: Device = "",
    plot: Picture = "",
) -> Report:  # fmt: skip
    """Activations stored, recomputed and rebuilt: bytes, seconds, gradients and losses of a small transformer.

    Four ways to train one network, measured on this machine (extra torch) and held against the law that
    `ridgeline train --recompute` plans with.
    """
    from ridgeline.training.reversible.experiment import experiment

    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed}", "from 0 to 4294967295")
    if plot:
        drawable(plot)
    found = experiment(width=width, depth=depth, quick=quick, seed=seed, device=device, told=_told)
    sizes = [f"--width {width}"] * (width != 64) + [f"--depth {depth}"] * (depth != 64)
    words = sizes + ["--quick"] * quick + [f"--seed {seed}"] * bool(seed) + [f"--device {device}"] * bool(device)
    again = " ".join(["ridgeline reversible", *words])
    if plot:
        from ridgeline.cli.plot_reversible import draw

        draw(found, plot, again)
    parts = {name: [asdict(each) for each in getattr(found, name)] for name in _PARTS}
    return Report(
        document=lambda: {
            "command": "reversible", "device": found.device, "seconds": found.seconds, **_named(parts), "line": again,
        },
        rows=lambda: Rows.of([{"part": name} | each for name, rows in _named(parts).items() for each in rows]),
        text=lambda: _text(found, again),
    )  # fmt: skip


def _told(part: str) -> None:
    """Which part is being measured, to who waits at a terminal."""
    if sys.stderr.isatty():
        print(f"measuring {part}", file=sys.stderr)


_PARTS = ("kept", "costs", "gradients", "inversions", "curves")
_UNITS = {"measured": "measured_bytes", "law": "law_bytes", "cuda": "cuda_bytes"}


def _named(parts: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Keys with their units."""
    kept = [{_UNITS.get(key, key): value for key, value in each.items()} for each in parts["kept"]]
    costs = [{"law_ratio" if key == "law" else key: value for key, value in each.items()} for each in parts["costs"]]
    return parts | {"kept": kept, "costs": costs}


def _text(found: Experiment, again: str) -> list[RenderableType]:
    kept = {(each.layers, each.method): each for each in found.kept}
    depths = list(dict.fromkeys(each.layers for each in found.kept))
    formats = list(dict.fromkeys(each.format for each in found.gradients))
    inverted = {(each.layers, each.format): each.error for each in found.inversions}
    forms = list(dict.fromkeys(each.format for each in found.inversions))
    names = [NAMES[method] for method in METHODS]
    gradients = {(each.method, each.format): each.error for each in found.gradients}
    s = found.shape
    return [
        f"a transformer of width {s.width} on {s.batch} x {s.seq} tokens, fp32, on this machine's {found.device}",
        heading("Bytes kept for the backward pass, counted tensor by tensor; in brackets over the law"),
        table(
            ["layers", *names],
            [
                (plain(depth), *(f"{shown(k.measured, 'B')} ({k.measured / k.law:.3f})" for k in _row(kept, depth)))
                for depth in depths
            ],
        ),
        heading("A training step"),
        table(
            ["<", "time", "over store all", "FLOPs counted", "over store all", "the law"],
            [
                (NAMES[c.method], shown(c.seconds, "s"), f"{c.ratio:.2f}x", shown(c.flop, "FLOP"),
                 f"{c.flop_ratio:.3f}x", f"{c.law:.3f}x")
                for c in found.costs
            ],
        ),
        heading("Gradients: relative difference from storing all, 8 layers"),
        table(
            ["<", *formats],
            [(NAMES[m], *(_error(gradients[m, f]) for f in formats)) for m in METHODS[1:]],
        ),
        heading("Inversion: relative error of an input that went through all layers and back"),
        table(
            ["layers", *forms],
            [(plain(n), *(_error(inverted[n, f]) for f in forms)) for n in dict.fromkeys(n for n, _ in inverted)],
        ),
        heading("Loss on a scene of Coriolanus, nats per character"),
        table(
            ["<after step", *(plain(step + 1) for step in found.curves[0].steps)],
            [(f"{c.network} activations" if c.network != "ordinary" else "ordinary residual stack",
              *(f"{loss:.4f}" for loss in c.losses)) for c in found.curves],
        ),
        "",
        "fixed: streams as 32-bit integers, added modulo 2^32 as in a cipher: exact at any depth",
        copied(f"again: {again}"),
    ]  # fmt: skip


def _row(kept: dict[tuple[int, str], Any], depth: int) -> list[Any]:
    return [kept[depth, method] for method in METHODS]


def _error(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"
