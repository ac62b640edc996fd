"""A deployment under a workload: the run, its metrics, what it cost, and whether it kept up.

    overloaded    when the last request arrived, more than a full batch and than 5% of all had not started

Then times depend on how long the run is, and only throughput means anything. Knows no text.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.fleet import Fleet
from ridgeline.simulate.law import FAR
from ridgeline.simulate.metrics import Metrics, Window, metrics
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.run import Run
from ridgeline.workload import Requests

LATE = 0.05
"""Share of requests that wait at the last arrival, beyond which a deployment does not keep up."""
PORTIONS = 100
"""Parts of a long run after which its progress is told."""


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What was simulated, and what came out."""

    deployment: Deployment
    requests: Requests
    run: Run
    metrics: Metrics
    refused: np.ndarray
    """int64: numbers of the requests that can never fit in the cache."""
    overloaded: bool
    cpu: float
    """CPU seconds of simulation and metrics."""
    replicas: int = 1

    @property
    def chips(self) -> int:
        """Chips of all replicas."""
        return self.replicas * self.deployment.chips


def simulate(
    deployment: Deployment,
    requests: Requests,
    *,
    objectives: Mapping[str, float] | None = None,
    warm_up: float = 0.0,
    cool_down: float = 0.0,
    series: bool = False,
    progress: Callable[[float], None] | None = None,
    replicas: int = 1,
    router: str = "least-loaded",
) -> Simulation:
    """Serve a workload on one replica, or on several behind a router.

    Parameters
    ----------
    objectives
        Longest times of a request in seconds, by "ttft", "tpot", "e2e".
    warm_up, cool_down
        Seconds at the beginning and at the end of the arrivals that metrics leave out.
    progress
        Is told the share of arrivals that is behind, from time to time; not of several replicas.
    router
        One of `fleet.ROUTERS`.

    Raises
    ------
    InputError
        For a fleet or a window that is none, and a time series of several replicas.
    """
    begin = time.process_time()
    if replicas != 1:
        if series:
            raise InputError(f"a timeline of {replicas} replicas", "one replica")
        fleet = Fleet(requests, deployment.law, deployment.engine, replicas, router)
        fleet.serve()
        run, refused = fleet.result(), fleet.refused
    else:
        run, refused = _alone(deployment, requests, series, progress)
    window = Window.of(run, warm_up, cool_down) if warm_up or cool_down else None
    found = metrics(run, requests, objectives=objectives, window=window, replicas=replicas)
    return Simulation(
        deployment=deployment,
        requests=requests,
        run=run,
        metrics=found,
        refused=refused,
        overloaded=_overloaded(run, requests, deployment.engine.max_num_seqs * replicas),
        cpu=time.process_time() - begin,
        replicas=replicas,
    )


def some_served(made: Simulation) -> Simulation:
    """The same, if any request fits in the cache.

    Raises
    ------
    InputError
        With the size of the smallest request and of the cache.
    """
    if len(made.refused) == len(made.requests):
        engine, asked = made.deployment.engine, made.requests
        least = int((asked.prompt + asked.output).min())
        held = f"at most the {engine.blocks * engine.block_size:,} tokens that the cache holds"
        raise InputError(f"{len(asked):,} requests of {least:,} tokens and more", held, "more chips per replica (--tp)")
    return made


def _alone(
    deployment: Deployment, requests: Requests, series: bool, progress: Callable[[float], None] | None
) -> tuple[Run, np.ndarray]:
    """The run of one replica, and the requests it refuses."""
    replica = Replica(requests, deployment.law, deployment.engine, series=series)
    if progress is not None and not requests.concurrency and requests.after is None:
        last = int(requests.arrival[-1] / deployment.law.tick)
        for portion in range(1, PORTIONS):
            replica.advance(last * portion // PORTIONS)
            progress(portion / PORTIONS)
    replica.advance(FAR)
    return replica.result(), replica.refused


def _overloaded(run: Run, requests: Requests, seats: int) -> bool:
    """Whether many still waited for their start when the last request arrived; never in a closed loop."""
    if requests.concurrency:
        return False
    late = int(np.count_nonzero(run.start > run.arrival[run.served].max(initial=0.0)))
    return late > seats and late > LATE * len(requests)
