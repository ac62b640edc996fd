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
from typing import Any

import msgspec
import numpy as np

from ridgeline.efficiency import generation
from ridgeline.errors import InputError
from ridgeline.estimate import LEVELS, Client, EngineConstants, Engines, HeldOut, Terms, level
from ridgeline.validate.points import EAGER, Prepared, Refusal, metrics, prepare
from ridgeline.validate.row import read_points

LIMIT = 0.7
"""|ln error| beyond which a row counts no more: a wrong row, or another deployment than its columns say."""
PULL = 0.02
"""Loss per quarter of a constant's range away from that of all engines."""
LEAST = 15
"""Rows below which an engine or a level has no constants of its own."""
MANY = 100
"""Rows from which an engine has constants of its own on a generation of chips."""
MEASURED = ("vllm", "sglang", "trtllm")
"""Engines whose kernels were measured: their factor on kernels is 1."""
WIDER = {"measured steps": 1.0, "pooled": 1.6, "spec sheet only": 2.4}
"""Spread over that of measured kernels: ratio of the kernels' errors on chips and generations left out."""
NAMES = (
    "kernels",
    "prefill",
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
LOW = np.array([1.0, 0.7, 0.4, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
HIGH = np.array([1.6, 2.5, 1.3, 1.0, 2.5, 60e-6, 4e-3, 60e-6, 0.15, 4e-3, 4.0, 1.0])
LAUNCHED = 1.2e-3
"""Most seconds per layer where the host launches every kernel."""
START = np.array([1.0, 1.0, 0.9, 0.2, 1.0, 20e-6, 0.4e-3, 6e-6, 0.02, 1e-3, 2.0, 0.1])

CLIENTS = NAMES[-4:]
STEPS = NAMES[2:-4]
UNMEASURED = NAMES[:2]

Place = tuple[str, str]
"""Model and system: what is held out together."""
Sample = tuple[Prepared, np.ndarray, np.ndarray]
"""Rows of one engine as one group, their measured values, and their groups."""


def calibrate(path: Path, catalog: str = "") -> Engines:
    """Constants of all engines of a points file, from the rows whose speculation is known to be off.

    Raises
    ------
    InputError
        If the file cannot be read, or has fewer than LEAST usable rows of the engines whose kernels were measured.
    """
    rows = [row for row in read_points(path) if row.get("mtp") == "0" and row.get("value", "").strip(" 0.")]
    by_engine: dict[str, list[Prepared]] = {}
    for item in prepare(rows, catalog):
        if not isinstance(item, Refusal):
            by_engine.setdefault(item.engine, []).append(item)
    samples = {name: _sample(groups, rows) for name, groups in by_engine.items()}
    samples = {name: sample for name, sample in samples.items() if len(sample[1]) >= LEAST}
    profiled = [group for name in MEASURED for group in by_engine.get(name, [])]
    if sum(len(group.rows) for group in profiled) < LEAST:
        raise InputError(
            str(path), f"at least {LEAST} rows with mtp=0, a value, and an engine of {', '.join(MEASURED)}"
        )
    pool = _fit(_sample(profiled, rows), START, free=STEPS + CLIENTS, pull=0.0)
    clients: dict[str, Client] = {}
    fitted: list[EngineConstants] = [_constants("any", pool, len(rows), ())]
    errors: dict[str, dict[str, list[float]]] = {}
    for name, sample in sorted(samples.items()):
        chips = tuple(sorted({group.found.system.chip.name for group in by_engine[name]}))
        free = name not in MEASURED
        theta = _fit(sample, pool, free=STEPS + CLIENTS + (UNMEASURED if free else ()), pull=PULL)
        fitted.append(_constants(name, theta, len(sample[1]), chips))
        for alike, own in _generations(by_engine[name], theta, rows).items():
            constants = _constants(name, own, len(sample[1]), chips)
            fitted.append(msgspec.structs.replace(constants, generation=alike))
        for source, found in _clients(by_engine[name], theta, rows).items():
            clients[f"{name}, {source}"] = found
        _hold_out(sample, pool, free, by_engine[name], errors, rows)
    return Engines(
        source=path.name, engines=tuple(fitted), clients=clients, held_out=_held_out(errors), spread=_spread(errors)
    )


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
        first = which(groups[0])
        names = [name for name in Terms.__struct_fields__ if name not in ("provenance", "prefill")]
        columns = {name: join(lambda g, n=name: getattr(which(g), n)) for name in names}
        return msgspec.structs.replace(first, **columns, provenance="")

    whole = Prepared(
        rows=[i for group in groups for i in group.rows],
        keys=[key for group in groups for key in group.keys],
        engine=groups[0].engine,
        source="",
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


def _fit(
    sample: Sample, start: np.ndarray, *, free: Sequence[str], pull: float, keep: np.ndarray | None = None
) -> np.ndarray:
    """Constants that fit the rows in `keep` best; those not named in `free` stay as they start."""
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
    while width[1] > 2e-3 * (HIGH - LOW)[1]:
        improved = False
        for i in (NAMES.index(name) for name in free):
            for direction in (1.0, -1.0):
                trial = theta.copy()
                trial[i] = np.clip(trial[i] + direction * width[i], LOW[i], high[i])
                value_of = loss(trial)
                if value_of < best - 1e-6:
                    theta, best, improved = trial, value_of, True
        if not improved:
            width = width / 2
    return theta


def _generations(
    groups: Sequence[Prepared], theta: np.ndarray, rows: Sequence[Mapping[str, str]], without: Place | None = None
) -> dict[str, np.ndarray]:
    """An engine's constants on each generation of chips with enough rows, its own on all chips as the start."""
    out: dict[str, np.ndarray] = {}
    for alike in sorted({generation(group.found.system.chip.name) for group in groups} - {""}):
        own = [g for g in groups if generation(g.found.system.chip.name) == alike and _place(g) != without]
        if sum(len(group.rows) for group in own) >= MANY:
            out[alike] = _fit(_sample(own, rows), theta, free=STEPS + CLIENTS, pull=PULL / 2)
    return out


def _clients(
    groups: Sequence[Prepared], theta: np.ndarray, rows: Sequence[Mapping[str, str]], without: Place | None = None
) -> dict[str, Client]:
    """Constants of the clients of each benchmark that measured times to first token, the engine's own as the start."""
    out: dict[str, Client] = {}
    for source in sorted({group.source for group in groups}):
        own = [group for group in groups if group.source == source and _place(group) != without]
        if sum(key == ("online", "ttft_s") for group in own for key in group.keys) < LEAST:
            continue
        out[source] = _constants("", _fit(_sample(own, rows), theta, free=CLIENTS, pull=PULL / 4), 0, ()).client
    return out


def _place(group: Prepared) -> Place:
    return group.found.model.name, group.found.system.name


def _hold_out(
    sample: Sample,
    pool: np.ndarray,
    free: bool,
    groups: Sequence[Prepared],
    errors: dict[str, dict[str, list[float]]],
    rows: Sequence[Mapping[str, str]],
) -> None:
    """Add ln(measured / estimate) of each group under constants fitted without its model and chip."""
    label = sample[2]
    names = STEPS + CLIENTS + (UNMEASURED if free else ())
    places = [_place(group) for group in groups]
    for held in sorted(set(places)):
        out = np.isin(label, [i for i, p in enumerate(places) if p == held])
        theta = pool if out.all() else _fit(sample, pool, free=names, pull=PULL, keep=~out)
        clients = _clients(groups, theta, rows, without=held)
        generations = _generations(groups, theta, rows, without=held)
        for i in (i for i, p in enumerate(places) if p == held):
            alike = generation(groups[i].found.system.chip.name)
            constants = _constants("", generations.get(alike, theta), 0, ())
            if client := clients.get(groups[i].source):
                constants = msgspec.structs.replace(constants, client=client)
            resting = level(groups[i].decode, constants, groups[i].found.system.chip.name)
            estimates = metrics(groups[i], constants)
            for j, key in enumerate(groups[i].keys):
                if key not in estimates:
                    continue
                error = float(np.log(groups[i].number["value"][j] / estimates[key][j]))
                for name in ("/".join(key), f"{'/'.join(key)}, {groups[i].engine}", key[1], "all"):
                    errors.setdefault(name, {}).setdefault(resting, []).append(error)


def _spread(errors: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, tuple[float, float]]]:
    """10th and 90th percentile by metric and level, with the widened ones where there are too few rows."""
    out: dict[str, dict[str, tuple[float, float]]] = {}
    for name, by_level in sorted((name, found) for name, found in errors.items() if ", " not in name):
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


def _held_out(errors: dict[str, dict[str, list[float]]]) -> dict[str, HeldOut]:
    """Errors of held-out rows by mode, metric and engine."""
    out: dict[str, HeldOut] = {}
    for name, by_level in sorted(errors.items()):
        logs = -np.array([error for found in by_level.values() for error in found])
        off = np.abs(np.expm1(logs))
        if "/" in name and len(logs) >= LEAST:
            out[name] = HeldOut(
                n=len(logs),
                median_abs_error=round(float(np.median(off)), 4),
                p90_abs_error=round(float(np.quantile(off, 0.9)), 4),
                bias=round(float(np.expm1(np.median(logs))), 4),
            )
    return out


def _percentiles(errors: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(errors, [0.1, 0.9])
    return round(min(float(low), -0.02), 4), round(max(float(high), 0.02), 4)


def _constants(name: str, theta: np.ndarray, rows: int, chips: tuple[str, ...]) -> EngineConstants:
    value: dict[str, Any] = {key: float(f"{x:.3g}") for key, x in zip(NAMES, theta, strict=True)}
    client = Client(**{key: value.pop(key) for key in Client.__struct_fields__})
    return EngineConstants(engine=name, rows=rows, chips=chips, client=client, **value)
