"""Many scenarios in one call are the same scenarios one by one, whoever serves them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.simulate.variations import Variation, variations
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
