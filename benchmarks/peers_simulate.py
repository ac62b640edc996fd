"""Ridgeline's simulator beside NVIDIA Dynamo's offline replay, on the same requests in one run: quote the ratio.

    python benchmarks/peers_simulate.py PYTHON [TRACE.jsonl]

PYTHON is an interpreter with `ai-dynamo-runtime` (`pip install --no-deps ai-dynamo-runtime==1.6.1`, apart). CPU seconds
of 100,000 requests of 512 and 128 tokens at 20/s on one replica, and of a Mooncake trace, reading included, on 8
replicas behind a prefix-aware router, in blocks of 512 tokens. The step times of the two differ; the schedulers' work
is alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.workload import Requests, Trace, Workload, read

SYNTHETIC = """
import json, time
from dynamo._core import run_mocker_synthetic_trace_replay as run
begin = time.process_time()
run(512, 128, 100000, request_rate=20.0, arrival_seed=42, num_workers=1, replay_mode="offline")
print(json.dumps(time.process_time() - begin))
"""
TRACE = """
import json, sys, time
from dynamo._core import run_mocker_trace_replay as run
begin = time.process_time()
run([sys.argv[1]], replay_mode="offline", num_workers=8, router_mode="kv_router", trace_format="mooncake",
    trace_block_size=512)
print(json.dumps(time.process_time() - begin))
"""


def theirs(python: str, code: str, *arguments: str) -> float:
    """CPU seconds that a script of the peer reports."""
    environment = {**os.environ, "DYN_LOG": "error"}
    done = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def ours(requests: Requests | str, replicas: int = 1, block: int = 16) -> float:
    """CPU seconds of reading, simulating and measuring, with compiled code loaded."""
    begin = time.process_time()
    sent = read(Trace(path=requests)).requests if isinstance(requests, str) else requests
    scenario = Scenario(model="llama-3-8b", system="hgx-h100", engine="vllm", isl=512, osl=128)
    made = deployment(scenario, sequences=256, block=block)
    simulate(made, sent, replicas=replicas, router="prefix")
    return time.process_time() - begin


def main(python: str, trace: str = "") -> None:
    """Print both figures and their ratio for each workload."""
    drawn = Workload.read(requests=10_000, rate=20, isl=512, osl=128)
    for replicas in (1, 8):  # compiled, or read from disk
        simulate(deployment(Scenario(model="llama-3-8b", system="hgx-h100")), drawn.draw(0), replicas=replicas)
        ours(drawn.draw(1), replicas)
    large = Workload.read(requests=100_000, rate=20, isl=512, osl=128)
    pairs = {"512/128 at 20/s": (theirs(python, SYNTHETIC), ours(large.draw(0)))}
    if trace:
        pairs["trace on 8 replicas"] = (theirs(python, TRACE, trace), ours(trace, 8, 512))
    print(f"{'':22} {'Dynamo':>10} {'Ridgeline':>10} {'ratio':>7}")
    for name, (peer, mine) in pairs.items():
        print(f"{name:22} {peer:8.2f} s {mine:8.3f} s {peer / mine:7.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
