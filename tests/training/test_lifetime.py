"""A model's life: traffic against a slow sum, the lecture's numbers, and where the rule of equal costs is exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.training import lifetime as law
from ridgeline.training.scaling import additive
from ridgeline.training.scaling.law import Additive, load

MONTH = 365.25 * 86400 / 12


@given(life=st.floats(1, 100), ramp=st.floats(0, 150), half=st.floats(0.5, 100))
def test_traffic_equals_a_sum(life: float, ramp: float, half: float) -> None:
    t = (np.arange(200_000) + 0.5) / 200_000 * life
    rate = np.where(t < ramp, t / max(ramp, 1e-9), 0.5 ** (np.maximum(t - ramp, 0) / half))
    assert law.traffic(7.0, life, ramp, half) == pytest.approx(7.0 * rate.mean() * life, rel=1e-4)


def test_lecture_traffic() -> None:
    """500M tok/s for two months are 2.6e15 tokens, 50M are 2.63e14; a tenth to a fifth of a family."""
    assert law.traffic(5e8, 2 * MONTH) == pytest.approx(2.63e15, rel=0.002)
    assert law.traffic(5e7, 2 * MONTH) == pytest.approx(2.63e14, rel=0.002)


def test_lecture_equal_costs() -> None:
    """2 FLOP per token at 30%: D_inf / D = 0.9 for thirds; train and RL against inference: D = 0.56 D_inf."""
    inference = 1.0 * 2 / 0.3
    assert 1 / law.equal_thirds(inference) == pytest.approx(0.9)
    assert law.equal_halves(inference) == pytest.approx(0.56, abs=0.005)
    assert [6 * 0.3 / k for k in (2, 6)] == pytest.approx([0.9, 0.3])  # RL tokens over pre-training's


@pytest.mark.parametrize(("served", "over"), [(150e12, 75), (200e12, 100), (263e12, 131)])
def test_lecture_over_training_of_100b(served: float, over: float) -> None:
    """Tokens in equal tokens out: 75 to 131 times 20 x 100e9; 111 for thirds of 200e12."""
    assert served / (law.CHINCHILLA * 100e9) == pytest.approx(over, rel=0.01)
    assert law.equal_thirds(200e12 * 2 / 0.3) / (law.CHINCHILLA * 100e9) == pytest.approx(111, abs=0.5)
    assert law.equal_halves(200e12 * 2 / 0.3) / (law.CHINCHILLA * 100e9) == pytest.approx(56, abs=0.5)


def test_inference_is_not_much_more_than_training() -> None:
    """200e12 tokens served and 150e12 trained at 30%: costs of 1.5 to 1."""
    assert pytest.approx(1.48, abs=0.01) == (2 * 200e12 / 0.3) / (6 * 150e12)


@given(extra=st.floats(1e12, 1e15))
def test_the_rule_is_exact_where_the_wedge_is_two(extra: float) -> None:
    """At the exact optimum pre-training is 1 / w of all cost: a half only where w is 2."""
    found = load("besiroglu")
    assert isinstance(found, Additive)
    d = additive.tokens_for(found, 100e9, extra)
    assert d / (d + extra) == pytest.approx(1 / additive.wedge(found, 100e9, d))


def test_a_model_that_may_never_ship_is_trained_for_less() -> None:
    found = load("besiroglu")
    assert isinstance(found, Additive)
    whole, half = (additive.tokens_for(found, 100e9, law.extra_tokens(0, p * 2e14)) for p in (1.0, 0.5))
    assert half < whole
    assert law.equal_thirds(0.5 * 2e14) == law.equal_thirds(2e14) / 2


@pytest.mark.parametrize("times", [(0, 0, 1), (1, -1, 1), (1, 0, 0), (math.nan, 0, 1)])
def test_lives_that_cannot_be(times: tuple[float, float, float]) -> None:
    with pytest.raises(InputError):
        law.traffic(1.0, *times)
