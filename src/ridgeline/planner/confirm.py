"""A plan confirmed: its replicas simulated request by request under the load that the search only averages.

    open requests    C = batch of a replica; of two pools C = requests per second * e2e (Little's law)

in a closed loop: as one request ends the next arrives, so that C are always open. The first C have shorter answers, of
different lengths, as if each had begun at another time; else all would end together for ever. They, as many that settle
the loop, and the last C, after which nobody arrives, do not count. A replica of one pool stands for all; two pools are
simulated whole. Limits of the engine are those of the plan: its batch, its chunk, the blocks that its memory holds.
Lengths are equal, prompts share nothing. What the search does not know and this does: steps that mix prompts with
decoding, admission, full caches.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.planner.limits import Limits
from ridgeline.planner.plans import Plan, PlanResult
from ridgeline.planner.replicas import DECODE_CHUNK
from ridgeline.scenario import Scenario
from ridgeline.simulate.apart import prefill_pool
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.metrics import Metrics, Window, metrics
from ridgeline.simulate.simulation import simulate
from ridgeline.workload import Requests

ROUNDS = 6
"""Requests that count, as a multiple of those that are open."""
LEAST = 500
"""Requests that count at least."""


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation finds of a plan."""

    concurrency: int
    """Open requests: of a replica, or of both pools."""
    metrics: Metrics
    replicas: int
    """How many such replicas the plan has; 1 for two pools, which are simulated whole."""
    preemptions: int
    scheduler: str

    @property
    def request_rate(self) -> float:
        """Requests per second of all replicas."""
        return self.metrics.request_rate * self.replicas


def confirm(result: PlanResult) -> tuple[Confirmed, ...]:
    """Each plan of a search, simulated.

    Raises
    ------
    InputError
        For plans of decode alone, whose requests have no prompt, and for prompts of which a part is in a cache.
    """
    scenario = result.scenario
    if result.decode_only:
        raise InputError("--simulate with --context", "requests with prompts and answers", "--isl and --osl")
    if scenario.hit or scenario.cached:
        raise InputError(
            "--simulate with --hit or --cached", "prompts that share nothing", "ridgeline simulate --prefix"
        )
    return tuple(simulated(each, result.limits) for each in result.plans)


def simulated(plan: Plan, limits: Limits) -> Confirmed:
    """One plan under a constant number of open requests."""
    own = plan.point.scenario
    prefill, replicas, copies = None, 1, plan.replicas
    if plan.prefill is None:
        deployed, concurrency = _replica(own, plan.chunk, plan.batch), plan.batch
    else:
        deployed, replicas, copies = _replica(own, DECODE_CHUNK, plan.batch), plan.replicas, 1
        first = msgspec.structs.replace(plan.prefill.scenario, osl=1)
        tokens = plan.chunk * int(first.dp)
        prefill = prefill_pool(first, deployed, plan.prefill_replicas, replicas, tokens=tokens)
        concurrency = max(round(plan.request_rate * plan.e2e), 1)
    requests = closed_loop(own, concurrency)
    run = simulate(deployed, requests, replicas=replicas, prefill=prefill).run
    begin, end = float(run.arrival[2 * concurrency]), float(np.nanmax(run.arrival[:-concurrency]))
    wanted = {name: getattr(limits, name) for name in limits.given}
    found = metrics(run, requests, objectives=wanted, window=Window(begin=begin, end=end))
    return Confirmed(
        concurrency=concurrency,
        metrics=found,
        replicas=copies,
        preemptions=found.preemptions,
        scheduler=deployed.engine.scheduler,
    )


def _replica(scenario: Scenario, chunk: int, batch: int) -> Deployment:
    """A replica with the limits of a plan."""
    return deployment(scenario, tokens=max(chunk * int(scenario.dp), batch), sequences=batch)


def closed_loop(scenario: Scenario, concurrency: int) -> Requests:
    """Requests of a scenario's lengths, of which so many are open; the first ones as if begun before."""
    count = max(ROUNDS * concurrency, LEAST) + 3 * concurrency
    output = np.full(count, max(round(float(scenario.osl)), 1))
    spread = np.random.default_rng(0).permutation(concurrency) + 1
    output[:concurrency] = -(-output[:concurrency] * spread // concurrency)
    return Requests(
        arrival=np.zeros(count),
        prompt=np.full(count, max(round(float(scenario.isl)), 1)),
        output=output,
        concurrency=concurrency,
    )
