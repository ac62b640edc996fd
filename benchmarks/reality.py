"""Runs of a real engine beside the simulation of the same requests, as tables for docs/simulate.md.

    python benchmarks/reality.py FOLDER [MEANS.csv]     with FOLDER/<chip>/<model>/{meta.json,requests.jsonl}

Each run is simulated twice: with the law of the estimate, and with an affine law (step, token, sequence, cached token,
pair) fitted to the run, by least squares of the logarithms of first and last token times after arrival. MEANS.csv has
mean latencies of stages of load (`validate.staged`), for a table of their own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ridgeline.simulate.law import affine
from ridgeline.simulate.replica import serve
from ridgeline.simulate.run import Run
from ridgeline.simulate.settings import Engine
from ridgeline.validate.runs import RUNS, measured_run
from ridgeline.validate.staged import staged
from ridgeline.workload import Requests

NAMES = ("step", "token", "sequence", "context", "pair")


def fitted(requests: Requests, engine: Engine, first: np.ndarray, last: np.ndarray) -> Run:
    """The run under the affine law that fits best."""
    truth = np.log(np.concatenate([first - requests.arrival, last - requests.arrival]))
    sizes = {"most_tokens": engine.max_num_batched_tokens, "most_sequences": engine.max_num_seqs}

    def run(logs: np.ndarray) -> Run:
        constants: dict[str, Any] = dict(zip(NAMES, np.exp(logs).tolist(), strict=True))
        return serve(requests, affine(**constants, **sizes), engine)

    def error(logs: np.ndarray) -> float:
        made = run(logs)
        times = np.concatenate([made.first_token - requests.arrival, made.finish - requests.arrival])
        return float(np.mean((np.log(times) - truth) ** 2))

    start = np.log([2e-2, 5e-5, 1e-5, 1e-7, 1e-9])
    best = minimize(error, start, method="Nelder-Mead", options={"maxiter": 1500, "xatol": 1e-4, "fatol": 1e-9})
    return run(best.x)


def row(name: str, law: str, requests: Requests, first: np.ndarray, last: np.ndarray, run: Run) -> str:
    """One line of the table: simulated over measured, less 1."""
    gaps, several = np.maximum(requests.output - 1, 1), requests.output > 1
    cells = []
    for mine, true in (
        (run.first_token - requests.arrival, first - requests.arrival),
        (((run.finish - run.first_token) / gaps)[several], ((last - first) / gaps)[several]),
        (run.finish - requests.arrival, last - requests.arrival),
    ):
        for statistic in (np.mean, lambda x: np.percentile(x, 99)):
            cells.append(f"{statistic(mine) / statistic(true) - 1:+.1%}")
    return f"| {name} | {law} | {' | '.join(cells)} |"


def main(folder: Path) -> None:
    """Print the table."""
    print("| run | law | TTFT mean | TTFT p99 | TPOT mean | TPOT p99 | E2E mean | E2E p99 |")
    print("| :-- | :-- |" + " --: |" * 6)
    for name in RUNS:
        found = measured_run(folder, name)
        requests, first, last, made = found.requests, found.first_token, found.finish, found.deployment
        print(row(name, "estimate", requests, first, last, serve(requests, made.law, made.engine)))
        print(row(name, "fitted", requests, first, last, fitted(requests, made.engine, first, last)), flush=True)


def means(path: Path) -> None:
    """Print the table of stages and the median errors."""
    found = staged(path)
    print("| run | load | stage | TTFT | E2E | ITL |\n| :-- | :-- | --: | --: | --: | --: |")
    for each in found:
        cells = (f"{each.error(metric):+.0%}" for metric in ("ttft", "e2e", "itl"))
        print(f"| {each.experiment} {each.model.split('/')[-1]} | {each.load} | {each.stage} | {' | '.join(cells)} |")
    medians = {name: float(np.median([abs(each.error(name)) for each in found])) for name in ("ttft", "e2e", "itl")}
    print(f"\nmedian of {len(found)} stages: " + ", ".join(f"{name} {value:.1%}" for name, value in medians.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        print()
        means(Path(sys.argv[2]))
