"""Options that say what is asked of a replica and how its engine batches, and what they mean. Knows no number."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from cyclopts import Group, Parameter
from msgspec.structs import replace

from ridgeline.cli.options import GROUPS
from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.units import parse
from ridgeline.workload import Requests

FIELDS = tuple(
    name
    for names in GROUPS.values()
    for name in names
    if name not in (*GROUPS["Workload"], *GROUPS["Limits"], "utilisation") or name in ("skew", "verify", "acceptance")
)
"""Options of the scenario that a simulation takes."""

_TRAFFIC, _BATCHING = Group("Requests", sort_key=10), Group("Batching", sort_key=11)


def _traffic(text: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, help=text, group=_TRAFFIC)


def _batching(text: str) -> Parameter:
    return Parameter(help=text, group=_BATCHING)


Rate = Annotated[float | None, _traffic("Requests per second; default 1, of a trace as recorded.")]
Count = Annotated[str, _traffic('How many requests \\[such as "10k"]; default 1000, of a trace all.')]
Prefix = Annotated[str, _traffic("Tokens before those of --isl that the prompts of a group share.")]
Groups = Annotated[int, _traffic("Different prefixes, drawn with equal probability.")]
NoCaching = Annotated[bool, _batching("Remember no prefixes.")]
Lengths = Annotated[str, _traffic('Prompt tokens: a number, or a distribution \\[such as "lognormal:mean=512,cv=1"].')]
Answers = Annotated[str, _traffic("Output tokens, likewise.")]
Arrivals = Annotated[str, _traffic("poisson (default), gamma:cv=2, fixed, burst:size=10, at-once.")]
Turns = Annotated[str, _traffic("Turns of a session, each repeating what was said: a number or a distribution.")]
Think = Annotated[str, _traffic("Time between the end of a turn and the next \\[such as 20 s].")]
Concurrency = Annotated[int, _traffic("Closed loop: requests (or sessions) kept open; no rate.")]
Seed = Annotated[int, _traffic("Seed of the random numbers.")]
WarmUp = Annotated[str, _traffic("Time of arrivals at the beginning that metrics leave out.")]
CoolDown = Annotated[str, _traffic("The same at the end.")]
Replications = Annotated[int, _traffic("Runs with random numbers of their own, for intervals of the means.")]
Slo = Annotated[str, _traffic("Objectives of a request \\[such as ttft=1s,tpot=25ms].")]
Scheduler = Annotated[str, _batching("vllm or sglang; default: that of --engine, vllm for others.")]
BatchTokens = Annotated[
    str, _batching("Tokens of a step at most, of SGLang the chunked prefill size; default: the engine's, by memory.")
]
BatchSeqs = Annotated[str, _batching("Requests in the batch at most; default: the engine's, by memory.")]
BlockSize = Annotated[int | None, _batching("Tokens per KV block; default 16, of SGLang 1.")]
Blocks = Annotated[str, _batching("KV blocks; default: what memory holds.")]
Synchronous = Annotated[bool, _batching("Plan each step after the one before it, not while it runs.")]
Policy = Annotated[
    str,
    _batching("Order of the queue: fcfs (default); of vLLM also priority, of SGLang lpm (longest prefix match)."),
]
Mixed = Annotated[bool, _batching("SGLang: decoding requests get a token also from steps that compute prompts.")]
Lookahead = Annotated[
    int | None, _batching("KV positions held behind the drafts of --verify; default as many as drafts, 0 for n-grams.")
]
Tiers = Annotated[
    list[str] | None,
    _batching(
        "Where prefix blocks are kept below HBM, nearest first: a medium of the catalogue, or a name with capacity,"
        ' read and write \\[such as "ddr5:capacity=1TB,ttl=1h,mode=back"]. Once for each; each replica has its own, but'
        " one of all replicas with shared=yes."
    ),
]
Fetch = Annotated[
    str, _batching("What is fetched from tiers: sooner (default: if sooner than computing), always, never.")
]
Tenants = Annotated[
    list[str] | None,
    _traffic(
        'Requests of one kind among others \\["chat: rate=20; isl=512; osl=200; priority=0; ttft=1s"]; what it does not'
        " say is as asked for all. Once for each."
    ),
]
Static = Annotated[bool, _batching("Begin a batch only when all of the one before have ended.")]
FirstChunk = Annotated[bool, _batching("Admit requests whose first chunk fits, even if the whole prompt does not.")]


def batching(
    *,
    scheduler: Scheduler = "",
    max_num_batched_tokens: BatchTokens = "",
    max_num_seqs: BatchSeqs = "",
    block_size: BlockSize = None,
    kv_blocks: Blocks = "",
    no_prefix_caching: NoCaching = False,
    no_async_scheduling: Synchronous = False,
    admit_first_chunk: FirstChunk = False,
    static_batching: Static = False,
    policy: Policy = "fcfs",
    enable_mixed_chunk: Mixed = False,
    lookahead: Lookahead = None,
    kv_tier: Tiers = None,
    kv_fetch: Fetch = "sooner",
) -> None:
    """Options of how a replica batches."""


def count(text: str, option: str) -> int:
    """A whole number from text such as "10k"; 0 for none.

    Raises
    ------
    InputError
        For anything else.
    """
    if not text:
        return 0
    value = parse(text, "1", option)
    if value != int(value) or value < 1:
        raise InputError(f"{option} {text}", "a whole number above 0")
    return int(value)


def deployed(scenario: Scenario, requests: Requests, batching: dict[str, Any]) -> Deployment:
    """The replica that serves some requests, whose mean lengths decide about the bytes of a cached token."""
    scenario = replace(scenario, isl=float(requests.prompt.mean()), osl=float(requests.output.mean()))
    return deployment(
        scenario,
        tokens=count(batching["max_num_batched_tokens"], "--max-num-batched-tokens"),
        sequences=count(batching["max_num_seqs"], "--max-num-seqs"),
        blocks=count(batching["kv_blocks"], "--kv-blocks"),
        block=batching["block_size"],
        scheduler=batching["scheduler"],
        tiers=batching.get("kv_tier") or (),
        fetch=batching.get("kv_fetch", "sooner"),
        policy=batching["policy"],
        mixed_chunk=batching["enable_mixed_chunk"],
        lookahead=batching["lookahead"],
        draft_seed=batching["seed"],
        prefix_caching=not batching["no_prefix_caching"],
        static_batching=batching["static_batching"],
        async_scheduling=not batching["no_async_scheduling"],
        reserve_full_input=not batching["admit_first_chunk"],
    )


def line(command: str, scenario: Scenario, given: dict[str, Any], defaults: dict[str, Any]) -> str:
    """The command line that asks the same."""
    words = [scenario.to_cli(command)]
    for name, value in given.items():
        if value != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            values = value if isinstance(value, list) else [value]
            words += [option if each is True else f"{option} {shlex.quote(str(each))}" for each in values]
    return " ".join(words)
