"""How modules are put together: a name that two of them happened to use once changed what a third one called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from ridgeline.simulate import abreast, engine, pool, routers, routing, tally, ticks, upkeep
from ridgeline.simulate.compiled import _jitted, assembled, compiled
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.settings import Engine


def own(**settings: Any) -> list[ModuleType]:
    """What a scheduler is made of, between the engine that all share and replicas side by side."""
    return [*Engine(**settings).modules()[3:-1]]


VLLM, SGLANG, SEATWISE = own(), own(scheduler="sglang"), own(drafts=1, acceptance=(0.5,))
TIERS = own(tiers=(KvTier(name="ddr", blocks=9, read=0.0, write=0.0),))


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


@pytest.mark.parametrize("scheduler", [[], VLLM, SGLANG, SEATWISE, TIERS])
@pytest.mark.parametrize("behind", [[], [abreast, upkeep, routers, routing], [abreast, tally]])
def test_all_that_are_put_together_go_together(scheduler: list[ModuleType], behind: list[ModuleType]) -> None:
    """Whatever comes behind it, all functions of a scheduler are its own."""
    made = vars(assembled(pool, ticks, engine, *scheduler, *behind))
    for name, f in vars((engine, *scheduler)[-1]).items():
        if isinstance(f, FunctionType) and f.__module__ == (engine, *scheduler)[-1].__name__:
            assert made[name].__module__ == f.__module__


@pytest.mark.parametrize("scheduler", [SGLANG, SEATWISE, TIERS])
def test_code_of_one_scheduler_is_not_kept_in_the_place_of_anothers(scheduler: list[ModuleType]) -> None:
    """`route` has one name and one signature whoever it calls: a fleet of SGLang's once served vLLM's in a process that
    came later.
    """
    pytest.importorskip("numba")
    places = [
        getattr(compiled(*modules), name).folder
        for name, modules in (
            ("route", (pool, ticks, engine, *VLLM, abreast, upkeep, routers, routing)),
            ("route", (pool, ticks, engine, *scheduler, abreast, upkeep, routers, routing)),
            ("go", (pool, ticks, engine, abreast)),
            ("go", (pool, ticks, engine, *VLLM, abreast)),
            ("go", (pool, ticks, engine, *scheduler, abreast)),
        )
    ]
    assert len(set(places)) == len(places)


def test_what_calls_nothing_that_was_replaced_is_compiled_once() -> None:
    """Compiling takes long: SGLang's scheduler and vLLM's share the law, and whatever else is the same."""
    pytest.importorskip("numba")
    vllm, other, lower = (
        _jitted(None, *(module.__name__ for module in (pool, ticks, engine, *scheduler)))
        for scheduler in (VLLM, SGLANG, TIERS)
    )
    assert other["chunk_ticks"] is vllm["chunk_ticks"]
    assert other["blocks_taken"] is vllm["blocks_taken"]
    assert other["advance"] is not vllm["advance"]
    assert lower["give"] is not vllm["give"]  # it calls `note`


def test_code_of_a_run_lies_on_the_disk(tmp_path: Path) -> None:
    """Code that needs more than the process has is not kept: then each process compiles anew.

    What counts gaps is compiled by another process meanwhile, for arguments of the same kinds: there are two cores.
    """
    pytest.importorskip("numba")
    code = (
        "from ridgeline.simulate.deployment import deployment\n"
        "from ridgeline.simulate import compiled, native, replica, simulation\n"
        "from ridgeline.workload import Workload\nfrom ridgeline.scenario import Scenario\n"
        "compiled.PLAIN, made, names = 0, native.Entry._made, []\n"
        "native.Entry._made = lambda entry, *given: (names.append(entry.name), made(entry, *given))[1]\n"
        "native.os.cpu_count = lambda: 2\n"
        "one = deployment(Scenario(model='llama-3-8b', system='hgx-h100', chips=1, engine='vllm', isl=64, osl=8))\n"
        "simulation.simulate(one, Workload.read(requests=9, rate=20, isl=64, osl=8).draw(0))\n"
        "import sys; print('numba' in sys.modules, *names)"
    )
    environment = {**os.environ, "RIDGELINE_CACHE": str(tmp_path)}
    for wanted in ("True go", "False"):  # the second process links it, `sqrt` included, which only a linker knows
        done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
        assert done.stdout == f"{wanted}\n"
        kept = sorted(path.name.split("-")[0] for path in tmp_path.glob("ridgeline/*/*"))
        assert kept == ["gather_gaps", "go"]
