"""Many scenarios in one call: each a deployment under a workload, told by its metrics alone.

A process that is given some of them compiles once and keeps one run at a time. What calls the processes is anything
with the interface of `map`: a pool's, or on a cluster that of `ray.util.multiprocessing.Pool`. Knows no option and no
unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import msgspec

from ridgeline.errors import InputError
from ridgeline.simulate.batch import alike, serve_batch, words_of
from ridgeline.simulate.compiled import worthwhile
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.metrics import Metrics, metrics_of
from ridgeline.simulate.quantile import SHORT
from ridgeline.simulate.simulation import overloaded, simulate
from ridgeline.workload import Requests, Workload

WORDS = 1 << 21
"""Of 8 bytes, in arrays of cases that are simulated in one call: about what stays in a processor's cache."""


class Variation(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario."""

    deployment: Deployment
    workload: Workload
    seed: int = 0
    replicas: int = 1
    router: str = "least-loaded"


class Varied(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a scenario."""

    metrics: Metrics
    overloaded: bool
    """Whether requests came faster than they were served, so that times depend on how many there were."""


def variations(
    cases: Sequence[Variation],
    *,
    objectives: Mapping[str, float] | None = None,
    workers: int = 1,
    run: Callable[..., Iterable[list[Varied]]] | None = None,
) -> list[Varied]:
    """What each case comes to, in their order.

    Parameters
    ----------
    objectives
        Longest times of a request in seconds, by "ttft", "tpot", "e2e".
    workers
        Parts into which the cases are divided, and processes.
    run
        What calls a function with each part in place of processes of this machine: the `map` of a pool.

    Raises
    ------
    InputError
        For a number of workers that is none, and what `simulate` refuses.
    """
    if not 1 <= workers <= 100_000:
        raise InputError(f"--workers {workers}", "1 to 100,000")
    workers = max(min(workers, len(cases)), 1)
    parts = [cases[k::workers] for k in range(workers)]
    serve = partial(_served, objectives=objectives)
    if workers == 1 and run is None:
        return serve(cases)
    if run is None:
        serve(cases[:1], work=_work(cases))  # so that what is compiled lies on the disk for all
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            done = list(pool.map(serve, parts))
    else:
        done = list(run(serve, parts))
    found: list[Any] = [None] * len(cases)
    for k, part in enumerate(done):
        found[k::workers] = part
    return found


def _work(cases: Sequence[Variation]) -> int:
    return sum(case.workload.requests for case in cases)


def _served(cases: Sequence[Variation], objectives: Mapping[str, float] | None, work: int = 0) -> list[Varied]:
    """Some cases: those of one deployment that can be, together, all else one after another."""
    worthwhile(work or _work(cases))
    found: list[Varied] = []
    waiting: list[Requests] = []
    deployed, words = None, 0

    def serve() -> None:
        if deployed is None or not waiting:
            return
        runs = serve_batch(waiting, deployed.law, deployed.engine)
        for run, requests, made in zip(runs, waiting, metrics_of(runs, waiting, objectives=objectives), strict=True):
            late = overloaded(run, requests, deployed.engine.max_num_seqs)
            found.append(Varied(metrics=made, overloaded=late))
        waiting.clear()

    for case in cases:
        requests = case.workload.draw(case.seed)
        together = case.replicas == 1 and len(requests) <= SHORT and alike(requests, case.deployment.engine)
        mine = words_of(requests, case.deployment.engine)
        if not together or case.deployment is not deployed or words + mine > WORDS:
            serve()
            deployed, words = case.deployment, 0
        words += mine
        if together:
            waiting.append(requests)
        else:
            one = simulate(case.deployment, requests, objectives=objectives, replicas=case.replicas, router=case.router)
            found.append(Varied(metrics=one.metrics, overloaded=one.overloaded))
    serve()
    return found
