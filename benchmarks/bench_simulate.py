"""How many requests a CPU second: one replica of an 8B model on an H100, prompts of 512 and answers of 128 tokens.

    python benchmarks/bench_simulate.py

prints, for each load, requests per CPU second with exact metrics included, CPU seconds of the whole process of the same
command line, and bytes per request; then the same of fleets, streams and KV tiers, each case in its own process. The
workload is that of the peers' figures (max_num_batched_tokens 8192, max_num_seqs 256, blocks of 16, chunked prefill);
above tiers, sessions. Under `make bench` it is measured by pytest-benchmark.
"""

from __future__ import annotations

import multiprocessing
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.simulate.stream import Streamed, stream
from ridgeline.simulate.variations import Variation, variations
from ridgeline.workload import Requests, Workload

ASK = ["simulate", "llama-3-8b", "hgx-h100", "--chips", "1", "--engine", "vllm", "--max-num-seqs", "256"]
CASES = {"20/s": (20, 0), "60/s": (60, 0), "preempting": (20, 500)}
"""Rate, and KV blocks (0: what memory holds)."""


def replica(blocks: int = 0) -> Deployment:
    scenario = Scenario(model="llama-3-8b", system="hgx-h100", chips=1, engine="vllm", isl=512, osl=128)
    return deployment(scenario, sequences=256, blocks=blocks)


@pytest.mark.parametrize("case", CASES)
def test_requests_per_second(benchmark: Any, case: str) -> None:
    """Targets on one core: 2,000,000 requests/s, under heavy preemption 500,000."""
    rate, blocks = CASES[case]
    requests = Workload.read(requests=100_000, rate=rate, isl=512, osl=128).draw(0)
    made = benchmark(simulate, replica(blocks), requests)
    benchmark.extra_info["points_per_s"] = 100_000 / benchmark.stats["median"]
    assert made.metrics.completed == 100_000


def scenarios() -> list[Variation]:
    """A thousand rates, a thousand requests each."""
    one = replica()
    return [
        Variation(deployment=one, workload=Workload.read(requests=1000, rate=5 + 0.05 * i, isl=512, osl=128), seed=i)
        for i in range(1000)
    ]


def test_a_thousand_scenarios(benchmark: Any) -> None:
    """Target: 1,000 scenarios of 1,000 requests in under 1 s on a core, draws and metrics included."""
    benchmark.pedantic(variations, (scenarios(),), rounds=3, warmup_rounds=1)
    benchmark.extra_info["points_per_s"] = 1000 / benchmark.stats["median"]


FLEETS = {
    "8, prefix": (8, "prefix", 0, 0), "128, prefix": (128, "prefix", 0, 0),
    "128, least-loaded": (128, "least-loaded", 0, 0), "128, prefix, 32 ids each": (128, "prefix", 32, 0),
    "128, prefix, half shared": (128, "prefix", 32, 100),
}  # fmt: skip
"""Replicas, router, hash ids of a prompt, and groups that share the first half of them; 0: no other has any."""


def crowd(replicas: int, ids: int, groups: int = 0) -> Requests:
    """100,000 requests at 20/s for each replica."""
    drawn = Workload.read(requests=100_000, rate=20.0 * replicas, isl=512, osl=128).draw(0)
    if not ids:
        return drawn
    names = np.arange(100_000 * ids)
    if groups:
        group = np.random.default_rng(0).integers(0, groups, 100_000)
        names.reshape(-1, ids)[:, : ids // 2] = 100_000 * ids + group[:, None] * ids + np.arange(ids // 2)
    return msgspec.structs.replace(drawn, hash_offsets=np.arange(100_001) * ids, hash_ids=names, hash_block=16)


@pytest.mark.parametrize("case", FLEETS)
def test_requests_of_a_fleet(benchmark: Any, case: str) -> None:
    """Target: 500,000 requests/s on 8 to 128 replicas whose router looks at their state; setting up included."""
    replicas, router, ids, groups = FLEETS[case]
    requests = crowd(replicas, ids, groups)
    made = benchmark.pedantic(
        simulate, (replica(), requests), {"replicas": replicas, "router": router}, rounds=3, warmup_rounds=1
    )
    benchmark.extra_info["points_per_s"] = 100_000 / benchmark.stats["median"]
    assert made.metrics.completed == 100_000


STREAMS = {"8": 8, "1,000": 1000}
"""Replicas that get 1,000,000 requests in turn, at 20/s each."""


def flow(replicas: int) -> Streamed:
    load = Workload.read(requests=1_000_000, rate=20.0 * replicas, isl=512, osl=128)
    return stream(replica(), load, 0, replicas)


@pytest.mark.parametrize("case", STREAMS)
def test_requests_of_a_stream(benchmark: Any, case: str) -> None:
    """72 million on 1,000 replicas in under 2 minutes on two cores are 300,000 requests/s on one; drawing included."""
    made = benchmark.pedantic(flow, (STREAMS[case],), rounds=3, warmup_rounds=1)
    benchmark.extra_info["points_per_s"] = 1_000_000 / benchmark.stats["median"]
    assert made.metrics.completed == 1_000_000


TIERS = {
    "none": (), "ddr5, through": ("ddr5:capacity=100GB",), "ddr5, back": ("ddr5:capacity=100GB,mode=back",),
    "ddr5 and nvme, back": ("ddr5:capacity=100GB,mode=back", "nvme:ttl=1h,mode=back"),
}  # fmt: skip
"""KV tiers of one replica whose cache is too small for its sessions."""


def sessions() -> Requests:
    """20,000 requests at 8/s in sessions of 6 turns, of 2,000 new tokens each: on average 480 hash ids a request."""
    return Workload.read(requests=20_000, rate=8, isl=2000, osl=200, turns=6, think=60).draw(0)


def above(tiers: tuple[str, ...]) -> Deployment:
    scenario = Scenario(model="llama-3-8b", system="hgx-h100", chips=1, engine="vllm", isl=2000, osl=200)
    return deployment(scenario, tiers=tiers)


@pytest.mark.parametrize("case", TIERS)
def test_requests_above_tiers(benchmark: Any, case: str) -> None:
    """What tiers cost beside the same sessions without; setting up included."""
    made = benchmark.pedantic(simulate, (above(TIERS[case]), sessions()), rounds=3, warmup_rounds=1)
    benchmark.extra_info["points_per_s"] = 20_000 / benchmark.stats["median"]
    assert made.metrics.completed == 20_000


def cost(call: Callable[..., object], *given: Any, **options: Any) -> tuple[float, float]:
    """CPU seconds of a call, the least of three (the first compiles or reads from disk), and bytes at the peak."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        call(*given, **options)
        spent.append(time.process_time() - begin)
    return min(spent), _resident()


def fleet(case: str) -> tuple[float, float]:
    replicas, router, ids, groups = FLEETS[case]
    return cost(simulate, replica(), crowd(replicas, ids, groups), replicas=replicas, router=router)


def flowing(case: str) -> tuple[float, float]:
    return cost(flow, STREAMS[case])


def tiered(case: str) -> tuple[float, float]:
    return cost(simulate, above(TIERS[case]), sessions())


TABLES = (
    ("replicas, router", fleet, FLEETS, 100_000), ("replicas of a stream", flowing, STREAMS, 1_000_000),
    ("KV tiers", tiered, TIERS, 20_000),
)  # fmt: skip
"""Title, what is measured, its cases, and requests of each."""


def main() -> None:
    """Print the tables."""
    for _ in range(2):  # compiled, or read from disk
        simulate(replica(), Workload.read(requests=20_000, rate=20).draw(0))
    columns = ("load", "requests", "req/CPU s", "again", "preempted", "bytes/req", "process CPU s")
    print(" ".join(f"{name:>13}" for name in columns))
    for case, (rate, blocks) in CASES.items():
        for count in (100_000, 1_000_000):
            requests = Workload.read(requests=count, rate=rate, isl=512, osl=128).draw(0)
            before, spent, thrown = _resident(), [], 0
            for _ in range(2):  # the second time memory has been touched
                begin = time.process_time()
                thrown = simulate(replica(blocks), requests).metrics.preemptions
                spent.append(time.process_time() - begin)
            grown = (_resident() - before) / count
            words = [*ASK, "--rate", str(rate), "--requests", str(count), "--json"]
            words += ["--kv-blocks", str(blocks)] if blocks else []
            cells = (case, f"{count:,}", *(f"{count / s:,.0f}" for s in spent), f"{thrown:,}", f"{grown:.0f}")
            print(" ".join(f"{cell:>13}" for cell in (*cells, f"{_process(words):.2f}")))
    begin = time.process_time()
    variations(scenarios())
    print(f"1,000 scenarios of 1,000 requests: {time.process_time() - begin:.2f} CPU s")
    for title, measured, cases, count in TABLES:
        print(f"\n{title:>26} {'req/CPU s':>10} {'peak':>8}")
        for case in cases:
            with multiprocessing.get_context("spawn").Pool(1) as alone:
                seconds, peak = alone.apply(measured, (case,))
            print(f"{case:>26} {count / seconds:>10,.0f} {peak / 1e9:>5.2f} GB")


def _resident() -> int:
    """Bytes of memory at the peak of this program; `ru_maxrss` would count that of who started it, too."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def _process(words: list[str]) -> float:
    """CPU seconds of a command, start of Python included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ridgeline", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
