"""The market's constants, learnt from sheets of models whose architecture is public.

    maximise  sum over families of the mean over their sheets of ln p(prices | architecture)  +  ln prior of constants

with the operating batch integrated out (seven nodes of Gauss and Hermite). What is believed of the models themselves
are means and spreads over the families on sale, widened for their number. Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.pricing.market import Chip, Kind, Line, Market, Models, Normal, Sign, Signs, chip
from ridgeline.pricing.open_weights import Sample, Truth
from ridgeline.pricing.population import TEN
from ridgeline.pricing.selling import Shown, expected, price_likelihood, shown

Floats = NDArray[np.float64]

PRIOR: dict[str, tuple[float, float]] = {
    "markup": (2.0, 2.0), "markup_sd": (np.log(0.7), 1.0), "input_noise": (np.log(0.3), 0.7),
    "output_noise": (np.log(0.3), 0.7), "batch": (np.log(64.0), 1.0), "batch_sd": (np.log(0.6), 0.4),
    "context": (np.log(4000.0), 0.7), "elasticity": (np.log(0.8), 0.4), "output": (0.0, 0.5), "flat": (0.0, 1.0),
    "flat_noise": (np.log(0.8), 1.0), "spread": (np.log(300.0), 1.0),
}  # fmt: skip
"""Constants of the market (logs of what is positive) before any sheet: mean and sd."""
POSITIVE = ("markup_sd", "input_noise", "output_noise", "batch_sd", "context", "elasticity", "flat_noise", "spread")
_NODES, _MASS = np.polynomial.hermite_e.hermegauss(7)
_ROUNDS = 40


def fit(sample: Sample, start: Market) -> Market:
    """The market that a sample shows; machine, format and tails are those of `start`."""
    families = {truth.family: truth for truth in sample.truths}
    rough = msgspec.structs.replace(start, models=models(list(families.values()), start.models))
    return _selling(sample, msgspec.structs.replace(rough, signs=signs(sample)))


def columns(sample: Sample) -> tuple[dict[str, Any], Shown]:
    """Architecture in log10 and what the sheets show, a sheet to a row."""
    truths, seen = sample.truths, [shown(sheet) for sheet in sample.sheets]
    architecture = {
        "experts": np.array([truth.experts for truth in truths]),
        **{name: np.log10([getattr(truth, name) for truth in truths]) for name in ("active", "total", "cache")},
    }
    return architecture, Shown(*(np.array(column) for column in zip(*seen, strict=True)))


def _selling(sample: Sample, start: Market) -> Market:
    from scipy.optimize import minimize

    architecture, seen = columns(sample)
    weights, machine = sample.weights, chip(start.machine)
    means, spreads = (np.array(part) for part in zip(*PRIOR.values(), strict=True))

    def loss(x: Floats) -> float:
        market = _with(start, x)
        likelihood = _integrated(architecture, seen, market, machine)
        return float(-(weights * likelihood).sum() + 0.5 * (((x - means) / spreads) ** 2).sum())

    found = minimize(loss, means, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    return _with(start, found.x)


def _integrated(architecture: dict[str, Any], seen: Shown, market: Market, machine: Chip) -> Floats:
    batch = market.machine.batch
    nodes = np.exp(batch.mean + batch.sd * _NODES)[:, None]
    model = expected(**architecture, batch=nodes, market=market, chip=machine)
    each = price_likelihood(model, seen, market.selling)
    return np.logaddexp.reduce(np.log(_MASS / _MASS.sum())[:, None] + each, axis=0)


def _with(market: Market, x: Floats) -> Market:
    """A market with these constants; what is positive is in logs."""
    at = {name: float(np.exp(v) if name in POSITIVE else v) for name, v in zip(PRIOR, x, strict=True)}
    replace = msgspec.structs.replace
    return replace(
        market,
        machine=replace(
            market.machine, spread=at["spread"], context=at["context"],
            batch=Normal(mean=at["batch"], sd=at["batch_sd"]),
        ),
        selling=replace(
            market.selling, markup=Normal(mean=at["markup"], sd=at["markup_sd"]),
            elasticity=at["elasticity"], output=at["output"], flat=at["flat"],
            input_noise=at["input_noise"], output_noise=at["output_noise"],
            flat_noise=at["flat_noise"],
        ),
    )  # fmt: skip


def models(truths: Sequence[Truth], start: Models) -> Models:
    """Means and spreads over families, each once."""
    experts = np.array([truth.experts for truth in truths])
    active, total, cache = (np.log10([getattr(t, name) for t in truths]) for name in ("active", "total", "cache"))
    kinds = [truth.kind for truth in truths]
    attention = {}
    for name in start.attention:
        own = np.array([kind == name for kind in kinds])
        attention[name] = Kind(
            dense=_share(own[~experts]), experts=_share(own[experts]), cache=_line(active[own] - TEN, cache[own])
        )
    whole = {key: sum(getattr(kind, key) for kind in attention.values()) for key in ("dense", "experts")}
    return Models(
        experts=float((experts.sum() + 1) / (len(truths) + 2)),
        dense_active=_normal(active[~experts]),
        dense_rest=_normal((total - active)[~experts]),
        experts_active=_normal(active[experts]),
        experts_total=_line(active[experts] - TEN, total[experts]),
        attention={
            name: Kind(dense=kind.dense / whole["dense"], experts=kind.experts / whole["experts"], cache=kind.cache)
            for name, kind in attention.items()
        },
    )


def signs(sample: Sample) -> Signs:
    """What one price for both, a price for cached input and the longest input say."""
    architecture, seen = columns(sample)
    weights, moe = sample.weights, architecture["experts"].astype(float)
    said = ~np.isnan(np.asarray(seen.context))
    return Signs(
        flat=_logit(moe, architecture["active"] - TEN, np.asarray(seen.flat, float), weights),
        cached=_logit(moe, architecture["total"] - 10.5, np.asarray(seen.cached), weights),
        context=_context(moe[said], architecture["cache"][said] - 5.0, np.asarray(seen.context)[said], weights[said]),
    )


def _share(yes: NDArray[np.bool_]) -> float:
    return float((yes.sum() + 0.5) / (len(yes) + 1.5))


def _normal(x: Floats) -> Normal:
    """Mean and spread, the spread widened for how few they are."""
    n = len(x)
    return Normal(mean=float(x.mean()), sd=float(x.std(ddof=1) * np.sqrt(1 + 1 / n)))


def _line(x: Floats, y: Floats) -> Line:
    """Least squares with a slope that is shrunk towards zero, as a slope of 0 +- 1 is believed at first."""
    n = len(x)
    design = np.c_[np.ones(n), x]
    spread = max(float(y.var()), 0.01)
    coefficients = np.linalg.solve(design.T @ design + np.diag([0.0, spread]), design.T @ y)
    rest = y - design @ coefficients
    sd = float(np.sqrt((rest**2).sum() / max(n - 2, 1) * (1 + 2 / n)))
    return Line(mean=float(coefficients[0]), slope=float(coefficients[1]), sd=sd)


def _logit(moe: Floats, x: Floats, y: Floats, weights: Floats, ridge: float = 1.0) -> Sign:
    """Logistic regression by Newton's method, with coefficients believed to be 0 +- 1."""
    design = np.c_[np.ones_like(moe), moe, x]
    penalty = np.diag([1e-6, ridge, ridge])
    b = np.zeros(3)
    for _ in range(25):
        p = 1.0 / (1.0 + np.exp(-design @ b))
        gradient = design.T @ (weights * (y - p)) - penalty @ b
        b = b + np.linalg.solve((design * (weights * p * (1 - p))[:, None]).T @ design + penalty, gradient)
    return Sign(constant=float(b[0]), experts=float(b[1]), slope=float(b[2]))


def _context(moe: Floats, x: Floats, y: Floats, weights: Floats) -> Sign:
    design = np.c_[np.ones_like(moe), moe, x]
    gram = (design * weights[:, None]).T @ design + np.diag([1e-6, 0.3, 0.3])
    b = np.linalg.solve(gram, (design * weights[:, None]).T @ y)
    families = weights.sum()
    sd = np.sqrt((weights * (y - design @ b) ** 2).sum() / max(families - 3, 1) * (1 + 3 / families))
    return Sign(constant=float(b[0]), experts=float(b[1]), slope=float(b[2]), sd=float(sd))
