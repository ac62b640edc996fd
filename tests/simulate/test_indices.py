"""Compiled code takes indices as they are: none of plain Python's is ever counted from the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate import compiled, quantile, radix
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.fleet import ALWAYS_UP, Fleet, PrefillPool, Upkeep
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.law import affine
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.stream import stream
from ridgeline.workload import Workload

LAW = affine(step=1e-6, token=2e-8, sequence=1e-8, context=1e-10, pair=1e-11, most_tokens=64, most_sequences=12)
VLLM = Engine(max_num_batched_tokens=64, max_num_seqs=10, block_size=4, blocks=60)
TIERS = tuple(
    KvTier(name="tier", blocks=blocks, read=1e-8, write=1e-8, ttl=1e-4, write_through=through, shared=not through)
    for blocks, through in ((20, True), (40, False))
)
ENGINES = {
    "vllm": VLLM,
    "sglang": msgspec.structs.replace(VLLM, scheduler="sglang", policy="lpm", blocks=70, schedule_conservativeness=0.0),
    "drafts and priorities": msgspec.structs.replace(VLLM, policy="priority", drafts=2, acceptance=(0.7, 0.4)),
    "tiers": msgspec.structs.replace(VLLM, tiers=TIERS),
}


class Strict(np.ndarray):
    """An array that refuses indices below 0."""

    looked = 0

    def __getitem__(self, key: Any) -> Any:
        Strict.check(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        Strict.check(key)
        super().__setitem__(key, value)

    @staticmethod
    def check(key: Any) -> None:
        Strict.looked += 1
        if any(isinstance(k, int | np.integer) and k < 0 for k in (key if isinstance(key, tuple) else (key,))):
            raise IndexError(f"{key}: machine code would read what lies before the array")


def strict(value: Any) -> Any:
    """An argument with all its arrays strict."""
    if isinstance(value, tuple):
        return type(value)(*map(strict, value))
    return value.view(Strict) if isinstance(value, np.ndarray) else value


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = compiled._assembled

    def put_together(*modules: str) -> Any:
        calls = vars(plain(*modules))
        return SimpleNamespace(**{name: lambda *given, f=f: f(*map(strict, given)) for name, f in calls.items()})

    monkeypatch.setattr(compiled, "_assembled", put_together)
    monkeypatch.setattr(compiled, "_compiled", put_together)


@pytest.mark.parametrize("keeping", [ALWAYS_UP, Upkeep(between_failures=2e-4, repair=1e-5), Upkeep(fewest=1, target=4)])
@pytest.mark.parametrize("engine", [*ENGINES, "apart"])
def test_fleets(engine: str, keeping: Upkeep) -> None:
    """Storms of preemption, prefixes that come again, and whatever else keeps lists whose ends are -1."""
    load = Workload.read(
        requests=70, rate=400_000, isl="uniform:low=1,high=50", osl="uniform:low=1,high=25",
        turns="uniform:low=1,high=4", think="1us", prefix=12, groups=3,
    )  # fmt: skip
    requests = load.draw(3)
    requests = msgspec.structs.replace(requests, priority=np.arange(len(requests)) % 3)
    apart = PrefillPool(replicas=2, law=LAW, engine=VLLM, seconds=1e-7 * requests.prompt) if engine == "apart" else None
    before = Strict.looked
    try:
        fleet = Fleet(requests, LAW, ENGINES.get(engine, VLLM), 3, "prefix", prefill=apart, keeping=keeping)
    except InputError:
        pytest.skip("no such fleet")
    fleet.serve()
    run = fleet.result()
    assert run.served.all()
    assert Strict.looked > before + 10_000
    gaps = msgspec.structs.replace(run.gaps, weight=run.gaps.weight.astype(np.int64))
    quantile.FEW, few = 0, quantile.FEW
    try:
        quantile.of_gaps(gaps, (50.0, 99.0))
    finally:
        quantile.FEW = few


def test_streams() -> None:
    scenario = Scenario(model="llama-3-8b", system="hgx-h100", engine="vllm", isl=200, osl=40)
    load, before = Workload.read(requests=90, rate=150, isl="uniform:low=1,high=900", osl=40), Strict.looked
    assert stream(deployment(scenario, blocks=900), load, 3, 2, workers=1).metrics.completed == 90
    assert Strict.looked > before + 10_000


def test_numbers_of_32_bits_are_not_too_short() -> None:
    """An owner is read from an array of such numbers: a page without an id was once that of another owner too."""
    load = Workload.read(requests=3, isl=40, osl=4, prefix=12)
    fleet = Fleet(load.draw(0), LAW, ENGINES["sglang"], 1, "prefix")
    cache, board = fleet.base.cache, fleet.base.board
    short: Any = np.arange(10, dtype=np.int32)
    held = [radix.content(cache, board, job, short[9]) for job in short[:3]]
    assert held == [radix.content(cache, board, job, 9) for job in range(3)]
    assert len(set(held)) == 3
