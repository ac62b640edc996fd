"""Fleets against one that does everything in the order of time: pools, failures, scaling with the load, KV tiers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ridgeline.simulate import compiled
from ridgeline.simulate import engine as source
from ridgeline.simulate.fleet import ALWAYS_UP, Fleet, PrefillPool, Upkeep
from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

from .fleet import Fleet as Slow
from .fleet import Job, Server
from .test_tiers import kinds
from .test_vllm import LAWS
from .tiers import Level, Tiers

LAW = LAWS[True]


@pytest.fixture(scope="module", autouse=True)
def _compiled_at_once():
    """Small runs use plain Python, which takes ten times as long here: `test_failures` looks at it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compiled._had, "work", compiled.PLAIN)
        yield


ROUTERS = ["round-robin", "least-loaded", "prefix", "sticky"]
engines = st.builds(
    Engine,
    max_num_batched_tokens=st.integers(12, 64),
    max_num_seqs=st.integers(2, 12),
    block_size=st.just(4),
    blocks=st.sampled_from([0, 25, 40, 100]),
    async_scheduling=st.booleans(),
)
workloads = st.builds(
    dict,
    requests=st.integers(1, 30),
    rate=st.sampled_from([30_000, 100_000, 400_000]),
    isl=st.just("uniform:low=1,high=50"),
    osl=st.sampled_from(["uniform:low=1,high=25", "1", "uniform:low=1,high=2"]),
    turns=st.sampled_from(["1", "uniform:low=1,high=3"]),
    think=st.just("1us"),
    prefix=st.sampled_from([0, 0, 12]),
    groups=st.just(2),
)


def both(
    requests: Requests,
    decode: Engine,
    replicas: int,
    router: str,
    prefill: PrefillPool | None,
    keeping: Upkeep,
    failures: list[tuple[int, int, int]],
) -> tuple[Slow, Fleet]:
    """The same fleet twice; failures in ticks, in place of drawn ones."""
    fast = Fleet(requests, LAW, decode, replicas, router, prefill=prefill, keeping=keeping)
    if failures:
        fast.failures = np.array(sorted(failures)).T.copy()
        fast.keeping = msgspec.structs.replace(keeping, between_failures=0.0)
    first, tick = fast.base.cache, LAW.tick
    ids = first.ids.tolist()
    names = [ids[a:b] for a, b in pairwise(first.place.tolist())] if ids else [[] for _ in range(len(requests))]
    pools = [(prefill.engine, True)] * prefill.replicas if prefill else []
    pools += [(decode, False)] * replicas
    delay = round(prefill.delay / tick) if prefill else 0
    shared = [Level(tier, tick) for tier in decode.tiers if tier.shared]

    def below() -> Tiers | None:
        chunk = decode.max_num_batched_tokens
        return Tiers(decode.tiers, decode.path, decode.fetch, LAW, chunk, shared) if decode.tiers else None

    servers = [
        Server(i, LAW, each, sends=sends, takes=prefill is not None and not sends, delay=delay, tiers=below())
        for i, (each, sends) in enumerate(pools)
    ]
    ticks = np.rint(requests.arrival / tick).astype(int).tolist()
    rows = zip(ticks, requests.prompt.tolist(), requests.output.tolist(), names, strict=True)
    jobs = [Job(i, *row) for i, row in enumerate(rows)]
    slow = Slow(
        servers, jobs, router, prefills=prefill.replicas if prefill else 0,
        after=None if requests.after is None else requests.after.tolist(),
        think=None if requests.think is None else np.rint(requests.think / tick).astype(int).tolist(),
        concurrency=requests.concurrency,
        session=list(range(len(jobs))) if requests.session is None else requests.session.tolist(),
        send=np.rint(prefill.seconds / tick).astype(int).tolist() if prefill else [],
        failures=sorted(failures), retry=round(keeping.retry / tick), every=round(keeping.every / tick),
        target=keeping.target, fewest=keeping.fewest, begin=ticks[0] if not requests.concurrency else 0,
        start=round(keeping.start / tick), keep=round(keeping.keep / tick),
    )  # fmt: skip
    return slow, fast


def same(slow: Slow, fast: Fleet) -> None:
    """Everything that both know is equal, and each request ended once."""
    slow.run()
    fast.serve()
    jobs, tick = fast.base.jobs.copy(), LAW.tick
    everyone = slow.jobs
    arrival = jobs[source.CAME] if fast.moved else jobs[source.ARRIVAL]
    assert arrival.tolist() == [job.came for job in everyone]
    assert fast.replica.tolist() == [job.server for job in everyone]
    assert jobs[source.START].tolist() == [job.start for job in everyone]
    assert jobs[source.FIRST].tolist() == [job.tokens[0] for job in everyone]
    assert jobs[source.FINISH].tolist() == [job.tokens[-1] for job in everyone]
    assert all(len(job.tokens) == job.output for job in everyone)
    assert jobs[source.PREEMPTIONS].tolist() == [job.thrown for job in everyone]
    run = fast.result()
    assert run.cached.tolist() == [job.cached for job in everyone]
    assert run.operation is not None
    assert (run.operation.failures, run.operation.retried) == (slow.failed, sum(job.retried for job in everyone))
    assert run.steps == sum(server.steps for server in slow.servers)
    value, weight = run.gaps.listed()
    gaps: Counter[int] = Counter()
    for each, count in zip(np.rint(value / tick).astype(int).tolist(), weight.tolist(), strict=True):
        gaps[each] += count
    assert gaps == slow.gaps()
    for number, tier in enumerate(run.tiers):
        unlike = {id(s.tiers.levels[number]): s.tiers.levels[number] for s in slow.servers if s.tiers}
        used = [(level.fetched, level.written, len(level.blocks)) for level in unlike.values()]
        assert (tier.fetched, tier.written, tier.held) == tuple(map(sum, zip(*used, strict=True)))
    on = sum(s.paid + (slow.end - s.on_since if s.state != "off" else 0) for s in slow.servers)
    if slow.fewest:
        assert round(run.operation.paid / tick) == on


def pool(requests: Requests, settings: Engine, replicas: int, slow_link: bool) -> PrefillPool:
    """A prefill pool whose link takes about as long as a prefill, or far longer."""
    each = (3e-6 if slow_link else 2e-8) * requests.prompt
    return PrefillPool(replicas=replicas, law=LAW, engine=settings, seconds=each, delay=1e-7)


@settings(max_examples=150)
@given(workloads, engines, engines, st.integers(1, 3), st.integers(1, 3), st.sampled_from(ROUTERS), st.booleans(),
       st.sampled_from([0, 0, 3]), st.integers(0, 10**6))  # fmt: skip
def test_two_pools(given_load, prefill, decode, first, second, router, slow_link, concurrency, seed) -> None:
    """Prefill, link, decode: with memory that runs out, prefixes, sessions, and closed loops of a single pair."""
    if concurrency:
        first = second = 1
    requests = Workload.read(**given_load, concurrency=concurrency).draw(seed)
    if router == "sticky" and requests.session is None:
        router = "least-loaded"
    requests = fitting(requests, prefill, decode)
    apart = pool(requests, msgspec.structs.replace(prefill, block_size=decode.block_size), first, slow_link)
    same(*both(requests, decode, second, router, apart, ALWAYS_UP, []))


def fitting(requests: Requests, *engines: Engine) -> Requests:
    """With prompts and answers cut to what the caches hold, so that nobody is refused."""
    most = min((e.blocks or 10_000) * e.block_size for e in engines)
    prompt = np.minimum(requests.prompt, max(most - 30, 1))
    if (prompt == requests.prompt).all():
        return requests
    ids: dict[str, Any] = {"hash_offsets": None, "hash_ids": None, "hash_block": 0}
    return msgspec.structs.replace(requests, prompt=prompt, **ids)


failing = st.lists(
    st.tuples(st.integers(0, 400_000), st.integers(0, 3), st.sampled_from([1, 3_000, 80_000])), min_size=1, max_size=8
)


@settings(max_examples=150)
@given(workloads, engines, st.integers(1, 3), st.integers(0, 2), st.sampled_from(ROUTERS), failing, st.booleans(),
       st.integers(0, 10**6), st.integers(1, 8))  # fmt: skip
def test_failures(given_load, settings_, replicas, first, router, failures, slow_link, seed, plain) -> None:
    """Nothing is lost or served twice, whoever fails whenever, in one pool or two; some of it in plain Python."""
    requests = fitting(Workload.read(**given_load).draw(seed), settings_)
    if router == "sticky" and requests.session is None:
        router = "least-loaded"
    apart = pool(requests, settings_, first, slow_link) if first else None
    unit = round(1e-9 / LAW.tick)
    planned = [(at * unit, which % (replicas + first), long * unit) for at, which, long in failures]
    keeping = Upkeep(between_failures=1.0, retry=seed % 3 * 1e-6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "PLAIN", 10**9 if plain == 5 else compiled.PLAIN)
        same(*both(requests, settings_, replicas, router, apart, keeping, planned))


@settings(max_examples=150)
@given(workloads, engines, st.integers(1, 5), st.sampled_from(ROUTERS[:3]), st.integers(1, 4),
       st.sampled_from([0.0, 2e-6, 3e-5]), st.sampled_from([0.0, 1e-5, 1e-4]), st.one_of(st.just([]), failing),
       st.integers(0, 10**6))  # fmt: skip
def test_replicas_follow_the_load(given_load, settings_, most, router, target, start, keep, failures, seed) -> None:
    requests = fitting(Workload.read(**given_load).draw(seed), settings_)
    unit = round(1e-9 / LAW.tick)
    planned = [(at * unit, which % most, long * unit) for at, which, long in failures]
    keeping = Upkeep(fewest=1, target=target, every=7e-6, start=start, keep=keep, between_failures=float(bool(planned)))
    same(*both(requests, settings_, most, router, None, keeping, planned))


@pytest.mark.parametrize("router", ["round-robin", "least-loaded", "prefix"])
def test_the_router_alone(router: str) -> None:
    """Many requests through eight replicas that are always up."""
    settings_ = Engine(max_num_batched_tokens=64, max_num_seqs=8, block_size=4, blocks=120)
    load = Workload.read(requests=400, rate=400_000, isl="uniform:low=1,high=50", osl=12, prefix=16, groups=3)
    same(*both(load.draw(1), settings_, 8, router, None, ALWAYS_UP, []))


coming_and_going = st.one_of(
    st.just(ALWAYS_UP),
    st.just(ALWAYS_UP),
    st.builds(
        Upkeep, fewest=st.just(1), target=st.integers(1, 4), every=st.just(7e-6), keep=st.sampled_from([0.0, 1e-5]),
        start=st.sampled_from([0.0, 2e-6]),
    ),
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.integers(0, 10**6),
    st.integers(1, 50),
    st.sampled_from(["1", "uniform:low=1,high=4"]),
    st.sampled_from([16, 40]),
    st.sampled_from([0, 0, 6]),
    st.sampled_from([50_000, 1_000_000]),
    engines,
    st.sampled_from([20, 24, 32, 40]),
    st.lists(kinds, min_size=1, max_size=3),
    st.integers(0, 2),
    st.sampled_from([0.0, 1e-7]),
    st.sampled_from(["sooner", "sooner", "always", "never"]),
    st.integers(1, 4),
    st.sampled_from(ROUTERS),
    coming_and_going,
    st.one_of(st.just([]), failing),
    st.sampled_from([0.0, 2e-6]),
)
@example(
    714510,
    9,
    "1",
    40,
    0,
    1_000_000,
    Engine(max_num_batched_tokens=64, max_num_seqs=4, block_size=4),
    32,
    [KvTier(name="t", blocks=1000, read=3e-6, write=0.0)],
    1,
    0.0,
    "always",
    3,
    "prefix",
    ALWAYS_UP,
    [],
    2e-6,
)  # the router once took a replica that was fetching to plan later than it did, if two came at once
def test_tiers_of_a_fleet(seed, count, turns, prefix, concurrency, rate, engine, blocks, kinds, shared, path, fetch,
                          replicas, router, keeping, failures, grid) -> None:  # fmt: skip
    """Tiers of each replica, and behind them what all share: written, found and fetched by whom and when; also where
    several arrive at once, as in traces with coarse times.
    """
    own = max(len(kinds) - shared, 0)
    tiers = tuple(msgspec.structs.replace(tier, shared=k >= own) for k, tier in enumerate(kinds))
    engine = msgspec.structs.replace(engine, blocks=blocks, tiers=tiers, path=path, fetch=fetch)
    requests = Workload.read(
        requests=count, rate=rate, isl="uniform:low=1,high=16", osl="uniform:low=1,high=12", turns=turns,
        think="1us", prefix=prefix, groups=8, concurrency=concurrency,
    ).draw(seed)  # fmt: skip
    requests = fitting(requests, engine)
    if grid:
        requests = msgspec.structs.replace(requests, arrival=np.floor(requests.arrival / grid) * grid)
    if router == "sticky" and requests.session is None:
        router = "least-loaded"
    unit = round(1e-9 / LAW.tick)
    planned = [(at * unit, which % replicas, long * unit) for at, which, long in failures]
    if concurrency:
        keeping, planned = ALWAYS_UP, []
    if planned:
        keeping = msgspec.structs.replace(keeping, between_failures=1.0, retry=seed % 3 * 1e-6)
    same(*both(requests, engine, replicas, router, None, keeping, planned))
