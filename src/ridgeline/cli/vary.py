"""`simulate --over`: many scenarios in one call, a row for each."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import msgspec

from ridgeline.cli import asked as asking
from ridgeline.cli import fleet, traffic
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, plain, shown, table
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.metrics import Metrics
from ridgeline.simulate.variations import Variation, Varied, variations
from ridgeline.sweep.axis import axis, values

if TYPE_CHECKING:
    from rich.console import RenderableType

NUMBERS: dict[str, type] = {
    "rate": float, "concurrency": int, "seed": int, "requests": str, "isl": str, "osl": str, "turns": str,
    "prefix": str, "groups": int, "replicas": int, "max_num_batched_tokens": str, "max_num_seqs": str, "kv_blocks": str,
}  # fmt: skip
"""Options of requests, batching and fleets that may vary, and what a command line makes of them."""
TEXTS = ("arrivals", "scheduler", "policy", "router", "think")
DRAWN = (
    "rate",
    "concurrency",
    "seed",
    "requests",
    "turns",
    "think",
    "prefix",
    "groups",
    "arrivals",
    "replicas",
    "router",
)
"""Options that leave the replica as it is."""
MOST = 100_000
SHOWN = 60
"""Rows of a table; all of them with --csv and --json."""
TIMES = ("ttft", "tpot", "itl", "e2e", "wait")


def varied(scenario: Scenario, given: dict[str, Any], usual: dict[str, Any], limits: dict[str, float]) -> Report:
    """The answer for all combinations of some options' values.

    Raises
    ------
    InputError
        For an option that cannot vary, and for what looks at one run only.
    """
    for name in (
        "trace",
        "tenant",
        "timeline",
        "clients",
        "stream",
        "prefill_replicas",
        "between_failures",
        "fewest_replicas",
    ):
        if given[name]:
            raise InputError(f"--over with --{name.replace('_', '-')}", "one of them")
    if given["replications"] != 1:
        raise InputError("--over with --replications", "one of them", "--over seed=0:9:+1")
    axes = _axes(given["over"])
    keys = [dict(zip(axes, row, strict=True)) for row in product(*axes.values())]
    if len(keys) > MOST:
        raise InputError(f"--over: {len(keys):,} combinations", f"at most {MOST:,}")
    made: dict[Any, Deployment] = {}
    cases = [_case(scenario, given, usual, key, made) for key in keys]
    workers = min(given["workers"] or os.cpu_count() or 1, len(cases)) if len(cases) > 1 else 1
    found = variations(cases, objectives=limits, workers=workers)
    rows = [{**key, **_row(each)} for key, each in zip(keys, found, strict=True)]
    again = traffic.line("simulate", scenario, given, usual)
    one = cases[0].deployment.subject
    title = f"{one.model.name} on {one.system.name}"
    return Report(
        document=lambda: {"command": "simulate", "cases": rows, "line": again},
        rows=lambda: Rows.of(rows),
        text=lambda: [*_text(title, keys, found, bool(limits)), copied(f"again: {again}")],
    )


def _axes(over: list[str]) -> dict[str, list[Any]]:
    """Options and their values, each once."""
    axes: dict[str, list[Any]] = {}
    for text in over:
        name, equals, given = text.partition("=")
        name = name.strip().replace("-", "_")
        items = [item.strip() for item in given.split(",")]
        if name in axes:
            raise InputError(f"--over {name}", "each option once")
        if name in traffic.FIELDS:
            name, found = axis(text)
            axes[name] = [int(v) if isinstance(v, float) and v == int(v) else v for v in found]
        elif not equals or not given:
            raise InputError(f"--over {text!r:.60}", "NAME=VALUES", "such as rate=5:50:+5")
        elif name in NUMBERS:
            numbers = [value for item in items for value in values(item, "1", f"--over {name}")]
            axes[name] = [_as(NUMBERS[name], value, name) for value in numbers]
        elif name in TEXTS:
            axes[name] = items
        else:
            raise UnknownNameError("option in --over", name[:60], (*NUMBERS, *TEXTS, *traffic.FIELDS))
    return axes


def _as(kind: type, value: float, name: str) -> Any:
    """A value as the option has it."""
    if kind is float:
        return value
    if value != int(value):
        raise InputError(f"--over {name}={value:g}", "whole numbers")
    return kind(int(value))


def _case(
    scenario: Scenario,
    given: Mapping[str, Any],
    usual: Mapping[str, Any],
    key: Mapping[str, Any],
    made: dict[Any, Deployment],
) -> Variation:
    """One combination; replicas that are equal are made once, for the requests that come first."""
    own = {**given, **{name: value for name, value in key.items() if name in given}}
    mine = msgspec.structs.replace(scenario, **{name: value for name, value in key.items() if name not in given})
    same = tuple(item for item in key.items() if item[0] not in DRAWN)
    workload = asking.drawn(own)
    if same not in made:
        made[same] = traffic.deployed(mine, asking.asked(own, usual).requests, own)
    fleet.check_chips(made[same], own["replicas"])
    return Variation(
        deployment=made[same], workload=workload, seed=own["seed"], replicas=own["replicas"], router=own["router"]
    )


def _row(made: Varied) -> dict[str, Any]:
    """What is told of a case, in SI units."""
    found, times = made.metrics, dict[str, Any]()
    for name in TIMES:
        spread = getattr(found, name)
        times |= {f"{name}_{kind}_s": value for kind, value in {"mean": spread.mean, **spread.percentiles}.items()}
    return {
        "completed": found.completed, "failed": found.failed, "duration_s": found.duration, **times,
        "requests_per_s": found.request_rate, "input_tokens_per_s": found.input_rate,
        "output_tokens_per_s": found.output_rate, "concurrency_mean": found.concurrency,
        "goodput_per_s": found.goodput, "attained": found.attained, "preemptions": found.preemptions,
        "cached_tokens": found.cached_tokens, "overloaded": made.overloaded,
    }  # fmt: skip


def _text(title: str, keys: list[dict[str, Any]], found: list[Varied], limited: bool) -> list[RenderableType]:
    names = [f"<{name}" for name in keys[0]]
    columns = [*names, "TTFT", "p99", "TPOT", "p99", "E2E p99", "req/s", "tok/s out", "preempted"]
    rows = [
        (
            *(f"{value:g}" if isinstance(value, float) else str(value) for value in key.values()),
            *(text for name in ("ttft", "tpot") for text in _cells(m, name)),
            _cells(m, "e2e")[1], plain(m.request_rate) + (" *" if each.overloaded else ""), plain(m.output_rate),
            f"{m.preemptions:,}", *([f"{m.attained:.1%}"] if limited else []),
        )
        for key, each in zip(keys[:SHOWN], found, strict=False)
        for m in (each.metrics,)
    ]  # fmt: skip
    notes = ["* overloaded: times depend on how many requests there were"] if any(e.overloaded for e in found) else []
    more = [f"and {len(keys) - SHOWN:,} more: --csv or --json"] if len(keys) > SHOWN else []
    return [
        f"{title} in {len(keys):,} scenarios",
        "",
        table([*columns, *(["kept"] if limited else [])], rows),
        *more,
        *notes,
    ]


def _cells(found: Metrics, name: str) -> tuple[str, str]:
    spread = getattr(found, name)
    one, other = (shown(x, "s") if x == x else "-" for x in (spread.mean, spread["p99"]))
    return one, other
