"""Two pools from names: the link's time by hand, what is refused, and limits in which two pools are known."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate.apart import prefill_pool
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.fleet import PrefillPool, Upkeep, serve_fleet
from ridgeline.simulate.law import affine
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Workload

LAW = affine(step=4e-3, token=2e-5, sequence=1e-5, context=2e-8, pair=1e-9)
ASK = Scenario(model="llama-3-70b", system="hgx-h100", tp=4, isl=4000, osl=200)


def test_the_link_by_hand() -> None:
    """2 x 80 layers x 8 heads x 128 x 2 bytes per token of Llama-3-70B over the NVLink of 4 H100, 450 GB/s each."""
    decode = deployment(ASK)
    pool = prefill_pool(ASK, decode, 1, 1)
    requests = Workload.read(requests=3, isl=4000, osl=200).draw(0)
    assert pool.of(requests).seconds == pytest.approx(4000 * 2 * 80 * 8 * 128 * 2 / (4 * 450e9))


def test_one_request_takes_prefill_transfer_and_decode() -> None:
    """Alone, TTFT is the step of the prompt plus its transfer and the message's delay."""
    requests = Workload.read(requests=1, isl=500, osl=10, arrive="fixed").draw(0)
    pool = PrefillPool(replicas=1, law=LAW, engine=Engine(), seconds=np.array([0.03]), delay=0.002)
    run = serve_fleet(requests, LAW, Engine(), 1, "least-loaded", prefill=pool)
    prefill = LAW.seconds(0, 0, [(500, 0)])
    assert run.first_token[0] - run.arrival[0] == pytest.approx(prefill + 0.032, abs=1e-9)
    steps = sum(LAW.seconds(1, 500 + k, []) for k in range(9))
    assert run.finish[0] - run.first_token[0] == pytest.approx(steps, abs=1e-9)


def test_decoding_is_undisturbed() -> None:
    """What two pools are for: no gap between tokens contains a prompt, as many do on one pool of as many replicas."""
    requests = Workload.read(requests=300, rate=20, isl=3000, osl=60).draw(0)
    pool = PrefillPool(replicas=2, law=LAW, engine=Engine(), seconds=np.full(300, 1e-3))
    apart = serve_fleet(requests, LAW, Engine(), 2, "least-loaded", prefill=pool)
    together = serve_fleet(requests, LAW, Engine(), 4, "least-loaded")
    assert apart.gaps.longest < 0.012
    assert together.gaps.longest > 0.06


def test_a_slow_link_sets_the_rate() -> None:
    """Little's law of the link: requests of 100 ms each leave at 10 a second at most."""
    requests = Workload.read(requests=400, rate=30, isl=100, osl=5).draw(0)
    pool = PrefillPool(replicas=1, law=LAW, engine=Engine(), seconds=np.full(400, 0.1))
    run = serve_fleet(requests, LAW, Engine(), 1, "least-loaded", prefill=pool)
    assert 400 / (run.end - run.arrival[0]) == pytest.approx(10, rel=0.01)


def test_failures_come_as_often_as_asked() -> None:
    """In long runs as many failures as time up over time between them, within four standard deviations."""
    requests = Workload.read(requests=4000, rate=20, isl=100, osl=20).draw(0)
    keeping = Upkeep(between_failures=20.0, repair=5.0, retry=0.1, seed=3)
    run = serve_fleet(requests, LAW, Engine(), 6, "least-loaded", keeping=keeping)
    assert run.operation is not None
    expected = 6 * (run.end - run.arrival[0]) / 25
    assert abs(run.operation.failures - expected) < 4 * expected**0.5
    assert run.operation.retried > 0
    assert run.served.all()
    assert run.gaps.count + run.served.sum() == requests.output.sum()


def test_autoscaling_saves_replicas() -> None:
    """A load that needs two of ten replicas pays for far fewer than ten, and for at least the fewest."""
    requests = Workload.read(requests=3000, rate=10, isl=100, osl=20).draw(0)
    keeping = Upkeep(fewest=1, target=4, every=1.0, start=5.0, keep=20.0)
    run = serve_fleet(requests, LAW, Engine(), 10, "least-loaded", keeping=keeping)
    assert run.operation is not None
    span = run.end - run.arrival[0]
    assert span * 0.99 < run.operation.paid < 4 * span


@pytest.mark.parametrize(
    ("keeping", "told"), [(Upkeep(fewest=3, target=1), "at most all 2"), (Upkeep(fewest=1, target=1), "two pools")]
)
def test_wrong_fleets_are_refused(keeping: Upkeep, told: str) -> None:
    requests = Workload.read(requests=3).draw(0)
    pool = PrefillPool(replicas=1, law=LAW, engine=Engine(), seconds=np.zeros(3))
    with pytest.raises(InputError, match=told):
        serve_fleet(requests, LAW, Engine(), 2, "least-loaded", prefill=pool, keeping=keeping)
    sglang = Engine(scheduler="sglang")
    with pytest.raises(InputError, match="--scheduler vllm"):
        serve_fleet(requests, LAW, sglang, 2, "least-loaded", keeping=Upkeep(between_failures=1.0))
