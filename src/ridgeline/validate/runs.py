"""Runs of a real engine, request by request, and the deployments that they were of.

Of each run a folder has `meta.json` (settings of the engine) and `requests.jsonl` (lengths, and times of arrival,
queue, first and last token of every request). Source: casys-kaist/LLMServingSim, measured runs of vLLM 0.19 (MIT).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.workload import Requests

RUNS: dict[str, dict[str, Any]] = {
    "RTX4090/Llama-3.1-8B": {"model": "llama-3.1-8b", "system": "rtx-4090"},
    "RTXPRO6000/Llama-3.1-8B": {"model": "llama-3.1-8b", "system": "rtx-pro-6000"},
    "RTXPRO6000/Qwen3-32B": {"model": "qwen3-32b", "system": "rtx-pro-6000", "tp": 2, "chips": 2},
}
"""Model, system and layout of each run, by its folder."""


class MeasuredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent, and when tokens came, on the clock of the first arrival."""

    requests: Requests
    first_token: np.ndarray
    """float64[n] seconds."""
    finish: np.ndarray
    deployment: Deployment
    """The replica with the settings of the run."""


def measured_run(folder: Path, name: str) -> MeasuredRun:
    """A run by its name in `RUNS`.

    The engine's clock is set so that no request is queued before it arrives.
    """
    meta = json.loads((folder / name / "meta.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / name / "requests.jsonl").read_text(encoding="utf-8").splitlines()]
    lines.sort(key=lambda line: line["arrival_time"])
    column = {key: np.array([line[key] for line in lines], float) for key in lines[0] if key != "request_id"}
    arrival = column["arrival_time"] - column["arrival_time"][0]
    zero = (column["queued_ts"] - arrival).min()
    settings = meta["engine_kwargs"]
    return MeasuredRun(
        requests=Requests(arrival=arrival, prompt=column["input_toks"], output=column["output_toks"]),
        first_token=column["first_token_ts"] - zero,
        finish=column["last_token_ts"] - zero,
        deployment=deployment(
            Scenario(engine="vllm", **RUNS[name]),
            tokens=settings["max_num_batched_tokens"],
            sequences=settings["max_num_seqs"],
            blocks=meta.get("kv_cache", {}).get("num_gpu_blocks", 0),
        ),
    )
