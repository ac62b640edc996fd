"""Whatever is asked of a replica, nothing is lost: requests, tokens, gaps, memory, and the order of events."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.workload import Workload

ANYTHING = {
    "requests": st.integers(1, 120),
    "rate": st.sampled_from([0.5, 5.0, 50.0, 5000.0]),
    "arrive": st.sampled_from(["poisson", "gamma:cv=3", "fixed", "burst:size=7", "at-once"]),
    "isl": st.sampled_from(["1", "16", "17", "512", "lognormal:mean=800,cv=2,max=20k", "uniform:low=1,high=4000"]),
    "osl": st.sampled_from(["1", "2", "128", "exponential:mean=50"]),
    "turns": st.sampled_from(["1", "3", "exponential:mean=4"]),
    "think": st.sampled_from(["0 s", "1 s", "exponential:mean=3s"]),
    "concurrency": st.sampled_from([0, 1, 4, 50]),
    "prefix": st.sampled_from([0, 100]),
}
BATCHES = [(1, 1), (16, 2), (16, 16), (2048, 8)]
"""Tokens and requests of a step."""
SWITCHES = {
    "blocks": st.sampled_from([20, 100, 1000]),
    "block_size": st.sampled_from([1, 16, 64]),
    "async_scheduling": st.booleans(),
    "reserve_full_input": st.booleans(),
    "prefix_caching": st.booleans(),
}


@cache
def replica(tokens: int, sequences: int) -> Deployment:
    return deployment(Scenario(model="llama-3-8b", system="hgx-h100"), tokens=tokens, sequences=sequences)


@given(
    asked=st.fixed_dictionaries(ANYTHING),
    batch=st.sampled_from(BATCHES),
    switches=st.fixed_dictionaries(SWITCHES),
    seed=st.integers(0, 9),
)
def test_nothing_is_lost(asked: dict[str, Any], batch: tuple[int, int], switches: dict[str, Any], seed: int) -> None:
    """Conservation of requests, tokens, time and blocks. A past mistake: small batches ran out of the law's tables."""
    sent = Workload.read(**asked).draw(seed)
    host = replica(*batch)
    made = simulate(replace(host, engine=replace(host.engine, **switches)), sent)
    run, served = made.run, made.run.served
    arrival, start, first, finish = (c[served] for c in (run.arrival, run.start, run.first_token, run.finish))
    several = sent.output[served] > 1
    assert served.sum() + len(made.refused) <= len(sent)
    assert sent.after is not None or served.sum() + len(made.refused) == len(sent)
    assert (start >= arrival - 1e-9).all()
    assert (first > start).all()
    assert (finish[several] > first[several]).all()
    assert (finish[~several] == first[~several]).all()
    assert made.metrics.itl.count == int((sent.output[served] - 1).sum())
    pooled = made.metrics.itl.mean * made.metrics.itl.count if several.any() else 0.0
    np.testing.assert_allclose(pooled, (finish - first).sum(), rtol=1e-9)
    assert run.peak_blocks <= run.blocks
    assert (run.cached <= sent.prompt).all()
    if sent.after is not None and sent.think is not None:
        later = np.flatnonzero((sent.after >= 0) & served)
        np.testing.assert_allclose(run.arrival[later], run.finish[sent.after[later]] + sent.think[later], atol=1e-6)
    elif sent.concurrency:
        times = np.concatenate([arrival, finish])
        change = np.concatenate([np.ones(len(arrival)), -np.ones(len(finish))])
        assert change[np.lexsort((change, np.round(times, 7)))].cumsum().max(initial=0) <= sent.concurrency
