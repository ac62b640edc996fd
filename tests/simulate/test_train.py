"""The lecture's train: its two statements, and a slow conductor."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.simulate.train import rides

T = 0.02


def test_worst_and_mean_of_trains_that_are_never_full() -> None:
    """Published: at most 40 ms for a train every 20 ms; on average 1.5 trains."""
    arrival = np.sort(np.random.default_rng(0).uniform(0, 200, 100_000))
    made = rides(arrival, T, 2000)
    latency = made.finish - arrival
    assert latency.max() <= 2 * T
    assert latency.max() == pytest.approx(2 * T, rel=1e-3)
    assert latency.mean() == pytest.approx(1.5 * T, rel=0.01)
    assert made.full == 0


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 5))
def test_nobody_is_left_behind_or_overtaken(steps: list[int], seats: int) -> None:
    """A conductor who lets the first `seats` of those on the platform in, train by train."""
    arrival = np.cumsum(np.array(steps, float)) / 8
    waiting, train, wanted = list(enumerate(np.cumsum(steps))), 0, {}
    while waiting:
        for who, when in [each for each in waiting if each[1] <= train * 8][:seats]:
            wanted[who] = train
            waiting.remove((who, when))
        train += 1
    made = rides(arrival, 1.0, seats)
    assert np.rint(made.departure).astype(int).tolist() == [wanted[i] for i in range(len(steps))]
    assert max(Counter(made.departure.tolist()).values(), default=0) <= seats


def test_a_full_train_makes_a_queue() -> None:
    """More passengers than seats: the queue grows, trains are full."""
    arrival = np.arange(1000) * T / 15
    made = rides(arrival, T, 10)
    assert made.full > 0.95
    assert (made.finish - arrival)[-1] > 20 * T


@pytest.mark.parametrize(("interval", "seats"), [(0.0, 1), (float("nan"), 1), (1.0, 0)])
def test_no_train(interval: float, seats: int) -> None:
    with pytest.raises(InputError):
        rides(np.zeros(1), interval, seats)
    with pytest.raises(InputError):
        rides(np.array([1.0, 0.0]), 1.0, 1)
