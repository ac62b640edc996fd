"""Priorities and drafts: the engine that goes seat by seat against the slow scheduler and the one that skips."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.simulate import engine as source
from ridgeline.simulate.fleet import Fleet
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

from .test_vllm import LAWS, engines, followed, same, workloads
from .vllm import Outcome, served

priorities = st.lists(st.integers(-1, 2), min_size=25, max_size=25)
speculating = st.tuples(
    st.sampled_from([1, 2, 5]),
    st.sampled_from([(0.0,), (0.5,), (0.9, 0.4), (1.0,)]),
    st.sampled_from([None, 0, 3]),
    st.integers(0, 1000),
)
"""Drafts, chances, lookahead and seed."""


def setting(engine: Engine, policy: str, speculation: tuple[int, tuple[float, ...], int | None, int] | None) -> Engine:
    drafts, acceptance, lookahead, seed = speculation or (0, (), None, 0)
    return msgspec.structs.replace(
        engine, policy=policy, drafts=drafts, acceptance=acceptance, lookahead=lookahead, draft_seed=seed
    )


def played(requests: Requests, engine: Engine, kinked: bool = True) -> tuple[Outcome, Replica]:
    """Requests through the oracle and, prepared, for the engine."""
    fast = Replica(requests, LAWS[kinked], engine)
    return served(fast), fast


def asked(rows: list[tuple[int, int, int]], priority: list[int], **others: object) -> Requests:
    ticks = np.cumsum([gap * 1000 for gap, _, _ in rows])
    return Requests(
        arrival=ticks * LAWS[True].tick,
        prompt=np.array([p for _, p, _ in rows]),
        output=np.array([o for _, _, o in rows]),
        priority=np.array(priority[: len(rows)]),
        **others,  # pyright: ignore[reportArgumentType]
    )


@settings(max_examples=400)
@given(workloads, engines, st.booleans(), priorities, st.sampled_from(["fcfs", "priority"]), st.none() | speculating)
def test_priorities_and_drafts(rows, engine, kinked, priority, policy, speculation) -> None:
    """Who is served and thrown out, and what is accepted, through storms of preemption."""
    engine = setting(engine, policy, speculation)
    if not engine.seatwise:
        return
    slow, fast = played(asked(rows, priority), engine, kinked)
    fast.advance(quick=True)
    same(slow, fast)


@settings(max_examples=120)
@given(workloads, engines, followed, st.sampled_from([0, 0, 3, 40]), priorities, st.none() | speculating)
def test_sessions_and_closed_loops(rows, engine, links, concurrency, priority, speculation) -> None:
    """Requests that arrive as others end take their place in the order of priority."""
    after = [min(parent, i - 1) if parent >= 0 else -1 for i, (parent, _) in enumerate(links[: len(rows)])]
    think = [wait * 1000 if parent >= 0 else 0 for parent, (_, wait) in zip(after, links, strict=False)]
    requests = asked(
        rows, priority, after=np.array(after), think=np.array(think) * LAWS[True].tick, concurrency=concurrency
    )
    slow, fast = played(requests, setting(engine, "priority", speculation))
    fast.advance(quick=True)
    same(slow, fast)


@settings(max_examples=120)
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.sampled_from(["1", "uniform:low=1,high=4"]),
    st.sampled_from([0, 7, 40]),
    engines,
    st.sampled_from(["fcfs", "priority"]),
    speculating,
)
def test_prefix_cache(seed, count, turns, prefix, engine, policy, speculation) -> None:
    """Hits and evictions, where blocks are held ahead and named only when their tokens are known."""
    engine = setting(msgspec.structs.replace(engine, block_size=4), policy, speculation)
    requests = Workload.read(
        requests=count, rate=20_000, isl="uniform:low=1,high=30", osl="uniform:low=1,high=20", turns=turns,
        think="1us", prefix=prefix, groups=2,
    ).draw(seed)  # fmt: skip
    rng = np.random.default_rng(seed)
    slow, fast = played(msgspec.structs.replace(requests, priority=rng.integers(0, 3, len(requests))), engine)
    fast.advance(quick=True)
    if len(fast.cache.ids):
        assert fast.cache.hits.tolist() == [r.cached for r in slow.requests]
    same(slow, fast)


@settings(max_examples=40)
@given(workloads, engines, priorities, st.none() | speculating, st.lists(st.integers(1, 400), max_size=4))
def test_neither_compiling_nor_stopping_changes_anything(rows, engine, priority, speculation, stops) -> None:
    engine = setting(engine, "priority", speculation)
    for quick, until in ((False, []), (True, stops)):
        slow, fast = played(asked(rows, priority), engine)
        for stop in sorted(until):
            fast.advance(stop * 10_000, quick=quick)
        fast.advance(quick=quick)
        same(slow, fast)


@settings(max_examples=120)
@given(workloads, engines)
def test_one_priority_is_none(rows, engine) -> None:
    """With equal priorities the engine that skips comes to the same."""
    rows = [(gap + 1, p, o) for gap, p, o in rows]  # of equal arrivals, Python's max is the first, not the last
    ranked = Replica(asked(rows, [0] * 25), LAWS[True], msgspec.structs.replace(engine, policy="priority"))
    plain = Replica(asked(rows, [0] * 25), LAWS[True], engine)
    ranked.advance(quick=True)
    plain.advance(quick=True)
    for row in (source.START, source.FIRST, source.FINISH, source.PREEMPTIONS):
        assert ranked.jobs[row].tolist() == plain.jobs[row].tolist()


def test_storms_throw_out_who_ranks_last() -> None:
    """A small cache: requests of the better priority are never thrown out while worse ones run."""
    rows = [(0, 30, 90)] * 10
    engine = Engine(max_num_batched_tokens=64, max_num_seqs=10, block_size=4, blocks=64, policy="priority")
    slow, fast = played(asked(rows, [i % 2 for i in range(10)]), engine)
    fast.advance(quick=True)
    same(slow, fast)
    thrown = [sum(r.preemptions for r in slow.requests if r.priority == kind) for kind in (0, 1)]
    assert thrown[1] > thrown[0]
    assert sum(thrown) >= 5


@pytest.mark.parametrize("drafts", [1, 4])
def test_mean_acceptance(drafts: int) -> None:
    """A lone request needs 1 / (1 + a + a^2 + ...) steps per token."""
    chance = 0.7
    engine = Engine(max_num_batched_tokens=64, max_num_seqs=1, drafts=drafts, acceptance=(chance,), draft_seed=3)
    requests = Requests(arrival=np.zeros(400), prompt=np.full(400, 8), output=np.full(400, 101))
    fast = Replica(requests, LAWS[False], engine)
    fast.advance()
    each = (fast.result().steps - 400 * 2) / 400 / 99  # the last step may give more than is left
    assert each == pytest.approx((1 - chance) / (1 - chance ** (drafts + 1)), rel=0.02)


@pytest.mark.parametrize("router", ["round-robin", "least-loaded", "prefix"])
@pytest.mark.parametrize("closed", [0, 20])
def test_fleets(router: str, closed: int) -> None:
    """Behind a router, whatever the bounds up to which replicas are advanced, and a fleet of one is a replica."""
    rng = np.random.default_rng(5)
    n = 300
    requests = Requests(
        arrival=np.sort(rng.uniform(0, 1e-4, n)), prompt=rng.integers(1, 60, n), output=rng.integers(1, 40, n),
        priority=rng.integers(0, 3, n), concurrency=closed,
    )  # fmt: skip
    engine = Engine(
        max_num_batched_tokens=64, max_num_seqs=12, block_size=4, blocks=30, policy="priority", drafts=2,
        acceptance=(0.6,),
    )  # fmt: skip
    runs = []
    for replicas, hurry in ((3, 1), (3, 50), (1, 1)):
        fleet = Fleet(requests, LAWS[True], engine, replicas, router)
        fleet.fleet[2] //= hurry
        fleet.serve()
        runs.append(fleet.result())
    alone = Replica(requests, LAWS[True], engine)
    alone.advance()
    for one, other in (runs[:2], (runs[2], alone.result())):
        assert one.finish.tolist() == other.finish.tolist()
        assert one.preemptions.tolist() == other.preemptions.tolist()
    assert runs[0].preemptions.sum() > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "lifo"}, {"drafts": 2}, {"acceptance": (0.5,)}, {"drafts": 2, "acceptance": (1.5,)}, {"drafts": -1},
        {"scheduler": "sglang", "policy": "priority"},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Engine(**wrong)  # pyright: ignore[reportArgumentType]
