"""What a menu and a cache answer take once the deployment is known. Target of both: 0.1 s in-process.

Run by `make bench`; the column `answers_per_s` is the figure to quote.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ridgeline import Scenario
from ridgeline.cache import reuse
from ridgeline.planner.caches import caches, prompt
from ridgeline.pricing.menu import GROUPS, menu
from ridgeline.pricing.menu_modes import operations
from ridgeline.pricing.menu_steps import grouped

CASES = [("llama-3-70b", "hgx-h100"), ("deepseek-v3", "gb200-nvl72")]
LAW = reuse("lognormal:mean=10min,cv=2,returns=60%")


@pytest.mark.parametrize(("model", "system"), CASES)
def test_menu(benchmark: Any, model: str, system: str) -> None:
    """All lines, context steps of 128 groups of lengths, three tiers, a law of reuse."""
    rng = np.random.default_rng(0)
    lengths = grouped(
        np.minimum(rng.lognormal(8, 1.2, 20_000), 128e3).astype(int) + 1, rng.integers(1, 999, 20_000), GROUPS
    )
    known = operations(Scenario(model=model, system=system, isl=8000, osl=500, tpot="40 ms"), (1.2,))
    found = benchmark(menu, known, lengths, margin=0.6, law=LAW)
    benchmark.extra_info["answers_per_s"] = 1 / benchmark.stats["median"]
    assert len(found.steps) == 3


@pytest.mark.parametrize(("model", "system"), CASES)
def test_cache(benchmark: Any, model: str, system: str) -> None:
    """All tiers and hold times, and the best time to live in each."""
    known = prompt(Scenario(model=model, system=system, isl=8000))
    found = benchmark(caches, known, law=LAW)
    benchmark.extra_info["answers_per_s"] = 1 / benchmark.stats["median"]
    assert len(found.tiers) == 5
