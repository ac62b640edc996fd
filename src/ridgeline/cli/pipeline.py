"""`ridgeline pipeline`: schedules of pipeline parallelism side by side, one of them drawn, and whether to pipeline."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.catalog import BUILT_IN
from ridgeline.cli.gantt import diagram, draw, lines
from ridgeline.cli.options import OUTPUT, CatalogFolder, command
from ridgeline.cli.report import Report, Rows, printed
from ridgeline.cli.table import NONE, copied, counted, heading, plain, shown, table
from ridgeline.errors import InputError
from ridgeline.hardware import System, load_system
from ridgeline.model import Architecture, load_model
from ridgeline.training.pipeline import inside_over_between, residual_bytes
from ridgeline.training.pipeline.compared import APART, Compared, Pass, compare, run
from ridgeline.training.pipeline.decode import Decode, decoded
from ridgeline.training.pipeline.rack import Depth, depths
from ridgeline.units import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_DEFAULTS = {
    "schedule": "1f1b", "stages": 8, "micro_batches": 32, "virtual": 2, "forward": "1 ms", "gradient": "1 ms",
    "weight": "1 ms", "message": "0 s", "together": "", "kept": "100%", "model": "", "system": "", "chips": "2304",
    "tokens": "64M", "seq": "4096", "reached": "50%", "domains": "",
    "batch": "2000", "context": "8k", "hop": "0 s",
}  # fmt: skip
_BLOCKS, _STREAMS = 8, 4
"""Earlier blocks that attention residuals look at, residual streams of hyper-connections: as published."""


def _option(text: str, group: str = "Pipeline") -> Parameter:
    return Parameter(help=text, group=group)


Schedule = Annotated[
    str, Parameter(help="gpipe, 1f1b, interleaved, zb-h1, zb-h2, zb-v, v-half, v-min, dualpipe or dualpipev.")
]
Stages = Annotated[int, _option("Devices of the pipeline \\[8].")]
Micro = Annotated[int, _option("Micro-batches of a step \\[32].")]
Virtual = Annotated[int, _option("Chunks of layers per device, for interleaved \\[2].")]
Forward = Annotated[str, _option("F: forward of a micro-batch on a device's layers \\[1 ms].")]
Gradient = Annotated[str, _option("B: gradient of the input \\[1 ms].")]
Weight = Annotated[str, _option("W: gradient of the weights \\[1 ms].")]
Message = Annotated[str, _option("Activations from one device to the next \\[0 s].")]
Together = Annotated[str, _option("A forward beside a whole backward, for dualpipe \\[F + B + W].")]
Kept = Annotated[str, _option("Share of activations kept from B until W \\[100%].")]
Model = Annotated[str, _option("Model: asks how deep a pipeline pays on --system.", "Racks")]
SystemName = Annotated[str, _option("System of the catalogue.", "Racks")]
Chips = Annotated[str, _option("Chips \\[2304].", "Racks")]
TokensOf = Annotated[str, _option("Tokens of a step \\[64M].", "Racks")]
Seq = Annotated[str, _option("Tokens of a sequence \\[4096].", "Racks")]
Reached = Annotated[str, _option("Share of the bf16 peak that math reaches \\[50%].", "Racks")]
Domains = Annotated[str, _option("Chips of a scale-up domain \\[8,72,576 and the system's own].", "Racks")]
Batch = Annotated[str, _option("Sequences that decode on one domain's worth of chips \\[2000].", "Racks")]
Context = Annotated[str, _option("Context of each \\[8k].", "Racks")]
Hop = Annotated[str, _option("Seconds of software per hop between stages, beside the bytes \\[0 s].", "Racks")]
Plot = Annotated[str, Parameter(name="--plot", help="Draw the schedule to this .svg or .html.", group=OUTPUT)]


@command()
def pipeline(
    schedule: Schedule = "1f1b",
    /,
    *,
    stages: Stages = 8,
    micro_batches: Micro = 32,
    virtual: Virtual = 2,
    forward: Forward = "1 ms",
    gradient: Gradient = "1 ms",
    weight: Weight = "1 ms",
    message: Message = "0 s",
    together: Together = "",
    kept: Kept = "100%",
    model: Model = "",
    system: SystemName = "",
    chips: Chips = "2304",
    tokens: TokensOf = "64M",
    seq: Seq = "4096",
    reached: Reached = "50%",
    domains: Domains = "",
    batch: Batch = "2000",
    context: Context = "8k",
    hop: Hop = "0 s",
    catalog: CatalogFolder = "",
    plot: Plot = "",
) -> Report:
    """Schedules of pipeline parallelism side by side, one of them drawn; with --model and --system, whether to.

    Every schedule is simulated event by event and held against its closed form.
    """
    given = {name: value for name, value in locals().items() if name in _DEFAULTS}
    own = [
        f"--{n.replace('_', '-')} {shlex.quote(str(v))}"
        for n, v in given.items()
        if v != _DEFAULTS[n] and n != "schedule"
    ]
    own += [f"--catalog {shlex.quote(catalog)}"] if catalog else []
    again = " ".join(["ridgeline pipeline", schedule, *own])
    times = Pass(
        forward=parse(forward, "s", "--forward"),
        gradient=parse(gradient, "s", "--gradient"),
        weight=parse(weight, "s", "--weight"),
        message=parse(message, "s", "--message"),
        together=parse(together, "s", "--together") if together else None,
        kept=_share(kept, "--kept"),
    )
    if not times.forward or not times.gradient:
        raise InputError("--forward and --gradient", "times above 0")
    chosen = run(schedule, stages, micro_batches, virtual, times)
    found, refused = compare(stages, micro_batches, virtual, times)
    if bool(model) != bool(system):
        raise InputError("--model and --system", "both or none")
    found_model, found_system, racks, decode = None, None, [], []
    if model:
        folders = BUILT_IN.under(catalog) if catalog else BUILT_IN
        found_model, found_system = load_model(model, folders), load_system(system, folders).value
        racks = depths(
            found_model,
            found_system,
            chips=_whole(chips, "--chips"),
            tokens=parse(tokens, "tok", "--tokens"),
            seq=_whole(seq, "--seq"),
            reached=_share(reached, "--reached"),
            domains=_sizes(domains, found_system),
        )
        decode = decoded(
            found_model,
            found_system,
            sequences=_whole(batch, "--batch"),
            context=parse(context, "tok", "--context"),
            hop=parse(hop, "s", "--hop"),
        )
    head = _head(chosen, stages, micro_batches, given)
    body = _schedules(found, refused, virtual)
    if plot:
        draw(chosen.run, plot, head, printed(body), again)
    rows = [_record(each) for each in found]
    return Report(
        document=lambda: {
            "command": "pipeline",
            "stages": stages,
            "micro_batches": micro_batches,
            **{f"{name}_s": getattr(times, name) for name in ("forward", "gradient", "weight", "message")},
            "schedule": chosen.name,
            "diagram": diagram(chosen.run),
            "schedules": rows,
            "refused": refused,
            "racks": [_rack(each) for each in racks],
            "decode": [_decoding(each) for each in decode],
            "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: [
            *head,
            *lines(chosen.run),
            *body,
            *(_racks(racks, decode, found_model, found_system) if found_model and found_system else []),
            *(["", f"plot: {plot}"] if plot else []),
            "",
            copied(f"again: {again}"),
        ],
    )


def _share(text: str, what: str) -> float:
    value = parse(text, "1", what)
    if value > 1:
        raise InputError(f"{what} {text}", "a share from 0 to 1", "such as 50%")
    return value


def _whole(text: str, what: str) -> int:
    value = parse(text, "1", what)
    if value < 1 or value != int(value):
        raise InputError(f"{what} {text}", "a whole number, 1 or more")
    return int(value)


def _sizes(text: str, system: System) -> tuple[int, ...]:
    if not text:
        return tuple(sorted({8, 72, 576, system.domain.size}))
    return tuple(_whole(part, "--domains") for part in text.split(","))


def _head(chosen: Compared, stages: int, micro: int, given: dict[str, Any]) -> list[str]:
    chunks = f", {given['virtual']} chunks each" if chosen.name == "interleaved" else ""
    late = "each device starts its next step at once" if chosen.name in APART else "the optimiser waits for all"
    batches = f"{micro:,} micro-batch{'' if micro == 1 else 'es'}"
    return [
        f"{chosen.name} on {counted(stages, 'device')}{chunks}, {batches}: a step of {shown(chosen.step, 's')},"
        f" {chosen.share:.1%} idle",
        f"F {given['forward']}, B {given['gradient']}, W {given['weight']} of a micro-batch on a device's layers,"
        f" message {given['message']}; {late}",
    ]


def _schedules(found: list[Compared], refused: dict[str, str], virtual: int) -> list[RenderableType]:
    rows = [
        (
            f"{each.name} x{virtual}" if each.name == "interleaved" else each.name,
            shown(each.step, "s"), shown(each.idle, "s"), shown(_clean(each.closed), "s"), f"{each.share:.1%}",
            f"{plain(each.flight[0])}, {plain(each.flight[-1])}", plain(max(each.flight)), plain(each.expected),
            str(each.copies), f"{each.messages:g}x",
        )
        for each in found
    ]  # fmt: skip
    head = [
        "<schedule", "step", "idle", "closed\nform", "idle\nshare", "in flight:\nfirst, last", "most", "closed\nform",
        "copies of\nweights", "messages",
    ]  # fmt: skip
    out: list[RenderableType] = [heading("All schedules, simulated and in closed form"), table(head, rows)]
    out += [f"{name}: needs {why}" for name, why in refused.items()]
    return out


def _clean(value: float) -> float | None:
    """None for nan."""
    return None if math.isnan(value) else value


def _record(each: Compared) -> dict[str, Any]:
    return {
        "schedule": each.name, "step_s": each.step, "idle_s": each.idle, "idle_closed_form_s": _clean(each.closed),
        "idle_share": each.share, "in_flight_micro_batches": list(each.flight),
        "in_flight_closed_form_micro_batches": each.expected, "weight_copies": each.copies,
        "messages_per_1f1b": each.messages,
    }  # fmt: skip


def _rack(each: Depth) -> dict[str, Any]:
    seconds = ("step", "math", "bubble", "exposed", "reduce")
    renamed = {name: f"{name}_s" for name in seconds} | {"held": "held_bytes_per_chip", "domain": "domain_chips"}
    return {renamed.get(name, name): value for name, value in asdict(each).items()}


def _racks(found: list[Depth], decode: list[Decode], model: Architecture, system: System) -> list[RenderableType]:
    """How deep a pipeline pays, and what crosses between stages."""
    rows = [
        (
            plain(each.domain), str(each.stages), str(each.chunks), "all chips" if each.everywhere else "domain",
            "yes" if each.recompute else "no", plain(each.micro), shown(each.step, "s"), f"{each.math / each.step:.0%}",
            shown(each.bubble, "s"), shown(each.exposed, "s"), shown(each.reduce, "s"), shown(each.held, "B"),
            "best" if each.best else "" if each.fits else "does not fit",
        )
        for each in found
    ]  # fmt: skip
    head = ["domain", "stages", "chunks", "<weights\nover", "<recom-\npute", "micro-\nbatches", "step", "of it\nmath",
            "bubble", "gathers\nexposed", "gradients", "memory\n/chip", "<"]  # fmt: skip
    ratio = inside_over_between(system.scale_up, system.scale_out, _distinct(model), 1)
    deepest = max(each.stages for each in found)
    width = model.hidden
    ways = [
        ("one residual stream", residual_bytes(deepest, width, 2.0)),
        (f"{_STREAMS} streams (hyper-connections)", residual_bytes(deepest, width, 2.0, streams=_STREAMS)),
        (f"attention to {_BLOCKS} earlier blocks", residual_bytes(deepest, width, 2.0, blocks=_BLOCKS)),
    ]
    crossing = [
        (name, shown(size, "B/tok"), f"{size / ways[0][1]:.3g}x" if ways[0][1] else NONE,
         shown(size / max(deepest - 1, 1) / system.scale_out, "s"))
        for name, size in ways
    ]  # fmt: skip
    return [
        heading(f"How deep a pipeline pays: {model.name} on chips and links of {system.name}, domains of other sizes"),
        table(head, rows),
        heading(f"What crosses between {deepest} stages, forward; gradients go back as wide"),
        table(["<residual", "all boundaries", "of one\nstream", "per token and boundary\non scale-out"], crossing),
        *(
            [
                "",
                f"the experts of one layer send for {ratio:.3g} times as long inside a domain as a stage to the next;"
                " at 1 or more stages are no bottleneck",
            ]
            if ratio
            else []
        ),
        *_decode(decode),
    ]  # fmt: skip


def _decode(found: list[Decode]) -> list[RenderableType]:
    """Serving on a pipeline of domains."""
    rows = [
        (
            str(each.stages), plain(each.sequences), shown(each.weights, "B"), shown(each.cache, "B"),
            f"{each.idle:.0%}", shown(each.read, "s"), shown(each.hops, "s"),
        )
        for each in found
    ]  # fmt: skip
    head = [
        "stages", "sequences", "weights\n/chip", "cache\n/chip", "idle with\none batch", "weights and cache\nread once",
        "hops",
    ]  # fmt: skip
    return [heading("Decode on a pipeline of domains: as many micro-batches as stages"), table(head, rows)]


def _decoding(each: Decode) -> dict[str, Any]:
    units = {"weights": "_bytes_per_chip", "cache": "_bytes_per_chip", "read": "_s", "hops": "_s", "idle": "_share"}
    return {f"{name}{units.get(name, '')}": value for name, value in asdict(each).items()}


def _distinct(model: Architecture) -> int:
    """Experts that a token is sent to in a layer."""
    from ridgeline.model.architecture import Experts

    counts = [part.active for layer in model.layers for part in layer.feedforwards if isinstance(part, Experts)]
    return max(counts, default=0)
