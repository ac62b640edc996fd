"""Constants of memory, fitted to what frameworks report as their peak.

    minimise  sum over rows of w soft(ln(estimate / measured))  +  sum over constants of (ln(theta / parent) / spread)^2

Failures and full devices say how much a driver's context takes (`CONTEXT`). Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ridgeline.model import Architecture
from ridgeline.training.framework import ANY, Allocation
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.memory import training_memory
from ridgeline.validate.training.fit import LEAST_ROWS, SWEPT
from ridgeline.validate.training.row import Question
from ridgeline.validate.training.sample import WEIGHT

ALLOCATION = Allocation(context=3e9, fixed=0.3e9, tp=0.3e9, activations=1.1, states=1.03, peak=1.0, gathered=0.5)
"""What is expected of memory before any row is seen."""
CONTEXT = {"nanotron": 5.7e9, "foundry": 2e9}
"""Contexts that failures and full devices tell apart: nanotron opens a communicator for every group of ranks."""
SCALE_MEMORY, LIMIT_MEMORY = 0.05, 0.3
LOOSE = {"fixed": 2.0, "tp": 2.0, "activations": 0.4, "states": 0.1, "peak": 1.0, "gathered": 1.0}
Packs = list[tuple[Architecture, TrainingLayout, Question, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def packs(questions: Sequence[Question]) -> Packs:
    """Questions of one model and framework with layouts as arrays: model, layouts, one of them, seq, batch, bytes,
    places.
    """
    keys = [
        (q.model.name, len(q.model.layers), q.model.hidden, q.framework, q.layout.schedule, q.dropout, q.habits.states)
        for q in questions
    ]
    out: Packs = []
    for key in sorted(set(keys)):
        places = [i for i, k in enumerate(keys) if k == key]
        own = [questions[i] for i in places]
        names = [n for n in TrainingLayout.__struct_fields__ if n not in ("schedule", "offload")]
        columns: dict[str, Any] = {n: np.array([getattr(q.layout, n) for q in own]) for n in names}
        layout = TrainingLayout(schedule=own[0].layout.schedule, **columns)
        seq, batch, memory = (np.array([getattr(q, n) for q in own], dtype=float) for n in ("seq", "batch", "memory"))
        out.append((own[0].model, layout, own[0], seq, batch, memory, np.array(places)))
    return out


def allocated(found: Packs, count: int, allocation: Allocation) -> np.ndarray:
    """Bytes that the framework reports, of `count` questions."""
    out = np.zeros(count)
    for model, layout, one, seq, batch, _, places in found:
        memory = training_memory(
            model, layout, seq, batch, one.habits, allocation,
            dropout=one.dropout, fused=one.fused, frozen=one.frozen,
        )  # fmt: skip
        out[places] = memory.allocated
    return out


def fit_memory(questions: Sequence[Question], parent: Allocation) -> Allocation:
    """Constants of memory that fit questions best, with `parent` as the prior."""
    from scipy.optimize import least_squares

    groups = packs(questions)
    measured = np.log([q.memory for q in questions])
    places = [q.place for q in questions]
    weight = np.sqrt([WEIGHT / np.sqrt(places.count(place)) for place in places])
    names, spread = list(LOOSE), np.array(list(LOOSE.values()))
    before = np.log([getattr(parent, name) for name in names])

    def at(x: np.ndarray) -> Allocation:
        values = np.exp(before + x * spread)
        return msgspec.structs.replace(parent, **{n: float(f"{v:.3g}") for n, v in zip(names, values, strict=True)})

    def residuals(x: np.ndarray) -> np.ndarray:
        values = np.exp(before + x * spread)
        trial = msgspec.structs.replace(parent, **{n: float(v) for n, v in zip(names, values, strict=True)})
        miss = np.log(allocated(groups, len(questions), trial)) - measured
        miss = np.clip(miss, -LIMIT_MEMORY, LIMIT_MEMORY) * 0.9 + miss * 0.1
        s = SCALE_MEMORY
        soft = np.sign(miss) * np.sqrt(2 * s * (np.sqrt(s**2 + miss**2) - s)) / s
        return np.concatenate([weight * soft, 3.0 * x])

    return at(least_squares(residuals, np.zeros(len(names)), diff_step=1e-3, max_nfev=40).x)


def learn_memory(questions: Sequence[Question], names: Sequence[str]) -> dict[str, Allocation]:
    """Constants of memory of all frameworks together and of each."""
    others = [q for q in questions if q.framework != SWEPT]
    everyone = fit_memory(others, ALLOCATION) if len(others) >= LEAST_ROWS else ALLOCATION
    out = {ANY: everyone}
    for name in names:
        own = [q for q in questions if q.framework == name]
        start = ALLOCATION if name == SWEPT else everyone
        start = msgspec.structs.replace(start, context=CONTEXT.get(name, start.context))
        if len(own) >= LEAST_ROWS:
            out[name] = fit_memory(own, start)
        elif name in CONTEXT:
            out[name] = start
    return out


def held_out_memory(questions: Sequence[Question], names: Sequence[str]) -> np.ndarray:
    """Bytes that the framework reports, of every question, with constants that were fitted without its place."""
    out = np.zeros(len(questions))
    everyone = learn_memory([q for q in questions if q.framework != SWEPT], [])[ANY]
    for place in sorted({q.place for q in questions}):
        mine = [i for i, q in enumerate(questions) if q.place == place]
        name = questions[mine[0]].framework
        others = [q for q in questions if q.framework == name and q.place != place]
        start = ALLOCATION if name == SWEPT else everyone
        allocation = fit_memory(others, start) if len(others) >= LEAST_ROWS else start
        own = [questions[i] for i in mine]
        out[mine] = allocated(packs(own), len(own), allocation)
    return out
