"""Constants of frameworks, fitted to whole steps and to measured memory; intervals learnt from what was left out.

    minimise  sum over rows of w soft(ln(estimate / measured))  +  sum over constants of (ln(theta / parent) / spread)^2

Partial pooling from the top down: all frameworks, a framework, a framework on a generation of chips; the constants of
each level are the prior of the next, in logarithms, so that few or one-sided rows leave a constant where its relatives
have it. Rows of one place (source, model, chip) weigh together as the root of their number. Every place is also
predicted with constants fitted without it. Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from ridgeline.efficiency import generation
from ridgeline.errors import InputError
from ridgeline.model import Architecture
from ridgeline.training.forward import Forward
from ridgeline.training.framework import ANY, Allocation, Factors, Fitted, Frameworks, HeldOut, Spread
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.memory import training_memory
from ridgeline.training.stages import Stages
from ridgeline.training.step import Parts, step_parts, step_time
from ridgeline.validate.training.row import Question

FIRST = Factors(
    gemm=1.1, attention=1.2, attention_backward=3.0, experts=1.5, streams=2.0, tp=0.7, tp_far=2.0, tp_hop=0.3e-3,
    cp=0.5, ep=0.7, dp=0.3, pp=0.5, host=0.3e-3, host_experts=5e-3, meeting=0.3e-3, stalled=1e-6, handover=20e-6,
    step=0.02, uneven=0.0, aging=0.05, aging_experts=0.3,
)  # fmt: skip
"""What is expected before any row is seen."""
SPREADS = {
    "gemm": 0.15, "attention": 0.4, "attention_backward": 0.2, "experts": 0.3, "streams": 0.4, "tp": 0.5,
    "tp_far": 0.3, "tp_hop": 1.0, "cp": 0.7, "ep": 0.5, "dp": 0.7, "pp": 0.7, "host": 0.7, "host_experts": 0.7,
    "meeting": 0.7, "stalled": 1.0, "handover": 1.0, "step": 0.7,
    "aging": 0.7, "aging_experts": 0.7,
}  # fmt: skip
"""How far a constant may lie from its parent, in logarithms."""
QUIRK = {"nanotron": {"host": 2e-3, "meeting": 2e-3, "stalled": 2e-3, "handover": 1e-3}}
"""Where a framework is known to lie far from the others before it is fitted: hosts that wait in pipelines."""
MOST = {"tp": 1.5, "cp": 1.5, "ep": 1.5, "dp": 1.5}
LEAST_ROWS = 5
"""Rows from which a framework, or a framework on a generation of chips, has constants of its own."""
WEIGHT, SCALE, FAR, LIMIT = 3.0, 0.1, 3.0, 0.7
"""Weight of a place of n rows: WEIGHT sqrt(n) against a prior of one; |ln error| beyond which a row counts linearly."""
SWEPT = "nanotron"
"""Framework of a sweep with many broken runs, which says nothing of others."""
STALLED = 256
"""Chips of the sweep beyond which runs are scored, but not fitted."""
Groups = list[tuple[Parts, np.ndarray]]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Questions with a measured rate, and their parts."""

    questions: tuple[Question, ...]
    parts: tuple[Parts, ...]

    @classmethod
    def of(cls, questions: Sequence[Question]) -> Sample:
        """The sample of questions of which a rate was measured."""
        known = tuple(q for q in questions if q.rate > 0)
        parts = tuple(
            step_parts(
                q.model, q.system, q.precision, q.layout, q.seq, q.batch, q.habits,
                uneven=0.0, frozen=q.frozen, fused=q.fused, age=q.age,
            )
            for q in known
        )  # fmt: skip
        return cls(questions=known, parts=parts)

    def where(self, chosen: Callable[[Question], bool]) -> Sample:
        """The questions that are chosen."""
        pairs = [(q, p) for q, p in zip(self.questions, self.parts, strict=True) if chosen(q)]
        return Sample(questions=tuple(q for q, _ in pairs), parts=tuple(p for _, p in pairs))

    @property
    def groups(self) -> Groups:
        """Parts as arrays with their places in the sample, by what cannot be an array."""
        keys = [(p.schedule, p.frozen) for p in self.parts]
        out: Groups = []
        for key in sorted(set(keys)):
            places = np.array([i for i, k in enumerate(keys) if k == key])
            out.append((_stack([self.parts[i] for i in places]), places))
        return out

    @property
    def seconds(self) -> np.ndarray:
        """Measured seconds of a step."""
        return np.array([q.batch * q.seq / (q.rate * q.layout.chips) for q in self.questions])

    def weights(self) -> np.ndarray:
        """Weight of each row: a place of n rows counts as WEIGHT sqrt(n)."""
        places = [q.place for q in self.questions]
        return np.array([WEIGHT / np.sqrt(places.count(place)) for place in places])


def _stack(parts: Sequence[Parts]) -> Parts:
    """Parts of many rows as one with arrays."""

    def column(rows: Sequence[Any], name: str) -> Any:
        values = [getattr(row, name) for row in rows]
        if isinstance(values[0], msgspec.Struct):
            kind = type(values[0])
            return kind(**{field: column(values, field) for field in kind.__struct_fields__})
        return values[0] if isinstance(values[0], str | bool) else np.array(values, dtype=float)

    assert isinstance(parts[0].forward, Forward)
    assert isinstance(parts[0].stages, Stages)
    return Parts(**{name: column(parts, name) for name in Parts.__struct_fields__})


def estimates(sample: Sample, factors: Factors, groups: Groups | None = None) -> np.ndarray:
    """Seconds of a step of every row with one set of constants."""
    out = np.zeros(len(sample.questions))
    for parts, places in groups if groups is not None else sample.groups:
        out[places] = step_time(parts, factors).seconds
    return out


def fit(sample: Sample, parent: Factors) -> Factors:
    """Constants that fit a sample best, with `parent` as the prior."""
    from scipy.optimize import least_squares

    groups, measured, weight = sample.groups, np.log(sample.seconds), np.sqrt(sample.weights())
    names = list(SPREADS)
    spread = np.array([SPREADS[name] for name in names])
    before = np.log([max(getattr(parent, name), 1e-9) for name in names])
    most = np.log([MOST.get(name, np.inf) for name in names])

    def at(x: np.ndarray) -> Factors:
        values = np.exp(np.minimum(before + x * spread, most))
        return msgspec.structs.replace(parent, **{n: float(v) for n, v in zip(names, values, strict=True)})

    def residuals(x: np.ndarray, limit: float) -> np.ndarray:
        miss = np.log(estimates(sample, at(x), groups)) - measured
        miss = np.clip(miss, -limit, limit) * 0.9 + miss * 0.1
        soft = np.sign(miss) * np.sqrt(2 * SCALE * (np.sqrt(SCALE**2 + miss**2) - SCALE)) / SCALE
        return np.concatenate([weight * soft, x])

    x = np.zeros(len(names))
    for limit in (FAR, LIMIT):
        x = least_squares(residuals, x, diff_step=1e-3, max_nfev=25, args=(limit,)).x
    return at(x)


def learn(sample: Sample, frameworks: Sequence[str]) -> tuple[Fitted, ...]:
    """Constants of all frameworks together, of each, and of each on a generation of chips."""
    everyone = fit(sample.where(lambda q: q.framework != SWEPT), FIRST)
    out = [_fitted(ANY, ANY, sample, everyone)]
    for name in frameworks:
        own = sample.where(lambda q, name=name: q.framework == name and not _stalled(q))
        if len(own.questions) < LEAST_ROWS:
            continue
        mine = fit(own, msgspec.structs.replace(everyone, **QUIRK.get(name, {})))
        out.append(_fitted(name, ANY, own, mine))
        kinds = sorted({_generation(q) for q in own.questions} - {""})
        for kind in kinds:
            here = own.where(lambda q, kind=kind: _generation(q) == kind)
            if len(here.questions) >= LEAST_ROWS and len(kinds) > 1:
                out.append(_fitted(name, kind, here, fit(here, mine)))
    return tuple(out)


def _stalled(question: Question) -> bool:
    """Runs of the sweep on 64 nodes, where something that no law explains added a second to each micro-batch."""
    return question.framework == SWEPT and question.layout.chips > STALLED


def _generation(question: Question) -> str:
    return generation(question.system.chip.name)


def _fitted(framework: str, kind: str, sample: Sample, factors: Factors) -> Fitted:
    rounded = {name: float(f"{getattr(factors, name):.3g}") for name in Factors.__struct_fields__}
    return Fitted(framework=framework, generation=kind, rows=len(sample.questions), factors=Factors(**rounded))


ALLOCATION = Allocation(context=5e9, fixed=0.3e9, tp=0.3e9, activations=1.1, states=1.03, peak=1.0, gathered=0.5)
"""What is expected of memory before any row is seen."""
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


def predictions(sample: Sample, found: Frameworks) -> np.ndarray:
    """Seconds of a step of every row with the constants of its framework and chip."""
    out = np.zeros(len(sample.questions))
    keys = [(q.framework, _generation(q), q.system.chip.name) for q in sample.questions]
    for key in sorted(set(keys)):
        own = sample.where(lambda q, key=key: (q.framework, _generation(q), q.system.chip.name) == key)
        places = np.array([i for i, k in enumerate(keys) if k == key])
        out[places] = estimates(own, found.factors(key[0], key[2]))
    return out


def held_out(sample: Sample, found: Frameworks) -> np.ndarray:
    """Seconds of a step of every row, with constants that were fitted without its place.

    The constants of all frameworks are kept: one place of a hundred hardly moves them.
    """
    everyone = next(each.factors for each in found.fitted if each.framework == ANY)
    out = np.zeros(len(sample.questions))
    for place in sorted({q.place for q in sample.questions}):
        mine = [i for i, q in enumerate(sample.questions) if q.place == place]
        first = sample.questions[mine[0]]
        others = sample.where(
            lambda q, f=first, p=place: q.place != p and q.framework == f.framework and not _stalled(q)
        )
        factors = everyone
        if len(others.questions) >= LEAST_ROWS:
            factors = fit(others, msgspec.structs.replace(factors, **QUIRK.get(first.framework, {})))
            here = others.where(lambda q, f=first: _generation(q) == _generation(f))
            if LEAST_ROWS <= len(here.questions) < len(others.questions):
                factors = fit(here, factors)
        out[mine] = estimates(sample.where(lambda q, p=place: q.place == p), factors)
    return out


def calibrate(questions: Sequence[Question], source: str, shipped: Frameworks) -> Frameworks:
    """Constants of all frameworks from measured runs, with intervals and errors of what was left out.

    Raises
    ------
    InputError
        If fewer than LEAST_ROWS runs have a measured rate, or a measured memory.
    """
    sample = Sample.of(questions)
    measured = [q for q in questions if q.memory > 0]
    if min(len(sample.questions), len(measured)) < LEAST_ROWS:
        raise InputError(source, f"at least {LEAST_ROWS} runs with a measured rate, and as many with a measured memory")
    names = sorted(shipped.habits)
    found = msgspec.structs.replace(
        shipped, source=source, fitted=learn(sample, names), allocation=learn_memory(measured, names)
    )
    times = np.log(sample.seconds / held_out(sample, found))
    sizes = np.log([q.memory for q in measured] / held_out_memory(measured, names))
    out: dict[str, Spread] = {}
    scores: dict[str, HeldOut] = {}
    for what, errors, rows in (("time", times, sample.questions), ("memory", sizes, measured)):
        for name in (ANY, *names):
            own = np.array([q.framework == name or (name == ANY and q.framework != SWEPT) for q in rows])
            if own.sum() >= LEAST_ROWS * 2:
                out[f"{what}, {name}"] = found_spread = spread(errors[own])
                inside = (errors[own] >= found_spread.low) & (errors[own] <= found_spread.high)
                miss = np.abs(np.expm1(errors[own] if what == "time" else -errors[own]))
                scores[f"{what}, {name}"] = summary(miss, float(inside.mean()))
    return msgspec.structs.replace(found, spread=out, held_out=scores)


def learn_memory(questions: Sequence[Question], names: Sequence[str]) -> dict[str, Allocation]:
    """Constants of memory of all frameworks together and of each."""
    others = [q for q in questions if q.framework != SWEPT]
    everyone = fit_memory(others, ALLOCATION) if len(others) >= LEAST_ROWS else ALLOCATION
    out = {ANY: everyone}
    for name in names:
        own = [q for q in questions if q.framework == name]
        if len(own) >= LEAST_ROWS:
            out[name] = fit_memory(own, ALLOCATION if name == SWEPT else everyone)
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


def spread(log_errors: np.ndarray) -> Spread:
    """A tenth and nine tenths of ln(measured / estimate)."""
    low, high = np.quantile(log_errors, [0.1, 0.9])
    return Spread(low=round(float(low), 4), high=round(float(high), 4), n=len(log_errors))


def summary(error: np.ndarray, inside: float) -> HeldOut:
    """Errors in a few numbers."""
    return HeldOut(
        n=len(error),
        median_abs_error=round(float(np.median(error)), 4),
        p90_abs_error=round(float(np.quantile(error, 0.9)), 4),
        coverage80=round(inside, 3),
    )
