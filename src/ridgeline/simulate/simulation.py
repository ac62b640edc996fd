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
from ridgeline.simulate import quantile
from ridgeline.simulate.apart import Pool
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.fleet import ALWAYS_UP, Fleet, Upkeep
from ridgeline.simulate.metrics import Metrics, Window, metrics
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.run import Run
from ridgeline.simulate.ticks import FAR
from ridgeline.workload import Requests

LATE = 0.05
"""Share of requests that wait at the last arrival, beyond which a deployment does not keep up."""
Progress = Callable[[float, Callable[[], "Simulation"]], None]


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
    """Of two pools, those that decode."""
    prefill: Pool | None = None
    """The replicas that prefill, of two pools."""
    scaled: bool = False
    """Whether replicas follow the load."""

    @property
    def pools(self) -> list[tuple[Deployment, int]]:
        """Replicas of each kind and their number, those that prefill first."""
        first = [] if self.prefill is None else [(self.prefill.replica, self.prefill.replicas)]
        return [*first, (self.deployment, self.replicas)]

    tenants: dict[str, Metrics] = {}
    """Of each tenant, if the requests have any."""

    @property
    def chips(self) -> int:
        """Chips of all replicas."""
        return sum(each.chips * replicas for each, replicas in self.pools)

    @property
    def replicas_on(self) -> float:
        """Mean number of replicas that were paid for."""
        total, done = sum(replicas for _, replicas in self.pools), self.run.operation
        span = self.run.end - float(self.run.arrival.min())
        return done.paid / span if done is not None and span > 0 else float(total)

    @property
    def share_on(self) -> float:
        """Share of all replicas that were paid for."""
        return self.replicas_on / sum(replicas for _, replicas in self.pools)

    @property
    def watts(self) -> float | None:
        """Power of all chips that were on; None where it is not known."""
        known = [(each.subject.system.chip.power, each.chips * n) for each, n in self.pools]
        if any(power is None for power, _ in known):
            return None
        return sum((power or 0.0) * chips for power, chips in known) * self.share_on


def simulate(
    deployment: Deployment,
    requests: Requests,
    *,
    objectives: Mapping[str, float] | None = None,
    warm_up: float = 0.0,
    cool_down: float = 0.0,
    series: bool = False,
    progress: Progress | None = None,
    replicas: int = 1,
    router: str = "least-loaded",
    prefill: Pool | None = None,
    keeping: Upkeep = ALWAYS_UP,
    tenants: Mapping[str, Mapping[str, float]] | None = None,
) -> Simulation:
    """Serve a workload on one replica, on several behind a router, or on two pools.

    Parameters
    ----------
    objectives
        Longest times of a request in seconds, by "ttft", "tpot", "e2e".
    warm_up, cool_down
        Seconds at the beginning and at the end of the arrivals that metrics leave out.
    progress
        Is told the share of arrivals that is behind, from time to time, and can ask for the simulation of what was
        served by then.
    tenants
        Names of tenants by their number, each with the objectives of its requests, where they differ.
    router
        One of `fleet.ROUTERS`.
    prefill
        The pool that prefills; the replicas then only decode.
    keeping
        How replicas fail, and follow the load.

    Raises
    ------
    InputError
        For a fleet or a window that is none, and a time series of several replicas.
    """
    begin = time.process_time()
    total = replicas + (prefill.replicas if prefill else 0)

    def summed(run: Run, refused: np.ndarray) -> Simulation:
        window = Window.of(run, warm_up, cool_down) if warm_up or cool_down else None
        return Simulation(
            deployment=deployment,
            requests=requests,
            run=run,
            metrics=metrics(run, requests, objectives=objectives, window=window, replicas=total),
            refused=refused,
            overloaded=overloaded(run, requests, deployment.engine.max_num_seqs * total),
            cpu=time.process_time() - begin,
            replicas=replicas,
            prefill=prefill,
            scaled=keeping.fewest > 0,
            tenants=_of_tenants(run, requests, objectives or {}, tenants, window, total),
        )

    if total == 1 and keeping.fixed:
        return summed(*_alone(deployment, requests, series, progress, summed))
    if series:
        raise InputError(f"a timeline of {total} replicas", "one replica that never fails")
    apart = prefill.of(requests) if prefill else None
    fleet = Fleet(requests, deployment.law, deployment.engine, replicas, router, prefill=apart, keeping=keeping)
    quantile.ahead()
    fleet.serve(progress and (lambda share: progress(share, lambda: summed(fleet.sofar(), fleet.refused))))
    return summed(fleet.result(), fleet.refused)


def _of_tenants(
    run: Run,
    requests: Requests,
    objectives: Mapping[str, float],
    tenants: Mapping[str, Mapping[str, float]] | None,
    window: Window | None,
    machines: int,
) -> dict[str, Metrics]:
    """Metrics of each tenant's requests by its own objectives; none if requests have no tenants."""
    if requests.tenant is None:
        return {}
    named = tenants or {str(number): {} for number in np.unique(requests.tenant).tolist()}
    numbers = range(len(named)) if tenants else map(int, named)
    return {
        name: metrics(
            run,
            requests,
            objectives={**objectives, **limits},
            window=window,
            replicas=machines,
            only=requests.tenant == number,
        )
        for number, (name, limits) in zip(numbers, named.items(), strict=True)
    }


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
    deployment: Deployment,
    requests: Requests,
    series: bool,
    progress: Progress | None,
    summed: Callable[[Run, np.ndarray], Simulation],
) -> tuple[Run, np.ndarray]:
    """The run of one replica, and the requests it refuses."""
    replica = Replica(requests, deployment.law, deployment.engine, series=series)
    quantile.ahead()
    if progress is not None:
        for share in replica.portions():
            progress(share, lambda: summed(replica.sofar(), replica.refused))
    replica.advance(FAR)
    return replica.result(), replica.refused


def overloaded(run: Run, requests: Requests, seats: int) -> bool:
    """Whether many still waited for their start when the last request arrived; never in a closed loop."""
    if requests.concurrency:
        return False
    late = int(np.count_nonzero(run.start > run.arrival[run.served].max(initial=0.0)))
    return late > seats and late > LATE * len(requests)
