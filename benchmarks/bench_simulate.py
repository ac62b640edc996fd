"""How many requests a CPU second: one replica of an 8B model on an H100, prompts of 512 and answers of 128 tokens.

    python benchmarks/bench_simulate.py

prints, for each load, requests per CPU second with exact metrics included, CPU seconds of the whole process of the same
command line, and bytes per request. The workload is that of the peers' figures (max_num_batched_tokens 8192,
max_num_seqs 256, blocks of 16, chunked prefill). Under `make bench` it is measured by pytest-benchmark.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import Any

import pytest

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.simulate.variations import Variation, variations
from ridgeline.workload import Workload

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


def main() -> None:
    """Print the table."""
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


def _resident() -> int:
    """Bytes of memory at the peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _process(words: list[str]) -> float:
    """CPU seconds of a command, start of Python included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "ridgeline", *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
