"""Predictions held against measurements: how far, which way, how often inside the interval, and the worst cases.

    error = estimate / measured - 1          bias = exp(median ln(estimate / measured)) - 1
    coverage = share of measurements inside [low, high]; 80% is promised

Of rates (tokens per second) a row is faster than the floor if it is above it, of times if it is below. The bias of a
set with both is that of the times. Knows no law.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.validate.points import Prediction
from ridgeline.validate.row import METRICS
from ridgeline.validate.sets import Held, end_to_end, rank, set_of


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How predictions compare with measurements."""

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
    """Scores over all rows, and by group; a group is named by the column it was made of."""

    rows: int
    predicted: int
    overall: dict[str, Score]
    groups: dict[str, dict[str, Score]]
    sets: dict[str, Score]
    """The sets of `sets.py`."""
    asked: Counter[tuple[str, str]]
    """Rows of each group and metric, predicted or not; ("", metric) for all, (set, "") for sets."""
    worst: list[Worst]
    refused: dict[str, int]
    """Reasons for which rows were not scored, with how many."""


GROUPS = ("chip", "model", "engine", "mode")
"""Columns by which rows are grouped."""
NO_VALUE = "value: no measured number above 0"


def select(rows: Iterable[dict[str, str]], where: Sequence[str]) -> list[dict[str, str]]:
    """Rows in which each condition "column=value" holds ("column!=value": does not).

    Raises
    ------
    InputError
        For a condition of another form, or a column that does not exist.
    """
    rows = list(rows)
    columns = list(rows[0]) if rows else []
    for condition in where:
        name, equals, value = condition.partition("=")
        other = name.endswith("!")
        name = name.removesuffix("!")
        if not equals or (columns and name not in columns):
            raise InputError(f"--where {condition[:60]}", f"COLUMN=VALUE or COLUMN!=VALUE, of {', '.join(columns)}")
        rows = [row for row in rows if (row[name] == value) != other]
    return rows


def score(rows: Sequence[Mapping[str, str]], predictions: Sequence[Prediction], worst: int = 10) -> Scoreboard:
    """Compare predictions with the measured values of their rows."""
    held = measured(rows, predictions)
    refused = Counter(p.refused for p in predictions if p.refused)
    if unmeasured := len(rows) - len(held) - refused.total():
        refused[NO_VALUE] = unmeasured
    groups = _grouped(held, _groups)
    sets = _grouped(held, lambda row: [set_of(row)]) | end_to_end(held)
    asked = Counter((name, row.get("metric", "")) for row in rows for name in ("", *_groups(row)))
    asked.update((set_of(row), "") for row in rows)
    far = sorted(held, key=lambda item: -abs(math.log(item[1].estimate / item[2])))[:worst]
    return Scoreboard(
        rows=len(rows),
        predicted=len(held),
        overall=_by_metric(held),
        groups={name: _by_metric(of) for name, of in sorted(groups.items(), key=_place)},
        sets={name: compare(of) for name, of in sorted(sets.items(), key=lambda item: rank(item[0]))},
        asked=asked,
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
        refused=dict(refused.most_common()),
    )


def measured(rows: Iterable[Mapping[str, str]], predictions: Iterable[Prediction]) -> list[Held]:
    """Rows that have both numbers; a value that is no number was refused before."""
    return [
        (row, prediction, float(row["value"]))
        for row, prediction in zip(rows, predictions, strict=True)
        if not prediction.refused and float(row.get("value") or 0) > 0
    ]


def _groups(row: Mapping[str, str]) -> list[str]:
    return [f"{column}: {row.get(column, '')}" for column in GROUPS]


def _place(group: tuple[str, object]) -> tuple[int, str]:
    """Groups in the order of their columns, then by name."""
    column, _, name = group[0].partition(": ")
    return GROUPS.index(column), name


def _grouped(held: Iterable[Held], names: Callable[[Mapping[str, str]], Iterable[str]]) -> dict[str, list[Held]]:
    out: dict[str, list[Held]] = {}
    for item in held:
        for name in names(item[0]):
            out.setdefault(name, []).append(item)
    return out


def _by_metric(held: Sequence[Held]) -> dict[str, Score]:
    of = {metric: [item for item in held if item[1].metric == metric] for metric in METRICS}
    return {metric: compare(items) for metric, items in of.items() if items}


def compare(held: Sequence[Held]) -> Score:
    """Errors, bias and coverage of predictions that have measurements."""
    value = np.array([value for _, _, value in held])
    floor, low, estimate, high = (
        np.array([getattr(p, name) for _, p, _ in held]) for name in ("floor", "low", "estimate", "high")
    )
    rate = np.array([p.metric.endswith("tok_s") for _, p, _ in held])
    error = np.abs(estimate / value - 1)
    log = np.log(estimate / value)
    return Score(
        n=len(held),
        median_abs_error=float(np.median(error)),
        p90_abs_error=float(np.quantile(error, 0.9)),
        bias=float(np.expm1(np.median(log if rate.all() else np.where(rate, -log, log)))),
        coverage80=float(np.mean((value >= low) & (value <= high))),
        faster_than_floor=int(np.sum(np.where(rate, value > floor, value < floor))),
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
