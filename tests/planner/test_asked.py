"""What newcomers tripped over: limits of both pools, searches over the question, remedies that do not help."""

from __future__ import annotations

import pytest

from ridgeline import Scenario, plan
from ridgeline.errors import InputError
from ridgeline.planner.compare import compare
from ridgeline.planner.modes import modes


def test_power_counts_both_pools() -> None:
    """Twelve boards of 1.7 kW do not run on 14 kW, whichever pool they are in."""
    question = Scenario(model="llama-3-70b", system="hgx-h100", prefill_system="hgx-h100", prefill_chips=4, power=14e3)
    with pytest.raises(InputError, match=r"8 chips of hgx-h100 and 4 of hgx-h100: they take 20.8 kW"):
        plan(question)


@pytest.mark.parametrize("name", ["tpot", "isl", "price", "hit"])
def test_the_question_is_not_searched(name: str) -> None:
    """A search over limits or lengths would answer the easiest of several questions."""
    with pytest.raises(InputError, match="part of the question"):
        plan(Scenario(model="llama-3-8b", system="hgx-h100"), over={name: [1.0, 2.0]})


def test_modes_of_decode_need_no_prompt() -> None:
    """Limits of the first token, and a prefill pool, once made every part that looks at decode alone fail."""
    assert modes(Scenario(model="llama-3-70b", system="hgx-h100", ttft="5 s", e2e=60.0))


def test_a_prefill_pool_needs_prompts() -> None:
    """It once was said to be "-117 GB too much"."""
    question = Scenario(model="llama-3-70b", system="hgx-h100", prefill_system="hgx-h200", context=8000)
    with pytest.raises(InputError, match="a prefill pool with --context"):
        plan(question)


def test_chips_that_are_said_to_fit_do() -> None:
    """With the cache of a sequence counted, not the weights alone."""
    question = Scenario(model="llama-3-70b", system="hgx-h100", chips=1, context=600_000)
    with pytest.raises(InputError, match="about 5 chips") as refused:
        plan(question)
    assert "nvfp4" not in str(refused.value)
    assert plan(Scenario(model="llama-3-70b", system="hgx-h100", chips=5, context=600_000)).plans


def test_cases_are_named_with_their_unit() -> None:
    """Not "0.02"."""
    cases = compare(
        Scenario(model="llama-3-8b", system="hgx-h100"), ["llama-3-8b"], ["hgx-h100"], {"tpot": [0.02, 0.04]}
    )
    assert [case.label for case in cases] == ["tpot 20 ms", "tpot 40 ms"]
