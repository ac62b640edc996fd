"""Fit the constants of engines to measured steps, and learn the intervals from what was left out.

Minimise the mean of |ln(estimate / measured)| over rows, hardly growing beyond LIMIT, groups of like rows (model,
chip, format) weighted by the root of their size, plus a pull towards the constants of all engines together (partial
pooling). Coordinate search inside physical bounds: robust, without derivatives, the same result every time.

Intervals are split-conformal: every group of rows is predicted with constants fitted without it, and the 10th and
90th percentile of ln(measured / estimate) per mode and metric are the interval of 80%. A level of provenance of which
there are too few rows gets the interval of measured kernels, widened as kernels' own errors widen when their chip is
left out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ridgeline.estimate import LEVELS, Client, EngineConstants, Engines, Terms, level
from ridgeline.validate.points import EAGER, Prepared, Refusal, metrics, prepare, read_points

LIMIT = 0.7
"""|ln error| beyond which a row counts no more: a wrong row, or another deployment than its columns say."""
PULL = 0.02
"""Loss per quarter of a constant's range away from that of all engines."""
LEAST = 15
"""Rows below which an engine or a level has no constants of its own."""
MEASURED = ("vllm", "sglang", "trtllm")
"""Engines whose kernels were measured: their factor on kernels is 1."""
WIDER = {"measured steps": 1.0, "pooled": 1.6, "spec sheet only": 2.4}
"""Spread over that of measured kernels: ratio of the kernels' errors on chips and generations left out."""
NAMES = (
    "kernels",
    "launches",
    "quantise",
    "messages",
    "layer",
    "host",
    "sequence",
    "frontend",
    "per_request",
    "first",
    "burst",
)
LOW = np.array([1.0, 0.4, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
HIGH = np.array([1.6, 1.3, 1.0, 2.5, 60e-6, 4e-3, 60e-6, 0.15, 4e-3, 4.0, 1.0])
LAUNCHED = 1.2e-3
"""Most seconds per layer where the host launches every kernel."""
START = np.array([1.0, 0.9, 0.2, 1.0, 20e-6, 0.4e-3, 6e-6, 0.02, 1e-3, 2.0, 0.1])

Sample = tuple[Prepared, np.ndarray, np.ndarray]
"""Rows of one engine as one group, their measured values, and their groups."""


def calibrate(path: Path, catalog: str = "") -> Engines:
    """Constants of all engines of a points file, from the rows whose speculation is known to be off.

    Raises
    ------
    InputError
        If the file cannot be read or lacks a column.
    """
    rows = [row for row in read_points(path) if row.get("mtp") == "0"]
    by_engine: dict[str, list[Prepared]] = {}
    for item in prepare(rows, catalog):
        if not isinstance(item, Refusal):
            by_engine.setdefault(item.engine, []).append(item)
    samples = {name: _sample(groups, rows) for name, groups in by_engine.items()}
    samples = {name: sample for name, sample in samples.items() if len(sample[1]) >= LEAST}
    profiled = [group for name in MEASURED for group in by_engine.get(name, [])]
    pool = _fit(_sample(profiled, rows), START, free_kernels=False, pull=0.0)
    fitted: list[EngineConstants] = [_constants("any", pool, len(rows), ())]
    errors: dict[str, dict[str, list[float]]] = {}
    for name, sample in sorted(samples.items()):
        chips = tuple(sorted({group.found.system.chip.name for group in by_engine[name]}))
        free = name not in MEASURED
        theta = _fit(sample, pool, free_kernels=free, pull=PULL)
        fitted.append(_constants(name, theta, len(sample[1]), chips))
        _hold_out(sample, pool, free, by_engine[name], errors)
    return Engines(source=path.name, engines=tuple(fitted), spread=_spread(errors))


def write(engines: Engines, path: Path) -> None:
    """Write constants as JSON, one engine per line, in one go."""
    text = msgspec.json.format(msgspec.json.encode(engines), indent=1)
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
        file.write(text + b"\n")
    os.replace(file.name, path)


def _sample(groups: Sequence[Prepared], rows: Sequence[Mapping[str, str]]) -> Sample:
    """Groups as one, without the rows that no law is for."""
    sizes = [len(group.rows) for group in groups]

    def join(values: Callable[[Prepared], object]) -> np.ndarray:
        return np.concatenate([np.broadcast_to(np.asarray(values(g)), n) for g, n in zip(groups, sizes, strict=True)])

    def terms(which: Callable[[Prepared], Terms]) -> Terms:
        names = [name for name in Terms.__struct_fields__ if name != "provenance"]
        return Terms(**{name: join(lambda g, n=name: getattr(which(g), n)) for name in names}, provenance="")

    whole = Prepared(
        rows=[i for group in groups for i in group.rows],
        keys=[key for group in groups for key in group.keys],
        engine=groups[0].engine,
        number={name: join(lambda g, n=name: g.number[n]) for name in groups[0].number},
        decode=terms(lambda g: g.decode),
        prefill=terms(lambda g: g.prefill),
        alone=terms(lambda g: g.alone),
        prompts=join(lambda g: g.prompts),
        decode_step=groups[0].decode_step,
        prefill_step=groups[0].prefill_step,
        capacity=join(lambda g: g.capacity),
        fits=join(lambda g: g.fits),
        found=groups[0].found,
    )
    label = np.concatenate([np.full(n, i) for i, n in enumerate(sizes)])
    return whole, whole.number["value"], label


def _log_errors(sample: Sample, theta: np.ndarray) -> np.ndarray:
    """ln(estimate / measured) of each row; NaN where no law is for its metric."""
    whole, value, _ = sample
    estimates = metrics(whole, _constants("", theta, 0, ()))
    out = np.full(len(value), np.nan)
    for key in set(whole.keys):
        rows = np.array([k == key for k in whole.keys]) if key in estimates else []
        if key in estimates:
            out[rows] = np.log(estimates[key][rows] / value[rows])
    return out


def _fit(
    sample: Sample, start: np.ndarray, *, free_kernels: bool, pull: float, keep: np.ndarray | None = None
) -> np.ndarray:
    """Constants that fit the rows in `keep` best."""
    whole, value, label = sample
    high = np.where(np.array(NAMES) == "layer", LAUNCHED if whole.engine.endswith(EAGER) else HIGH, HIGH)
    keys = np.array(["/".join(key) for key in whole.keys])
    masks = [(tuple(key.split("/")), keys == key) for key in sorted(set(keys))]
    used = np.ones(len(value), dtype=bool) if keep is None else keep
    counts = np.bincount(label[used], minlength=label.max() + 1)
    weight = np.where(used, 1.0 / np.sqrt(np.maximum(counts[label], 1)), 0.0)

    def loss(theta: np.ndarray) -> float:
        estimates = metrics(whole, _constants("", theta, 0, ()))
        total = 0.0
        for key, rows in masks:
            if key in estimates:
                error = np.abs(np.log(estimates[key][rows] / value[rows]))
                total += float(np.sum(weight[rows] * np.minimum(error, 0.9 * LIMIT + 0.1 * error)))
        return total / weight.sum() + pull * float(np.mean(np.abs(theta - start) / (HIGH - LOW))) * 4

    theta, best, width = start.copy(), loss(start), (high - LOW) / 4
    free = [i for i, name in enumerate(NAMES) if name != "kernels" or free_kernels]
    while width[1] > 2e-3 * (HIGH - LOW)[1]:
        improved = False
        for i in free:
            for direction in (1.0, -1.0):
                trial = theta.copy()
                trial[i] = np.clip(trial[i] + direction * width[i], LOW[i], high[i])
                value_of = loss(trial)
                if value_of < best - 1e-6:
                    theta, best, improved = trial, value_of, True
        if not improved:
            width = width / 2
    return theta


def _hold_out(
    sample: Sample, pool: np.ndarray, free: bool, groups: Sequence[Prepared], errors: dict[str, dict[str, list[float]]]
) -> None:
    """Add ln(measured / estimate) of each group under constants fitted without its model and chip."""
    whole, _, label = sample
    place = [(g.found.model.name, g.found.system.name) for g in groups]
    for held in sorted(set(place)):
        out = np.isin(label, [i for i, p in enumerate(place) if p == held])
        theta = pool if out.all() else _fit(sample, pool, free_kernels=free, pull=PULL, keep=~out)
        found = _log_errors(sample, theta)
        constants = _constants("", theta, 0, ())
        for row in np.flatnonzero(out & np.isfinite(found)):
            group = groups[label[row]]
            resting = level(group.decode, constants, group.found.system.chip.name)
            key = "/".join(whole.keys[row])
            for name in (key, whole.keys[row][1], "all"):
                errors.setdefault(name, {}).setdefault(resting, []).append(-float(found[row]))


def _spread(errors: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, tuple[float, float]]]:
    """10th and 90th percentile by metric and level, with the widened ones where there are too few rows."""
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for name, by_level in sorted(errors.items()):
        every = [error for found in by_level.values() for error in found]
        if len(every) < LEAST:
            continue
        base = by_level.get(LEVELS[0], every)
        low, high = _percentiles(base if len(base) >= LEAST else every)
        spread = {LEVELS[0]: (low, high), "any": (2.4 * low, 2.4 * high)}
        for resting, factor in WIDER.items():
            own = by_level.get(resting, [])
            spread[resting] = _percentiles(own) if len(own) >= LEAST else (factor * low, factor * high)
        out[name] = spread
    return out


def _percentiles(errors: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(errors, [0.1, 0.9])
    return round(min(float(low), -0.02), 4), round(max(float(high), 0.02), 4)


def _constants(name: str, theta: np.ndarray, rows: int, chips: tuple[str, ...]) -> EngineConstants:
    value = {key: float(f"{x:.3g}") for key, x in zip(NAMES, theta, strict=True)}
    client = Client(**{key: value.pop(key) for key in Client.__struct_fields__})
    return EngineConstants(engine=name, rows=rows, chips=chips, client=client, **value)
