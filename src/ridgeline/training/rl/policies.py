"""The same step under other policies: partial rollouts, lags, and the best division of the chips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.training.rl.step import Recipe, RLStep

POLICIES: dict[str, dict[str, Any]] = {
    "on-policy": {"lag": 0, "partial": False},
    "partial rollouts": {"lag": 0, "partial": True},
    "lag 1": {"lag": 1, "partial": False},
    "lag 4": {"lag": 4, "partial": False},
}
SPLITS = 24
"""Divisions of the chips that are tried for a lag, evenly spread."""


def policies(recipe: Recipe, solve: Callable[[Recipe], RLStep]) -> dict[str, tuple[Recipe, RLStep]]:
    """Each policy with the fastest division of its chips; those that no division allows are left out."""
    out: dict[str, tuple[Recipe, RLStep]] = {}
    for name, change in POLICIES.items():
        tried: list[tuple[Recipe, RLStep]] = []
        for engines in _splits(recipe) if change["lag"] else [0]:
            try:
                one = replace(recipe, generators=engines, **change)
                one.__post_init__()
            except InputError:
                continue
            tried.append((one, solve(one)))
        if tried:
            out[name] = min(tried, key=lambda each: each[1].step)
    return out


def _splits(recipe: Recipe) -> list[int]:
    """Chips that generate, of which the rest divides into training's layout."""
    own = recipe.train_tp * recipe.train_cp * recipe.train_pp
    found = [n for n in range(recipe.tp, recipe.chips, recipe.tp) if (recipe.chips - n) % own == 0]
    if len(found) <= SPLITS:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, SPLITS).round().astype(int).tolist()]
