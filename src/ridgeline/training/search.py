"""The best layouts of a training job: every layout evaluated, the front of time against memory, why the others lose.

A layout counts if its chance of running out of memory is at most the question's. Layouts are evaluated as arrays of
BLOCK, which fit a processor's cache; of the fastest ones one per set of degrees is shown, and the fastest of each
alternative (without a pipeline, without tensor parallelism, ZeRO-3, ...) says what its choice costs. Knows no text.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.layout import Divisors
from ridgeline.training.framework import frameworks
from ridgeline.training.goodput import Goodput, goodput
from ridgeline.training.layout import Job, TrainingLayout, check
from ridgeline.training.question import DEGREES, Asked, TrainingQuestion, asked
from ridgeline.training.run import TrainingRun, checkpoint_bytes, train
from ridgeline.training.space import chosen, layouts, one

BLOCK = 32768
"""Layouts that are evaluated at once."""
ALTERNATIVES: dict[str, tuple[str, int, bool]] = {
    "no tensor parallelism": ("tp", 1, True), "no pipeline": ("pp", 1, True), "a pipeline": ("pp", 1, False),
    "no context parallelism": ("cp", 1, True), "no expert parallelism": ("ep", 1, True),
    "ZeRO-3": ("zero", 3, True), "ZeRO-1": ("zero", 1, True), "no recomputation": ("recompute", 0, True),
    "full recomputation": ("recompute", 2, True), "micro-batches of 1": ("micro_batch", 1, True),
}  # fmt: skip
"""Choices whose best layout is shown: field, value, and whether it must or must not be that."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """The fastest layout of a choice that the best one does not make."""

    choice: str
    layout: TrainingLayout | None
    """None: no layout of this choice divides."""
    seconds: float
    memory: float
    fits: bool
    why: str


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found."""

    asked: Asked
    evaluated: int
    fitting: int
    best: tuple[TrainingRun, ...]
    front: tuple[tuple[TrainingLayout, float, float], ...]
    """Layouts of which none is both faster and smaller: layout, seconds, bytes."""
    alternatives: tuple[Alternative, ...]
    goodput: Goodput
    whole: bool
    """Whether anything was searched: a question can also be about one layout."""

    @property
    def days(self) -> float:
        """Days of the whole training on the best layout."""
        return days(self.asked, self.best[0].seconds, self.goodput)


def days(found: Asked, seconds: float, good: Goodput) -> float:
    """Days to see all tokens at so many seconds per step."""
    steps = found.tokens / (found.batch * found.question.seq)
    return steps * seconds / good.share / 86400.0


def decided(question: TrainingQuestion) -> TrainingLayout | None:
    """The one layout that a question is about; None if there is something to search."""
    q = question
    if not any(getattr(q, name) for name in DEGREES):
        return None
    others = {name: getattr(q, name) or 1 for name in DEGREES}
    from ridgeline.training.layout import RECOMPUTE

    return TrainingLayout(
        **others, zero=int(q.zero or 1), shards=q.hybrid_shard,
        recompute=RECOMPUTE.index(q.recompute or "none"), sp=q.sp == "on", balanced=q.stages == "balanced",
        schedule=q.schedule, offload=q.offload,
    )  # fmt: skip


def search(question: TrainingQuestion, top: int = 5) -> SearchResult:
    """The best layouts of a question, or the one layout that it is about.

    Raises
    ------
    InputError
        For what `asked` and `check` refuse, and if no layout divides or none fits: what comes nearest.
    """
    found = asked(question)
    good = goodput(
        found.chips, checkpoint_bytes(found.model, found.setting.habits), chip_mtbf=question.chip_mtbf,
        storage=question.storage, restart=question.restart,
    )  # fmt: skip
    lone = decided(question)
    if lone is not None:
        if not question.dp:
            others = lone.tp * lone.pp * lone.cp
            lone = msgspec.structs.replace(lone, dp=max(found.chips // others, 1))
        check(
            lone,
            Divisors.of(found.model),
            Job(batch=found.batch, seq=question.seq, chips=found.chips),
            found.model.name,
        )
        run = train(found.setting, lone)
        return SearchResult(
            asked=found, evaluated=1, fitting=int(run.out_of_memory <= question.overflow), best=(run,), front=(),
            alternatives=(), goodput=good, whole=False,
        )  # fmt: skip
    space = layouts(found)
    if not len(space.tp):
        raise InputError(
            f"{found.chips:,} chips and a batch of {found.batch:,}",
            f"numbers that some layout of {found.model.name} divides",
            "--batch should have many divisors in common with --chips",
        )  # fmt: skip
    seconds, memory, out = evaluate(found, space)
    fits = out <= question.overflow
    if not fits.any():
        least = int(memory.argmin())
        raise InputError(
            f"{found.model.name} on {found.chips:,} chips of {found.system.name}",
            f"more memory: the smallest of {len(seconds):,} layouts ({one(space, least)}) needs "
            f"{memory[least] / 1e9:.0f} GB of {found.system.chip.usable / 1e9:.0f} GB",
            "more --chips, --offload both, or --recompute reversible",
        )
    order = np.flatnonzero(fits)[np.argsort(seconds[fits], kind="stable")]
    best = tuple(train(found.setting, one(space, int(i))) for i in _distinct(space, order, top))
    return SearchResult(
        asked=found,
        evaluated=len(seconds),
        fitting=int(fits.sum()),
        best=best,
        front=_front(space, seconds, memory, order),
        alternatives=_alternatives(found, space, seconds, memory, fits, best[0]),
        goodput=good,
        whole=True,
    )


def evaluate(found: Asked, space: TrainingLayout) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seconds of a step, bytes of the fullest device and chance of running out of memory, of every layout."""
    n = len(space.tp)
    out = np.empty((3, n))
    shipped = frameworks()
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        run = train(found.setting, chosen(space, np.arange(start, min(start + BLOCK, n))), shipped)
        out[0, part], out[1, part], out[2, part] = run.seconds, run.memory.used, run.out_of_memory
    return out[0], out[1], out[2]


def _distinct(space: TrainingLayout, order: np.ndarray, top: int) -> list[int]:
    """Places of the fastest layouts, one for each set of degrees."""
    seen: set[tuple[int, ...]] = set()
    out: list[int] = []
    for place in order:
        key = tuple(int(getattr(space, name)[place]) for name in ("tp", "pp", "cp", "ep"))
        if key not in seen:
            seen.add(key)
            out.append(int(place))
        if len(out) == top:
            break
    return out


def _front(
    space: TrainingLayout, seconds: np.ndarray, memory: np.ndarray, order: np.ndarray
) -> tuple[tuple[TrainingLayout, float, float], ...]:
    """Of layouts in the order of their times those that need less memory than all faster ones."""
    least = np.minimum.accumulate(memory[order])
    first = np.concatenate([[True], least[1:] < least[:-1]])
    return tuple((one(space, int(i)), float(seconds[i]), float(memory[i])) for i in order[first])


def _alternatives(
    found: Asked, space: TrainingLayout, seconds: np.ndarray, memory: np.ndarray, fits: np.ndarray, best: TrainingRun
) -> tuple[Alternative, ...]:
    """The fastest layout of each choice that the best one does not make; where none fits, the smallest."""
    out: list[Alternative] = []
    for name, (field, value, same) in ALTERNATIVES.items():
        if (getattr(best.layout, field) == value) == same:
            continue
        column = getattr(space, field)
        mask = (column == value) == same
        if not mask.any():
            continue
        fitting = mask & fits
        any_fits = bool(fitting.any())
        place = int(
            np.where(fitting, seconds, np.inf).argmin() if any_fits else np.where(mask, memory, np.inf).argmin()
        )
        run = train(found.setting, one(space, place))
        why = loses(run, best) if any_fits else f"does not fit: {memory[place] / 1e9:,.0f} GB at least"
        out.append(
            Alternative(
                choice=name,
                layout=run.layout,
                seconds=float(seconds[place]),
                memory=float(memory[place]),
                fits=any_fits,
                why=why,
            )
        )
    return tuple(out)


def loses(run: TrainingRun, best: TrainingRun) -> str:
    """Why a layout is slower than the best: what it spends more on, most first."""
    slower = run.seconds / best.seconds - 1.0
    more = {name: run.time.parts[name] - best.time.parts[name] for name in run.time.parts}
    worst = [
        name
        for name in sorted(more, key=lambda name: -more[name])[:2]
        if more[name] > 0.1 * max(slower, 1e-9) * best.seconds
    ]
    spent = " and ".join(
        f"{name} take {run.time.parts[name]:.3g} s, not {best.time.parts[name]:.3g} s" for name in worst
    )
    return f"{slower:.1%} slower" + (f": {spent}" if spent else "")
