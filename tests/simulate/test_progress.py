"""What is told of a run while it goes on: it changes nothing, and what was told as served keeps its times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ridgeline.simulate.fleet import Fleet, PrefillPool, Upkeep
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.run import Run
from ridgeline.simulate.settings import Engine

from .test_fleet import LAW, LOADS, RETRACTING, SMALL, load, same


def kept(sofar: list[Run], whole: Run) -> None:
    """Parts of a run agree with it, each with more served than the one before."""
    served = np.zeros(len(whole.arrival), bool)
    for part in sofar:
        assert (part.served >= served).all()
        served = part.served
        assert np.array_equal(part.finish[served], whole.finish[served])
        assert part.steps <= whole.steps
    assert sum(part.served.sum() > 0 for part in sofar) > 3
    assert not sofar[len(sofar) // 2].served.all()


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("settings", [SMALL, RETRACTING], ids=["vllm", "sglang"])
def test_a_replica(kind: str, settings: Engine) -> None:
    """Where ends start other requests nobody knows when the last one comes: its share is that of the requests."""
    whole = Replica(load(kind), LAW, settings)
    whole.advance()
    told = Replica(load(kind), LAW, settings)
    shares, sofar = [], []
    for share in told.portions():
        shares.append(share)
        sofar.append(told.sofar())
    told.advance()
    found = whole.result()
    same(told.result(), found)
    kept(sofar, found)
    assert shares == sorted(set(shares))
    assert 0 < shares[0] < 0.2
    assert 0.8 < shares[-1] <= 1


FLEETS: dict[str, dict[str, Any]] = {
    "one pool": {},
    "two pools": {"prefill": PrefillPool(replicas=2, law=LAW, engine=SMALL, seconds=np.full(600, 0.01))},
    "failing": {"keeping": Upkeep(between_failures=3.0, repair=1.0)},
}


@pytest.mark.parametrize("kind", LOADS)
@pytest.mark.parametrize("how", FLEETS)
def test_a_fleet(kind: str, how: str) -> None:
    """Requests that two pools had prefilled, and those that were thrown out, are not told as served."""
    whole, told = (Fleet(load(kind), LAW, SMALL, 3, "least-loaded", **FLEETS[how]) for _ in range(2))
    whole.serve()
    shares: list[float] = []
    sofar: list[Run] = []

    def tell(share: float) -> None:
        shares.append(share)
        sofar.append(told.sofar())

    told.serve(tell)
    found = whole.result()
    same(told.result(), found)
    kept(sofar, found)
    assert len(shares) > 90
    assert shares == sorted(shares)
