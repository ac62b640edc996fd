"""How language models are served, from first principles: how long a step takes, what binds it, what a token costs.

    from ridgeline import Scenario, plan, step

    step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=64, context="8k")).step.floor    # seconds
    plan(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="20 ms")).plans[0].layout

Quantities are SI numbers or text with a unit; batch, context, lengths and degrees may be arrays, and results then are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ridgeline.errors import InputError
    from ridgeline.model import load_model
    from ridgeline.planner import plan
    from ridgeline.scenario import Scenario
    from ridgeline.serving import point as step
    from ridgeline.serving.elasticity import elasticities

__all__ = ["InputError", "Scenario", "elasticities", "load_model", "plan", "step"]

_HOME = {
    "InputError": ("ridgeline.errors", "InputError"),
    "Scenario": ("ridgeline.scenario", "Scenario"),
    "elasticities": ("ridgeline.serving.elasticity", "elasticities"),
    "load_model": ("ridgeline.model", "load_model"),
    "plan": ("ridgeline.planner", "plan"),
    "step": ("ridgeline.serving", "point"),
}


def __getattr__(name: str) -> Any:
    """Public names are imported when first used, so that `import ridgeline` stays light."""
    if name not in _HOME:
        raise AttributeError(f"module 'ridgeline' has no attribute {name!r}")
    module, attribute = _HOME[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
