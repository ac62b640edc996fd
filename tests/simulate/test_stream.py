"""A stream against the same requests kept: counts, means and extremes equal, percentiles to their bins."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate import tally
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.simulate.stream import LEAST, pieces, stream, value_of
from ridgeline.workload import Workload

LATENCIES = ("ttft", "tpot", "itl", "e2e", "wait", "normalised", "speed")


def replica() -> Deployment:
    return deployment(Scenario(model="llama-3-8b", system="hgx-h100", engine="vllm", isl=200, osl=40), blocks=900)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stream_is_the_fleet(workers: int) -> None:
    """Preemptions, refusals and an incomplete last round included; processes change nothing."""
    lengths: dict[str, Any] = {"isl": "lognormal:mean=200,cv=2", "osl": "lognormal:mean=40,cv=0.7"}
    load = Workload.read(requests=12_001, rate=150, **lengths)
    limits = {"ttft": 0.1, "tpot": 0.02}
    kept = simulate(replica(), load.draw(3), replicas=3, router="round-robin", objectives=limits)
    if len(kept.refused):  # turns pass by who is refused, which the fleet does not count
        load = Workload.read(requests=12_001, rate=150, isl="uniform:low=1,high=900", osl="uniform:low=1,high=90")
        kept = simulate(replica(), load.draw(3), replicas=3, router="round-robin", objectives=limits)
    found = stream(replica(), load, 3, 3, workers=workers, objectives=limits)
    assert kept.metrics.preemptions > 0
    mine, theirs = found.metrics, kept.metrics
    for name in ("completed", "failed", "input_tokens", "output_tokens", "preemptions"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert found.steps == kept.run.steps
    assert (mine.attained, mine.bound) == (pytest.approx(theirs.attained), pytest.approx(theirs.bound))
    for name in LATENCIES:
        a, b = getattr(mine, name), getattr(theirs, name)
        assert a.count == b.count, name
        assert (a.mean, a.std, a.most) == (pytest.approx(b.mean), pytest.approx(b.std), pytest.approx(b.most)), name
        for share, value in a.percentiles.items():
            assert value == pytest.approx(b.percentiles[share], rel=2e-5, abs=1.1e-6 if name != "speed" else 2e-3)


def test_pieces_are_the_workload() -> None:
    load = Workload.read(
        requests=5_000, rate=7, arrive="gamma:cv=2", isl="lognormal:mean=99,cv=1", osl="exponential:mean=9"
    )
    whole, parts = load.draw(1), [np.concatenate(each) for each in zip(*pieces(load, 1, 333), strict=True)]
    assert parts[0] == pytest.approx(whole.arrival, rel=1e-12)
    assert np.array_equal(parts[1], whole.prompt)
    assert np.array_equal(parts[2], whole.output)


def test_bins_hold_their_values() -> None:
    """Every value lies within half a bin of the middle of its bin; bins are 1 us or 1 part in 65,536 wide."""
    for value in (0, 1, (1 << 17) - 1, 1 << 17, 123_456_789, (1 << 35) + 12_345):
        middle = float(value_of(np.array([tally.place(value)]))[0])
        assert abs(middle - value) <= max(0.5, value / 65_536 / 2 + 0.5)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"turns": "3"}, "several turns"), ({"prefix": 10}, "prefixes"), ({"concurrency": 4}, "closed"),
     ({"arrive": "burst:size=3"}, "burst")],
)  # fmt: skip
def test_what_depends_on_others_is_refused(options: dict, told: str) -> None:
    with pytest.raises(InputError, match=told):
        stream(replica(), Workload.read(requests=10, **options), 0, 2)


def test_what_streams_cannot_hold_is_refused() -> None:
    """Drafts have rows that a stream has not: compiled code once wrote beyond its arrays. A stream where nothing fits
    once took less than no time.
    """
    one = replica()
    drafts = msgspec.structs.replace(one.engine, drafts=3, acceptance=(0.5,))
    with pytest.raises(InputError, match="drafts"):
        stream(msgspec.structs.replace(one, engine=drafts), Workload.read(requests=10), 0, 2)
    with pytest.raises(InputError, match="14,400 tokens"):
        stream(one, Workload.read(requests=10, rate=20, isl=20_000, osl=5), 0, 2)


def test_memory_is_of_live_requests() -> None:
    """Columns are used again: ten times as many requests as are drawn at once need no more of them."""
    assert LEAST < 100_000
    load = Workload.read(requests=3 * LEAST, rate=60, isl=50, osl=5)
    assert stream(replica(), load, 0, 1).metrics.completed == 3 * LEAST
