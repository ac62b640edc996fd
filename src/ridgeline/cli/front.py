"""The best trade of speed against cost that a search found, as two series.

    speed = 1 / TPOT  [tok/s of a user]        cost = price * paid chip-seconds per request / tokens per request

Both are estimates. Tokens are prompt and answer, or the answer alone where only decode is planned. Without a price the
cost is chip-seconds.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ridgeline.planner import PlanResult


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """Speed and cost of every point of a search, and the rows of the front, fastest first."""

    speed: np.ndarray
    cost: np.ndarray
    """Per million tokens."""
    label: str
    """What the cost is, with its unit."""
    rows: np.ndarray
    best: list[tuple[float, float]]
    """Speed and cost of the plans."""


def front(result: PlanResult) -> Front:
    """Speed and cost of all candidates of a search."""
    first = result.plans[0].point
    scenario, price = first.scenario, first.usd_per_chip_second
    alone = first.prefill is None
    scale = 1e6 * (1.0 if price is None else price) / (scenario.osl + (0 if alone else scenario.isl))
    what = "output token" if alone else "token, input and output"
    servings = [plan.point.expected for plan in result.plans if plan.point.expected is not None]
    return Front(
        speed=1.0 / result.candidates.tpot,
        cost=scale * result.candidates.chip_seconds,
        label=f"{'chip-seconds' if price is None else '$'} per million {what.replace('token', 'tokens')}",
        rows=result.front(),
        best=[(serving.user_rate, scale * serving.chip_seconds) for serving in servings],
    )


def records(result: PlanResult) -> list[dict[str, Any]]:
    """The front as records, fastest first, in SI units."""
    c = result.candidates
    degrees = {name: getattr(c.layout, name) for name in c.layout.__struct_fields__}
    times = {"tpot_estimate_s": c.tpot, "ttft_estimate_s": c.ttft, "chip_s_per_request_estimate": c.chip_seconds}
    columns = degrees | {"batch": c.batch} | times
    return [{name: column[row] for name, column in columns.items()} for row in result.front()]
