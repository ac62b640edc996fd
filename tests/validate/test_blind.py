"""The test of the idea itself: prices of open-weight models, told blind, their families left out of all that is learnt.

Needs the dated prices; the numbers of docs/prices.md are these, with ten folds instead of four.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline.pricing.dated import read_dated
from ridgeline.pricing.market import load_market
from ridgeline.pricing.open_weights import Sample, sample
from ridgeline.validate.blind import blind, dearer, shuffled
from ridgeline.validate.market import fit

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def known(shared: Path) -> Sample:
    path = shared / "facts" / "prices" / "prices.csv"
    if not path.is_file():
        pytest.skip("no dated prices")
    return sample(read_dated(path)[0])


def test_families_left_out_confirm_what_is_claimed(known: Sample) -> None:
    """Active and total parameters to within a factor of a few, cache per token no worse than the prior."""
    assert len(known.families) > 55
    assert len(known) > 600
    found = blind(known, load_market(), folds=4)
    active, total, cache = (found[name] for name in ("active", "total", "cache"))
    assert 0.75 <= active.coverage <= 0.88
    assert active.width <= 1.15
    assert active.gain >= 0.2
    assert active.over_regression > 0
    assert 0.75 <= total.coverage <= 0.88
    assert total.width <= 1.35
    assert total.gain >= 0.35
    assert total.over_regression > 0
    assert cache.gain >= 0


def test_shuffled_prices_gain_nothing(known: Sample) -> None:
    """The placebo: sheets of other families say nothing, and are not believed to."""
    for each in blind(shuffled(known, 1), load_market(), folds=3).values():
        assert each.gain < 0.02


def test_from_cheap_to_dear(known: Sample) -> None:
    """Learnt on cheap families, tried on dear ones, intervals hold too rarely; the command warns of such sheets."""
    found = dearer(known, load_market())
    assert 0.4 < found["active"].coverage < 0.75
    assert found["active"].gain > 0


def test_the_shipped_constants_are_learnt_from_these_prices(known: Sample) -> None:
    """Nothing in the catalogue's market was typed."""
    ours, found = load_market(), fit(known, load_market())
    assert found.selling.elasticity == pytest.approx(ours.selling.elasticity, rel=0.02)
    assert found.selling.markup.sd == pytest.approx(ours.selling.markup.sd, rel=0.02)
    assert found.models.experts_active.mean == pytest.approx(ours.models.experts_active.mean, rel=1e-3)
