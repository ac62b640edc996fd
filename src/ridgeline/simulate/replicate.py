"""Metrics over replications: the same workload with other random numbers, and how sure their means are."""

from __future__ import annotations

from collections.abc import Iterable

from ridgeline.simulate.metrics import Metrics
from ridgeline.simulate.replication import Interval, interval

LATENCIES = ("ttft", "tpot", "itl", "e2e", "wait")
RATES = ("request_rate", "output_rate", "goodput", "attained")


def replicated(found: Iterable[Metrics], level: float = 0.95) -> dict[str, Interval]:
    """Intervals of the mean over replications, by "ttft_mean", "ttft_p99", ..., "output_rate", ...

    A percentile's interval is of the mean of the replications' percentiles.
    """
    runs = list(found)
    values: dict[str, list[float]] = {}
    for run in runs:
        for name in LATENCIES:
            spread = getattr(run, name)
            for statistic, value in {"mean": spread.mean, **spread.percentiles}.items():
                values.setdefault(f"{name}_{statistic}", []).append(value)
        for name in RATES:
            values.setdefault(name, []).append(getattr(run, name))
    return {name: interval(each, level) for name, each in values.items()}
