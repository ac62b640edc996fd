"""The same workload on several systems, models or options: each planned on its own, side by side.

Knows no law: a case is a plan, or the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import msgspec

from ridgeline.errors import InputError
from ridgeline.planner.plans import PlanResult
from ridgeline.planner.search import plan
from ridgeline.scenario import Scenario, exact, units

MOST = 64
"""Cases of one comparison."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One of the compared: what is its own, and its plan."""

    label: str
    scenario: Scenario
    result: PlanResult | None
    refused: str = ""
    """Why there is no plan."""


def compare(
    scenario: Scenario, models: Sequence[str], systems: Sequence[str], over: Mapping[str, Sequence[Any]] | None = None
) -> tuple[Case, ...]:
    """Plans of every model on every system with every combination of options.

    Raises
    ------
    InputError
        For one case only or more than MOST of them, an unknown name or option, or if no case has a plan.
    """
    axes: dict[str, Sequence[Any]] = {"model": models, "system": systems, **(over or {})}
    varied = [name for name, values in axes.items() if len(values) > 1]
    values = list(product(*axes.values()))
    if not 2 <= len(values) <= MOST:
        raise InputError(
            f"compare of {len(values)} cases", f"2 to {MOST}", "such as: compare deepseek-v3 gb200-nvl72,hgx-h200"
        )
    cases: list[Case] = []
    for each in values:
        own = dict(zip(axes, each, strict=True))
        question = msgspec.structs.replace(scenario, **own)
        label = ", ".join(_label(name, own[name]) for name in varied)
        try:
            cases.append(Case(label=label, scenario=question, result=plan(question, top=1)))
        except InputError as error:
            if type(error) is not InputError:
                raise
            cases.append(Case(label=label, scenario=question, result=None, refused=str(error)))
    if all(case.result is None for case in cases):
        raise InputError("compare", f"no case has a plan: {cases[0].refused}")
    return tuple(cases)


def _label(name: str, value: Any) -> str:
    """A value with its unit, and with its name where it is a number."""
    if name in units() and not isinstance(value, str):
        return f"{name.replace('_', '-')} {exact(value, units()[name])}"
    return str(value) or "as published"
