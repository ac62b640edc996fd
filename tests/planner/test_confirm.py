"""Plans confirmed by simulation: the load is what the plan assumes, and what must agree does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.planner import plan
from ridgeline.planner.confirm import closed_loop, confirm
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.workload import Workload

LLAMA = Scenario(model="llama-3-8b", system="hgx-h100", chips=1)


def test_one_pool_keeps_its_batch_and_pace() -> None:
    """The batch is full all the time, nobody is preempted, and TPOT and rate are what the search found."""
    result = plan(replace(LLAMA, isl=1000, osl=64, tpot=12e-3, pools="aggregated"), top=2)
    for each, found in zip(result.plans, confirm(result), strict=True):
        assert found.concurrency == each.batch
        assert found.metrics.concurrency == pytest.approx(each.batch, rel=0.02)
        assert found.preemptions == 0
        assert found.metrics.tpot.mean == pytest.approx(each.tpot, rel=0.15)
        assert found.request_rate == pytest.approx(each.request_rate, rel=0.15)


@pytest.mark.parametrize(
    "asked",
    [
        {"isl": 1000, "osl": 64, "tpot": 12e-3}, {"isl": 4000, "osl": 500, "tpot": 24e-3},
        {"model": "llama-3-70b", "chips": 8, "isl": 2000, "osl": 256, "tpot": 30e-3},
    ],
)  # fmt: skip
def test_ttft_is_that_of_arrivals_at_random(asked: dict[str, Any]) -> None:
    """At 90% of the rate that a plan promises, simulated; the law is of the full rate, so it may be a little above."""
    best = plan(replace(LLAMA, engine="vllm", pools="aggregated", **asked), top=1).plans[0]
    own, expected = best.point.scenario, best.point.expected
    assert expected is not None
    assert expected.first is not None
    deployed = deployment(own, tokens=best.chunk)
    rate = 0.9 * best.request_rate / best.replicas
    sent = Workload.read(requests=2000, rate=rate, isl=own.isl, osl=own.osl).draw(0)
    found = simulate(deployed, sent, warm_up=float(sent.arrival[400])).metrics.ttft.mean
    assert found == pytest.approx(expected.first.seconds, rel=0.2)


def test_two_pools_are_simulated_whole() -> None:
    result = plan(replace(LLAMA, chips=4, isl=4000, osl=64, tpot=12e-3, pools="disaggregated"), top=1)
    (found,) = confirm(result)
    best = result.plans[0]
    assert found.replicas == 1
    assert found.concurrency == round(best.request_rate * best.e2e)
    assert found.request_rate == pytest.approx(best.request_rate, rel=0.2)
    assert found.metrics.tpot.mean == pytest.approx(best.tpot, rel=0.15)


def test_the_first_requests_end_one_by_one() -> None:
    """Answers of the first are spread evenly up to the length asked for; all others have it."""
    requests = closed_loop(replace(LLAMA, isl=100, osl=64), 32)
    assert np.array_equal(np.sort(requests.output[:32]), np.arange(2, 65, 2))
    assert set(requests.output[32:]) == {64}


@pytest.mark.parametrize("options", [{"context": 8000}, {"hit": 0.5}, {"cached": 1000}])
def test_what_has_no_such_load_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match="--simulate"):
        confirm(plan(replace(LLAMA, **options), top=1))
