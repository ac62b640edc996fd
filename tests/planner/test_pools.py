"""Two pools: the pruned, vectorised pairing against a plain loop over all replicas, batches and splits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ridgeline import InputError, Scenario, plan
from ridgeline.planner.limits import Limits
from ridgeline.planner.plans import front, undominated
from ridgeline.planner.pools import Decodes, Fleet, Matching, Prefills, cache_bytes, decodes, grouped, pairs, prefills
from ridgeline.planner.replicas import DECODE_CHUNK, replicas
from ridgeline.serving.disaggregated import PLANNED, first_token, most_use
from ridgeline.subject import subject


def slow(p: Prefills, d: Decodes, fleet: Fleet, limits: Limits, frontend: float, sent: float, gaps: float) -> list[Any]:
    """Every pair and every split, one by one: (cost, TPOT, TTFT) of those that keep the limits."""
    out: list[Any] = []
    for i in range(len(p.chips)):
        for j in range(len(d.chips)):
            transfer = sent / min(p.holders[i], d.holders[j])
            allowed = min(limits.ttft, limits.e2e - gaps * d.tpot[j], 1e9) - frontend - transfer
            kind = {"alone": p.alone[i], "step": p.step[i], "per_prompt": p.per_prompt[i]}
            use = float(most_use(**kind, limit=allowed))
            for x in range(1, fleet.chips):
                y = (fleet.chips - x * p.chips[i]) // d.chips[j]
                if y < 1 or use <= 0:
                    break
                rate = min(x * use / p.per_prompt[i], y * d.rate[j])
                now = min(rate * p.per_prompt[i] / x, use)
                out.append((fleet.paid / rate, d.tpot[j], frontend + transfer + first_token(**kind, use=now)))
    return out


@settings(max_examples=12)
@given(
    name=st.sampled_from(["llama-3-8b", "mixtral-8x7b"]),
    chips=st.integers(2, 6),
    isl=st.integers(500, 8_000),
    osl=st.integers(50, 2_000),
    tpot=st.floats(5e-3, 50e-3),
    ttft=st.floats(0.2, 3.0),
)
def test_pairs_equal_a_loop(name: str, chips: int, isl: int, osl: int, tpot: float, ttft: float) -> None:
    """Nothing that is left out is best: same least cost within limits, and same front of cost and speed."""
    scenario = Scenario(model=name, system="hgx-h100", chips=chips, isl=isl, osl=osl)
    found = subject(scenario)
    fleet, limits = (
        Fleet(chips, 0, 0, found.system.scale_up),
        Limits(tpot=tpot, ttft=ttft, given={"tpot": "", "ttft": ""}),
    )
    sent = cache_bytes(scenario, found) / fleet.link
    half = replace(scenario, context=scenario.decode_context)
    own = replicas(half, replace(found, chips=chips - 1), (DECODE_CHUNK,))
    p = prefills(scenario, found, (8192,), fleet)
    d = decodes(own, own.index, own.batch, own.seconds, fleet, sent)
    keep = np.random.default_rng(0).permutation(len(d.chips))[:40]
    match = Matching(p, d.rows(keep), fleet, limits, 0.01, sent, max(osl - 1, 1))
    told = slow(*match)
    fewer = match._replace(
        p=p.rows(grouped(p.chips, p.holders, p.per_prompt, p.step, p.alone)),
        d=match.d.rows(grouped(match.d.chips, match.d.holders, match.d.tpot, -match.d.rate)),
    )
    for each in (match, fewer):
        got = pairs(each)
        if not told:
            assert not len(got.rate)
            continue
        cost, speed, _ = (np.array(column) for column in zip(*told, strict=True))
        mine, fast = fleet.paid / got.rate, each.d.tpot[got.decode]
        assert mine.min() == pytest.approx(cost.min())
        rows, own_rows = front(speed, cost), front(fast, mine)
        assert speed[rows] == pytest.approx(fast[own_rows])
        assert cost[rows] == pytest.approx(mine[own_rows])
        within = speed <= tpot
        if within.any():
            assert mine[fast <= tpot].min() == pytest.approx(cost[within].min())


@given(
    alone=st.floats(0.01, 1.0), more=st.floats(1.0, 8.0), prompts=st.floats(1.0, 200.0), limit=st.floats(0.001, 20.0)
)
def test_most_use_is_the_last_that_keeps_the_limit(alone: float, more: float, prompts: float, limit: float) -> None:
    """At it the TTFT is the limit, unless the pool is as busy as it can be; it is 0 where one prompt is too slow."""
    kind = {"alone": alone, "step": alone * more, "per_prompt": alone * more / prompts}
    use = most_use(**kind, limit=limit)
    assert 0 <= use <= PLANNED
    if limit <= alone:
        assert use == 0
    elif use < PLANNED:
        assert first_token(**kind, use=use) == pytest.approx(limit)
    else:
        assert first_token(**kind, use=use) <= limit * (1 + 1e-9)


@given(rows=st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=40))
def test_undominated_rows(rows: list[tuple[int, int, int]]) -> None:
    """By the definition: a row stays if none is as small everywhere and smaller somewhere; one of equal rows stays."""
    stays = {
        row for row in rows if not any(all(a <= b for a, b in zip(o, row, strict=True)) and o != row for o in rows)
    }
    kept = undominated(*np.array(rows, dtype=float).T)
    assert sorted(rows[i] for i in kept) == sorted(stays)


def test_two_pools_are_two_steps() -> None:
    """What a plan of two pools claims follows from its two replicas, each evaluated alone."""
    found = plan(Scenario(model="deepseek-v3", system="gb200-nvl72", tpot="20 ms", pools="disaggregated")).plans[0]
    assert found.prefill is not None
    s = found.point.scenario
    assert found.point.expected is not None
    assert found.tpot == pytest.approx(float(found.point.expected.tpot))
    rate = found.replicas * found.batch / (found.tpot * (s.osl - 1))
    prompts = found.prefill_replicas * found.prefill.scenario.batch / float(found.prefill.estimate.seconds)
    assert found.request_rate == pytest.approx(min(rate, PLANNED * prompts), rel=0.03)
    assert found.request_rate <= min(rate, PLANNED * prompts) * (1 + 1e-9)


def test_pools_of_different_chips() -> None:
    """Prefill on H100, decode on H200: both fleets are paid for, each at its own price."""
    question = {"model": "deepseek-v3", "system": "hgx-h200", "chips": 16, "tpot": "50 ms"}
    best = plan(Scenario(**question, prefill_system="hgx-h100", prefill_chips=16)).plans[0]
    assert best.prefill is not None
    assert (best.prefill.subject.system.name, best.point.subject.system.name) == ("hgx-h100", "hgx-h200")
    assert best.chips == 32
    prices = [
        subject(Scenario(model="deepseek-v3", system=name)).system.price().rate for name in ("hgx-h100", "hgx-h200")
    ]
    assert best.usd == pytest.approx(16 * sum(prices) / best.request_rate)


def test_the_cache_on_its_way_counts() -> None:
    """A slower network between the pools makes the first token later."""
    question: dict[str, Any] = {
        "model": "llama-3-70b",
        "system": "hgx-h100",
        "chips": 16,
        "isl": 16_000,
        "tpot": "50 ms",
    }
    fast, late = (
        plan(Scenario(**question, prefill_chips=8, set=text), top=1).plans[0]
        for text in ("", "network.bandwidth=0.02x")
    )
    assert late.ttft > fast.ttft


def test_one_pool_is_refused_two() -> None:
    with pytest.raises(InputError, match="disaggregated on 1 chips"):
        plan(Scenario(model="llama-3-8b", system="hgx-h100", chips=1, pools="disaggregated"))
