"""Many scenarios in one call are the same scenarios one by one, whoever serves them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from sys import modules

import msgspec
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate import batch, compiled
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.simulate.variations import Variation, _batches, variations
from ridgeline.workload import Workload

REPLICA = deployment(Scenario(model="llama-3-8b", system="hgx-h100", chips=1), sequences=16)
CASES = [
    Variation(
        deployment=REPLICA, workload=Workload.read(requests=60, rate=rate, isl=200, osl=20), seed=seed,
        replicas=1 + seed % 2,
    )
    for rate in (5, 80) for seed in range(3)
]  # fmt: skip


def test_each_is_the_simulation_of_its_own() -> None:
    limits = {"ttft": 0.05}
    for case, found in zip(CASES, variations(CASES, objectives=limits), strict=True):
        alone = simulate(
            case.deployment,
            case.workload.draw(case.seed),
            objectives=limits,
            replicas=case.replicas,
            router=case.router,
        )
        assert msgspec.to_builtins(found.metrics) == msgspec.to_builtins(alone.metrics)
        assert found.overloaded == alone.overloaded


SHAPES = [
    {"requests": 60, "rate": 50, "isl": "exponential:mean=300", "osl": "exponential:mean=30"},  # of one token too
    {"requests": 60, "rate": 50, "isl": 200, "osl": "uniform:mean=40,ratio=0.9"},
    {"requests": 60, "rate": 200, "isl": "lognormal:mean=400,cv=2", "osl": 60},  # too long for the cache, some
    {"requests": 3, "rate": 1, "isl": 5000, "osl": 60},  # all
    {"requests": 9, "concurrency": 3, "isl": 64, "osl": 6}, {"requests": 9, "turns": 3, "isl": 64, "osl": 6},
]  # fmt: skip


@pytest.mark.parametrize(("words", "rows", "plain"), [(9000, 0, 0), (1 << 20, 4, 0), (1 << 20, 0, 1 << 20)])
def test_runs_side_by_side_are_each_what_it_is_alone(
    words: int, rows: int, plain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several lengths, with preemption and refused requests, in calls that end for want of rows, in both codes."""
    monkeypatch.setattr(modules["ridgeline.simulate.variations"], "WORDS", words)
    monkeypatch.setattr(batch, "ROWS", rows)
    monkeypatch.setattr(compiled, "PLAIN", plain)
    small = msgspec.structs.replace(REPLICA, engine=msgspec.structs.replace(REPLICA.engine, blocks=120))
    cases = [
        Variation(deployment=each, workload=Workload.read(**shape), seed=seed)
        for each in (small, REPLICA) for shape in SHAPES for seed in range(2)
    ]  # fmt: skip
    thrown = refused = 0
    for case, found in zip(cases, variations(cases, objectives={"tpot": 0.02}), strict=True):
        alone = simulate(case.deployment, case.workload.draw(case.seed), objectives={"tpot": 0.02})
        assert msgspec.json.encode(found.metrics) == msgspec.json.encode(alone.metrics)  # NaN is null there
        assert found.overloaded == alone.overloaded
        thrown, refused = thrown + found.metrics.preemptions, refused + found.metrics.failed
    assert thrown
    assert refused


def test_one_long_answer_does_not_make_all_calendars_long() -> None:
    """A case of 260,000 tokens once gave each of 600 that were served with it a calendar of as many."""
    made = [Variation(deployment=REPLICA, workload=Workload.read(requests=3, osl=osl)) for osl in (20, 600_000, 20)]
    assert [len(batch) for batch in _batches([made[0]] * 9 + [made[1]] + [made[2]] * 9)] == [9, 1, 9]


@pytest.mark.parametrize("workers", [2, 4, 50])
def test_parts_come_back_in_order(workers: int) -> None:
    """Divided into parts that a pool's `map` serves, as Ray's would."""
    with ThreadPoolExecutor(2) as pool:
        divided = variations(CASES, workers=workers, run=pool.map)
    assert msgspec.to_builtins(divided) == msgspec.to_builtins(variations(CASES))


def test_a_cluster_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's pool, which the page on simulations names; installed by who wants to see this (`pip install ray`)."""
    pytest.importorskip("ray", reason="ray is not installed")
    from ray.util.multiprocessing import Pool  # pyright: ignore[reportMissingImports]

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with Pool(2) as pool:
        divided = variations(CASES, workers=2, run=pool.map)
    assert msgspec.to_builtins(divided) == msgspec.to_builtins(variations(CASES))


def test_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="--workers 0"):
        variations(CASES, workers=0)
