"""Context steps: the exact search against trying every cut, cost recovered in every tier, the lecture's kink."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.pricing.menu_steps import grouped, steps

POSITIVE = st.floats(0.01, 100.0)


@given(st.lists(st.tuples(POSITIVE, POSITIVE, POSITIVE, POSITIVE), min_size=1, max_size=7), st.integers(1, 4))
def test_no_other_cut_has_less_wrong_money(rows: list[tuple[float, float, float, float]], most: int) -> None:
    """All ways to cut up to seven requests into up to four tiers, one by one."""
    a, b, c, d = np.array(rows).T
    tokens, cost = np.stack([a, b]), np.stack([c, d])
    n = len(rows)
    found = steps(np.arange(1.0, n + 1), tokens, cost, most)
    assert len(found) == min(most, n)
    whole = (tokens * cost).sum()
    for k, best in enumerate(found, 1):
        least = np.inf
        for cuts in combinations(range(1, n), k - 1):
            wrong = 0.0
            for i, j in zip((0, *cuts), (*cuts, n), strict=True):
                t, m = tokens[:, i:j], (tokens * cost)[:, i:j]
                wrong += float(np.abs(m.sum(1, keepdims=True) / t.sum(1, keepdims=True) * t - m).sum())
            least = min(least, wrong)
        assert best.moved == pytest.approx(least / 2 / whole)
        assert best.paid(tokens).sum() == pytest.approx(whole)  # nobody but customers pays
        for tier in best.tiers:  # and every tier pays for itself
            own = slice(tier.first, tier.end)
            assert best.paid(tokens)[own].sum() == pytest.approx((tokens * cost)[:, own].sum())
    assert all(x.moved >= y.moved - 1e-12 for x, y in pairwise(found))


def test_the_lectures_kink_and_its_half_more() -> None:
    """Claims C111 to C113: cost max(1, L / 200k). A step at 200k with 1.5x the price recovers cost where requests above
    it lie around 300k; up to 1M its mean is 3x, and 5x at the end: 1.5x is a statement on traffic, not on cost.
    """
    for longest, factor in ((400e3, 1.5), (1e6, 3.0)):
        length = np.linspace(1e3, longest, 200)
        tokens, cost = np.full((1, 200), 1.0), np.maximum(1.0, length / 200e3)[None]
        one, two, many = (steps(length, tokens, cost, 8)[k] for k in (0, 1, 7))
        above = length > 200e3
        assert cost[0, above].mean() == pytest.approx(factor, rel=0.01)
        assert two.tiers[1].above > 200e3  # the cut of least wrong money lies above the kink
        assert one.moved > 2 * two.moved > 4 * many.moved
    assert cost[0, -1] == pytest.approx(5.0)


def test_groups_keep_requests_and_tokens() -> None:
    rng = np.random.default_rng(0)
    prompt, output = rng.lognormal(8, 1.5, 50_000).astype(int) + 1, rng.integers(1, 100, 50_000)
    found = grouped(prompt, output, 64)
    assert len(found.share) <= 64
    assert found.share.sum() == pytest.approx(1)
    assert (found.share @ found.isl, found.share @ found.osl) == pytest.approx((prompt.mean(), output.mean()))
    assert (np.diff(found.isl) > 0).all()
    assert (found.longest >= found.isl).all()
    assert (found.longest[:-1] < found.isl[1:]).all()
    assert (found.share * found.isl).max() < 0.1 * prompt.mean()  # the tail is told apart
    assert grouped(np.array([5, 5, 9]), np.array([1, 2, 3]), 64).share == pytest.approx([2 / 3, 1 / 3])
