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
    folder = shared / "measured" / "vllm_runs"
    if not (folder / name).is_dir():
        pytest.skip("no measured runs")
    found = measured_run(folder, name)
    requests, first, last = found.requests, found.first_token, found.finish
    run = serve(requests, found.deployment.law, found.deployment.engine)
    several = requests.output > 1
    gaps = np.maximum(requests.output - 1, 1)
    for value, truth in (
        (run.first_token - requests.arrival, first - requests.arrival),
        (((run.finish - run.first_token) / gaps)[several], ((last - first) / gaps)[several]),
    ):
        assert value.mean() == pytest.approx(truth.mean(), rel=0.1)
        assert np.percentile(value, 99) == pytest.approx(np.percentile(truth, 99), rel=0.2)


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
