"""Student's quantile is SciPy's, and the interval holds the mean as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ridgeline.simulate.replication import interval, student


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 30, 101])
@pytest.mark.parametrize("share", [0.6, 0.9, 0.975, 0.995])
def test_quantiles_are_those_of_scipy(freedom: int, share: float) -> None:
    assert student(freedom, share) == pytest.approx(float(stats.t.ppf(share, freedom)), rel=1e-9)


def test_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = [one.low <= 3 <= one.high for one in (interval(row, 0.9) for row in rng.normal(3, 2, (2000, 5)).tolist())]
    assert np.mean(held) == pytest.approx(0.9, abs=0.03)


def test_one_replication_says_nothing_of_its_error() -> None:
    assert interval([2.0]).half_width == math.inf
    assert interval([2.0, 2.0]).half_width == 0.0
