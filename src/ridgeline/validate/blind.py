"""Inference tried blind: on models whose architecture is public, the market learnt without their families.

    coverage of the 80% interval, its width in factors of ten, ln score against the prior without prices and against a
    regression of log parameters on log prices; families weigh the same, prices that sellers copy count once

Also with prices shuffled between families, which must gain nothing, and learnt on cheap families, tried on dear ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.pricing.infer import Inference
from ridgeline.pricing.market import Market, Tried
from ridgeline.pricing.open_weights import Sample
from ridgeline.pricing.selling import shown
from ridgeline.validate.market import fit

Floats = NDArray[np.float64]

QUANTITIES = ("active", "total", "cache")
FOLDS = 10
_DRAWS = 1 << 14


class Blind(msgspec.Struct, frozen=True, kw_only=True):
    """How well a quantity was told, families weighing the same."""

    coverage: float
    width: float
    """Of the interval of 80%, factors of ten."""
    prior_width: float
    gain: float
    """Nats over the prior without prices."""
    over_regression: float
    """Nats over the regression, which is fitted to the same families."""
    error: float
    """Mean of |log10(middle / truth)|."""
    prior_error: float
    families: int
    sheets: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One sheet's answer on one quantity."""

    family: str
    weight: float
    inside: bool
    width: float
    prior_width: float
    gain: float
    over_regression: float
    error: float
    prior_error: float


def blind(sample: Sample, start: Market, *, signs: bool = True, folds: int = FOLDS, seed: int = 0) -> dict[str, Blind]:
    """Each family told by a market that was learnt without it, ten families or so left out at a time."""
    names = sample.families
    fold = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % folds, strict=True))
    told: dict[str, list[Told]] = {name: [] for name in QUANTITIES}
    for left in range(folds):
        out = np.array([fold[truth.family] == left for truth in sample.truths])
        for name, each in tell(sample.where(~out), sample.where(out), start, signs=signs):
            told[name].append(each)
    return {name: summary(each) for name, each in told.items()}


def dearer(sample: Sample, start: Market, *, signs: bool = True, share: float = 0.7) -> dict[str, Blind]:
    """Learnt on the cheaper families, tried on the dearest: how far that carries."""
    price = {
        name: np.median([s.output for s, t in zip(sample.sheets, sample.truths, strict=True) if t.family == name])
        for name in sample.families
    }
    limit = np.quantile(list(price.values()), share)
    out = np.array([price[truth.family] > limit for truth in sample.truths])
    told: dict[str, list[Told]] = {name: [] for name in QUANTITIES}
    for name, each in tell(sample.where(~out), sample.where(out), start, signs=signs):
        told[name].append(each)
    return {name: summary(each) for name, each in told.items()}


def shuffled(sample: Sample, seed: int) -> Sample:
    """The same families with the sheets of others: prices that say nothing."""
    stream = np.random.default_rng(seed)
    names = sample.families
    other = dict(zip(names, stream.permutation(names), strict=True))
    by_family = {
        name: [s for s, t in zip(sample.sheets, sample.truths, strict=True) if t.family == name] for name in names
    }
    drawn = [by_family[other[truth.family]] for truth in sample.truths]
    return Sample(sheets=[sheets[stream.integers(len(sheets))] for sheets in drawn], truths=sample.truths)


def tell(known: Sample, unknown: Sample, start: Market, *, signs: bool = True) -> Iterator[tuple[str, Told]]:
    """Answers on sheets of families that the market was learnt without."""
    inference = Inference(fit(known, start), count=_DRAWS)
    even = np.full(_DRAWS, 1.0 / _DRAWS)
    plain = {name: regression(known, name) for name in QUANTITIES}
    before = {name: inference.quantiles(name, even) for name in QUANTITIES}
    for sheet, truth, weight in zip(unknown.sheets, unknown.truths, unknown.weights, strict=True):
        weights = inference.weigh(shown(sheet, signs=signs))
        for name in QUANTITIES:
            value = np.log10(getattr(truth, name))
            low, middle, high = inference.quantiles(name, weights)
            score = np.log(inference.density(name, value, weights))
            mean, sd = plain[name]
            centre = mean @ _terms(sheet.input, sheet.output)
            against = -0.5 * ((value - centre) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))
            yield name, Told(
                family=truth.family, weight=float(weight), inside=bool(low <= value <= high), width=float(high - low),
                prior_width=float(before[name][2] - before[name][0]),
                gain=float(score - np.log(inference.density(name, value, even))),
                over_regression=float(score - against), error=float(abs(middle - value)),
                prior_error=float(abs(before[name][1] - value)),
            )  # fmt: skip


def regression(known: Sample, name: str) -> tuple[Any, float]:
    """Coefficients on [1, log10 input, log10 output] and the spread of what is left: the plain rival."""
    design = np.array([_terms(sheet.input, sheet.output) for sheet in known.sheets])
    y = np.log10([getattr(truth, name) for truth in known.truths])
    w = known.weights
    b = np.linalg.solve((design * w[:, None]).T @ design, (design * w[:, None]).T @ y)
    return b, float(np.sqrt((w * (y - design @ b) ** 2).sum() / (w.sum() - 3)))


def summary(told: list[Told]) -> Blind:
    """Means over families."""
    w = np.array([each.weight for each in told])
    w = w / w.sum()

    def mean(name: str) -> float:
        return float((w * np.array([float(getattr(each, name)) for each in told])).sum())

    return Blind(
        coverage=mean("inside"), width=mean("width"), prior_width=mean("prior_width"), gain=mean("gain"),
        over_regression=mean("over_regression"), error=mean("error"), prior_error=mean("prior_error"),
        families=len({each.family for each in told}), sheets=len(told),
    )  # fmt: skip


def _terms(first: float, second: float) -> Floats:
    return np.array([1.0, np.log10(first), np.log10(second)])


def learn(sample: Sample, start: Market) -> Market:
    """The market that a sample shows, with how well it does on families that are left out."""
    found = fit(sample, start)
    tried: dict[str, Tried] = {}
    for signs, note in ((True, ""), (False, ", prices only")):
        for name, each in blind(sample, start, signs=signs).items():
            tried[name + note] = Tried(coverage=each.coverage, width=each.width, gain=each.gain, families=each.families)
    by_family = {
        name: float(
            np.median([s.output for s, t in zip(sample.sheets, sample.truths, strict=True) if t.family == name])
        )
        for name in sample.families
    }
    dates = sorted(sheet.date for sheet in sample.sheets if sheet.date)
    return msgspec.structs.replace(
        found, tried=tried, dearest=float(np.quantile(list(by_family.values()), 0.9)) * 1e6,
        source=f"{len(sample)} prices of {len(by_family)} families of open-weight models", date=dates[-1],
    )  # fmt: skip
