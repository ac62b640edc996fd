"""Percentiles without listing are those of the list, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.simulate import quantile
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.quantile import of_gaps, percentiles
from ridgeline.simulate.spread import pooled

SHARES = (50, 99, 90, 0, 100, 99.9, 33.3)


@pytest.mark.parametrize("short", [0, 1 << 15])
@given(st.lists(st.floats(-1e9, 1e9) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=60))
def test_values_agree_with_numpy(short: int, values: list[float]) -> None:
    """Oracle: np.percentile, ties included; sorted or partitioned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantile, "SHORT", short)
        np.testing.assert_array_equal(percentiles(np.array(values), SHARES), np.percentile(values, SHARES))


def test_values_stay_as_they_were() -> None:
    values = np.array([3.0, 1.0, 2.0])
    percentiles(values, (50,))
    assert values.tolist() == [3.0, 1.0, 2.0]


STRETCH = st.tuples(
    st.integers(0, 50) | st.integers(0, 10**12),
    st.integers(0, 3) | st.integers(0, 10**9),
    st.integers(0, 12),
    st.integers(0, 5),
)


HOW = ("listed", "counted", "compiled")
"""Ways in which ranks are found; which one is chosen by the number of gaps, and whether code is compiled."""


def find(patch: pytest.MonkeyPatch, how: str) -> None:
    """Have them found in one of those ways."""
    patch.setattr(quantile, "worthwhile", lambda work: how == "compiled")
    patch.setattr(quantile, "FEW", 1 << 20 if how == "listed" else -1)


@pytest.mark.parametrize("how", HOW)
@given(st.lists(STRETCH, min_size=1, max_size=40), st.sampled_from([np.int64, np.int32]), st.sampled_from([1, 8]))
def test_gaps_agree_with_their_list(
    how: str, stretches: list[tuple[int, int, int, int]], kind: type, bits: int
) -> None:
    """Oracle: np.percentile of every gap, each as often as requests see it; counts may be narrow numbers. However the
    ranks are found, and in passes of many bins or of two. A past mistake: a stretch with a cell between two of its
    gaps was counted beyond the bins.
    """
    columns = np.array(stretches, dtype=np.int64).T
    gaps = Gaps(
        first=columns[0], rise=columns[1], steps=columns[2].astype(kind), weight=columns[3].astype(kind), tick=1e-9
    )
    listed = [first + rise * j for first, rise, steps, weight in stretches for j in range(steps) for _ in range(weight)]
    expected = np.percentile(np.array(listed) * 1e-9, SHARES) if listed else np.full(len(SHARES), np.nan)
    with pytest.MonkeyPatch.context() as patch:
        find(patch, how)
        patch.setattr(quantile, "BITS", (bits, bits))
        found, whole, _ = of_gaps(gaps, SHARES)
        std = pooled(gaps).std
    np.testing.assert_array_equal(found, expected)
    if listed:
        assert whole.tolist()[:4] == [len(listed), sum(listed), min(listed), max(listed)]
        near_pivot = 1e-16 * max(columns[0])
        assert std == pytest.approx(np.std(np.array(listed) * 1e-9), rel=1e-6, abs=near_pivot)


@pytest.mark.parametrize("how", HOW)
def test_counts_beyond_narrow_numbers_are_right(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A past mistake: products of int32 columns wrapped around at 2^31."""
    find(monkeypatch, how)
    narrow = np.array([100_000] * 3, dtype=np.int32)
    gaps = Gaps(first=np.array([10, 10, 10]), rise=np.array([1, 1, 1]), steps=narrow, weight=narrow, tick=1.0)
    assert of_gaps(gaps, (0, 50, 100))[0].tolist() == [10.0, 50_009.5, 100_009.0]
    found = pooled(gaps)
    assert found.count == 3 * 10**10
    assert found.mean == 50_009.5
    assert found.std == pytest.approx(np.sqrt((10**10 - 1) / 12))


@pytest.mark.parametrize("how", HOW)
def test_a_stretch_of_a_billion_gaps_is_not_listed(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is that of the stretches, whatever their length."""
    find(monkeypatch, how)
    n = 1_000_000_000
    gaps = Gaps(first=np.array([7]), rise=np.array([3]), steps=np.array([n]), weight=np.array([2]), tick=1.0)
    assert of_gaps(gaps, (0, 100))[0].tolist() == [7.0, 7.0 + 3.0 * (n - 1)]
    assert abs(of_gaps(gaps, (50,))[0][0] - (7 + 1.5 * (n - 1))) <= 3
