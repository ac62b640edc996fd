"""Runs of a real engine, request by request, and the deployments that they were of.

Of each run a folder CHIP/MODEL has `meta.json` (settings of the engine) and `requests.jsonl` (lengths, and times of
arrival, queue, first and last token of every request). Source: casys-kaist/LLMServingSim, measured runs of vLLM 0.19
(MIT).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.workload import Requests

RUNS = ("RTX4090/Llama-3.1-8B", "RTXPRO6000/Llama-3.1-8B", "RTXPRO6000/Qwen3-32B")
"""Folders of the runs that are public with their settings."""
_WORDS = re.compile(r"(?<=RTX)(?=\w)|(?<=PRO)(?=\d)")
"""Where a chip's name as the folders have it is short of a dash: RTX-PRO-6000."""


class MeasuredRun(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent, and when tokens came, on the clock of the first arrival."""

    requests: Requests
    first_token: np.ndarray
    """float64[n] seconds."""
    finish: np.ndarray
    deployment: Deployment
    """The replica with the settings of the run."""


def measured_run(folder: Path, name: str) -> MeasuredRun:
    """A run by its folder in `folder`, as in `RUNS`.

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
            _scenario(name, settings),
            tokens=settings["max_num_batched_tokens"],
            sequences=settings["max_num_seqs"],
            blocks=meta.get("kv_cache", {}).get("num_gpu_blocks", 0),
        ),
    )


def _scenario(name: str, settings: dict[str, Any]) -> Scenario:
    """The deployment of a run, by its folder and the engine's arguments."""
    tp, dp = settings.get("tensor_parallel_size", 1), settings.get("data_parallel_size", 1)
    ep = tp * dp if settings.get("enable_expert_parallel") else 1
    system = _WORDS.sub("-", name.partition("/")[0])
    return Scenario(engine="vllm", model=settings["model"], system=system, tp=tp, dp=dp, ep=ep, chips=tp * dp)


def run_points(folder: Path) -> list[dict[str, str]]:
    """Rows of points of all runs in a folder: means over the requests, at the mean number of open ones (Little's law).

    Raises
    ------
    InputError
        If the folder has no run.
    """
    names = sorted(path.parent.relative_to(folder).as_posix() for path in folder.glob("*/*/meta.json"))
    if not names:
        raise InputError(str(folder), f"a file of points, or a folder with runs such as {RUNS[0]}")
    return [row for name in names for row in _means(folder, name)]


def _means(folder: Path, name: str) -> Iterator[dict[str, str]]:
    try:
        run = measured_run(folder, name)
    except InputError as error:
        yield {"id": name, "mode": "online", "mtp": "0", "refused": str(error)}
        return
    meta = json.loads((folder / name / "meta.json").read_text(encoding="utf-8"))
    scenario = run.deployment.scenario
    sent, spoken = run.requests.arrival, run.requests.output
    whole = run.finish.max() - sent.min()
    base = {
        "source": "LLMServingSim",
        "source_ref": "casys-kaist/LLMServingSim, measured runs",
        "date": meta["started_at"][:10],
        "model": scenario.model,
        "chip": scenario.system,
        "chips": str(scenario.chips),
        "dp": str(scenario.dp),
        "ep": str(scenario.ep),
        "engine": "vLLM",
        "engine_version": meta["vllm_version"],
        "weight_dtype": "bf16",
        "mode": "online",
        "isl": f"{run.requests.prompt.mean():.6g}",
        "osl": f"{spoken.mean():.6g}",
        "batch": f"{(run.finish - sent).sum() / whole:.6g}",
        "batch_kind": "mean_concurrency",
        "rate": f"{(len(sent) - 1) / (sent.max() - sent.min()):.6g}",
        "requests": str(len(sent)),
        "places": f"{_places(run):.6g}",
        "mtp": "0",
        "has_config": "1",
        "has_chip": "1",
        "grade": "A",
    }
    more = spoken > 1
    values = {
        "ttft_s": (run.first_token - sent).mean(),
        "tpot_s": ((run.finish - run.first_token)[more] / (spoken[more] - 1)).mean(),
        "e2e_s": (run.finish - sent).mean(),
        "out_tok_s": spoken.sum() / whole,
    }
    for metric, value in values.items():
        yield base | {"id": f"{name}:{metric.removesuffix('_s')}", "metric": metric, "value": f"{value:.6g}"}


def _places(run: MeasuredRun) -> float:
    """Sequences that the engine lets in: its limit, or what its blocks hold of sequences half spoken."""
    engine, sent = run.deployment.engine, run.requests
    return min(engine.max_num_seqs, engine.blocks * engine.block_size / float((sent.prompt + sent.output / 2).mean()))
