"""Constants of frameworks, fitted to whole steps.

    minimise  sum over rows of w soft(ln(estimate / measured))  +  sum over constants of (ln(theta / parent) / spread)^2

Partial pooling from the top down: all frameworks, a framework, a framework on a generation of chips; the constants of
each level are the prior of the next, in logarithms, so that few or one-sided rows leave a constant where its relatives
have it. Rows of one place (source, model, chip) weigh together as the root of their number. Every place is also
predicted with constants fitted without it. Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.efficiency import generation
from ridgeline.training.framework import ANY, Factors, Fitted, Frameworks
from ridgeline.validate.training.row import Question
from ridgeline.validate.training.sample import Sample, estimates

FIRST = Factors(
    gemm=1.1, attention=1.2, attention_backward=3.0, experts=1.5, streams=2.0, tp=0.7, tp_far=2.0, tp_hop=0.3e-3,
    sync=50e-6, cp=0.5, ep=0.7, dp=0.3, pp=0.5, host=0.3e-3, host_experts=2e-3, host_each=0.4e-3, meeting=0.3e-3,
    stalled=1e-6, handover=20e-6, step=0.02, uneven=0.0, youth=0.4, aging_experts=0.3,
)  # fmt: skip
"""What is expected before any row is seen."""
SPREADS = {
    "gemm": 0.15, "attention": 0.4, "attention_backward": 0.2, "experts": 0.3, "streams": 0.4, "tp": 0.5,
    "tp_far": 0.3, "tp_hop": 1.0, "sync": 1.0, "cp": 0.7, "ep": 0.5, "dp": 0.7, "pp": 0.7, "host": 0.7,
    "host_experts": 0.7, "host_each": 0.7, "meeting": 0.7, "stalled": 1.0, "handover": 1.0, "step": 0.7,
    "youth": 0.4, "aging_experts": 0.7,
}  # fmt: skip
"""How far a constant may lie from its parent, in logarithms."""
QUIRK = {"nanotron": {"host": 2e-3, "meeting": 2e-3, "stalled": 2e-3, "handover": 1e-3}}
"""Where a framework is known to lie far from the others before it is fitted: hosts that wait in pipelines."""
MOST = {"tp": 3.0, "cp": 1.5, "ep": 1.5, "dp": 1.5}
LEAST_ROWS = 5
"""Rows from which a framework, or a framework on a generation of chips, has constants of its own."""
SCALE, FAR, LIMIT = 0.1, 3.0, 0.7
"""|ln error| beyond which a row counts linearly; and beyond which hardly more, at first and at last."""
SWEPT = "nanotron"
"""Framework of a sweep with many broken runs, which says nothing of others."""


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
    """Runs of the sweep on its broken network: scored, but not fitted."""
    return question.fault > 0


def _generation(question: Question) -> str:
    return generation(question.system.chip.name)


def _fitted(framework: str, kind: str, sample: Sample, factors: Factors) -> Fitted:
    rounded = {name: float(f"{getattr(factors, name):.3g}") for name in Factors.__struct_fields__}
    return Fitted(framework=framework, generation=kind, rows=len(sample.questions), factors=Factors(**rounded))


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
