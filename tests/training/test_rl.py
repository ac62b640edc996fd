"""Steps of reinforcement learning: rollouts against a slow replay, and what must always hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.hardware import load_system
from ridgeline.model import load_model
from ridgeline.precision import resolve
from ridgeline.training.rl import Recipe, RLStep, load_framework, policies, quantiles, rl_step, rollout

MODEL, SYSTEM = load_model("qwen3-30b-a3b"), load_system("hgx-h100").value
FORMATS = resolve(MODEL, SYSTEM.chip)
BASE = Recipe(chips=32, sequences=1024, batch=512, tp=2, mean=2000, most=4000)


def solved(recipe: Recipe, stack: str = "nemo-rl") -> RLStep:
    return rl_step(MODEL, SYSTEM, FORMATS, recipe, load_framework(stack).value)


@settings(max_examples=40)
@given(mean=st.floats(10, 5000), top=st.floats(1.05, 20), cv=st.floats(0, 3), count=st.integers(50, 2000))
def test_lengths_have_the_mean_that_is_asked(mean: float, top: float, cv: float, count: int) -> None:
    found = quantiles(mean, mean * top, cv, count)
    assert found.mean() == pytest.approx(mean, rel=1e-6)
    assert (np.diff(found) >= 0).all()
    assert found[-1] <= mean * top * (1 + 1e-12)


@pytest.mark.parametrize("cv", [0.0, 0.6, 1.5])
def test_a_rollout_equals_a_replay_step_by_step(cv: float) -> None:
    """One replica of 200 answers, decoded token by token."""

    def step(batch: np.ndarray, context: np.ndarray) -> np.ndarray:
        return 5e-3 + 1e-4 * batch + 1e-8 * batch * context

    found = rollout(step, sequences=200, replicas=1, prompt=100, mean=500, most=1500, cv=cv)
    lengths, total = quantiles(500, 1500, cv, 200), 0.0
    for token in range(int(np.ceil(lengths[-1]))):
        alive = np.array([float((lengths > token).sum())])
        total += float(step(alive, np.array([100.0 + token]))[0])
    assert found.seconds == pytest.approx(total, rel=0.01)
    assert found.steady <= found.seconds * 1.002


@settings(max_examples=15)
@given(cv=st.floats(0, 2), mean=st.floats(200, 3900))
def test_partial_rollouts_and_even_lengths_never_cost_more(cv: float, mean: float) -> None:
    recipe = replace(BASE, cv=cv, mean=mean)
    whole, part = solved(recipe), solved(replace(recipe, partial=True))
    assert part.step <= whole.step * 1.002
    assert solved(replace(recipe, cv=0.0)).generate <= whole.generate * 1.01
    assert whole.floor <= whole.step
    assert 0 <= whole.waiting < 1


def test_parts_add_up() -> None:
    on, off = solved(BASE), solved(replace(BASE, lag=1))
    assert on.step == pytest.approx(on.generate + on.log_probs + on.training + on.refit + on.fixed)
    assert off.step == pytest.approx(max(off.generate, off.log_probs + off.training) + off.refit + off.fixed)


def test_every_term_is_a_switch() -> None:
    """The lecture's 2 (all rejected) to 6, and what a real recipe adds: each term can be left out."""
    nothing = solved(replace(BASE, kept=0.0, reference=False))
    assert nothing.training == 0
    assert solved(replace(BASE, epochs=2.0)).training == pytest.approx(2 * solved(BASE).training)
    assert solved(replace(BASE, reference=False)).log_probs == pytest.approx(solved(BASE).log_probs / 2)
    assert solved(replace(BASE, judge=30e9)).log_probs > solved(BASE).log_probs
    assert solved(replace(BASE, recompute=False)).training == pytest.approx(0.75 * solved(BASE).training)


def test_the_best_division_is_no_slower_than_halves() -> None:
    found = policies(BASE, solved)
    assert set(found) == {"on-policy", "partial rollouts", "lag 1", "lag 4"}
    assert found["lag 1"][1].step <= solved(replace(BASE, lag=1)).step


@pytest.mark.parametrize(
    "change",
    [
        {"chips": 0}, {"tp": 3}, {"train_pp": 5}, {"batch": 500}, {"lag": -1}, {"kept": 2.0}, {"generators": 16},
        {"lag": 1, "generators": 32}, {"epochs": -1.0},
    ],
)  # fmt: skip
def test_recipes_that_cannot_be(change: dict) -> None:
    asked: dict[str, Any] = {"chips": 32, "sequences": 1024, "batch": 512, "tp": 2} | change
    with pytest.raises(InputError):
        solved(Recipe(**asked))


@pytest.mark.parametrize(("mean", "most", "cv"), [(0, 10, 0.5), (20, 10, 0.5), (5, 10, -1), (5, 10, 99)])
def test_answers_that_cannot_be(mean: float, most: float, cv: float) -> None:
    with pytest.raises(InputError):
        quantiles(mean, most, cv, 10)
