"""How modules are put together: a name that two of them happened to use once changed what a third one called."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType

import pytest

from ridgeline.simulate import engine, pool, routing, seatwise, sglang, tally, tiers, upkeep
from ridgeline.simulate.compiled import assembled


def module(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType(name)
    exec(compile(source, name, "exec"), vars(made))
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_a_function_takes_only_the_place_of_one_with_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    one = module("one_of_them", "def note(a, b): return 1\ndef call(): return note(0, 0)", monkeypatch)
    same = module("same_as_one", "def note(a, b): return 2", monkeypatch)
    other = module("other_than_one", "def note(a, c): return 3", monkeypatch)
    assert assembled(one).call() == 1
    assert assembled(one, same).call() == 2
    with pytest.raises(TypeError, match="other_than_one"):
        assembled(one, other)


@pytest.mark.parametrize("scheduler", [[], [sglang], [seatwise], [tiers]])
@pytest.mark.parametrize("behind", [[], [upkeep, routing], [tally]])
def test_all_that_are_put_together_go_together(scheduler: list[ModuleType], behind: list[ModuleType]) -> None:
    """Whatever comes behind it, all functions of a scheduler are its own."""
    made = vars(assembled(pool, engine, *scheduler, *behind))
    for name, f in vars((engine, *scheduler)[-1]).items():
        if isinstance(f, FunctionType) and f.__module__ == (engine, *scheduler)[-1].__name__:
            assert made[name].__module__ == f.__module__
