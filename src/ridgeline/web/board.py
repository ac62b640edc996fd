"""The blackboard's three pictures of one scenario, as numbers: roofline, time against batch, cost against speed.

All from one point and its curve over the batches that fit; redrawn while a slider moves, so it has to be quick. The
curve is the same at every batch, and is kept for the scenarios asked last.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec.structs import asdict

from ridgeline.cli.document import line
from ridgeline.cli.headline import headline
from ridgeline.cli.options import scenario
from ridgeline.cli.series import along, largest, roofline, speed_and_cost, times
from ridgeline.model.architecture import Experts
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.serving import point

BATCHES = 60
"""Batches of a curve."""
DIGITS = 5
"""Significant digits of a curve: finer than a pixel."""


def board(texts: dict[str, str]) -> dict[str, Any]:
    """The pictures of a scenario.

    Raises
    ------
    InputError
        For what `ridgeline step` refuses.
    """
    found = point(scenario(texts))
    roofs, model = roofline(found), found.subject.model
    at = speed_and_cost(found) if found.serving is not None else None
    own = found.scenario.model.lstrip().startswith("{")  # a config.json is not kept
    return {
        "headline": [str(each) for each in headline(found.scenario, found.subject)],
        "roofline": asdict(roofs) | {"dots": [asdict(dot) for dot in roofs.dots]},
        "curve": (_curve if own else _kept)(largest(found)),
        "batch": found.scenario.batch,
        "priced": bool(found.usd_per_chip_second),
        "here": None if at is None else {"tokens_per_s_per_user": at[0], "usd_per_mtok": at[1]},
        "experts": any(isinstance(part, Experts) for layer in model.layers for part in layer.feedforwards),
        "binding": TERMS[int(found.step.time.binding)],
        "estimate_s": found.estimate.seconds,
        "low_s": found.estimate.low,
        "high_s": found.estimate.high,
        "floor_s": found.step.floor,
        "provenance": found.estimate.provenance,
        "numbers": {name: [number.value, number.unit] for name, number in found.numbers.items()},
        "line": line(found),
    }


def _curve(end: Scenario) -> msgspec.Raw:
    """Time and cost at the batches up to that of `end`, as JSON."""
    curve = along(end, BATCHES)
    series = times(curve)
    x, y = speed_and_cost(curve) if curve.serving is not None else ((), ())
    out: dict[str, Any] = {
        "batch": _short(series.batch),
        "low": _short(series.low),
        "high": _short(series.high),
        "lines": {name: _short(values) for name, values in series.lines.items()},
        "tokens_per_s_per_user": _short(x),
        "usd_per_mtok": _short(y),
    }
    return msgspec.Raw(msgspec.json.encode(out))


_kept = lru_cache(maxsize=32)(_curve)


def _short(values: Iterable[float]) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values]
