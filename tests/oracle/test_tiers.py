"""KV tiers: what is written, kept and fetched, and what requests gain by it, against dictionaries, tick by tick."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.simulate import tiers as lower
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

from .test_vllm import LAWS, engines, same
from .tiers import Tiers
from .vllm import Outcome, served

TICK = LAWS[True].tick
kinds = st.builds(
    KvTier,
    name=st.just("tier"),
    blocks=st.sampled_from([1, 10, 40, 1000]),
    read=st.sampled_from([0.0, 1e-8, 2e-7, 3e-6]),
    write=st.sampled_from([0.0, 1e-8, 2e-6]),
    latency=st.sampled_from([0.0, 5e-7]),
    ttl=st.sampled_from([float("inf"), float("inf"), 3e-5, 1e-6]),
    write_through=st.booleans(),
)


def played(requests: Requests, engine: Engine) -> tuple[Outcome, Replica, Tiers]:
    """Requests through the oracle and, prepared, for the engine."""
    fast = Replica(requests, LAWS[True], engine)
    tiers = Tiers(engine.tiers, engine.path, engine.fetch, LAWS[True], engine.max_num_batched_tokens)
    return served(fast, tiers), fast, tiers


def alike(slow: Outcome, fast: Replica, tiers: Tiers) -> None:
    """All that both know is equal, tiers included."""
    cache = fast.cache
    if len(cache.ids):
        assert cache.hits.tolist() == [r.cached for r in slow.requests]
    assert cache.lower.tiers[:, lower.FETCHED].tolist() == [level.fetched for level in tiers.levels]
    assert cache.lower.tiers[:, lower.WRITTEN].tolist() == [level.written for level in tiers.levels]
    assert cache.lower.tiers[:, lower.USED].tolist() == [len(level.blocks) for level in tiers.levels]
    same(slow, fast)


@settings(max_examples=400)
@given(
    st.integers(0, 10**6),
    st.integers(1, 50),
    st.sampled_from(["1", "uniform:low=1,high=4"]),
    st.sampled_from([16, 40]),
    st.sampled_from([0, 0, 12]),
    st.sampled_from([20_000, 1_000_000]),
    st.sampled_from([20, 24, 32, 40]),
    engines,
    st.lists(kinds, min_size=1, max_size=3),
    st.sampled_from([0.0, 1e-7]),
    st.sampled_from(["sooner", "sooner", "always", "never"]),
)
def test_tiers(seed, count, turns, prefix, concurrency, rate, blocks, engine, kinds, path, fetch) -> None:
    """Pools that forget, links that queue, blocks that expire, requests that wait for fetches and are preempted."""
    engine = msgspec.structs.replace(
        engine, block_size=4, blocks=blocks, reserve_full_input=True, tiers=tuple(kinds), path=path, fetch=fetch
    )
    requests = Workload.read(
        requests=count, rate=rate, isl="uniform:low=1,high=16", osl="uniform:low=1,high=12", turns=turns,
        think="1us", prefix=prefix, groups=8, concurrency=concurrency,
    ).draw(seed)  # fmt: skip
    slow, fast, tiers = played(requests, engine)
    fast.advance(quick=True)
    alike(slow, fast, tiers)


@pytest.mark.parametrize(("count", "blocks", "tokens", "second"), [(22, 20, 21, 40), (30, 40, 19, 1000)])
def test_what_an_empty_plan_frees_is_seen_at_once(count: int, blocks: int, tokens: int, second: int) -> None:
    """A plan that admits nobody may begin fetches and yet free more, of those who ended: a mistake once, found by the
    test above, was to ask whether the free blocks had become more.
    """
    kinds = tuple(KvTier(name="tier", blocks=most, read=0.0, write=0.0, write_through=False) for most in (1, second))
    engine = Engine(max_num_batched_tokens=tokens, max_num_seqs=2, block_size=4, blocks=blocks, tiers=kinds)
    requests = Workload.read(
        requests=count, rate=20_000, isl="uniform:low=1,high=16", osl="uniform:low=1,high=12",
        turns="uniform:low=1,high=4", think="1us", prefix=16, groups=8, concurrency=12,
    ).draw(0)  # fmt: skip
    slow, fast, tiers = played(requests, engine)
    fast.advance(quick=True)
    alike(slow, fast, tiers)


def test_those_admitted_first_have_their_blocks_before_the_last_is_preempted() -> None:
    """What they take then may be the block whose name the victim's copy gets: a mistake once, found by fleets above."""
    tier = KvTier(name="tier", blocks=1000, read=2e-7, write=1e-8, latency=5e-7, ttl=3e-5, write_through=False)
    engine = Engine(
        max_num_batched_tokens=13, max_num_seqs=8, block_size=4, blocks=32, async_scheduling=False, tiers=(tier,),
        path=1e-7, fetch="always",
    )  # fmt: skip
    requests = Workload.read(
        requests=27, rate=1_000_000, isl="uniform:low=1,high=16", osl="uniform:low=1,high=12", prefix=40, groups=8
    ).draw(94)
    slow, fast, tiers = played(requests, engine)
    fast.advance(quick=False)
    alike(slow, fast, tiers)


SMALL = Engine(
    max_num_batched_tokens=64,
    max_num_seqs=8,
    block_size=4,
    blocks=40,
    tiers=(
        KvTier(name="ddr", blocks=30, read=1e-8, write=1e-8, write_through=False),
        KvTier(name="nvme", blocks=400, read=3e-8, write=1e-8, latency=1e-8, write_through=False),
    ),
    path=5e-9,
)
TALK = Workload.read(
    requests=200, rate=1e6, isl="uniform:low=1,high=30", osl="uniform:low=1,high=20", turns=4, think="2us", prefix=40,
    groups=8,
)  # fmt: skip


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("stops", [[], list(range(0, 4000, 37))])
def test_neither_compiling_nor_skipping_nor_stopping_changes_anything(through: bool, stops: list[int]) -> None:
    kinds = tuple(msgspec.structs.replace(tier, write_through=through) for tier in SMALL.tiers)
    engine = msgspec.structs.replace(SMALL, tiers=kinds)
    for quick, skip in ((False, True), (True, False), (True, True)):
        slow, fast, tiers = played(TALK.draw(1), engine)
        for stop in stops:
            fast.advance(stop * 10_000, quick=quick, skip=skip)
        fast.advance(quick=quick, skip=skip)
        alike(slow, fast, tiers)


def test_tiers_are_used_and_help() -> None:
    """The random workloads mean something: both tiers are read, and more is found, sooner, than without them."""
    _, fast, tiers = played(TALK.draw(1), SMALL)
    fast.advance(quick=True)
    assert all(level.fetched > 50 for level in tiers.levels)
    bare = Replica(TALK.draw(1), LAWS[True], msgspec.structs.replace(SMALL, tiers=()))
    bare.advance()
    assert fast.cache.hits.sum() > 2 * bare.cache.hits.sum()
    assert fast.result().end < bare.result().end


def test_sooner_is_never_later_for_one() -> None:
    """With one request at a time and idle links, the choice beats both fixed policies."""
    ends = {}
    for fetch in ("sooner", "always", "never"):
        engine = msgspec.structs.replace(SMALL, fetch=fetch, async_scheduling=False)
        fast = Replica(msgspec.structs.replace(TALK, concurrency=1).draw(3), LAWS[True], engine)
        fast.advance()
        ends[fetch] = fast.result().end
    assert ends["sooner"] <= min(ends.values()) * (1 + 1e-9)
    assert ends["always"] != ends["never"]


@pytest.mark.parametrize(
    "wrong", [{"scheduler": "sglang"}, {"reserve_full_input": False}, {"policy": "priority"}, {"fetch": "sometimes"}]
)
def test_what_tiers_do_not_go_with_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        msgspec.structs.replace(SMALL, **wrong)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wrong", [{"blocks": 0}, {"read": -1.0}, {"ttl": float("nan")}])
def test_wrong_tiers_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        msgspec.structs.replace(SMALL.tiers[0], **wrong)  # pyright: ignore[reportArgumentType]
