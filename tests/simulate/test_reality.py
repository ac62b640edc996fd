"""Runs of a real vLLM 0.19, request by request: the same arrivals and lengths through the simulation.

Source: casys-kaist/LLMServingSim, measured runs of ShareGPT requests on an RTX 4090 and RTX PRO 6000 (MIT).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.replica import serve
from ridgeline.workload import Requests

RUNS: dict[str, dict[str, Any]] = {
    "RTX4090/Llama-3.1-8B": {"model": "llama-3.1-8b", "system": "rtx-4090"},
    "RTXPRO6000/Llama-3.1-8B": {"model": "llama-3.1-8b", "system": "rtx-pro-6000"},
    "RTXPRO6000/Qwen3-32B": {"model": "qwen3-32b", "system": "rtx-pro-6000", "tp": 2, "chips": 2},
}


def measured(folder: Path) -> tuple[Requests, np.ndarray, np.ndarray, dict[str, Any]]:
    """Requests, first and last token times on the clock of the first request, and the settings of a run."""
    meta = json.loads((folder / "meta.json").read_text())
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    lines.sort(key=lambda line: line["arrival_time"])
    column = {name: np.array([line[name] for line in lines], float) for name in lines[0] if name != "request_id"}
    arrival = column["arrival_time"] - column["arrival_time"][0]
    zero = (column["queued_ts"] - arrival).min()
    requests = Requests(arrival=arrival, prompt=column["input_toks"], output=column["output_toks"])
    return requests, column["first_token_ts"] - zero, column["last_token_ts"] - zero, meta


@pytest.mark.parametrize("name", RUNS)
def test_latencies_of_a_real_engine(name: str, shared: Path) -> None:
    """Nothing fitted to the run: mean TTFT within 12%, mean TPOT within 10%, their p99 within 20%."""
    folder = shared / "measured" / "vllm_runs" / name
    if not folder.is_dir():
        pytest.skip("no measured runs")
    requests, first, last, meta = measured(folder)
    kwargs = meta["engine_kwargs"]
    made = deployment(
        Scenario(engine="vllm", **RUNS[name]),
        tokens=kwargs["max_num_batched_tokens"],
        sequences=kwargs["max_num_seqs"],
        blocks=meta.get("kv_cache", {}).get("num_gpu_blocks", 0),
    )
    run = serve(requests, made.law, made.engine)
    several = requests.output > 1
    gaps = np.maximum(requests.output - 1, 1)
    for value, truth, bound in (
        (run.first_token - requests.arrival, first - requests.arrival, 0.12),
        (((run.finish - run.first_token) / gaps)[several], ((last - first) / gaps)[several], 0.10),
    ):
        assert value.mean() == pytest.approx(truth.mean(), rel=bound)
        assert np.percentile(value, 99) == pytest.approx(np.percentile(truth, 99), rel=0.2)
