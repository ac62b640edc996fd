"""The metrics of a run beside the names that benchmark clients have for them, and intervals over replications."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ridgeline.cli.table import NONE, heading, plain, shown, table
from ridgeline.simulate.clients import CLIENTS, LATENCIES, NUMBERS, name
from ridgeline.simulate.metrics import Metrics
from ridgeline.simulate.replicate import LATENCIES as TIMES
from ridgeline.simulate.replication import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

UNIT = {"duration": "s", "input_tokens": "tok", "output_tokens": "tok"}
PER_SECOND = {"input_rate": "tok/s", "output_rate": "tok/s", "total_rate": "tok/s"}


def table_of(metrics: Metrics) -> list[RenderableType]:
    """Each metric with its name in each client."""
    rows: list[list[str]] = []
    for mine in LATENCIES:
        spread = getattr(metrics, mine)
        names = [_key(mine, client) for client in CLIENTS]
        rows.append([mine.upper(), *names, shown(spread.mean, "s"), _known(spread["p99"])])
    for mine in NUMBERS:
        value = getattr(metrics, mine)
        unit = UNIT.get(mine) or PER_SECOND.get(mine, "1")
        names = [name(mine, client) or NONE for client in CLIENTS]
        rows.append([mine.replace("_", " "), *names, shown(value, unit) if unit != "1" else plain(value), ""])
    heads = ["<", "<vLLM bench serve", "<SGLang bench_serving", "<AIPerf", "mean", "p99"]
    return [heading("The same under the names of benchmark clients"), table(heads, rows)]


def intervals(found: Mapping[str, Interval]) -> list[RenderableType]:
    """Means over replications and how sure they are; nothing without any."""
    if not found:
        return []
    one = next(iter(found.values()))
    rows = [
        [
            mine.upper() if mine != "wait" else mine,
            *(_sure(found[f"{mine}_{key}"]) for key in ("mean", "p50", "p90", "p99")),
        ]
        for mine in TIMES
    ]
    title = f"Mean over {one.replications} replications, {one.level:.0%} interval"
    return [heading(title), table(["<", "mean", "p50", "p90", "p99"], rows)]


def _sure(one: Interval) -> str:
    return NONE if math.isnan(one.mean) else f"{shown(one.mean, 's')} ±{shown(one.half_width, 's', 2)}"


def _known(value: float) -> str:
    return NONE if math.isnan(value) else shown(value, "s")


def _key(mine: str, client: str) -> str:
    """The key of a mean in a client's result."""
    named = name(mine, client)
    return named if client == "aiperf" else f"mean_{named}_ms"
