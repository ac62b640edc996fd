"""The highest rate of requests at which a replica keeps its objectives.

    largest rate with   share of requests that meet all objectives >= attain   and   not overloaded

by bisection in the logarithm of the rate. Every rate is tried with the same random numbers: the same requests, only
closer together, so that differences between rates are of the rate. The share falls as the rate grows, but for accidents
of a few requests, which more requests make smaller. Knows no price.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec

from ridgeline.errors import InputError
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.simulation import Simulation, simulate, some_served
from ridgeline.workload import Requests

HIGHEST = 1e6
"""Requests per second beyond which nobody looks."""
LOWEST = 1e-3


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The best rate that was found, and how sure it is."""

    rate: float
    """Requests per second that keep the objectives."""
    above: float
    """The lowest rate tried that does not."""
    best: Simulation
    beyond: Simulation
    """What happens at `above`."""
    tried: int


def capacity(
    deployment: Deployment,
    draw: Callable[[float], Requests],
    objectives: Mapping[str, float],
    *,
    attain: float = 0.99,
    precision: float = 0.01,
) -> Capacity:
    """Search the highest rate of one replica.

    Parameters
    ----------
    draw
        The requests at a rate, of one seed.
    objectives
        Longest times in seconds by "ttft", "tpot", "e2e".
    attain
        Share of requests that must meet all of them.
    precision
        Relative distance of the rates that bracket the answer.

    Raises
    ------
    InputError
        Without objectives, for a share that is none, if they are missed even by requests that come one by one, or kept
        at any rate, and if no request fits in the cache.
    """
    if not objectives:
        raise InputError("no --slo", "what a request may take", "such as --slo ttft=1s,tpot=25ms")
    if not 0 < attain <= 1:
        raise InputError(f"--attain {attain:g}", "a share above 0 and at most 1")
    runs: dict[float, Simulation] = {}

    def keeps(rate: float) -> bool:
        made = runs[rate] = some_served(simulate(deployment, draw(rate), objectives=objectives))
        return made.metrics.attained >= attain and not made.overloaded

    low = high = 1.0
    if keeps(1.0):
        while keeps(high := high * 4):
            low = high
            if high > HIGHEST:
                raise InputError("--slo", "times that some rate misses", f"all are kept at {high:,.0f} requests/s")
    else:
        while not keeps(low := low / 4):
            high = low
            if low < LOWEST:
                met = runs[low].metrics
                raise InputError(
                    "--slo",
                    f"times that requests keep which come one by one; {met.attained:.1%} do",
                    f"alone, TTFT takes {met.ttft['p50']:.3g} s and TPOT {met.tpot['p50']:.3g} s",
                )
    while high / low > 1 + precision:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return Capacity(rate=low, above=high, best=runs[low], beyond=runs[high], tried=len(runs))
