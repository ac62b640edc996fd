"""Training runs held against predictions: step time, memory, and which layouts run out of it.

    error of a time      |measured / estimate - 1|, which is that of tokens per second
    error of a memory    |estimate / measured - 1|
    precision            of the runs that are predicted to run out, the share that failed
    recall               of the runs that failed for memory, the share that is predicted to

Both only of runs that say what they recompute.

A row without a prediction has its reason. Failures that cannot have been the memory's are counted apart: a stage
without layers, or less than half of the memory used. Knows no law.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.roofline import TERMS
from ridgeline.training.framework import ANY, STATED, Frameworks, frameworks
from ridgeline.training.run import Setting, train
from ridgeline.validate.points import Prediction
from ridgeline.validate.score import Score, compare
from ridgeline.validate.training.fit import SWEPT
from ridgeline.validate.training.row import Question, kind, question

FULL, ASSUMED, SWEEP = "step time, full settings", "step time, settings partly assumed", "step time, nanotron's sweep"
MEMORY, SWEEP_MEMORY = "memory of a device", "memory of a device, nanotron's sweep"
SETS = {
    FULL: STATED, ASSUMED: "", SWEEP: f"time, {SWEPT}", MEMORY: f"memory, {ANY}",
    SWEEP_MEMORY: f"memory, {SWEPT}",
}  # fmt: skip
"""Sets in the order of the board, and the key of `Frameworks.held_out` of the same rows."""
Held = tuple[Question, Prediction, float]


class OutOfMemory(msgspec.Struct, frozen=True, kw_only=True):
    """How well failures for memory are told from runs that went through."""

    failed: int
    """Failures that memory can explain."""
    predicted: int
    precision: float
    recall: float
    other: dict[str, int]
    """Failures that it cannot, by reason."""


class TrainingBoard(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of a table of training runs."""

    rows: int
    predicted: int
    asked: Counter[str]
    sets: dict[str, Score]
    overall: dict[str, Score]
    """By metric: `step_s`, `memory_bytes`."""
    groups: dict[str, dict[str, Score]]
    """By "chip: ...", "model: ...", "engine: ..." (the framework) and "source: ...", then by metric."""
    out_of_memory: OutOfMemory | None
    worst: list[Held]
    refused: dict[str, int]
    questions: int
    held: list[Held]


def read(path: Path) -> tuple[list[dict[str, str]], str]:
    """Rows of a table of training runs, and its kind; kind "" if the file is none, or a folder.

    Raises
    ------
    InputError
        If the file cannot be read as CSV.
    """
    if path.is_dir():
        return [], ""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            what = kind(list(reader.fieldnames or ()))
            return (list(reader), what) if what else ([], "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read as CSV ({getattr(error, 'strerror', None) or error})") from None


def questions(rows: Sequence[Mapping[str, str]], what: str) -> list[Question | str]:
    """Each row as a question, or the reason why it is none."""
    out: list[Question | str] = []
    for number, row in enumerate(rows):
        try:
            out.append(question(row, number, rows, what))
        except InputError as error:
            out.append(str(error))
    return out


def board(rows: Sequence[Mapping[str, str]], what: str, found: Frameworks | None = None) -> TrainingBoard:
    """Scores of all rows of a table of the kind `what`."""
    shipped = found or frameworks()
    asked = questions(rows, what)
    sets: dict[str, list[Held]] = {}
    wanted, refused = Counter[str](), Counter[str]()
    memories: list[tuple[Question, float, float]] = []
    for each in asked:
        if isinstance(each, str):
            refused[each] += 1
            continue
        time, memory, used, chance = predicted(each, shipped)
        if each.out_of_memory is not None and each.stated:
            memories.append((each, used, chance))
        if each.rate > 0:
            name = SWEEP if each.source == "ultrascale" else ASSUMED if each.assumed else FULL
            measured = each.batch * each.seq / (each.rate * each.layout.chips)
            sets.setdefault(name, []).append((each, time, measured))
        elif not each.memory and each.out_of_memory is not True:
            refused["neither a time nor a memory was measured, or they need a batch"] += 1
        if each.memory > 0:
            sets.setdefault(SWEEP_MEMORY if each.source == "ultrascale" else MEMORY, []).append(
                (each, memory, each.memory)
            )
    for name, helds in sets.items():
        wanted[name] = len(helds)
    every = [held for name in (FULL, ASSUMED, SWEEP) for held in sets.get(name, [])]
    far = sorted(every, key=lambda held: -abs(math.log(held[1].estimate / held[2])))[:10]
    return TrainingBoard(
        rows=len(rows),
        predicted=len(rows) - refused.total(),
        asked=wanted,
        sets={name: _scored(sets[name]) for name in SETS if name in sets},
        overall=_by_metric([held for helds in sets.values() for held in helds]),
        groups=_grouped([held for helds in sets.values() for held in helds]),
        out_of_memory=_failures(memories) if any(q.out_of_memory for q, _, _ in memories) else None,
        worst=far,
        refused=dict(refused.most_common()),
        questions=len(asked),
        held=every,
    )


def predicted(asked: Question, found: Frameworks) -> tuple[Prediction, Prediction, float, float]:
    """Step time and memory of a question with floors and intervals, bytes used, and the chance of running out."""
    setting = Setting(
        model=asked.model, system=asked.system, precision=asked.precision, seq=asked.seq, batch=asked.batch,
        framework=asked.framework, habits=asked.habits, frozen=asked.frozen, dropout=asked.dropout, fused=asked.fused,
        age=asked.age, fault=asked.fault, dropless=asked.dropless,
    )  # fmt: skip
    run = train(setting, asked.layout, found)
    spread = found.spread_of("memory", asked.framework)
    held = float(run.memory.allocated)
    time = Prediction(
        id=asked.id, metric="step_s", floor=float(run.floor.lower), low=float(run.low), estimate=float(run.seconds),
        high=float(run.high), binding=TERMS[int(run.floor.binding)], provenance=asked.framework,
    )  # fmt: skip
    memory = Prediction(
        id=asked.id, metric="memory_bytes", floor=0.0, low=held * math.exp(spread.low), estimate=held,
        high=held * math.exp(spread.high), provenance=asked.framework,
    )  # fmt: skip
    return time, memory, float(run.memory.used), float(run.out_of_memory)


def _scored(held: Sequence[Held]) -> Score:
    """Scores; of times in tokens per second, so that a prediction twice too slow is off by 100%."""
    found = compare([({}, p, value) for _, p, value in held])
    if held[0][1].metric != "step_s":
        return found
    error = np.abs([value / p.estimate - 1.0 for _, p, value in held])
    return msgspec.structs.replace(
        found, median_abs_error=float(np.median(error)), p90_abs_error=float(np.quantile(error, 0.9))
    )


def _by_metric(helds: Sequence[Held]) -> dict[str, Score]:
    metrics: dict[str, list[Held]] = {}
    for held in helds:
        metrics.setdefault(held[1].metric, []).append(held)
    return {metric: _scored(of) for metric, of in sorted(metrics.items(), reverse=True)}


def _grouped(helds: Sequence[Held]) -> dict[str, dict[str, Score]]:
    groups: dict[tuple[int, str], list[Held]] = {}
    for held in helds:
        q = held[0]
        for column, (name, value) in enumerate(
            (("chip", q.system.chip.name), ("model", q.model.name), ("engine", q.framework), ("source", q.source))
        ):
            groups.setdefault((column, f"{name}: {value}"), []).append(held)
    return {name: _by_metric(of) for (_, name), of in sorted(groups.items())}


def _failures(memories: Sequence[tuple[Question, float, float]]) -> OutOfMemory:
    """Failures told from runs that went through; predicted to fail is what fails more likely than not."""
    other = Counter[str]()
    failed = predicted = right = hit = 0
    for asked, used, chance in memories:
        says = chance > 0.5
        predicted += says
        right += says and bool(asked.out_of_memory)
        if not asked.out_of_memory:
            continue
        if asked.source == "ultrascale" and asked.layout.pp >= len(asked.model.layers):
            other["as many stages as layers, of which embedding and head take some"] += 1
        elif used < 0.5 * asked.system.chip.usable:
            other["less than half of the memory used"] += 1
        else:
            failed += 1
            hit += says
    return OutOfMemory(
        failed=failed,
        predicted=predicted,
        precision=right / predicted if predicted else math.nan,
        recall=hit / failed if failed else math.nan,
        other=dict(other.most_common()),
    )
