"""The engine where the theory of queues has an answer: closed forms within confidence intervals, and conservation."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.simulate import engine, pool
from ridgeline.simulate.law import StepLaw, affine
from ridgeline.simulate.replica import Replica, serve
from ridgeline.simulate.replication import interval
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests, Workload

TOKENS = 200_000
ALONE = Engine(max_num_batched_tokens=TOKENS, max_num_seqs=1, async_scheduling=False)
"""One request at a time, its prompt in one step: a single server."""


def poisson(rate: float, prompt: np.ndarray, output: np.ndarray | int, rng: np.random.Generator) -> Requests:
    n = len(prompt)
    return Requests(
        arrival=np.cumsum(rng.exponential(1 / rate, n)), prompt=prompt, output=np.broadcast_to(output, n).copy()
    )


def waits(law: StepLaw, settings: Engine, make, runs: int = 12) -> list[float]:
    """Mean wait of each of some replications, without their beginning."""
    found = []
    for seed in range(runs):
        requests = make(np.random.default_rng(seed))
        run = serve(requests, law, settings)
        found.append(float((run.start - run.arrival)[len(requests) // 10 :].mean()))
    return found


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_fixed_service(load: float) -> None:
    """M/D/1: wait = load D / (2 (1 - load)) (Pollaczek and Khinchine)."""
    service = 0.1
    law = affine(token=service / 100, most_tokens=TOKENS, most_sequences=1)
    made = waits(law, ALONE, lambda rng: poisson(load / service, np.full(20_000, 100), 1, rng))
    found = interval(made, 0.999)
    assert found.low <= load * service / (2 * (1 - load)) <= found.high
    assert found.half_width < 0.1 * found.mean


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_exponential_service(load: float) -> None:
    """M/M/1: wait = load / (1 - load) times the mean service; prompts of random length are served in one step."""
    mean = 5_000
    law = affine(token=1e-4 / 5, most_tokens=TOKENS, most_sequences=1)
    service = mean * 1e-4 / 5

    def make(rng: np.random.Generator) -> Requests:
        prompt = np.minimum(np.ceil(rng.exponential(mean, 30_000)), TOKENS).astype(int)
        return poisson(load / service, prompt, 1, rng)

    found = interval(waits(law, ALONE, make), 0.999)
    assert found.low <= load / (1 - load) * service <= found.high
    assert found.half_width < 0.12 * found.mean


@pytest.mark.parametrize("spread", ["fixed", "bimodal"])
def test_processor_sharing(spread: str) -> None:
    """M/G/1-PS: a batch whose step takes as long as it has sequences shares the machine equally.

    Time in the system = service / (1 - load), whatever the distribution of the service.
    """
    load, quantum = 0.6, 1e-3
    law = affine(sequence=quantum, most_tokens=4096, most_sequences=4096)
    settings = Engine(max_num_batched_tokens=4096, max_num_seqs=4096, async_scheduling=False)
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        output = np.full(8_000, 500) if spread == "fixed" else rng.choice([100, 2100], 8_000, p=[0.8, 0.2])
        requests = poisson(load / (500 * quantum), np.ones(8_000, int), output, rng)
        run = serve(requests, law, settings)
        found.append(float((run.finish - run.arrival)[800:].mean()))
    result = interval(found, 0.999)
    assert result.low <= 500 * quantum / (1 - load) <= result.high
    assert result.half_width < 0.15 * result.mean


@pytest.mark.parametrize("blocks", [0, 60, 400])
@pytest.mark.parametrize("planned", [False, True])
def test_conservation(blocks: int, planned: bool) -> None:
    """Every token is a first one or ends a gap; all blocks and seats come back; time is busy or idle."""
    law = affine(step=5e-3, token=2e-5, context=1e-8, pair=1e-9)
    requests = Workload.read(
        requests=3000, rate=15, isl="lognormal:mean=300,cv=0.7", osl="lognormal:mean=80,cv=0.7"
    ).draw(1)
    replica = Replica(requests, law, Engine(blocks=blocks, max_num_seqs=64, async_scheduling=planned))
    replica.advance()
    run, board = replica.result(), replica.board
    served = run.served
    assert (~served).sum() == len(replica.refused)
    assert run.gaps.count + served.sum() == requests.output[served].sum()
    assert board[pool.FREE] == board[engine.BLOCKS]
    assert board[engine.OPEN] == 64
    assert (board[engine.DECODES], board[engine.CONTEXTS]) == (0, 0)
    assert not board[engine.FILLED :].any()
    assert sum(run.busy.values()) <= run.end
    assert (run.start >= run.arrival - 1e-12)[served].all()
    assert (run.first_token > run.start)[served].all()
    assert ((run.finish > run.first_token) == (requests.output > 1))[served].all()


def test_little() -> None:
    """Requests in the system on average = rate times time in the system, from a time series of the one alone."""
    law = affine(step=5e-3, token=2e-5, context=1e-8)
    requests = Workload.read(requests=20_000, rate=20, isl=200, osl=60).draw(2)
    run = serve(requests, law, Engine(blocks=400, max_num_seqs=32, async_scheduling=False), series=True)
    assert run.series is not None
    s = run.series
    length = np.diff(s.time, append=run.end)
    inside = float((s.running + s.waiting) @ length) / run.end
    assert inside == pytest.approx(float((run.finish - run.arrival).sum()) / run.end, rel=0.02)
    assert s.blocks.max() <= run.peak_blocks <= 400


def test_closed_loop_keeps_as_many_open() -> None:
    """With c requests open and nothing else, throughput is c divided by the time in the system (Little, exactly)."""
    law = affine(step=1e-2, token=1e-5)
    requests = Workload.read(requests=2000, concurrency=16, isl=100, osl=50).draw(0)
    run = serve(requests, law, Engine(max_num_seqs=32))
    opened = np.sort(run.arrival)[16:]
    assert opened == pytest.approx(np.sort(run.finish)[: len(opened)])
    assert float((run.finish - run.arrival).sum()) == pytest.approx(16 * run.end, rel=0.01)
