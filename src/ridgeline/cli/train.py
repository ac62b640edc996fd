"""`ridgeline train`: what a training job takes on a layout, or which layout to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, bar, copied, counted, heading, plain, shown, table
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.launch.megatron import LAUNCHERS, megatron
from ridgeline.roofline import TERMS
from ridgeline.training.framework import frameworks
from ridgeline.training.layout import RECOMPUTE
from ridgeline.training.question import TrainingQuestion
from ridgeline.training.run import TrainingRun
from ridgeline.training.search import SearchResult, days, loses, search
from ridgeline.units import show

if TYPE_CHECKING:
    from rich.console import RenderableType

GROUPS = {
    "Job": ("chips", "tokens", "seq", "batch"),
    "Layout": (
        "tp", "pp", "vp", "cp", "ep", "etp", "dp", "micro_batch", "zero", "hybrid_shard", "recompute", "schedule",
        "stages", "sp", "offload",
    ),
    "Formats": ("dtype", "gradients", "moments"),
    "Framework": ("framework", "adapters", "mtp", "uneven"),
    "Money": ("price", "chip_mtbf", "storage", "restart"),
    "Search": ("overflow",),
    "System": ("set", "catalog"),
}  # fmt: skip
TOP = 5
Top = Annotated[int, Parameter(help="Layouts to show, each of other degrees; 5 if not given.")]
Emit = Annotated[str, Parameter(help="Print the launch command of the best layout instead: megatron.", group=OUTPUT)]
Picture = Annotated[
    str, Parameter(name="--plot", help="Draw the front and the best step to this .svg or .png.", group=OUTPUT)
]


@command(
    *(name for names in GROUPS.values() for name in names),
    read=TrainingQuestion.read,
    of=TrainingQuestion,
    groups=GROUPS,
)
def train(question: TrainingQuestion, *, top: Top = TOP, emit: Emit = "", plot: Picture = "") -> Report:
    """What one training step takes and holds, and what the whole training costs.

    Without --tp, --pp and the like every layout is evaluated, and the fastest that fits is shown.
    """
    if not 1 <= top <= 100:
        raise InputError(f"--top {top}", "1 to 100")
    if emit and emit not in LAUNCHERS:
        raise UnknownNameError("launcher", emit[:60], LAUNCHERS)
    found = search(question, top)
    again = question.to_cli() + (f" --top {top}" if top != TOP else "")
    if plot:
        from ridgeline.cli.trainplot import draw

        draw(found, plot, again)
    if emit:
        best, system = found.best[0], found.asked.system
        host = system.host or min(system.domain.size, 8)
        script = megatron(best, question.dtype, host)
        return Report(
            document=lambda: {"command": script, "line": again},
            rows=lambda: Rows.of([{"command": script}]),
            text=lambda: [copied(script.rstrip("\n"))],
        )
    return Report(
        document=lambda: {
            "command": "train",
            "model": found.asked.model.name,
            "system": found.asked.system.name,
            "chips": found.asked.chips,
            "evaluated": found.evaluated,
            "fitting": found.fitting,
            "goodput": found.goodput.share,
            "checkpoint_interval_s": found.goodput.interval,
            "plans": [record(found, run) for run in found.best],
            "front": [{"layout": str(lay), "step_s": s, "memory_bytes": m} for lay, s, m in found.front],
            "line": again,
        },
        rows=lambda: Rows.of([flat(record(found, run)) for run in found.best]),
        text=lambda: _text(found, again),
    )


def record(found: SearchResult, run: TrainingRun) -> dict[str, Any]:
    """One layout's numbers, in SI units named by their keys."""
    asked, took = found.asked, days(found.asked, run.seconds, found.goodput)
    layout, usd, power = run.layout, asked.price, asked.system.chip.power
    degrees = ("tp", "pp", "vp", "cp", "ep", "etp", "dp", "zero", "shards", "micro_batch")
    return {
        **{name: getattr(layout, name) for name in degrees},
        "recompute": RECOMPUTE[layout.recompute],
        "schedule": layout.schedule,
        "step_s": run.seconds,
        "low_s": run.low,
        "high_s": run.high,
        "floor_s": run.floor.lower,
        "binding": TERMS[int(run.floor.binding)],
        "tokens_per_s_per_chip": run.rate,
        "mfu": run.conventions(),
        "hfu": run.hardware_utilisation,
        "days": took,
        "usd": None if usd is None else usd * asked.chips * took * 86400.0,
        "energy_joules": None if power is None else power * asked.chips * took * 86400.0,
        "memory_bytes": run.memory.used,
        "out_of_memory_chance": run.out_of_memory,
        "time_s": run.time.parts,
        "memory_parts_bytes": run.memory.parts(),
        "host_memory_bytes": run.memory.host,
    }


def flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record without nesting."""
    out: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            out |= {f"{name}/{key}": each for key, each in value.items()}
        else:
            out[name] = value
    return out


def _text(found: SearchResult, again: str) -> list[RenderableType]:
    asked, best = found.asked, found.best[0]
    q, model, chip = asked.question, asked.model, asked.system.chip
    price = NONE if asked.price is None else f"{show(asked.price, 'USD/s')} per chip"
    parts: list[RenderableType] = [
        f"{model.name} ({model.parameters / 1e9:,.3g}e9 parameters, {model.active_parameters / 1e9:,.3g}e9 active) on "
        f"{counted(asked.chips, 'chip')} of {asked.system.name}, {price}",
        f"{shown(asked.tokens, 'tok')} in steps of {asked.batch:,} sequences of {q.seq:,} tokens; "
        f"{q.dtype}, {q.framework}",
    ]
    if found.whole:
        parts += [
            heading(f"Best of {found.fitting:,} layouts that fit, of {found.evaluated:,}"),
            table(
                [
                    "",
                    "<layout",
                    "step",
                    "(floor)",
                    "tok/s\n/chip",
                    "MFU",
                    "memory",
                    "out of\nmemory",
                    "days",
                    "<floor\nbound by",
                ],
                [_row(found, i, run) for i, run in enumerate(found.best, 1)],
            ),
        ]
        others = [(str(i), loses(run, best)) for i, run in enumerate(found.best[1:], 2)]
        others += [(each.choice, f"{each.why}  ({each.layout})") for each in found.alternatives]
        parts += [heading("Why the others lose"), table(["<", "<"], others)] if others else []
    else:
        parts += [heading(str(best.layout))]
    parts += [*_step(best), *_memory(best, chip.usable), *_whole(found, best)]
    if len(found.front) > 1:
        parts += [heading("Less memory: the fastest layout of each size"), *_front(found)]
    rests = frameworks().rests_on(q.framework, chip.name)
    return [
        *parts,
        "",
        f"estimate: kernels measured alone, and {rests}; of held-out measurements 80% lie in the interval",
        "floor: no machine can be faster",
        copied(f"again: {again}"),
    ]


def _row(found: SearchResult, number: int, run: TrainingRun) -> tuple[str, ...]:
    return (
        str(number),
        str(run.layout),
        shown(run.seconds, "s"),
        f"({shown(run.floor.lower, 's')})",
        plain(run.rate),
        f"{run.utilisation('nvidia'):.1%}",
        shown(run.memory.used, "B"),
        f"{run.out_of_memory:.0%}",
        plain(days(found.asked, run.seconds, found.goodput)),
        TERMS[int(run.floor.binding)],
    )


def _step(run: TrainingRun) -> list[RenderableType]:
    rows = [
        (f"  {name}", shown(s, "s"), bar(s / run.seconds, 30))
        for name, s in run.time.parts.items()
        if s > 5e-4 * run.seconds
    ]
    floor = [
        (f"  {name}", shown(getattr(run.floor, name), "s"), bar(getattr(run.floor, name) / run.seconds, 30))
        for name in TERMS
    ]
    return [
        heading(
            f"A step: {shown(run.seconds, 's')} ({shown(run.low, 's')} to {shown(run.high, 's')}; "
            f"floor {shown(run.floor.lower, 's')}), {plain(run.rate)} tok/s per chip"
        ),
        table(
            ["<", "", "<"],
            [
                ("estimate", shown(run.seconds, "s"), bar(1.0, 30)),
                *rows,
                ("floor", shown(run.floor.lower, "s"), bar(run.floor.lower / run.seconds, 30)),
                *floor,
            ],
        ),
        heading("Utilisation, as each project counts it"),
        table(
            ["plain", "megatron", "with\nrecomputation", "nvidia", "mosaicml", "maxtext", "nanotron", "HFU"],
            [[*(f"{share:.1%}" for share in run.conventions().values()), f"{run.hardware_utilisation:.1%}"]],
        ),
    ]


def _memory(run: TrainingRun, capacity: float) -> list[RenderableType]:
    used = run.memory.used
    rows = [
        (f"  {name}", shown(size, "B"), bar(size / used, 30)) for name, size in run.memory.parts().items() if size > 0
    ]
    host = [f"and {shown(run.memory.host, 'B')} per chip in the host's memory"] if run.memory.host else []
    return [
        heading(
            f"Memory of the fullest device: {shown(used, 'B')} of {shown(capacity, 'B')}, "
            f"{run.out_of_memory:.0%} chance of running out"
        ),
        table(["<", "", "<"], rows),
        *host,
    ]


def _whole(found: SearchResult, run: TrainingRun) -> list[RenderableType]:
    numbers, good = record(found, run), found.goodput
    steps = found.asked.tokens / (found.asked.batch * found.asked.question.seq)
    return [
        heading(f"The whole training: {plain(steps)} steps, {plain(numbers['days'])} days"),
        table(
            ["cost", "energy", "goodput", "failure\nevery", "checkpoint\nevery", "it stops\ntraining for"],
            [
                [
                    _money(numbers["usd"]), _energy(numbers["energy_joules"]),
                    f"{good.share:.1%}", shown(good.mtbf, "s"), shown(good.interval, "s"), shown(good.checkpoint, "s"),
                ]
            ],
        ),
    ]  # fmt: skip


def _money(usd: float | None) -> str:
    """Dollars with three digits: "$28.8 million"."""
    if usd is None:
        return NONE
    scale, name = next(((s, n) for s, n in ((1e9, " billion"), (1e6, " million")) if usd >= s), (1.0, ""))
    return f"${plain(usd / scale)}{name}"


def _energy(joule: float | None) -> str:
    return NONE if joule is None else f"{plain(joule / 3.6e9)} MWh"


def _front(found: SearchResult) -> list[RenderableType]:
    every = found.front
    picked = [every[i * (len(every) - 1) // 7] for i in range(8)] if len(every) > 8 else every
    rows = [(str(layout), shown(seconds, "s"), shown(memory, "B")) for layout, seconds, memory in picked]
    return [table(["<layout", "step", "memory"], rows)]
