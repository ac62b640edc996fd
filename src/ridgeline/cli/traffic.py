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
from ridgeline.workload import Requests, Trace, Workload, read

FIELDS = tuple(
    name
    for names in GROUPS.values()
    for name in names
    if name not in (*GROUPS["Workload"], *GROUPS["Limits"], "utilisation") or name == "skew"
)
"""Options of the scenario that a simulation takes."""

_TRAFFIC, _BATCHING = Group("Requests", sort_key=10), Group("Batching", sort_key=11)


def _traffic(text: str, name: str | None = None) -> Parameter:
    return Parameter(name=name, help=text, group=_TRAFFIC)


def _batching(text: str) -> Parameter:
    return Parameter(help=text, group=_BATCHING)


Rate = Annotated[float | None, _traffic("Requests per second; default 1, of a trace as recorded.")]
Count = Annotated[str, _traffic('How many requests \\[such as "10k"]; default 1000, of a trace all.')]
TraceFile = Annotated[str, _traffic("File of recorded requests instead: Azure, BurstGPT, Mooncake, Vidur, plain CSV.")]
Scale = Annotated[float, _traffic("Factor on the tokens of a trace's prompts, or of its answers.")]
Prefix = Annotated[str, _traffic("Tokens that all prompts begin with, in the cache after the first.")]
NoCaching = Annotated[bool, _batching("Remember no prefixes.")]
Lengths = Annotated[str, _traffic('Prompt tokens: a number, or a distribution \\[such as "lognormal:mean=512,cv=1"].')]
Answers = Annotated[str, _traffic("Output tokens, likewise.")]
Arrivals = Annotated[str, _traffic("poisson, gamma:cv=2, fixed, burst:size=10, at-once.")]
Turns = Annotated[str, _traffic("Turns of a session, each repeating what was said: a number or a distribution.")]
Think = Annotated[str, _traffic("Time between the end of a turn and the next \\[such as 20 s].")]
Concurrency = Annotated[int, _traffic("Closed loop: requests (or sessions) kept open; no rate.")]
Seed = Annotated[int, _traffic("Seed of the random numbers.")]
Slo = Annotated[str, _traffic("Objectives of a request \\[such as ttft=1s,tpot=25ms].")]
BatchTokens = Annotated[str, _batching("Tokens of a step at most; default as vLLM's for an API server.")]
BatchSeqs = Annotated[str, _batching("Requests in the batch at most; default as vLLM's.")]
BlockSize = Annotated[int, _batching("Tokens per KV block.")]
Blocks = Annotated[str, _batching("KV blocks; default: what memory holds.")]
Synchronous = Annotated[bool, _batching("Plan each step after the one before it, not while it runs.")]
FirstChunk = Annotated[bool, _batching("Admit requests whose first chunk fits, even if the whole prompt does not.")]


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


def asked(given: dict[str, Any]) -> tuple[Requests, list[str]]:
    """The requests that the options describe, and what is to be said of them.

    Raises
    ------
    InputError
        For a seed below 0, options of drawn requests beside a trace, and what workloads and traces refuse.
    """
    if given["seed"] < 0:
        raise InputError(f"--seed {given['seed']}", "0 or more")
    if given["trace"]:
        for name in ("isl", "osl", "arrivals", "turns", "think", "prefix"):
            if given[name] != DRAWN[name]:
                raise InputError(f"--{name} beside --trace", "one of them", "--prompt-scale and --output-scale stretch")
        found = read(
            Trace(
                path=given["trace"],
                requests=count(given["requests"], "--requests"),
                rate=_rate(given["rate"], 0.0),
                prompt_scale=given["prompt_scale"],
                output_scale=given["output_scale"],
                concurrency=given["concurrency"],
            ),
            given["seed"],
        )
        return found.requests, found.notes()
    workload = Workload.read(
        requests=count(given["requests"], "--requests") or 1000,
        rate=_rate(given["rate"], 1.0),
        concurrency=given["concurrency"],
        arrive=given["arrivals"],
        isl=given["isl"],
        osl=given["osl"],
        turns=given["turns"],
        think=given["think"],
        prefix=int(parse(given["prefix"], "tok", "--prefix")),
    )
    return workload.draw(given["seed"]), []


DRAWN = {"isl": "512", "osl": "128", "arrivals": "poisson", "turns": "1", "think": "0 s", "prefix": "0"}
"""Defaults of requests that are drawn."""


def _rate(given: float | None, default: float) -> float:
    if given is not None and not given > 0:
        raise InputError(f"--rate {given:g}", "requests per second, above 0")
    return default if given is None else given


def deployed(scenario: Scenario, requests: Requests, batching: dict[str, Any]) -> Deployment:
    """The replica that serves some requests, whose mean lengths decide about the bytes of a cached token."""
    scenario = replace(scenario, isl=float(requests.prompt.mean()), osl=float(requests.output.mean()))
    return deployment(
        scenario,
        tokens=count(batching["max_num_batched_tokens"], "--max-num-batched-tokens"),
        sequences=count(batching["max_num_seqs"], "--max-num-seqs"),
        blocks=count(batching["kv_blocks"], "--kv-blocks"),
        block=batching["block_size"],
        prefix_caching=not batching["no_prefix_caching"],
        async_scheduling=not batching["no_async_scheduling"],
        reserve_full_input=not batching["admit_first_chunk"],
    )


def line(command: str, scenario: Scenario, given: dict[str, Any], defaults: dict[str, Any]) -> str:
    """The command line that asks the same."""
    words = [scenario.to_cli(command)]
    for name, value in given.items():
        if value != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            words.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return " ".join(words)
