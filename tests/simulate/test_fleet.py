"""Replicas behind a router: exact routing, nothing lost or served twice, and no replica ahead of what it could know."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.simulate import abreast
from ridgeline.simulate.fleet import ROUTERS, Fleet, PrefillPool, serve_fleet
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.law import affine
from ridgeline.simulate.replica import serve
from ridgeline.simulate.run import Run
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

LAW = affine(step=4e-3, token=2e-5, sequence=1e-5, context=2e-8, pair=1e-9)
SMALL = Engine(max_num_batched_tokens=512, max_num_seqs=24, blocks=150)
RETRACTING = Engine(
    scheduler="sglang", max_num_batched_tokens=512, max_num_seqs=24, blocks=150, schedule_conservativeness=0.1
)
LOADS: dict[str, dict[str, Any]] = {
    "open": {"rate": 60},
    "sessions": {"rate": 40, "turns": "uniform:low=1,high=5", "think": "300 ms", "prefix": 64, "groups": 3},
    "closed": {"concurrency": 40},
    "closed sessions": {"concurrency": 40, "turns": "uniform:low=1,high=5", "think": "300 ms"},
}


def load(kind: str, requests: int = 600, seed: int = 0) -> Requests:
    lengths = {"isl": "lognormal:mean=150,cv=0.8", "osl": "lognormal:mean=40,cv=0.8"}
    return Workload.read(requests=requests, **lengths, **LOADS[kind]).draw(seed)


def same(one: Run, other: Run) -> None:
    for name in ("arrival", "start", "first_token", "finish", "preemptions", "cached"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    assert (one.steps, one.end, one.gaps.count) == (other.steps, other.end, other.gaps.count)


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("planned", [False, True])
def test_one_replica_is_a_replica(kind: str, planned: bool) -> None:
    """Whatever the router, a fleet of one does what a replica does."""
    settings = Engine(max_num_batched_tokens=512, max_num_seqs=24, blocks=150, async_scheduling=planned)
    for router in ("round-robin", "least-loaded", "prefix"):
        same(serve_fleet(load(kind), LAW, settings, 1, router), serve(load(kind), LAW, settings))


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("settings", [SMALL, RETRACTING], ids=["vllm", "sglang"])
def test_looking_more_often_changes_nothing(kind: str, router: str, settings: Engine) -> None:
    """Replicas advance only to lower bounds of their next end; with bounds that are far too low, all is the same."""
    requests = load(kind)
    if router == "sticky" and requests.session is None:
        pytest.skip("needs sessions")
    eager = Fleet(requests, LAW, settings, 5, router)
    eager.fleet[abreast.LEAST_STEP] //= 50
    eager.serve()
    found = serve_fleet(requests, LAW, settings, 5, router)
    seen = eager.result()
    same(found, seen)
    assert found.replica is not None
    assert seen.replica is not None
    assert np.array_equal(found.replica, seen.replica)
    assert found.served.sum() == len(requests) - len(eager.refused)
    assert found.gaps.count + found.served.sum() == requests.output[found.served].sum()


@pytest.mark.parametrize("seed", [5, 8, 12, 15])
def test_places_in_a_closed_loop_are_filled_in_the_order_of_time(seed: int) -> None:
    """The last request to start takes the place that is free first, not the one that was simulated first."""
    requests = load("closed", seed=seed)
    run = serve_fleet(requests, LAW, SMALL, 5, "round-robin")
    free = np.sort(run.finish)[: len(requests) - requests.concurrency]
    assert np.array_equal(np.sort(run.arrival)[requests.concurrency :], free)


@pytest.mark.parametrize("kind", LOADS)
def test_the_least_loaded_gets_it(kind: str) -> None:
    """From the outcome alone: at each arrival nobody had fewer open requests than the chosen, nor as many before it."""
    requests = load(kind)
    run = serve_fleet(requests, LAW, SMALL, 4, "least-loaded")
    assert run.replica is not None
    order = np.lexsort((np.arange(len(requests)), run.arrival))
    order = order[run.served[order]]
    handed: list[int] = []
    for job in order.tolist():
        before = np.array(handed, int)
        still = before[run.finish[before] > run.arrival[job]] if len(before) else before
        assert run.replica[job] == int(np.bincount(run.replica[still], minlength=4).argmin())
        handed.append(job)


def test_each_replica_alone() -> None:
    """Round robin splits an open loop into independent replicas: each is what it would be alone."""
    requests = load("open")
    run = serve_fleet(requests, LAW, SMALL, 3, "round-robin")
    assert run.replica is not None
    for r in range(3):
        mine = run.replica == r
        alone = serve(
            Requests(arrival=requests.arrival[mine], prompt=requests.prompt[mine], output=requests.output[mine]),
            LAW,
            SMALL,
        )
        assert np.array_equal(run.finish[mine], alone.finish, equal_nan=True)


def test_sessions_stay_and_prefixes_attract() -> None:
    """Sticky sessions have one home; they and the prefix router find more in the cache than turns dealt out blindly."""
    requests = Workload.read(requests=2000, rate=60, isl=120, osl=40, turns=5, think="1 s").draw(1)
    settings = Engine(max_num_seqs=64, blocks=4000)
    hits = {}
    for router in ROUTERS:
        run = serve_fleet(requests, LAW, settings, 6, router)
        hits[router] = int(run.cached.sum())
        if router == "sticky":
            assert requests.session is not None
            assert run.replica is not None
            for one in range(50):
                assert len(set(run.replica[requests.session == one].tolist())) == 1
    assert hits["sticky"] > 1.5 * hits["round-robin"]
    assert hits["prefix"] > 1.2 * hits["round-robin"]


@pytest.mark.parametrize(
    ("replicas", "router", "told"),
    [(0, "prefix", "--replicas 0"), (2, "random", "unknown router"), (2, "sticky", "sessions")],
)
def test_wrong_fleets_are_refused(replicas: int, router: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        serve_fleet(load("open", 10), LAW, SMALL, replicas, router)


def test_tiers_of_two_pools_are_refused() -> None:
    """Prompts of a decode pool come with their cache: nothing says what its tiers would be asked."""
    tier = KvTier(name="store", blocks=10, read=1e-6, write=1e-6)
    first = PrefillPool(replicas=1, law=LAW, engine=SMALL, seconds=np.zeros(10))
    with pytest.raises(InputError, match="replicas that do both"):
        Fleet(load("open", 10), LAW, msgspec.structs.replace(SMALL, tiers=(tier,)), 1, "prefix", prefill=first)
