"""The deployments behind a menu's modes: standard, slow, and so many times as fast; everything a search is needed for.

    standard   the best within the limits, or the layout that is given
    slow       the cheapest at any speed: what runs without a deadline
    fast k     the cheapest within the standard's time per output token over k, on any layout (or on the one given)

Chosen at the mean lengths of the requests, from the frontier of one search. Knows no price.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.layout import Layout
from ridgeline.planner import Plan, plan
from ridgeline.planner.deployment import deployment
from ridgeline.planner.plans import PlanResult, front
from ridgeline.pricing.operation import Operation, given, planned
from ridgeline.scenario import Scenario
from ridgeline.subject import Subject


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """Deployments of one scenario, by mode."""

    scenario: Scenario
    """With the mean lengths."""
    subject: Subject
    """With all chips."""
    standard: Operation
    slow: Operation
    fast: tuple[Operation, ...]
    too_fast: tuple[str, ...]
    """Speeds that cannot be had."""
    plan: Plan | None
    """What the search found; None for a given layout."""
    evaluated: int


def operations(scenario: Scenario, speeds: Sequence[float]) -> Operations:
    """Find the deployments of a scenario's modes; a layout or a batch that is given is kept to.

    Raises
    ------
    InputError
        With a context in place of lengths, a speed of 1 or less, nothing that fits or keeps the limits, no chip price.
    """
    if scenario.context:
        raise InputError("a menu with --context", "request lengths", "use --isl and --osl")
    if wrong := [k for k in speeds if not 1 < k < math.inf]:
        raise InputError(f"--fast {wrong[0]:g}", "speeds above that of standard, 1", "such as --fast 2.5")
    if scenario.layout != Layout() or scenario.batch != 1:
        return _given(scenario, speeds)
    result = plan(scenario, top=1)
    best = result.plans[0]
    limit = min(result.limits.tpot, best.tpot if scenario.e2e else math.inf)
    standard = planned("standard", best, limit)
    c = result.candidates
    rows = np.flatnonzero(c.ttft <= result.limits.ttft)
    rows = rows[front(c.tpot[rows], c.usd[rows])]
    fast, missed = [], []
    for k in speeds:
        name, most = f"fast {k:g}x", best.tpot / k
        at = int(np.searchsorted(c.tpot[rows], most, side="right")) - 1
        if at < 0:
            missed.append(name)
        else:
            fast.append(planned(name, _deployed(result, int(rows[at])), most))
    cheapest = int(c.usd.argmin())
    slow = planned("slow", _deployed(result, cheapest), math.inf)
    return Operations(
        scenario=scenario, subject=result.subject, standard=standard, slow=slow, fast=tuple(fast),
        too_fast=tuple(missed), plan=best, evaluated=result.evaluated,
    )  # fmt: skip


def _deployed(result: PlanResult, row: int) -> Plan:
    return deployment(result.variants, [result.subject], result.candidates, row)


def _given(scenario: Scenario, speeds: Sequence[float]) -> Operations:
    """The same layout at other batches."""
    wanted = [float(scenario.tpot), 1.0 / scenario.user_rate if scenario.user_rate else 0.0]
    limit = min((t for t in wanted if t), default=math.inf)
    most = float(scenario.batch) if scenario.batch != 1 else math.inf
    standard = given("standard", scenario, limit, most)
    now = standard.served(scenario.isl, scenario.osl)
    if not now.tpot[0] <= limit * (1 + 1e-9):
        raise InputError(f"a TPOT of {limit * 1e3:.3g} ms", f"{now.tpot[0] * 1e3:.3g} ms or more on {scenario.layout}")
    fast, missed = [], []
    for k in speeds:
        mode = given(f"fast {k:g}x", scenario, float(now.tpot[0]) / k, most)
        can = mode.served(scenario.isl, scenario.osl).tpot[0] <= mode.tpot * (1 + 1e-9)
        fast, missed = ([*fast, mode], missed) if can else (fast, [*missed, mode.name])
    slow = given("slow", scenario, math.inf)
    return Operations(
        scenario=scenario, subject=standard.decode.subject, standard=standard, slow=slow, fast=tuple(fast),
        too_fast=tuple(missed), plan=None, evaluated=0,
    )  # fmt: skip
