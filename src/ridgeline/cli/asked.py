"""The requests that a command line asks for: drawn from distributions, or read from a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from cyclopts import Group, Parameter

from ridgeline.cli import traffic
from ridgeline.errors import InputError
from ridgeline.units import parse
from ridgeline.workload import Mixture, Requests, Trace, Workload, arrivals, read
from ridgeline.workload import tenant as read_tenant

_TRACE = Group("Trace", sort_key=10)


def _trace(text: str) -> Parameter:
    return Parameter(help=text, group=_TRACE)


File = Annotated[str, _trace("Requests of a file: Azure, BurstGPT, Mooncake, Vidur or a CSV; docs/workloads.md.")]
Format = Annotated[str, _trace("Its format; default: told by its columns.")]
Speed = Annotated[float, _trace("How many times faster than recorded; --rate sets the mean rate instead.")]
Begin = Annotated[str, _trace("Left out at its beginning \\[such as 10 min].")]
Length = Annotated[str, _trace("How much of it is played, in its own time \\[such as 1 h].")]
PromptScale = Annotated[float, _trace("Factor on its prompts.")]
OutputScale = Annotated[float, _trace("Factor on its answers.")]
SkipEmpty = Annotated[bool, _trace("Leave out, and count, requests without prompt or answer.")]
HashBlock = Annotated[int, _trace("Tokens that a hash id stands for; default: as in its format.")]

OF_TRACES = (
    "trace_format",
    "speed",
    "trace_begin",
    "trace_length",
    "prompt_scale",
    "output_scale",
    "skip_empty",
    "hash_block",
)
"""Options that mean nothing without a trace."""
OF_DRAWN = ("isl", "osl", "turns", "think", "prefix", "groups", "tenant")
"""Options that mean nothing with one."""


def options(
    *,
    isl: traffic.Lengths = "512",
    osl: traffic.Answers = "128",
    arrivals: traffic.Arrivals = "",
    turns: traffic.Turns = "1",
    think: traffic.Think = "0 s",
    prefix: traffic.Prefix = "0",
    groups: traffic.Groups = 1,
    seed: traffic.Seed = 0,
    slo: traffic.Slo = "",
    trace: File = "",
    trace_format: Format = "",
    trace_begin: Begin = "0 s",
    trace_length: Length = "",
    prompt_scale: PromptScale = 1.0,
    output_scale: OutputScale = 1.0,
    skip_empty: SkipEmpty = False,
    hash_block: HashBlock = 0,
    tenant: traffic.Tenants = None,
) -> None:
    """Options of what is asked."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, and what is to be said of them."""

    requests: Requests
    notes: list[str]
    workload: Workload | Mixture | None = None
    """What they were drawn from."""
    tenants: dict[str, dict[str, float]] = {}
    """Names of tenants, and the objectives of their requests."""


def drawn(given: Mapping[str, Any]) -> Workload:
    """The workload of the options of a command, if it is neither a trace nor of several tenants."""
    rate = 1.0 if given["rate"] is None else given["rate"]
    return Workload.read(requests=_count(given), rate=rate, concurrency=given.get("concurrency", 0), **_usual(given))


def _count(given: Mapping[str, Any]) -> int:
    return traffic.count(given["requests"], "--requests") or 1000


def _usual(given: Mapping[str, Any]) -> dict[str, Any]:
    """What tenants may have of their own, and a workload has."""
    return {
        "arrive": given["arrivals"] or "poisson",
        "isl": given["isl"],
        "osl": given["osl"],
        "turns": given["turns"],
        "think": given["think"],
        "prefix": int(parse(given["prefix"], "tok", "--prefix")),
        "groups": given["groups"],
    }


def asked(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Asked:
    """The requests of the options of a command.

    Raises
    ------
    InputError
        For options that do not go together, and for whatever the distributions or the trace refuse.
    """
    unfit = OF_DRAWN if given["trace"] else OF_TRACES
    for name in unfit:
        if name in given and given[name] != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            if given["trace"]:
                raise InputError(f"{option} beside --trace", "one of them", "--prompt-scale and --output-scale stretch")
            raise InputError(option, "a --trace that it is of")
    if given["seed"] < 0:
        raise InputError(f"--seed {given['seed']}", "0 or more")
    if given["rate"] is not None and not given["rate"] > 0:
        raise InputError(f"--rate {given['rate']:g}", "requests per second, above 0")
    if not given["trace"]:
        if given.get("tenant"):
            for name in ("rate", "concurrency"):
                if given.get(name):
                    raise InputError(f"--{name} beside --tenant", "one of them", "each tenant has a rate")
            mixture = Mixture.of([read_tenant(text) for text in given["tenant"]], _count(given), _usual(given))
            limits = {each.name: each.limits for each in mixture.tenants}
            return Asked(requests=mixture.draw(given["seed"]), notes=[], workload=mixture, tenants=limits)
        workload = drawn(given)
        return Asked(requests=workload.draw(given["seed"]), notes=[], workload=workload)
    if given["arrivals"] and given["rate"] is None:
        raise InputError("--arrivals with --trace", "a --rate, as its times are not used")
    length = given["trace_length"]
    found = read(
        Trace(
            path=given["trace"],
            format=given["trace_format"],
            begin=parse(given["trace_begin"], "s", "--trace-begin"),
            length=parse(length, "s", "--trace-length") if length else float("inf"),
            requests=traffic.count(given["requests"], "--requests"),
            speed=given.get("speed", 1.0),
            rate=given["rate"] or 0.0,
            prompt_scale=given["prompt_scale"],
            output_scale=given["output_scale"],
            concurrency=given.get("concurrency", 0),
            arrivals=arrivals(given["arrivals"]) if given["arrivals"] else None,
            skip_empty=given["skip_empty"],
            hash_block=given["hash_block"],
        ),
        given["seed"],
    )
    notes = [f"trace {given['trace']}: {found.notes()[0]}", *found.notes()[1:]]
    return Asked(requests=found.requests, notes=notes)
