"""Which input moves the answer: elasticities of one deployment, and a tornado of plans made anew.

    elasticity of y by x = d ln y / d ln x ~ ( ln y(x e^h) - ln y(x e^-h) ) / (2 h),   h = 0.01

a central difference of the exact laws at a fixed layout and batch: where a maximum changes hands within 1% it is the
mean of both sides. The tornado multiplies each input by 1/2 and by 2 and searches all deployments again, so that it
also shows what another layout or batch makes of the change. Both are of estimates: measured shares of peaks stay.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.errors import InputError
from ridgeline.planner.plans import Plan
from ridgeline.planner.search import plan
from ridgeline.scenario import Scenario
from ridgeline.serving import point

STEP = 0.01
SWINGS = (0.5, 2.0)
WORKLOAD = ("isl", "osl")


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """One input: elasticities at the fixed deployment, cost ratios of plans made anew."""

    name: str
    cost: float
    """Elasticity of the cost per token."""
    tpot: float
    ttft: float
    halved: float
    """Cost per token over the base's when the input is halved; NaN if nothing then keeps the limits."""
    doubled: float


class Tornado(msgspec.Struct, frozen=True, kw_only=True):
    """All inputs of a plan, the one that moves its cost most first."""

    base: Plan
    cost: float
    """Dollars (else chip-seconds) per token, input and output."""
    rows: tuple[Sensitivity, ...]


def sensitivities(scenario: Scenario) -> Tornado:
    """Elasticities and tornado of the best plan with one pool.

    Raises
    ------
    InputError
        As of a plan; and for a question of two pools.
    """
    if scenario.pools == "disaggregated" or scenario.prefill_system or scenario.prefill_chips:
        raise InputError("sensitivity of two pools", "one pool", "leave out --pools and the prefill pool")
    scenario = msgspec.structs.replace(scenario, pools="aggregated")
    base = plan(scenario, top=1).plans[0]
    cost = _cost(base)
    rows: list[Sensitivity] = []
    for name in _inputs(base):
        low, high = (_numbers(base, name, math.exp(side)) for side in (-STEP, STEP))
        slopes = [math.log(b / a) / (2 * STEP) if a > 0 and b > 0 else 0.0 for a, b in zip(low, high, strict=True)]
        swings = [_replanned(scenario, name, factor) / cost for factor in SWINGS]
        rows.append(
            Sensitivity(name=name, cost=slopes[0], tpot=slopes[1], ttft=slopes[2], halved=swings[0], doubled=swings[1])
        )
    return Tornado(base=base, cost=cost, rows=tuple(sorted(rows, key=lambda row: -_width(row))))


def _width(row: Sensitivity) -> float:
    return max(abs(math.log(value)) if value == value else math.inf for value in (row.halved, row.doubled))


def _inputs(base: Plan) -> list[str]:
    """Inputs that the plan uses: bandwidths, memory, peaks of the formats it multiplies in, lengths."""
    found, step = base.point.subject, base.point.step
    formats = sorted(
        {operation.math for layer in step.layers for operation, _ in layer.operations if operation.family != "lookup"}
    )
    names = ["chip.hbm_bandwidth", "chip.hbm_capacity", *(f"chip.peak.{math}" for math in formats)]
    chips = int(base.layout.chips)
    if chips > 1:
        names.append("domain.bandwidth")
    if chips > found.system.domain.size:
        names.append("network.bandwidth")
    s = base.point.scenario
    return names + (["context"] if isinstance(s.context, (int, float)) and s.context else list(WORKLOAD))


def _changed(scenario: Scenario, name: str, factor: float) -> Scenario:
    """The scenario with one input times a factor."""
    if name in (*WORKLOAD, "context"):
        return msgspec.structs.replace(scenario, **{name: getattr(scenario, name) * factor})
    text = ",".join(filter(None, (scenario.set, f"{name}={factor!r}x")))
    return msgspec.structs.replace(scenario, set=text)


def _numbers(base: Plan, name: str, factor: float) -> tuple[float, float, float]:
    """Cost per token, TPOT and TTFT of the plan's deployment with one input changed; the reserve gives room."""
    scenario = msgspec.structs.replace(base.point.scenario, memory_utilisation=1.0)
    now = point(_changed(scenario, name, factor)) if name != "chip.hbm_capacity" else point(scenario)
    assert now.expected is not None
    s = now.scenario
    tokens = s.osl if base.point.prefill is None else s.isl + s.osl
    return float(now.expected.chip_seconds) / tokens, float(now.expected.tpot), float(now.expected.ttft)


def _replanned(scenario: Scenario, name: str, factor: float) -> float:
    """Cost per token of the best plan with one input changed; NaN if there is none."""
    try:
        return _cost(plan(_changed(scenario, name, factor), top=1, ask=False).plans[0])
    except InputError:
        return math.nan


def _cost(best: Plan) -> float:
    s = best.point.scenario
    tokens = s.osl if best.point.prefill is None else s.isl + s.osl
    return (best.chip_seconds if best.usd is None else best.usd) / tokens
