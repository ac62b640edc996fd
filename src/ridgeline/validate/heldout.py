"""Intervals from what was left out: errors of predictions whose constants were fitted without the rows predicted.

Split-conformal: the 10th and 90th percentile of ln(measured / estimate) per mode and metric are the interval of 80%,
of n errors those of rank (n + 1) / 10 and 9 (n + 1) / 10, since the error to come is one more. Rows of one model on one
system err alike. Where the constants were fitted to the same model on the same system by the same engine, the errors
are those of rows drawn at random and left out (FITTED), and every row counts alike; elsewhere those of whole models on
systems that were left out, by level of provenance, and a place counts as the root of its rows, as in the fit, or a few
large places would speak for all. A level of which there are too few rows gets the interval of measured kernels, widened
as kernels' own errors widen when their chip is left out.

What a row of a new place may do is told by places, not by rows: percentiles of n rows of J places are widened as few
normal places would have to be, t sqrt(1 + 1 / J) / z, close to J / (J - FEW), less what that is for n alone. And an
engine errs as all do times the ratio of its errors to theirs, of which J places of its own prove the share J / (J + K):

    factor = (q of the engine / q of all) ^ (J / (J + K)),        q the 80th percentile of |ln(measured / estimate)|

Knows no fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ridgeline.engines import FITTED, LEVELS, Engines, HeldOut, place
from ridgeline.estimate import level
from ridgeline.validate.points import metrics
from ridgeline.validate.pools import PreparedPools, pool_metrics
from ridgeline.validate.prepared import Prepared

ENOUGH = 9
"""Errors from which a level has percentiles of its own: the least of nine is the 10th percentile of ten."""
PLACES = 3
"""Models on systems from which an engine has percentiles of its own: engines differ more than their places do. Fewer
widen an interval no more."""
PRIOR = 2.0
"""K: places that the errors of all engines count as, where an engine's own are weighed."""
FEW = 1.3
"""t sqrt(1 + 1 / J) / z, with J - 1 degrees of freedom, at 90% is 2.9, 1.7, 1.4 and 1.1 for 2, 3, 4 and 10 places."""
WIDER = {"measured steps": 1.0, "pooled": 1.6, "spec sheet only": 2.4}
"""Spread over that of measured kernels: ratio of the kernels' errors on chips and generations left out."""

PREFILL_STATIC, OTHERS = "prefill/static", "online/ttft_s, not vllm"
"""Keys of `Engines.held_out` of prefills and static batches together, and of TTFT in all engines but vLLM."""
Error = tuple[float, tuple[str, str]]
"""ln(measured / estimate), and the model and the system it was measured on."""
Errors = dict[str, dict[str, list[Error]]]
"""By what was measured and by level."""


def add_errors(group: Prepared | PreparedPools, others: Engines, errors: Errors, resting: str = "") -> None:
    """Add ln(measured / estimate) of a group's rows under constants fitted without them, at a level ("": its own)."""
    chip = group.found.system.chip.name
    where = group.found.model.name, group.found.system.name
    constants = others.constants(group.engine, chip, group.source, place(group.engine, *where))
    resting = resting or level(group.decode, constants, chip)
    estimates = pool_metrics(group, constants) if isinstance(group, PreparedPools) else metrics(group, constants)
    for j, key in enumerate(group.keys):
        if key in estimates:
            error = float(np.log(group.number["value"][j] / estimates[key][j]))
            for name in ("/".join(key), f"{'/'.join(key)}, {group.engine}", key[1], "all"):
                errors.setdefault(name, {}).setdefault(resting, []).append((error, where))


def spread(errors: Errors, near: Errors) -> dict[str, dict[str, tuple[float, float]]]:
    """10th and 90th percentile by metric and level, with the widened ones where there are too few rows.

    `errors`: of models on systems that were left out; `near`: of rows drawn at random.
    """
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for name, by_level in sorted((name, found) for name, found in errors.items() if ", " not in name):
        every = [error for found in by_level.values() for error in found]
        if len(every) < ENOUGH:
            continue
        base = by_level.get(LEVELS[0], every)
        low, high = _elsewhere(base if len(base) >= ENOUGH else every)
        spread = {LEVELS[0]: (low, high), "any": _wider(2.4, low, high)}
        for resting, factor in WIDER.items():
            own = by_level.get(resting, [])
            spread[resting] = _elsewhere(own) if len(own) >= ENOUGH else _wider(factor, low, high)
        out[name] = dict(spread)
        for engine, own in _of_engines(name, errors):
            share = len(_places(own)) / (len(_places(own)) + PRIOR)
            factor = (_size(own) / _size(every)) ** share
            out[f"{name}, {engine}"] = {resting: _wider(factor, low, high) for resting, (low, high) in spread.items()}
        known = near.get(name, {}).get(FITTED, [])
        if len(known) >= ENOUGH:
            out[name][FITTED] = _percentiles(known, even=True)
    for name, by_level in near.items():
        own = by_level[FITTED]
        if "/" in name and ", " in name and len(own) >= ENOUGH and len(_places(own)) >= PLACES:
            out.setdefault(name, {})[FITTED] = _percentiles(own, even=True)
    return dict(sorted(out.items()))


def _of_engines(metric: str, errors: Errors) -> list[tuple[str, list[Error]]]:
    """Errors of a metric by engine, where there are enough."""
    found = [(name, [e for own in by_level.values() for e in own]) for name, by_level in errors.items()]
    return [
        (name.removeprefix(f"{metric}, "), own)
        for name, own in found
        if name.startswith(f"{metric}, ") and len(own) >= ENOUGH
    ]


def _places(errors: Sequence[Error]) -> set[tuple[str, str]]:
    return {where for _, where in errors}


def held_out(errors: Errors) -> dict[str, HeldOut]:
    """Errors of held-out rows by mode, metric and engine, and of sets that join some (PREFILL_STATIC, OTHERS)."""
    out: dict[str, HeldOut] = {}
    for name, by_level in sorted((errors | _joined(errors)).items()):
        logs = -np.array([error for found in by_level.values() for error, _ in found])
        off = np.abs(np.expm1(logs))
        if "/" in name and len(logs) >= ENOUGH:
            out[name] = HeldOut(
                n=len(logs),
                median_abs_error=round(float(np.median(off)), 4),
                p90_abs_error=round(float(np.quantile(off, 0.9)), 4),
                bias=round(float(np.expm1(np.median(logs))), 4),
            )
    return out


def _joined(errors: Errors) -> Errors:
    out: Errors = {}
    for name, by_level in errors.items():
        if name.startswith(("prefill/", "static/")) and ", " not in name:
            joined = PREFILL_STATIC
        elif name.startswith("online/ttft_s, ") and name != "online/ttft_s, vllm":
            joined = OTHERS
        else:
            continue
        for resting, found in by_level.items():
            out.setdefault(joined, {}).setdefault(resting, []).extend(found)
    return out


def _elsewhere(errors: Sequence[Error]) -> tuple[float, float]:
    """Percentiles for a row of a place that is not among those of the errors."""
    low, high = _percentiles(errors)
    places, rows = (n / (n - FEW) for n in (max(len(_places(errors)), PLACES), len(errors)))
    return _wider(places / rows, low, high)


def _wider(factor: float, low: float, high: float) -> tuple[float, float]:
    return round(factor * low, 4), round(factor * high, 4)


def _percentiles(errors: Sequence[Error], even: bool = False) -> tuple[float, float]:
    errors, weight = _weighed(errors)
    weight = np.ones_like(weight) if even else weight
    ranks = np.array([0.1, 0.9]) * (weight.sum() + weight.mean())
    low, high = np.interp(ranks, weight.cumsum(), [error for error, _ in errors])
    return round(min(float(low), -0.02), 4), round(max(float(high), 0.02), 4)


def _size(errors: Sequence[Error]) -> float:
    """The 80th percentile of the errors without their sign."""
    errors, weight = _weighed([(abs(error), where) for error, where in errors])
    return max(float(np.interp(0.8 * weight.sum(), weight.cumsum(), [error for error, _ in errors])), 0.02)


def _weighed(errors: Sequence[Error]) -> tuple[list[Error], np.ndarray]:
    """Errors in their order, and what each counts: a place as the root of its rows."""
    errors, rows = sorted(errors), Counter(where for _, where in errors)
    return errors, np.array([rows[where] ** -0.5 for _, where in errors])
