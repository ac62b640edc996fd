"""Predictions held against measurements: how far, which way, how often inside the interval, and the worst cases.

    error = estimate / measured - 1          bias = exp(median ln(estimate / measured)) - 1
    coverage = share of measurements inside [low, high]; 80% is promised

Of rates (tokens per second) a row is faster than the floor if it is above it, of times if it is below.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.validate.points import Prediction
from ridgeline.validate.row import METRICS


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How predictions of one metric compare with measurements."""

    n: int
    median_abs_error: float
    p90_abs_error: float
    bias: float
    coverage80: float
    faster_than_floor: int


class Worst(msgspec.Struct, frozen=True, kw_only=True):
    """One of the rows that are furthest off, with the likely cause."""

    id: str
    metric: str
    measured: float
    estimate: float
    error: float
    cause: str


class Scoreboard(msgspec.Struct, frozen=True, kw_only=True):
    """Scores over all rows, and by group; a group is named by the columns it was made of."""

    rows: int
    predicted: int
    overall: dict[str, Score]
    groups: dict[str, dict[str, Score]]
    worst: list[Worst]
    refused: dict[str, int]
    """Reasons for which rows were not predicted, with how many."""


GROUPS: dict[str, Callable[[Mapping[str, str]], str]] = {
    "mode": lambda row: row["mode"],
    "engine": lambda row: row["engine"],
    "chip": lambda row: row["chip"],
    "model": lambda row: row["model"],
    "mode and engine": lambda row: f"{row['mode']}, {row['engine']}",
}


def select(rows: Iterable[dict[str, str]], where: Sequence[str]) -> list[dict[str, str]]:
    """Rows in which each condition "column=value" holds ("column!=value": does not).

    Raises
    ------
    InputError
        For a condition of another form, or a column that does not exist.
    """
    rows = list(rows)
    for condition in where:
        name, equals, value = condition.partition("=")
        other = name.endswith("!")
        name = name.removesuffix("!")
        if not equals or (rows and name not in rows[0]):
            raise InputError(f"--where {condition}", "COLUMN=VALUE or COLUMN!=VALUE", f"columns: {', '.join(rows[0])}")
        rows = [row for row in rows if (row[name] == value) != other]
    return rows


def score(rows: Sequence[Mapping[str, str]], predictions: Sequence[Prediction], worst: int = 10) -> Scoreboard:
    """Compare predictions with the measured values of their rows."""
    held = [
        (row, p, float(row["value"]))
        for row, p in zip(rows, predictions, strict=True)
        if not p.refused and _positive(row["value"])
    ]
    refused: dict[str, int] = {}
    for p in predictions:
        if p.refused:
            refused[p.refused] = refused.get(p.refused, 0) + 1
    groups: dict[str, dict[str, Score]] = {}
    for label, of in GROUPS.items():
        for name in sorted({of(row) for row, _, _ in held}):
            groups[f"{label}: {name}"] = _by_metric([(p, v) for row, p, v in held if of(row) == name])
    far = sorted(held, key=lambda item: -abs(math.log(item[1].estimate / item[2])))[:worst]
    return Scoreboard(
        rows=len(rows),
        predicted=len(held),
        overall=_by_metric([(p, v) for _, p, v in held]),
        groups=groups,
        worst=[
            Worst(
                id=p.id,
                metric=p.metric,
                measured=v,
                estimate=p.estimate,
                error=p.estimate / v - 1,
                cause=_cause(row, p, v),
            )
            for row, p, v in far
        ],
        refused=dict(sorted(refused.items(), key=lambda item: -item[1])),
    )


def _positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _by_metric(held: Sequence[tuple[Prediction, float]]) -> dict[str, Score]:
    return {
        metric: _score([item for item in held if item[0].metric == metric])
        for metric in METRICS
        if any(item[0].metric == metric for item in held)
    }


def _score(held: Sequence[tuple[Prediction, float]]) -> Score:
    measured = np.array([value for _, value in held])
    floor, low, estimate, high = (
        np.array([getattr(p, name) for p, _ in held]) for name in ("floor", "low", "estimate", "high")
    )
    error = np.abs(estimate / measured - 1)
    rate = held[0][0].metric.endswith("tok_s")
    return Score(
        n=len(held),
        median_abs_error=float(np.median(error)),
        p90_abs_error=float(np.quantile(error, 0.9)),
        bias=float(np.exp(np.median(np.log(estimate / measured))) - 1),
        coverage80=float(np.mean((measured >= low) & (measured <= high))),
        faster_than_floor=int(np.sum(measured > floor if rate else measured < floor)),
    )


def _cause(row: Mapping[str, str], p: Prediction, measured: float) -> str:
    """What most often lies behind an error of this kind."""
    slow = (p.estimate < measured) != p.metric.endswith("tok_s")
    if row.get("mtp") != "0":
        return "speculation not recorded" if row.get("mtp") == "unknown" else "speculation: time per accepted token"
    if p.metric == "ttft_s":
        return "waiting: prompts sent in a burst or queued" if slow else "prompts cached or sent far apart"
    if p.provenance != "measured kernels":
        return f"constants are {p.provenance}"
    if row.get("batch_kind", "").startswith("concurrency") and not slow:
        return "fewer sequences decode at once than are open, or prompts are cached"
    return (
        "kernels of that version or configuration slower than those measured"
        if slow
        else "kernels faster than measured"
    )
