"""How fast workloads are read and runs are summed up, beside the plain way to do the same.

Run by `make bench`. Compare within one run only: the plain way is the test of the same name with `plain`.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.metrics import metrics
from ridgeline.simulate.quantile import of_gaps
from ridgeline.simulate.run import Run
from ridgeline.workload import Requests, Trace, Workload, read

ROWS = 500_000
STRETCHES = 500_000
SHARES = (50, 90, 95, 99)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A plain trace of 500,000 rows, 11 MB."""
    drawn = Workload.read(requests=ROWS, rate=20, isl="lognormal:mean=512,cv=1", osl="lognormal:mean=128,cv=1").draw(0)
    path: Path = tmp_path_factory.mktemp("trace") / "trace.csv"
    with path.open("w", encoding="ascii", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("arrival", "prompt", "output"))
        writer.writerows(
            zip(drawn.arrival.round(6).tolist(), drawn.prompt.tolist(), drawn.output.tolist(), strict=True)
        )
    return str(path)


@pytest.mark.parametrize("way", ["ridgeline", "plain"])
def test_rows_of_a_trace(benchmark: Any, file: str, way: str) -> None:
    """Target: 1,000,000 rows/s, checked. Plain: the csv module, and float() of each field."""
    made: Requests = benchmark(
        (lambda: read(Trace(path=file)).requests) if way == "ridgeline" else (lambda: plain(file))
    )
    benchmark.extra_info["points_per_s"] = ROWS / benchmark.stats["median"]
    assert len(made) == ROWS


def plain(path: str) -> Requests:
    with open(path, encoding="ascii", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        columns = list(zip(*((float(t), int(p), int(o)) for t, p, o in rows), strict=True))
    return Requests(arrival=np.array(columns[0]), prompt=np.array(columns[1]), output=np.array(columns[2]))


def pool() -> Gaps:
    rng = np.random.default_rng(0)
    return Gaps(
        first=rng.lognormal(16, 0.5, STRETCHES).astype(np.int64),
        rise=rng.integers(1000, 3000, STRETCHES),
        steps=rng.geometric(1 / 4, STRETCHES),
        weight=rng.integers(1, 60, STRETCHES),
        tick=1e-9,
    )


@pytest.mark.parametrize("way", ["ridgeline", "plain"])
def test_percentiles_of_gaps(benchmark: Any, way: str) -> None:
    """Gaps summed up per second. Plain: list every step and sort."""
    gaps = pool()
    found = benchmark(of_gaps if way == "ridgeline" else listed, gaps, SHARES)
    benchmark.extra_info["points_per_s"] = gaps.count / benchmark.stats["median"]
    assert found.tolist() == listed(gaps, SHARES).tolist()


def listed(gaps: Gaps, shares: tuple[float, ...]) -> np.ndarray:
    which = np.repeat(np.arange(STRETCHES), gaps.steps)
    j = np.arange(len(which)) - np.repeat(np.cumsum(gaps.steps) - gaps.steps, gaps.steps)
    value, weight = gaps.first[which] + gaps.rise[which] * j, gaps.weight[which]
    order = np.argsort(value)
    value, last = value[order] * gaps.tick, np.cumsum(weight[order]) - 1
    rank = np.asarray(shares) / 100 * (gaps.count - 1)
    low, high = (value[np.searchsorted(last, side(rank))] for side in (np.floor, np.ceil))
    share = rank - np.floor(rank)
    return np.where(share >= 0.5, high - (high - low) * (1 - share), low + (high - low) * share)


def test_metrics_of_requests(benchmark: Any) -> None:
    """Requests per second, with exact percentiles of six distributions. Target: 10,000,000."""
    requests = Workload.read(requests=ROWS, rate=20).draw(0)
    rng = np.random.default_rng(1)
    start = requests.arrival + rng.exponential(0.01, ROWS)
    first = start + rng.exponential(0.02, ROWS)
    run = Run(
        arrival=requests.arrival,
        start=start,
        first_token=first,
        finish=first + rng.exponential(1.0, ROWS),
        preemptions=np.zeros(ROWS, dtype=np.int32),
        cached=np.zeros(ROWS, dtype=np.int64),
        gaps=pool(),
        busy={"memory": 1.0},
        steps=1,
        end=1e5,
        blocks=0,
        peak_blocks=0,
    )
    found = benchmark(metrics, run, requests, objectives={"ttft": 1.0, "tpot": 0.05})
    benchmark.extra_info["points_per_s"] = ROWS / benchmark.stats["median"]
    assert found.completed == ROWS
