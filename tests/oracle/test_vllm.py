"""The engine that skips against a scheduler that does not: request by request, tick by tick, on random workloads."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.simulate import engine as source
from ridgeline.simulate import pool
from ridgeline.simulate.law import StepLaw, quantised
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

from .vllm import Outcome, served, simulate


def law(kinked: bool) -> StepLaw:
    """A law of small numbers; kinked: three pieces of different slopes, and tables that are not affine."""
    n, tokens = np.arange(17.0), np.arange(65.0)
    contexts = np.array([0.0, 7.0, 30.0, 1000.0]) if kinked else np.array([0.0, 1000.0])
    per_token = 1e-8 * (np.minimum(tokens, 20) if kinked else tokens) + 5e-8 * (tokens > 0)
    seqs = 3e-9 * n
    read = np.interp(contexts, [0, 7, 30, 1000], [0, 7, 99, 500.0]) if kinked else contexts
    decode = (per_token[:17] + seqs)[:, None] + 4e-10 * read[None, :] * n[:, None]
    grid = np.array([0.0, 10.0, 64.0])
    chunk = 1e-10 * (grid[:, None] + 1 + 2 * grid[None, :])
    return quantised(
        tokens=per_token, sequences=seqs, contexts=contexts, decode=decode, new=grid, past=grid, chunk=chunk,
        first=((0, 40, 200), (2e-8, 3e-8, 4e-8)),
    )  # fmt: skip


LAWS = {kinked: law(kinked) for kinked in (False, True)}

workloads = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, 5, 40, 200, 3000]), st.integers(1, 90), st.integers(1, 40)),
    min_size=1,
    max_size=25,
)
engines = st.builds(
    Engine,
    max_num_batched_tokens=st.integers(12, 64),
    max_num_seqs=st.integers(1, 12),
    block_size=st.sampled_from([1, 3, 4, 16]),
    blocks=st.sampled_from([0, 8, 12, 20, 40, 100]),
    reserve_full_input=st.booleans(),
    async_scheduling=st.booleans(),
    static_batching=st.sampled_from([False, False, True]),
)


def both(rows: list[tuple[int, int, int]], engine: Engine, kinked: bool) -> tuple[Outcome, Replica]:
    """A workload through the oracle and, prepared, for the engine."""
    ticks = np.cumsum([gap * 1000 for gap, _, _ in rows])
    prompts, outputs = [p for _, p, _ in rows], [o for _, _, o in rows]
    requests = Requests(arrival=ticks * LAWS[kinked].tick, prompt=np.array(prompts), output=np.array(outputs))
    slow = simulate(ticks.tolist(), prompts, outputs, LAWS[kinked], engine)
    return slow, Replica(requests, LAWS[kinked], engine)


followed = st.lists(st.tuples(st.integers(-20, 24), st.sampled_from([0, 0, 1, 300])), min_size=25, max_size=25)


@settings(max_examples=500)
@given(workloads, engines, followed, st.sampled_from([0, 0, 1, 3, 40]))
def test_requests_that_follow_others(rows, engine, links, concurrency) -> None:
    """Turns of sessions with time to think, and closed loops of single requests or of sessions."""
    after = [min(parent, i - 1) if parent >= 0 else -1 for i, (parent, _) in enumerate(links[: len(rows)])]
    think = [wait * 1000 if parent >= 0 else 0 for parent, (_, wait) in zip(after, links, strict=False)]
    ticks = np.cumsum([gap * 1000 for gap, _, _ in rows])
    prompts, outputs = [p for _, p, _ in rows], [o for _, _, o in rows]
    slow = simulate(ticks.tolist(), prompts, outputs, LAWS[True], engine, after, think, concurrency)
    requests = Requests(
        arrival=ticks * LAWS[True].tick,
        prompt=np.array(prompts),
        output=np.array(outputs),
        after=np.array(after),
        think=np.array(think) * LAWS[True].tick,
        concurrency=concurrency,
    )
    fast = Replica(requests, LAWS[True], engine)
    fast.advance(quick=True)
    same(slow, fast)


@settings(max_examples=600)
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.sampled_from(["1", "uniform:low=1,high=4"]),
    st.sampled_from([0, 7, 16, 40]),
    st.sampled_from([0, 2, 5]),
    engines,
)
def test_prefix_cache(seed, count, turns, prefix, concurrency, engine) -> None:
    """Hits, evictions and shared blocks: prefixes of groups, turns of sessions, and whoever was preempted."""
    engine = msgspec.structs.replace(engine, block_size=4)
    workload = Workload.read(
        requests=count, rate=20_000, isl="uniform:low=1,high=30", osl="uniform:low=1,high=20", turns=turns,
        think="1us", prefix=prefix, groups=2, concurrency=concurrency,
    )  # fmt: skip
    fast = Replica(workload.draw(seed), LAWS[True], engine)
    slow = served(fast)
    fast.advance(quick=True)
    if len(fast.cache.ids):
        assert fast.cache.hits.tolist() == [r.cached for r in slow.requests]
    same(slow, fast)


def same(slow: Outcome, fast: Replica) -> None:
    """Everything that both know is equal."""
    jobs = fast.jobs
    assert jobs[source.ARRIVAL].tolist() == [r.arrival for r in slow.requests]
    assert jobs[source.START].tolist() == [r.start for r in slow.requests]
    assert jobs[source.FIRST].tolist() == [r.tokens[0] if r.tokens else -1 for r in slow.requests]
    assert jobs[source.FINISH].tolist() == [r.tokens[-1] if r.tokens else -1 for r in slow.requests]
    assert jobs[source.PREEMPTIONS].tolist() == [r.preemptions for r in slow.requests]
    assert fast.board[source.PEAK] == slow.peak
    run = fast.result()
    assert (run.steps, round(run.end / run.gaps.tick)) == (slow.steps, slow.end)
    value, weight = run.gaps.listed()
    gaps: Counter[int] = Counter()
    for each, count in zip(np.rint(value / run.gaps.tick).astype(int).tolist(), weight.tolist(), strict=True):
        gaps[each] += count
    assert gaps == slow.gaps
    assert sum(run.busy.values()) <= run.end * (1 + 1e-12)


@settings(max_examples=1500)
@given(workloads, engines, st.booleans())
def test_the_engine_does_what_the_scheduler_does(rows, engine, kinked) -> None:
    """Start, first and last token, preemptions, gaps, steps and blocks, through storms of preemption too."""
    slow, fast = both(rows, engine, kinked)
    fast.advance(quick=True)
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
            fast.advance(stop * 10_000, skip=skip, quick=quick)
        fast.advance(skip=skip, quick=quick)
        same(slow, fast)


def test_storms_happen() -> None:
    """The workloads above mean something: a small cache preempts some requests again and again."""
    rows = [(0, 30, 90)] * 10
    slow, fast = both(rows, Engine(max_num_batched_tokens=64, max_num_seqs=10, block_size=4, blocks=32), True)
    fast.advance()
    same(slow, fast)
    assert sum(r.preemptions for r in slow.requests) >= 8
    assert max(r.preemptions for r in slow.requests) >= 2


@pytest.mark.parametrize("field", ["max_num_batched_tokens", "max_num_seqs", "block_size", "blocks"])
def test_wrong_settings_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        msgspec.structs.replace(Engine(), **{field: -1})


def test_hits_and_evictions_happen() -> None:
    """The workloads of the cache's test mean something: a small cache forgets some of what a large one finds."""
    workload = Workload.read(
        requests=40, rate=1e6, isl="uniform:low=1,high=30", osl=10, turns=4, think="1us", prefix=16, groups=2
    )
    requests, hits = workload.draw(0), {}
    for blocks in (45, 0):
        engine = Engine(max_num_batched_tokens=64, max_num_seqs=12, block_size=4, blocks=blocks)
        run = Replica(requests, LAWS[False], engine)
        run.advance()
        hits[blocks] = run.cache.hits.sum()
    assert 0 < hits[45] < hits[0] < requests.prompt.sum()


def test_runs_of_forgotten_blocks_join() -> None:
    """Once requests that shared two ids left a run of a block each, and there were more runs than nodes for them."""
    n = 60
    requests = Requests(
        arrival=np.arange(n) * 1.0, prompt=np.full(n, 64), output=np.full(n, 4), hash_offsets=np.arange(n + 1),
        hash_ids=np.arange(n) % 2, hash_block=16,
    )  # fmt: skip
    fast = Replica(requests, LAWS[True], Engine(max_num_batched_tokens=64, max_num_seqs=8))
    fast.advance(quick=False)
    assert fast.board[pool.MADE] < len(fast.cache.nodes)
    assert fast.cache.hits.sum() > 0


def test_a_prompt_in_chunks_is_one_node() -> None:
    """Each chunk once walked over a node for each chunk before it: 13 s for ten prompts of a million tokens."""
    blocks = 4_000
    requests = Requests(
        arrival=np.zeros(1), prompt=np.array([16 * blocks]), output=np.array([2]),
        hash_offsets=np.array([0, blocks]), hash_ids=np.arange(blocks), hash_block=16,
    )  # fmt: skip
    fast = Replica(requests, LAWS[True], Engine(max_num_batched_tokens=64, max_num_seqs=8))
    fast.advance(quick=False)
    assert fast.result().steps > blocks // 4
    assert fast.board[pool.MADE] <= 4
