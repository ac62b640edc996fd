"""Many scenarios in one call: each a deployment under a workload, told by its metrics alone.

A process that is given some of them compiles once and keeps one run at a time. What calls the processes is anything
with the interface of `map`: a pool's, or on a cluster that of `ray.util.multiprocessing.Pool`. Knows no option and no
unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from ridgeline.simulate.spread import pooled_each
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
    """Some cases."""
    worthwhile(work or _work(cases))
    return [found for batch in _batches(cases) for found in _of_batch(batch, objectives)]


def _batches(cases: Sequence[Variation]) -> Iterator[list[tuple[Variation, Requests]]]:
    """Successive cases of one deployment that can be served together, as many as WORDS hold; each other one alone."""
    batch: list[tuple[Variation, Requests]] = []
    count = longest = 0
    for case in cases:
        requests, engine = case.workload.draw(case.seed), case.deployment.engine
        together = case.replicas == 1 and len(requests) <= SHORT and alike(requests, engine)
        count, longest = count + len(requests), max(longest, int(requests.output.max()))
        full = words_of(len(batch) + 1, count, longest, engine) > WORDS
        if batch and (full or not together or case.deployment is not batch[0][0].deployment):
            yield batch
            batch, count, longest = [], len(requests), int(requests.output.max())
        batch.append((case, requests))
        if not together:
            yield batch
            batch, count, longest = [], 0, 0
    if batch:
        yield batch


def _of_batch(batch: Sequence[tuple[Variation, Requests]], objectives: Mapping[str, float] | None) -> Iterator[Varied]:
    """What the cases of a batch come to."""
    if len(batch) == 1:
        case, requests = batch[0]
        made = simulate(case.deployment, requests, objectives=objectives, replicas=case.replicas, router=case.router)
        yield Varied(metrics=made.metrics, overloaded=made.overloaded)
        return
    deployed, drawn = batch[0][0].deployment, [requests for _, requests in batch]
    runs, gaps, bounds = serve_batch(drawn, deployed.law, deployed.engine)
    made = metrics_of(runs, drawn, pooled_each(gaps, bounds), objectives=objectives)
    for run, requests, found in zip(runs, drawn, made, strict=True):
        yield Varied(metrics=found, overloaded=overloaded(run, requests, deployed.engine.max_num_seqs))
