"""Runs of a real vLLM 0.19, request by request: the same arrivals and lengths through the simulation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ridgeline.simulate.replica import serve
from ridgeline.validate.runs import RUNS, measured_run
from ridgeline.validate.staged import LOADS, staged


@pytest.mark.parametrize("name", RUNS)
def test_latencies_of_a_real_engine(name: str, shared: Path) -> None:
    """Nothing fitted to the run: mean TTFT and TPOT within 10%, their p99 within 20%."""
    for simulated, measured in _latencies(name, shared).values():
        assert simulated.mean() == pytest.approx(measured.mean(), rel=0.1)
        assert np.percentile(simulated, 99) == pytest.approx(np.percentile(measured, 99), rel=0.2)


def _latencies(name: str, shared: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Simulated and measured TTFT and TPOT of each request of a run, in seconds."""
    folder = shared / "measured" / "vllm_runs"
    if not (folder / name).is_dir():
        pytest.skip("no measured runs")
    found = measured_run(folder, name)
    sent = found.requests
    run = serve(sent, found.deployment.law, found.deployment.engine)
    several = sent.output > 1

    def gaps(first: np.ndarray, finish: np.ndarray) -> np.ndarray:
        return ((finish - first) / np.maximum(sent.output - 1, 1))[several]

    return {
        "ttft": (run.first_token - sent.arrival, found.first_token - sent.arrival),
        "tpot": (gaps(run.first_token, run.finish), gaps(found.first_token, found.finish)),
    }


def test_stages_of_load_on_h100(shared: Path) -> None:
    """Nothing fitted to these runs: median error of mean E2E at most 12%, of mean TTFT at most 30%."""
    path = shared / "measured" / "vllm_h100_actuals.csv"
    if not path.is_file():
        pytest.skip("no measured runs")
    found = staged(path)
    assert len(found) == 15
    assert np.median([abs(each.error("e2e")) for each in found]) <= 0.12
    assert np.median([abs(each.error("ttft")) for each in found]) <= 0.30


def test_a_load_repeats_its_prompts() -> None:
    """As many requests as rate times time, of groups x users prompts that share their group's beginning only."""
    sent, stage = LOADS["general"].requests()
    assert np.bincount(stage).tolist() == [1500, 3600]
    assert sent.hash_ids is not None
    prompts = np.unique(sent.hash_ids.reshape(5100, -1), axis=0)
    assert len(prompts) == 45
    assert len(np.unique(prompts[:, :6], axis=0)) == 9
    assert len(np.unique(prompts[:, 6])) == 45
