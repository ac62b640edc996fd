"""How many points a second: steps with full breakdown, scalar and vectorised, and the whole plan of a rack.

Run by `make bench`. The extra column `points_per_s` is the figure to quote; compare within one run only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ridgeline import Scenario, load_model, plan
from ridgeline.hardware import load_system
from ridgeline.layout import Layout
from ridgeline.planner.space import layouts
from ridgeline.precision import resolve
from ridgeline.timing import Step, step
from ridgeline.work import Segment

BLOCK = 16384


def case(name: str, system: str, points: int) -> tuple[Any, ...]:
    """A model, a system, and random valid layouts, batches and contexts."""
    model, host, rng = load_model(name), load_system(system).value, np.random.default_rng(0)
    space = layouts(model, host.domain.size)
    rows = rng.integers(0, len(space.tp), points)
    layout = Layout(**{degree: getattr(space, degree)[rows] for degree in space.__struct_fields__})
    segment = Segment(seqs=rng.integers(1, 4096, points) * 1.0, new=1, past=rng.integers(1, 100_000, points) * 1.0)
    return model, host, layout, [segment], resolve(model, host.chip)


@pytest.mark.parametrize(("name", "system"), [("llama-3-70b", "hgx-h100"), ("deepseek-v3", "gb200-nvl72")])
def test_vectorised_step(benchmark: Any, name: str, system: str) -> None:
    """Targets on one core: 1,000,000 points/s (dense), 300,000 (DeepSeek-V3)."""
    arguments = case(name, system, BLOCK)
    result: Step = benchmark(step, *arguments)
    benchmark.extra_info["points_per_s"] = BLOCK / benchmark.stats["median"]
    assert np.shape(result.floor) == (BLOCK,)


@pytest.mark.parametrize(("name", "layout"), [("llama-3-70b", {"tp": 8}), ("deepseek-v3", {"dp": 64, "ep": 64})])
def test_scalar_step(benchmark: Any, name: str, layout: dict[str, int]) -> None:
    """Target: 5,000 steps/s with breakdown."""
    model, host = load_model(name), load_system("gb200-nvl72").value
    segment = [Segment(seqs=256, new=1, past=8192)]
    result: Step = benchmark(step, model, host, Layout(**layout), segment, resolve(model, host.chip))
    benchmark.extra_info["points_per_s"] = 1 / benchmark.stats["median"]
    assert result.floor > 0


@pytest.mark.parametrize("pools", ["aggregated", ""])
@pytest.mark.parametrize(
    ("name", "system", "chips"), [("deepseek-v3", "gb200-nvl72", 72), ("llama-3.1-405b", "hgx-h100", 512)]
)
def test_plan(benchmark: Any, name: str, system: str, chips: int, pools: str) -> None:
    """Every layout, batch and chunk: configurations per second, search and ranking included.

    Targets on one core: 500,000 (DeepSeek-V3), 1,500,000 (dense). Decode steps are shared by the four chunks: a quarter
    as many are timed. With both kinds of pools the pairs that are split count too.
    """
    question = Scenario(model=name, system=system, chips=chips, tpot="60 ms", pools=pools)
    result = benchmark(plan, question)
    benchmark.extra_info["points_per_s"] = result.evaluated / benchmark.stats["median"]
    assert result.evaluated > 100_000
