"""Constants of `efficiency.py`, fitted to measured kernels: `fit_kernels(folder)` regenerates what the product ships.

    minimise  sum over rows of soft|ln(law / measured)|  +  sum over constants of ((theta - parent) / spread)^2

Partial pooling from the top down: all chips, a generation, a chip, one engine on it; the constants of each level are
the prior of the next, so few or one-sided rows leave a constant where its relatives have it. theta is the logarithm of
a time and the logit of a share. The error of a pool is that of fits without a chip, on the chip. Needs SciPy, DuckDB.
Unknown here: end-to-end steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit, logit

from ridgeline.efficiency import (
    ANY,
    HOST,
    LINKS,
    Constants,
    KernelConstants,
    LinkConstants,
    Row,
    kernel_time,
    link_time,
)
from ridgeline.validate.readings import Readings, kernel_readings, link_readings

SOURCE = "kernel tables of aiconfigurator-core 0.12.0 (NVIDIA), https://pypi.org/project/aiconfigurator-core/"
NOTICE = (
    "Constants fitted to measurements in aiconfigurator-core, Copyright (c) 2025-2026 NVIDIA CORPORATION & AFFILIATES. "
    "All rights reserved. Licensed under the Apache License, Version 2.0"
)
GENERATIONS = {
    "ampere": ("a100-40", "a100-80", "a100-pcie-80"),
    "hopper": ("h100", "h100-pcie", "h20", "h200", "h800"),
    "blackwell": ("b200", "b300", "gb200", "gb300", "vr200", "rubin-ultra"),
    "cdna": ("mi300x", "mi325x", "mi355x"),
    "workstation": ("rtx-pro-6000", "rtx-5090", "rtx-4090", "l40s", "rtx-a6000", "rtx-3090", "gb10"),
}
"""Chips that borrow from each other. Of some nobody measured kernels: they share factors fitted to whole steps."""
START: dict[str, dict[str, float]] = {
    "kernel": {
        "fixed": 6e-6, "serial": 1e-9, "passes": 1.0, "softmax": 2e-13,
        "compute": 0.7, "bandwidth": 0.8, "overlap": 0.5,
    },
    "experts": {"fixed": 3e-5, "serial": 1e-7},
    "link": {"fixed": 5e-6, "hop": 5e-7, "switch": 1e-5, "eager": 0.3, "bulk": 0.6},
}  # fmt: skip
"""What is expected before any row is seen."""
SHARES = frozenset({"compute", "bandwidth", "overlap", "eager", "bulk"})
SHARE_LIMIT = 0.999
LOOSE, TIGHT = 1.5, 0.5
"""Spread of theta around the start, and around a parent."""
SCALE, WEIGHT = 0.08, 300.0
"""Error beyond which a row counts linearly; rows that a group counts as, however many it has."""

Group = Sequence[Readings]


def fit_kernels(folder: Path) -> Constants:
    """Constants of all kernels and collectives measured in `folder`; a few minutes on one core."""
    return fit([*kernel_readings(Path(folder)), *link_readings(Path(folder))], errors=True)


def fit(readings: Sequence[Readings], errors: bool = False) -> Constants:
    """Constants of `readings`; with `errors`, pools get the error of a fit without the chip that is predicted."""
    rows = list(_rows(readings))
    if errors:
        left_out = _errors_left_out(readings)
        rows = [msgspec.structs.replace(row, error=left_out.get(_key(row), row.error)) for row in rows]
    kernels = tuple(row for row in rows if isinstance(row, KernelConstants))
    links = tuple(row for row in rows if isinstance(row, LinkConstants))
    return Constants(source=SOURCE, notice=NOTICE, generations=GENERATIONS, kernels=kernels, links=links)


def write(constants: Constants, path: Path) -> None:
    """Write `constants` as JSON, one row per line."""
    fields = {name: msgspec.json.encode(getattr(constants, name)).decode() for name in Constants.__struct_fields__}
    for name in ("kernels", "links"):
        fields[name] = fields[name].replace('["', '\n["')
    path.write_text("{\n" + ",\n".join(f'"{name}": {text}' for name, text in fields.items()) + "\n}\n")


def log_errors(row: Row, reading: Readings) -> Any:
    """ln(law / measured) of each row of a reading."""
    return np.log(_law(row.family)(row, *reading.inputs) / reading.seconds)


def _rows(readings: Iterable[Readings]) -> Iterator[Row]:
    """The tree of fits of every family and format, from all chips down to one engine on one chip."""
    families: dict[tuple[str, str], list[Readings]] = {}
    for reading in readings:
        families.setdefault((reading.family, reading.format), []).append(reading)
    for family, number in [key for key in families if key[1] == HOST]:
        yield _through_host(families.pop((family, number)), families[family, ""])
    for group in families.values():
        yield from (top := [_fit(group, ANY, ANY, None)])
        for place, near in _split(group, lambda r: _generation(r.chip)):
            yield from (middle := [_fit(near, place, ANY, top[0])])
            for engine, same in _split(near, lambda r: r.engine):
                yield _fit(same, place, engine, middle[0])
            for chip, here in _split(near, lambda r: r.chip):
                yield from (low := [_fit(here, chip, ANY, middle[0])])
                engines = _split(here, lambda r: r.engine)
                for engine, same in engines if len(engines) > 1 else ():
                    yield _fit(same, chip, engine, low[0])


def _through_host(group: Group, direct: Group) -> Row:
    """Constants of messages through the host's memory, of all chips together.

    Where only two ranks were measured `hop` cannot be told from `fixed`: it is that of the same chips with peer access.
    """
    chips = {reading.chip for reading in group}
    near = cast(LinkConstants, _fit([reading for reading in direct if reading.chip in chips], ANY, ANY, None))
    rest: list[Readings] = []
    for reading in group:
        wire, ranks = reading.inputs
        less = reading.seconds - near.hop * (ranks - 1)
        rest.append(msgspec.structs.replace(reading, inputs=(wire, 0.0 * ranks + 1), seconds=less))
    found = msgspec.structs.replace(_fit(rest, ANY, ANY, None), hop=near.hop)
    errors = np.abs(np.concatenate([log_errors(found, reading) for reading in group]))
    return msgspec.structs.replace(found, error=_digits(np.percentile(errors, 80)))


def _split(group: Group, by: Callable[[Readings], str]) -> list[tuple[str, list[Readings]]]:
    return [(name, [r for r in group if by(r) == name]) for name in sorted({by(r) for r in group})]


def _generation(chip: str) -> str:
    return next(name for name, chips in GENERATIONS.items() if chip in chips)


def _fit(group: Group, place: str, engine: str, parent: Row | None) -> Row:
    first = group[0]
    kind: Callable[..., Row] = LinkConstants if first.family in LINKS else KernelConstants
    law = _law(first.family)
    start = START["link"] if kind is LinkConstants else START["kernel"] | START.get(first.family, {})
    if parent is not None:
        start = {name: max(getattr(parent, name), 1e-15) for name in start}
    spread = LOOSE if parent is None else TIGHT
    inputs = [np.concatenate(columns) for columns in zip(*(r.inputs for r in group), strict=True)]
    measured = np.concatenate([r.seconds for r in group])
    weight = np.concatenate([np.full(len(r.seconds), 1.0 / len(r.seconds)) for r in group])
    weight = np.sqrt(weight * min(WEIGHT * len(group), measured.size) / len(group)) / SCALE
    names, before = list(start), np.array([_theta(name, value) for name, value in start.items()])
    label: dict[str, Any] = {
        "family": first.family,
        "format": first.format,
        "place": place,
        "engine": engine,
        "rows": measured.size,
    }

    def constants(theta: Any, digits: int = 17) -> Row:
        values: dict[str, Any] = {name: _value(name, x, digits) for name, x in zip(names, theta, strict=True)}
        return kind(**label, error=0.0, **values)

    def residuals(theta: Any) -> Any:
        miss = np.log(law(constants(theta), *inputs) / measured)
        soft = np.sign(miss) * np.sqrt(2 * SCALE * (np.sqrt(SCALE**2 + miss**2) - SCALE))
        return np.concatenate([weight * soft, (theta - before) / spread])

    best = constants(least_squares(residuals, before, x_scale="jac", max_nfev=60).x, digits=3)
    if kind is KernelConstants and not np.any(inputs[4]):
        best = msgspec.structs.replace(best, softmax=0.0)
    errors = np.abs(np.log(law(best, *inputs) / measured))
    return msgspec.structs.replace(best, error=_digits(np.percentile(errors, 80)))


def _law(family: str) -> Callable[..., Any]:
    return link_time if family in LINKS else kernel_time


def _theta(name: str, value: float) -> float:
    return float(logit(min(value, SHARE_LIMIT)) if name in SHARES else np.log(value))


def _value(name: str, theta: float, digits: int) -> float:
    return _digits(min(expit(theta), SHARE_LIMIT) if name in SHARES else np.exp(theta), digits)


def _digits(value: Any, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def _key(row: Row) -> tuple[str, str, str, str]:
    return row.family, row.format, row.place, row.engine


def _errors_left_out(readings: Sequence[Readings]) -> dict[tuple[str, str, str, str], float]:
    """80th percentile of |ln(law / measured)| of pools on chips (ANY: on generations) that they were fitted without."""
    found: dict[tuple[str, str, str, str], list[Any]] = {}
    for by in (lambda r: r.chip, lambda r: _generation(r.chip)):
        for name, absent in _split(readings, by):
            others = {_key(row): row for row in _rows(r for r in readings if by(r) != name)}
            for reading in absent:
                generation = _generation(reading.chip)
                keys = [(ANY, ANY)] if generation == name else [(generation, ANY), (generation, reading.engine)]
                for key in ((reading.family, reading.format, *place) for place in keys):
                    if key in others:
                        found.setdefault(key, []).append(np.abs(log_errors(others[key], reading)))
    return {key: _digits(np.percentile(np.concatenate(errors), 80)) for key, errors in found.items()}
