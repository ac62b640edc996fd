"""Runs of vLLM on H100 under a load of stages: what was sent, and mean latencies simulated beside those measured.

The runs are those of inference-sim (BLIS), whose `testdata/trained_physics_iter29.json` (Apache-2.0, read in November
2026) gives of each experiment the load, max_num_seqs and KV blocks. The client was kubernetes-sigs/inference-perf with
its shared-prefix data: each of groups x users has one prompt (the group's system prompt and a question of its own),
which it sends again and again, so that after the first time nearly all of a prompt is in the cache
(`inference_perf/datagen/shared_prefix_datagen.py`). Arrivals are drawn uniformly within a stage: a Poisson process with
a known number.

Latencies were measured at the client: to the engine's clock comes the front end's time per request, a constant that was
fitted to other benchmarks (`estimate.Client.frontend`). What it does not know: how long answers really were (they may
end early), and whether contexts grew from turn to turn, which the rates of cached prompts speak against.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ridgeline.engines import engine_constants
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.replica import serve
from ridgeline.workload import Requests

BLOCK = 16
"""Tokens per KV block."""
SEATS = 128
"""max_num_seqs of all runs."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load of inference-perf: lengths in tokens, stages as (seconds, requests per second)."""

    groups: int
    users: int
    """Per group."""
    system: int
    question: int
    output: int
    stages: tuple[tuple[float, float], ...]

    def requests(self, seed: int = 0) -> tuple[Requests, np.ndarray]:
        """What is sent, and the stage of each request."""
        rng = np.random.default_rng(seed)
        begins = np.cumsum([0.0, *(seconds for seconds, _ in self.stages)])
        counts = [round(seconds * rate) for seconds, rate in self.stages]
        drawn = [
            np.sort(rng.uniform(begin, begin + seconds, count))
            for begin, (seconds, _), count in zip(begins[:-1], self.stages, counts, strict=True)
        ]
        total, prompt = sum(counts), self.system + self.question
        blocks, shared, user = prompt // BLOCK, self.system // BLOCK, rng.integers(0, self.groups * self.users, total)
        ids = (self.groups + user)[:, None] * blocks + np.arange(blocks)
        ids[:, :shared] = (user // self.users)[:, None] * blocks + np.arange(shared)
        sent = Requests(
            arrival=np.concatenate(drawn),
            prompt=np.full(total, prompt),
            output=np.full(total, self.output),
            hash_offsets=np.arange(total + 1) * blocks,
            hash_ids=ids.ravel(),
            hash_block=BLOCK,
        )
        return sent, np.repeat(np.arange(len(counts)), counts)


LOADS = {
    "general": Load(groups=9, users=5, system=100, question=447, output=248, stages=((600.0, 2.5), (600.0, 6.0))),
    "codegen": Load(groups=11, users=4, system=100, question=466, output=247, stages=((600.0, 5.0), (600.0, 10.0))),
    "roleplay": Load(groups=10, users=5, system=150, question=600, output=251, stages=((1200.0, 6.0),)),
    "reasoning": Load(groups=23, users=1, system=100, question=934, output=1448, stages=((1200.0, 1.0),)),
}
MODELS: dict[str, dict[str, Any]] = {
    "RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic": {"model": "llama-4-scout", "weights": "fp8"},
    "meta-llama/Llama-2-7b-hf": {"model": "llama-2-7b"},
    "meta-llama/Llama-3.1-70B-Instruct": {"model": "llama-3.1-70b"},
    "Qwen/Qwen2.5-7B-Instruct": {"model": "qwen2.5-7b"},
    "mistralai/Mistral-Nemo-Instruct-2407": {"model": "mistral-nemo"},
}
"""Names here of the models of the runs."""
BLOCKS = {
    "17": 8253, "20": 8253, "21": 8253, "48": 8253, "60": 30251, "61": 30425, "62": 48009, "63": 19251, "64": 65352,
    "65": 20793, "66": 65368, "67": 7463, "20260217": 7463,
}  # fmt: skip
"""KV blocks of each experiment; of others what memory holds."""
SHARED_ID = {"20260217": "codegen"}
"""Three experiments of one day share this id and the same measured values, two stages each. They are one run's, and of
the three loads that of codegen: that of roleplay has one stage, and general's 20 requests/s overload the machine."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Means of one stage in seconds, by "ttft", "e2e" and "itl": simulated and measured."""

    experiment: str
    model: str
    load: str
    stage: int
    simulated: dict[str, float]
    measured: dict[str, float]

    def error(self, metric: str) -> float:
        """Simulated over measured, less 1."""
        return self.simulated[metric] / self.measured[metric] - 1.0


def staged(path: Path) -> list[Stage]:
    """Every stage of a file of measured means (`exp_id`, `model`, ..., `metric_name`, `actual` in ms).

    Rows of an id in `SHARED_ID` count once, as the run that they are of; those of stages that a load has not are of no
    run, and left out.
    """
    runs: dict[tuple[str, ...], dict[tuple[int, str], float]] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            key = tuple(row[name] for name in ("exp_id", "model", "tp", "max_num_batched_tokens", "workload"))
            if SHARED_ID.get(row["exp_id"], row["workload"]) == row["workload"]:
                runs.setdefault(key, {})[int(row["stage_index"]), row["metric_name"]] = float(row["actual"]) / 1e3
    found: list[Stage] = []
    for (experiment, model, tp, tokens, name), values in runs.items():
        sent, stage = LOADS[name].requests()
        made = deployment(
            Scenario(
                system="hgx-h100", engine="vllm", tp=int(tp), isl=float(sent.prompt[0]), osl=float(sent.output[0]),
                **MODELS.get(model, {"model": model}),
            ),
            tokens=int(tokens), sequences=SEATS, blocks=BLOCKS.get(experiment, 0),
        )  # fmt: skip
        run = serve(sent, made.law, made.engine)
        front = engine_constants("vllm", made.subject.system.chip.name).client.frontend
        times = {"ttft": run.first_token - run.arrival + front, "e2e": run.finish - run.arrival + front}
        times["itl"] = (run.finish - run.first_token) / (sent.output - 1)
        for number in range(len(LOADS[name].stages)):
            if (number, "e2e_mean") not in values:
                continue
            found.append(
                Stage(
                    experiment=experiment,
                    model=model,
                    load=name,
                    stage=number,
                    simulated={key: float(each[stage == number].mean()) for key, each in times.items()},
                    measured={key: values[number, f"{key}_mean"] for key in times},
                )
            )
    return found
