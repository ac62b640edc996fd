"""`ridgeline simulate`: one replica under a stream of requests, request by request."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

from ridgeline.cli import traffic
from ridgeline.cli.headline import headline
from ridgeline.cli.options import command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, counted, heading, plain, shown, table
from ridgeline.cli.traffic import asked, deployed, line
from ridgeline.scenario import Scenario
from ridgeline.serving.point import chip_price
from ridgeline.simulate.objectives import objectives
from ridgeline.simulate.simulation import Simulation
from ridgeline.simulate.simulation import simulate as serve
from ridgeline.simulate.spread import Spread

if TYPE_CHECKING:
    from rich.console import RenderableType

LATENCIES = {
    "TTFT": "ttft",
    "TPOT": "tpot",
    "ITL": "itl",
    "E2E": "e2e",
    "wait": "wait",
}
LONG = 300_000
"""Requests from which on a terminal shows progress."""
NAMED = 20
"""Refused requests that are listed."""


@command(*traffic.FIELDS)
def simulate(
    scenario: Scenario,
    *,
    rate: traffic.Rate = None,
    requests: traffic.Count = "",
    isl: traffic.Lengths = "512",
    osl: traffic.Answers = "128",
    arrivals: traffic.Arrivals = "poisson",
    turns: traffic.Turns = "1",
    think: traffic.Think = "0 s",
    prefix: traffic.Prefix = "0",
    concurrency: traffic.Concurrency = 0,
    trace: traffic.TraceFile = "",
    prompt_scale: traffic.Scale = 1.0,
    output_scale: traffic.Scale = 1.0,
    seed: traffic.Seed = 0,
    slo: traffic.Slo = "",
    max_num_batched_tokens: traffic.BatchTokens = "",
    max_num_seqs: traffic.BatchSeqs = "",
    block_size: traffic.BlockSize = 16,
    kv_blocks: traffic.Blocks = "",
    no_prefix_caching: traffic.NoCaching = False,
    no_async_scheduling: traffic.Synchronous = False,
    admit_first_chunk: traffic.FirstChunk = False,
) -> Report:
    """One replica under a stream of requests: queues, percentiles, what binds, what a token costs.

    Steps take what `ridgeline step` estimates; requests are batched, chunked and preempted as vLLM v1 does it.
    """
    given = {name: value for name, value in locals().items() if name != "scenario"}
    limits = objectives(slo) if slo else {}
    sent, notes = asked(given)
    replica = deployed(scenario, sent, given)
    price = chip_price(scenario, replica.subject)
    with _Progress(len(sent)) as progress:
        made = serve(replica, sent, objectives=limits, progress=progress)
    rate_usd = None if price is None else price * replica.chips
    again = line("simulate", scenario, given, _defaults())
    return Report(
        document=lambda: document(made, rate_usd, again),
        rows=lambda: _rows(made),
        text=lambda: [*notes, *text(made, rate_usd, limits), copied(f"again: {again}")],
    )


def _defaults() -> dict[str, Any]:
    from ridgeline.cli import simulate as module

    own = inspect.signature(module.simulate).parameters
    return {name: parameter.default for name, parameter in own.items()}


class _Progress:
    """A line on a terminal that says how far a long run is; nothing elsewhere."""

    def __init__(self, count: int) -> None:
        self.shown = count >= LONG and sys.stderr.isatty()

    def __enter__(self) -> Any:
        return self if self.shown else None

    def __call__(self, share: float) -> None:
        print(f"\rsimulating {share:4.0%}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.shown:
            print("\r" + " " * 16 + "\r", end="", file=sys.stderr, flush=True)


def document(made: Simulation, usd_per_s: float | None, again: str) -> dict[str, Any]:
    """Everything, in SI units."""
    found, run, replica = made.metrics, made.run, made.deployment
    settings = replica.engine
    money = {} if usd_per_s is None else found.cost(usd_per_s)
    return {
        "command": "simulate",
        "model": replica.subject.model.name,
        "system": replica.subject.system.name,
        "chips": replica.chips,
        "requests": found.requests,
        "completed": found.completed,
        "refused": len(made.refused),
        "refused_requests": made.refused[:NAMED],
        "overloaded": made.overloaded,
        "cpu_s": made.cpu,
        "duration_s": found.duration,
        **{f"{name}_s": _spread(getattr(found, name)) for name in LATENCIES.values()},
        "requests_per_s": found.request_rate,
        "input_tokens_per_s": found.input_rate,
        "output_tokens_per_s": found.output_rate,
        "concurrency": found.concurrency,
        "goodput_per_s": found.goodput,
        "attained": found.attained,
        **money,
        "preemptions": found.preemptions,
        "cached_tokens": found.cached_tokens,
        "steps": run.steps,
        "time_bound_by": found.bound,
        "kv_blocks": settings.blocks,
        "kv_blocks_peak": run.peak_blocks,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "max_num_seqs": settings.max_num_seqs,
        "block_size": settings.block_size,
        "prefix_caching": settings.prefix_caching,
        "async_scheduling": settings.async_scheduling,
        "reserve_full_input": settings.reserve_full_input,
        "law_deviation": replica.law.deviation,
        "line": again,
    }


def _spread(found: Spread) -> dict[str, float]:
    return {"mean": found.mean, "std": found.std, "min": found.least, "max": found.most, **found.percentiles}


def _rows(made: Simulation) -> Rows:
    """One row for each request."""
    run, requests = made.run, made.requests
    columns = {
        "arrival_s": run.arrival,
        "prompt": requests.prompt,
        "output": requests.output,
        "start_s": run.start,
        "first_token_s": run.first_token,
        "finish_s": run.finish,
        "preemptions": run.preemptions,
        "cached": run.cached,
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return Rows(list(columns), ([None if v != v else v for v in row] for row in values))


def text(made: Simulation, usd_per_s: float | None, limits: dict[str, float]) -> list[RenderableType]:
    """The answer for a reader."""
    found, replica = made.metrics, made.deployment
    _, stored = headline(replica.scenario, replica.subject)
    names = f"{replica.subject.model.name} on {counted(replica.chips, 'chip')} of {replica.subject.system.name}"
    spreads = {name: getattr(found, key) for name, key in LATENCIES.items()}
    times = table(
        ["<", "mean", "p50", "p90", "p99", "most"],
        [
            (name, *(shown(x, "s") if x == x else "-" for x in (s.mean, s["p50"], s["p90"], s["p99"], s.most)))
            for name, s in spreads.items()
        ],
    )
    return [
        f"{names} ({replica.scenario.layout}); {stored.partition('; ')[2]}",
        _engine(made),
        heading(f"{found.completed:,} of {found.requests:,} requests served in {shown(found.duration, 's')}"),
        times,
        "",
        *_rates(made, usd_per_s),
        *_goodput(made, limits),
        f"time bound by: {', '.join(f'{name} {share:.0%}' for name, share in found.bound.items() if share >= 0.005)}",
        *_warnings(made),
        "",
        f"law: within {replica.law.deviation:.2%} of the estimate on random steps"
        f" (median {replica.law.median_deviation:.2g}); {made.run.steps:,} steps simulated",
    ]


def _engine(made: Simulation) -> str:
    """What the engine may do, with the switches that change results."""
    e = made.deployment.engine
    memory = f"{e.blocks:,} KV blocks of {e.block_size} tokens" if e.blocks else "a cache without limit"
    switches = "asynchronous" if e.async_scheduling else "synchronous"
    switches += ", prefix cache" if e.prefix_caching else ", no prefix cache"
    admit = "whole prompt reserved" if e.reserve_full_input else "first chunk reserved"
    return (
        f"vLLM v1 scheduler, {switches}, {admit}: at most {e.max_num_batched_tokens:,} tokens and"
        f" {e.max_num_seqs:,} requests per step, {memory}"
    )


def _rates(made: Simulation, usd_per_s: float | None) -> list[str]:
    found, run = made.metrics, made.run
    rates = (
        f"{plain(found.request_rate)} requests/s, {plain(found.input_rate)} tok/s in, {plain(found.output_rate)} tok/s"
        f" out, {plain(found.concurrency)} requests open on average"
    )
    hit = (
        f", {found.cached_tokens / found.input_tokens:.1%} of prompt tokens found in the cache"
        if run.cached.any()
        else ""
    )
    used = f", at most {run.peak_blocks / run.blocks:.0%} of KV blocks in use" if run.blocks else ""
    money = found.cost(usd_per_s) if usd_per_s is not None else {}
    cost = f"; {shown(money['usd_per_token'], 'USD/tok')} of all tokens" if money else "; price not known (--price)"
    return [rates, f"{counted(found.preemptions, 'preemption')}{used}{hit}{cost}"]


def _goodput(made: Simulation, limits: dict[str, float]) -> list[str]:
    if not limits:
        return []
    asked = ", ".join(f"{name} {shown(limit, 's')}" for name, limit in limits.items())
    return [f"goodput: {plain(made.metrics.goodput)} requests/s, {made.metrics.attained:.1%} keep {asked}"]


def _warnings(made: Simulation) -> list[str]:
    """What makes the numbers mean less."""
    found: list[str] = []
    if made.overloaded:
        found.append(
            f"OVERLOADED: requests arrive faster than {plain(made.metrics.request_rate)}/s, which is all it serves;"
            " latencies grow with the length of the run"
        )
    if len(made.refused):
        first = int(made.refused[0])
        tokens = made.requests.prompt[first] + made.requests.output[first]
        engine = made.deployment.engine
        found.append(
            f"{counted(len(made.refused), 'request')} refused: no room even alone, the first is request {first} of"
            f" {tokens:,} tokens in a cache of {engine.blocks * engine.block_size:,}"
        )
    return found
