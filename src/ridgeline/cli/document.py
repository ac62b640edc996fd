"""A point as one record: what `--json` prints of a step and of each plan. Knows no formatting of text."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict, replace

from ridgeline.roofline import TERMS
from ridgeline.serving import Point

LEVEL = 0.8
"""Share of held-out measurements that lie in an interval."""


def record(point: Point) -> dict[str, Any]:
    """Names, layout, the step's three answers, and every number by name in SI units."""
    scenario, step, estimate = point.scenario, point.step, point.estimate
    bound = {} if point.serving is None else {"request_binding": TERMS[int(point.serving.request.binding)]}
    return {
        "layout": asdict(scenario.layout),
        "batch": scenario.batch,
        "replicas": point.replicas,
        "chips_used": point.replicas * scenario.layout.chips,
        "binding": TERMS[int(step.time.binding)],
        **bound,
        "floor_s": step.floor,
        "estimate_s": estimate.seconds,
        "interval_s": {"low_s": estimate.low, "high_s": estimate.high, "level": LEVEL},
        "provenance": estimate.provenance,
        **{name: number.value for name, number in point.numbers.items()},
        "line": line(point),
    }


def line(point: Point) -> str:
    """The command that prints this point; limits are a plan's."""
    return replace(point.scenario, tpot=0.0, ttft=0.0).to_cli("step")
