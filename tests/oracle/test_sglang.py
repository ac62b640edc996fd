"""SGLang's engine, which skips, against a scheduler that does not: request by request, tick by tick."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.simulate import engine as source
from ridgeline.simulate import pool, radix
from ridgeline.simulate.fleet import Fleet
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

from .sglang import served
from .test_vllm import LAWS, followed, same, workloads
from .vllm import Outcome

engines = st.builds(
    Engine,
    scheduler=st.just("sglang"),
    max_num_batched_tokens=st.integers(16, 64),
    max_prefill_tokens=st.sampled_from([30, 16384]),
    max_num_seqs=st.integers(1, 12),
    block_size=st.sampled_from([1, 1, 3, 4, 16]),
    blocks=st.sampled_from([0, 20, 40, 80, 130, 160, 250]),
    async_scheduling=st.booleans(),
    schedule_conservativeness=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    retract_decode_steps=st.sampled_from([1, 5, 20]),
    policy=st.sampled_from(["fcfs", "lpm"]),
    mixed_chunk=st.sampled_from([False, False, True]),
)

FEW = Engine(
    scheduler="sglang",
    max_num_batched_tokens=64,
    max_num_seqs=12,
    block_size=1,
    blocks=150,
    schedule_conservativeness=0.0,
    retract_decode_steps=5,
)
"""A small cache and no care."""


def both(rows: list[tuple[int, int, int]], engine: Engine, kinked: bool) -> tuple[Outcome, Replica]:
    """A workload through the oracle and, prepared, for the engine."""
    ticks = np.cumsum([gap * 1000 for gap, _, _ in rows])
    prompts, outputs = [p for _, p, _ in rows], [o for _, _, o in rows]
    fast = Replica(
        Requests(arrival=ticks * LAWS[kinked].tick, prompt=np.array(prompts), output=np.array(outputs)),
        LAWS[kinked],
        engine,
    )
    return served(fast), fast


@settings(max_examples=1500)
@given(workloads, engines, st.booleans())
def test_the_engine_does_what_the_scheduler_does(rows, engine, kinked) -> None:
    """Start, first and last token, retractions, gaps, steps and pages, through storms of retraction too."""
    slow, fast = both(rows, engine, kinked)
    fast.advance(quick=True)
    same(slow, fast)


@settings(max_examples=500)
@given(workloads, engines, followed, st.sampled_from([0, 0, 1, 3, 40]))
def test_requests_that_follow_others(rows, engine, links, concurrency) -> None:
    """Turns of sessions with time to think, and closed loops of single requests or of sessions."""
    after = [min(parent, i - 1) if parent >= 0 else -1 for i, (parent, _) in enumerate(links[: len(rows)])]
    think = [wait * 1000 if parent >= 0 else 0 for parent, (_, wait) in zip(after, links, strict=False)]
    requests = Requests(
        arrival=np.cumsum([gap * 1000 for gap, _, _ in rows]) * LAWS[True].tick,
        prompt=np.array([p for _, p, _ in rows]),
        output=np.array([o for _, _, o in rows]),
        after=np.array(after),
        think=np.array(think) * LAWS[True].tick,
        concurrency=concurrency,
    )
    fast = Replica(requests, LAWS[True], engine)
    slow = served(fast)
    fast.advance(quick=True)
    same(slow, fast)


@settings(max_examples=1000)
@given(
    st.integers(0, 10**6),
    st.integers(1, 50),
    st.sampled_from(["1", "uniform:low=1,high=4"]),
    st.sampled_from([0, 7, 16, 40, 70]),
    st.sampled_from([1, 2, 5, 12]),
    st.sampled_from([0, 2, 5]),
    st.sampled_from([1, 1, 2, 4, 8, 16]),
    st.sampled_from([0, 90, 150, 250, 400]),
    engines,
)
def test_prefix_cache(seed, count, turns, prefix, groups, concurrency, page, tokens, engine) -> None:
    """Hits, evictions and shared pages: prefixes of groups, turns of sessions, and whoever was retracted."""
    engine = msgspec.structs.replace(engine, block_size=page, blocks=tokens // page)
    workload = Workload.read(
        requests=count, rate=200_000, isl="uniform:low=1,high=30", osl="uniform:low=1,high=20", turns=turns,
        think="1us", prefix=prefix, groups=groups, concurrency=concurrency,
    )  # fmt: skip
    fast = Replica(workload.draw(seed), LAWS[True], engine)
    slow = served(fast)
    fast.advance(quick=True)
    if len(fast.cache.hits):
        assert fast.cache.hits.tolist() == [r.cached for r in slow.requests]
    same(slow, fast)


@settings(max_examples=60)
@given(workloads, engines, st.booleans(), st.lists(st.integers(1, 400), max_size=4))
def test_neither_compiling_nor_skipping_nor_stopping_changes_anything(rows, engine, kinked, stops) -> None:
    """Plain Python, one step at a time, and in portions: always the same numbers."""
    for skip, quick, until in (
        (True, False, []),
        (False, False, []),
        (False, True, []),
        (True, True, stops),
    ):
        slow, fast = both(rows, engine, kinked)
        for stop in sorted(until):
            fast.advance(stop * 1000, skip=skip, quick=quick)
        fast.advance(skip=skip, quick=quick)
        same(slow, fast)


def test_storms_of_retraction_happen() -> None:
    """The random workloads mean something: a small cache and little care retract requests again and again."""
    rows = [(3_000_000 if i % 12 == 0 else 5, 5 + i % 7, 40) for i in range(240)]  # bursts: idle, the ratio begins anew
    slow, fast = both(rows, FEW, True)
    fast.advance()
    same(slow, fast)
    assert sum(r.preemptions for r in slow.requests) >= 20


@pytest.mark.parametrize("quick", [False, True])
def test_a_fleet_of_one_is_a_replica(quick: bool) -> None:
    """The router advances replicas by this scheduler too, compiled or not."""
    rows = [(3000 if i % 12 == 0 else 5, 5 + i % 7, 40) for i in range(60)]
    _, alone = both(rows, FEW, True)
    fleet = Fleet(alone.requests, LAWS[True], FEW, 1, "least-loaded")
    fleet.base.quick = quick
    fleet.serve()
    alone.advance()
    run, other = alone.result(), fleet.result()
    assert run.finish.tolist() == other.finish.tolist()
    assert run.preemptions.tolist() == other.preemptions.tolist()
    assert run.steps == other.steps


def test_what_random_workloads_are_to_show_happens() -> None:
    """Hits, evictions, retractions and mixed batches at once, and an order that is not that of arrivals."""
    engine = msgspec.structs.replace(FEW, policy="lpm", mixed_chunk=True, max_num_seqs=12)
    workload = Workload.read(
        requests=300, rate=300_000, isl="uniform:low=1,high=20", osl="uniform:low=10,high=40", prefix=40, groups=6
    )
    fast = Replica(workload.draw(0), LAWS[True], engine)
    slow = served(fast)
    fast.advance()
    same(slow, fast)
    assert fast.cache.hits.tolist() == [r.cached for r in slow.requests]
    assert sum(r.preemptions for r in slow.requests) >= 5
    assert sum(r.cached > 0 for r in slow.requests) >= 100
    assert any(b.start < a.start for a, b in pairwise(slow.requests))
    assert fast.board[source.CLOCK] > 1000


@pytest.mark.parametrize("policy", ["fcfs", "lpm"])
def test_a_fleet_looks_up_what_its_replicas_remember(policy: str) -> None:
    """A router knows whole ids, of as many tokens as they stand for; who is asked has been seen to remember them."""
    requests = Workload.read(requests=400, rate=3000, isl=20, osl=5, prefix=64, groups=5).draw(0)
    engine = msgspec.structs.replace(FEW, blocks=400, policy=policy)
    fleet = Fleet(requests, LAWS[True], engine, 3, "prefix")
    fleet.serve()
    holders, rows, found = fleet.base.cache.holders[:, 0], fleet.base.cache.rows, 0
    assert 0 < len(holders) < len(rows)
    for r in range(3):
        mine = fleet.base.cache._replace(nodes=fleet.nodes[:, r], table=fleet.tables[r])
        parts, remembered = int(fleet.boards[r, source.PARTS]), set()
        for owner, begin, end in mine.nodes[1 : fleet.boards[r, pool.MADE] + 1, [radix.OWNER, radix.BEGIN, radix.END]]:
            if owner >= 0:
                mine_ids = mine.ids[mine.place[owner] : mine.place[owner + 1]]
                remembered |= {int(mine_ids[k]) for k in range(begin // parts, min(end // parts, len(mine_ids)))}
        asked = np.flatnonzero(rows >= 0)
        assert {i for i in asked.tolist() if holders[rows[i]] >> r & 1} == remembered & {*asked.tolist()}
        assert parts == 16
        found += len(remembered)
    assert found > 0


@pytest.mark.parametrize(
    "wrong",
    [{"static_batching": True}, {"reserve_full_input": False}, {"block_size": 9000}, {"policy": "priority"}],
)
def test_what_sglang_does_not_do_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Engine(scheduler="sglang", **wrong)


@pytest.mark.parametrize("wrong", [{"policy": "lpm"}, {"mixed_chunk": True}])
def test_what_only_sglang_does_is_refused_of_others(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Engine(**wrong)
