"""What is told of a simulation: as a document, as rows, and as text. Knows no option of the command."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ridgeline.cli.headline import headline
from ridgeline.cli.report import Rows
from ridgeline.cli.table import counted, heading, plain, shown, table
from ridgeline.serving.point import chip_price
from ridgeline.simulate.simulation import Simulation
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
NAMED = 20
"""Refused requests that are listed."""
LONG = 2.0
"""CPU seconds in plain Python from which a run's reader is told how to compile it."""


def paid(made: Simulation) -> float | None:
    """Dollars per second of all replicas, or of those that were on; None without a price."""
    found = 0.0
    for each, replicas in made.pools:
        price = chip_price(each.scenario, each.subject)
        if price is None:
            return None
        found += price * each.chips * replicas
    return found * made.share_on


def document(made: Simulation, usd_per_s: float | None, again: str) -> dict[str, Any]:
    """Everything, in SI units."""
    found, run, replica = made.metrics, made.run, made.deployment
    settings = replica.engine
    money = {} if usd_per_s is None else found.cost(usd_per_s)
    energy = {} if made.watts is None else found.energy(made.watts)
    return {
        "command": "simulate",
        "model": replica.subject.model.name,
        "system": replica.subject.system.name,
        "chips": made.chips,
        "replicas": made.replicas,
        **_fleet(made),
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
        **energy,
        "preemptions": found.preemptions,
        "cached_tokens": found.cached_tokens,
        "steps": run.steps,
        "time_bound_by": found.bound,
        "kv_blocks": settings.blocks,
        "kv_blocks_peak": run.peak_blocks,
        "scheduler": settings.scheduler,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "max_num_seqs": settings.max_num_seqs,
        "block_size": settings.block_size,
        "prefix_caching": settings.prefix_caching,
        "async_scheduling": settings.async_scheduling,
        "static_batching": settings.static_batching,
        "reserve_full_input": settings.reserve_full_input,
        "policy": settings.policy,
        "mixed_chunk": settings.mixed_chunk,
        "drafts": settings.drafts,
        "acceptance": list(settings.acceptance),
        "lookahead": settings.held_ahead,
        **_tiers(made),
        **_tenants(made),
        "law_deviation": replica.law.deviation,
        "line": again,
    }


def _fleet(made: Simulation) -> dict[str, Any]:
    """What only fleets have."""
    done, apart = made.run.operation, made.prefill
    found: dict[str, Any] = {}
    if apart is not None:
        found |= {
            "prefill_replicas": apart.replicas,
            "prefill_layout": str(apart.replica.scenario.layout),
            "prefill_system": apart.replica.subject.system.name,
            "prefill_kv_blocks": apart.replica.engine.blocks,
            "prefill_max_num_batched_tokens": apart.replica.engine.max_num_batched_tokens,
            "transfer_bytes_per_s": apart.bandwidth,
        }
    if done is not None:
        found |= {"replicas_on_mean": made.replicas_on, "failures": done.failures, "retried": done.retried}
    return found


def _tiers(made: Simulation) -> dict[str, Any]:
    """What was kept and fetched below HBM; nothing without tiers."""
    engine = made.deployment.engine
    if not engine.tiers:
        return {}
    size = engine.block_size
    rows = [
        {
            "tier": tier.name, "capacity_tok": tier.blocks * size, "read_tok_per_s": size / tier.read,
            "write_tok_per_s": size / tier.write, "latency_s": tier.latency, "write_through": tier.write_through,
            "shared": tier.shared,
            "ttl_s": None if tier.ttl == float("inf") else tier.ttl, "fetched_tok": use.fetched * size,
            "written_tok": use.written * size, "held_tok": use.held * size,
            "hit": use.fetched * size / made.metrics.input_tokens if made.metrics.input_tokens else None,
        }
        for tier, use in zip(engine.tiers, made.run.tiers, strict=True)
    ]  # fmt: skip
    return {"kv_fetch": engine.fetch, "kv_path_tok_per_s": size / engine.path, "kv_tiers": rows}


def _tenants(made: Simulation) -> dict[str, Any]:
    """Metrics of each tenant; nothing without tenants."""
    if not made.tenants:
        return {}
    rows = {
        name: {
            "requests": each.requests, "completed": each.completed, "preemptions": each.preemptions,
            **{f"{latency}_s": _spread(getattr(each, latency)) for latency in LATENCIES.values()},
            "requests_per_s": each.request_rate, "output_tokens_per_s": each.output_rate,
            "goodput_per_s": each.goodput, "attained": each.attained,
        }
        for name, each in made.tenants.items()
    }  # fmt: skip
    return {"tenants": rows}


def _spread(found: Spread) -> dict[str, float]:
    return {"mean": found.mean, "std": found.std, "min": found.least, "max": found.most, **found.percentiles}


def rows(made: Simulation) -> Rows:
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
        **({} if run.replica is None else {"replica": run.replica}),
    }
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return Rows(list(columns), ([None if v != v else v for v in row] for row in values))


def text(made: Simulation, usd_per_s: float | None, limits: dict[str, float]) -> list[RenderableType]:
    """The answer for a reader."""
    found, replica = made.metrics, made.deployment
    _, stored = headline(replica.scenario, replica.subject)
    chips = ", ".join(f"{counted(p.chips * n, 'chip')} of {p.subject.system.name}" for p, n in made.pools)
    names = f"{replica.subject.model.name} on {chips}"
    each = (
        f"{made.replicas} replicas of {replica.scenario.layout}" if made.replicas > 1 else f"{replica.scenario.layout}"
    )
    if made.prefill is not None:
        first = made.prefill
        each = f"prefill on {first.replicas} x {first.replica.scenario.layout}, decode on {made.replicas} x "
        each += f"{replica.scenario.layout}, caches sent at {shown(first.bandwidth, 'B/s')} from each prefill replica"
    spreads = {name: getattr(found, key) for name, key in LATENCIES.items()}
    times = table(
        ["<", "mean", "p50", "p90", "p99", "most"],
        [
            (name, *(shown(x, "s") if x == x else "-" for x in (s.mean, s["p50"], s["p90"], s["p99"], s.most)))
            for name, s in spreads.items()
        ],
    )
    return [
        f"{names} ({each}); {stored.partition('; ')[2]}",
        _engine(made),
        heading(f"{found.completed:,} of {found.requests:,} requests served in {shown(found.duration, 's')}"),
        times,
        "",
        *_tenant_table(made),
        *_tier_table(made),
        *_rates(made, usd_per_s),
        *_goodput(made, limits),
        f"time bound by: {', '.join(f'{name} {share:.0%}' for name, share in found.bound.items() if share >= 0.005)}",
        *_kept(made),
        *_warnings(made),
        "",
        f"law: within {replica.law.deviation:.2%} of the estimate on random steps"
        f" (median {replica.law.median_deviation:.2g}); {made.run.steps:,} steps simulated",
        *_uncompiled(made.cpu),
    ]


def _uncompiled(cpu: float) -> list[RenderableType]:
    """What a long run in plain Python leaves unused."""
    if cpu < LONG or find_spec("numba"):
        return []
    return [
        f"{shown(cpu, 's')} of CPU in plain Python: pip install 'ridgeline[sim]' compiles it, tens of times as fast"
    ]


def _tenant_table(made: Simulation) -> list[RenderableType]:
    if not made.tenants:
        return []
    columns = ["<tenant", "requests", "TTFT mean", "TTFT p99", "TPOT mean", "TPOT p99", "E2E p99", "preempted", "kept"]

    def cell(value: float) -> str:
        return shown(value, "s") if value == value else "-"

    rows = [
        (
            name, f"{each.completed:,}", cell(each.ttft.mean), cell(each.ttft["p99"]), cell(each.tpot.mean),
            cell(each.tpot["p99"]), cell(each.e2e["p99"]), f"{each.preemptions:,}", f"{each.attained:.1%}",
        )
        for name, each in made.tenants.items()
    ]  # fmt: skip
    return [table(columns, rows), ""]


def _tier_table(made: Simulation) -> list[RenderableType]:
    engine = made.deployment.engine
    if not engine.tiers:
        return []
    size, total = engine.block_size, made.metrics.input_tokens
    columns = ["<tier", "<written", "holds", "read", "kept for", "written", "fetched", "of prompts"]
    rows = [
        (
            tier.name, "through" if tier.write_through else "back", shown(tier.blocks * size, "tok"),
            shown(size / tier.read, "tok/s"), "ever" if tier.ttl == float("inf") else shown(tier.ttl, "s"),
            shown(use.written * size, "tok"), shown(use.fetched * size, "tok"), f"{use.fetched * size / total:.1%}",
        )
        for tier, use in zip(engine.tiers, made.run.tiers, strict=True)
    ]  # fmt: skip
    policy = {"sooner": "if sooner than computing", "always": "always", "never": "never"}[engine.fetch]
    whose = ""
    if made.replicas > 1:
        own, common = ([tier.name for tier in engine.tiers if tier.shared is shared] for shared in (False, True))
        parts = [f"{', '.join(own)} of each replica"] if own else []
        parts += [f"{', '.join(common)} of all replicas together"] if common else []
        whose = f"; {', '.join(parts)}"
    return [table(columns, rows), f"fetched {policy}, over a link of {shown(size / engine.path, 'tok/s')}{whose}", ""]


def _engine(made: Simulation) -> str:
    """What the engine may do, with the switches that change results."""
    e = made.deployment.engine
    memory = f"{e.blocks:,} KV blocks of {e.block_size} tokens" if e.blocks else "a cache without limit"
    switches = "asynchronous" if e.async_scheduling else "synchronous"
    if e.scheduler == "sglang":
        ratio = e.first_ratio
        order = "longest prefix match first" if e.policy == "lpm" else "first come, first served"
        return (
            f"SGLang scheduler, {'overlapped' if e.async_scheduling else 'not overlapped'},"
            f" {'answers along with prompts' if e.mixed_chunk else 'prompts before answers'}, {order},"
            f" {'radix cache' if e.prefix_caching else 'no radix cache'}: chunks of {e.max_num_batched_tokens:,}"
            f" tokens, prompts of {e.max_prefill_tokens:,} per batch, {e.max_num_seqs:,} requests,"
            f" new token ratio from {ratio:.2g},"
            f" retraction until {e.retract_decode_steps} steps fit, {memory}"
        )
    switches += ", prefix cache" if e.prefix_caching else ", no prefix cache"
    admit = "whole prompt reserved" if e.reserve_full_input else "first chunk reserved"
    if e.policy == "priority":
        admit += ", by priority"
    if e.drafts:
        admit += f", {e.drafts} drafts accepted at {e.acceptance[0]:.0%} each, {e.held_ahead} positions held ahead"
    name = "static batches" if e.static_batching else "vLLM v1 scheduler"
    return (
        f"{name}, {switches}, {admit}: at most {e.max_num_batched_tokens:,} tokens and"
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
    if made.watts is not None:
        joules = found.energy(made.watts)["joules_per_token"]
        cost += f", {shown(joules, 'J/tok')} at full power"
    return [rates, f"{counted(found.preemptions, 'preemption')}{used}{hit}{cost}"]


def _kept(made: Simulation) -> list[str]:
    """Failures, and how many replicas were on."""
    done, found = made.run.operation, []
    if done is not None and done.failures:
        found.append(f"{counted(done.failures, 'failure')}, {counted(done.retried, 'request')} sent to another replica")
    if made.scaled:
        found.append(f"{plain(made.replicas_on)} replicas on, on average, of {made.replicas}")
    return found


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
