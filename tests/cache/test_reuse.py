"""When prompts come back and how long to keep them: closed forms, drawn samples, and a search over every choice."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import InputError
from ridgeline.cache import Reuse, best_lifetime, reuse, trace_reuse, ttl_cost
from ridgeline.workload import Requests

COSTS = {"hold": 1.0, "fetch": 20.0, "store": 5.0, "recompute": 400.0}


@pytest.mark.parametrize("text", ["exponential:mean=600s,returns=70%", "lognormal:mean=10min,cv=2,returns=70%"])
def test_laws_are_those_of_drawn_samples(text: str) -> None:
    """G and H against a million draws; the derivative of H is 1 - G."""
    law, rng, n = reuse(text), np.random.default_rng(1), 1_000_000
    sigma = math.sqrt(math.log1p(law.cv**2))
    drawn = rng.exponential(600, n) if law.kind == "exponential" else 600 * rng.lognormal(-(sigma**2) / 2, sigma, n)
    drawn[rng.random(n) > 0.7] = np.inf
    t = np.array([1.0, 60.0, 600.0, 6000.0])
    assert law.returned(t) == pytest.approx([(drawn <= x).mean() for x in t], abs=2e-3)
    assert law.held(t) == pytest.approx([np.minimum(drawn, x).mean() for x in t], rel=5e-3)
    assert (law.held(t * 1.0001) - law.held(t)) / (t * 1e-4) == pytest.approx(1 - law.returned(t), rel=1e-3)


def test_never_and_for_ever() -> None:
    """Nothing has come back at 0; without an end all has, after the mean; what never comes back is held for ever."""
    for text in ("exponential:mean=600s", "lognormal:mean=600s,cv=3"):
        assert reuse(text).returned(np.array([0.0, np.inf])) == pytest.approx([0.0, 1.0])
        assert reuse(text).held(np.array([0.0, np.inf])) == pytest.approx([0.0, 600.0])
    assert reuse("exponential:mean=600s,returns=50%").held(np.array([np.inf])) == [np.inf]


def test_exponential_reuse_is_kept_for_ever_or_not_at_all() -> None:
    """No memory: the chance per second never changes. For ever pays if h m + F < R (both per use)."""
    for mean, ttl in ((100.0, math.inf), (500.0, 0.0)):
        best = best_lifetime(reuse(f"exponential:mean={mean}s"), **COSTS)
        assert best.ttl == ttl
        assert best.cost == pytest.approx(min(mean + 20.0, 400.0))


@pytest.mark.parametrize("text", ["exponential:mean=50s,returns=60%", "lognormal:mean=100s,cv=2,returns=80%"])
def test_the_best_ttl_balances_rent_with_what_waiting_saves(text: str) -> None:
    """H (1 - G) = g (R + w - F) at the best time; no other time on a fine grid is cheaper."""
    law = reuse(text)
    best = best_lifetime(law, **COSTS)
    step = best.ttl * 1e-4
    low, high = law.returned(np.array([best.ttl - step, best.ttl + step]))
    density = (high - low) / (2 * step)
    assert 1.0 - law.returned(np.array([best.ttl]))[0] == pytest.approx(density * (400 + 5 - 20), rel=1e-2)
    assert best.cost <= ttl_cost(np.geomspace(1e-3, 1e6, 20_000), law, **COSTS).min() * (1 + 1e-9)


@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=30), st.floats(0.05, 1.0), st.floats(1e-3, 10.0))
def test_recorded_gaps_are_played_back(values: list[float], returns: float, hold: float) -> None:
    """The best time against playing every use back at every choice, one by one."""
    law = Reuse(kind="gaps", mean=float(np.mean(values)), returns=returns, gaps=np.sort(values))
    costs = COSTS | {"hold": hold}

    def played(ttl: float) -> float:
        back = [hold * x + 20.0 if x <= ttl else hold * ttl + 400.0 + 5.0 for x in values]
        return returns * sum(back) / len(back) + (1 - returns) * (hold * ttl + 5.0)

    least = min(returns * 400.0, *(played(ttl) for ttl in values))
    assert best_lifetime(law, **costs).cost == pytest.approx(least, rel=1e-9)


def test_gaps_of_a_trace_are_those_of_its_blocks() -> None:
    """Blocks 1 and 2 come back, 3 does not: 3 gaps after 6 uses."""
    requests = Requests(
        arrival=np.array([0.0, 10.0, 40.0]), prompt=np.full(3, 4), output=np.ones(3, int), hash_block=2,
        hash_offsets=np.array([0, 2, 4, 6]), hash_ids=np.array([1, 2, 1, 2, 1, 3]),
    )  # fmt: skip
    law = trace_reuse(requests, "x.jsonl")
    assert law.gaps is not None
    assert law.gaps.tolist() == [10.0, 10.0, 30.0]
    assert law.returns == 0.5
    bare = Requests(arrival=np.zeros(1), prompt=np.ones(1, int), output=np.ones(1, int))
    with pytest.raises(InputError, match="hash ids or sessions"):
        trace_reuse(bare, "x.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expo:mean=1s", "did you mean exponential"),
        ("lognormal:mean=10min", "a cv above 0"),
        ("exponential", "a mean above 0"),
        ("exponential:mean=10", "no unit"),
        ("exponential:mean=1s,returns=120%", "at most 1"),
    ],
)
def test_wrong_spellings_are_named(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        reuse(text)
