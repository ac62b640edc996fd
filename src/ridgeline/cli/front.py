"""The best trade of two objectives that a search found, as two series.

    speed = 1 / TPOT  [tok/s of a user]            cost = dollars per request / tokens per request
    throughput = output tokens / chip-seconds      energy = output tokens / joules

All are estimates. Tokens of the cost are prompt and answer, or the answer alone where only decode is planned. Without a
price the cost is chip-seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.planner import OBJECTIVES, PlanResult


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Two objectives of every point of a search, and the rows of the front, best of the first objective first."""

    x: np.ndarray
    y: np.ndarray
    x_label: str
    y_label: str
    """What they are, with their units."""
    rows: np.ndarray
    best: list[tuple[float, float]]
    """Both of the plans."""


def front(result: PlanResult, objectives: tuple[str, str] = ("speed", "cost")) -> Front:
    """Two objectives of all candidates of a search."""
    c = result.candidates
    series = [_series(result, name, getattr(c, OBJECTIVES[name])) for name in objectives]
    plans = [[_series(result, name, _value(each, name))[0] for name in objectives] for each in result.plans]
    (x, x_label), (y, y_label) = series
    return Front(
        x=x, y=y, x_label=x_label, y_label=y_label, rows=result.front(*objectives),
        best=[(float(first), float(second)) for first, second in plans],
    )  # fmt: skip


def objectives(text: str) -> tuple[str, str]:
    """Two objectives from "speed,cost"."""
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or len(set(names)) != 2 or not set(names) <= set(OBJECTIVES):
        raise InputError(f"--front {text!r:.60}", f"two of {', '.join(OBJECTIVES)}", "such as speed,cost")
    return names


def _value(plan: Any, name: str) -> Any:
    value = getattr(plan, OBJECTIVES[name])
    return plan.chip_seconds if name == "cost" and value is None else np.nan if value is None else value


def _series(result: PlanResult, name: str, value: Any) -> tuple[Any, str]:
    """An objective as a reader wants it, and its label."""
    first = result.plans[0].point
    s, alone, priced = first.scenario, result.decode_only, first.usd_per_chip_second is not None
    gaps = max(s.osl - 1, 1)
    if name == "cost":
        tokens = s.osl if alone else s.osl + s.isl
        what = "output tokens" if alone else "tokens, input and output"
        return 1e6 / tokens * value, f"{'$' if priced else 'chip-seconds'} per million {what}"
    return {
        "speed": lambda: (1.0 / value, "tok/s of a user"),
        "throughput": lambda: (gaps / value, "output tok/s per chip"),
        "energy": lambda: (gaps / value, "output tokens per joule"),
        "ttft": lambda: (value, "seconds to the first token"),
        "e2e": lambda: (value, "seconds to the last token"),
    }[name]()


def records(result: PlanResult, names: tuple[str, str] = ("speed", "cost")) -> list[dict[str, Any]]:
    """The front as records, best of the first objective first, in SI units."""
    c = result.candidates
    out: list[dict[str, Any]] = []
    for row in result.front(*names):
        apart = {"prefill": c.prefill_degrees(row), "prefill_replicas": c.prefill_replicas[row]}
        out.append(
            c.degrees(row)
            | {"batch": c.batch[row], "replicas": c.replicas[row], "chunk_tok": c.chunk[row]}
            | (apart if c.prefill_replicas[row] else {})
            | {
                "tpot_estimate_s": c.tpot[row],
                "ttft_estimate_s": c.ttft[row],
                "chip_s_per_request_estimate": c.chip_seconds[row],
                "usd_per_request_estimate": c.usd[row] if result.plans[0].usd is not None else None,
            }
        )
    return out
