"""Options of a fleet: replicas, routers, two pools, failures, and replicas that follow the load. Knows no number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Group, Parameter
from msgspec.structs import replace

from ridgeline.cli.asked import drawn
from ridgeline.cli.traffic import count, deployed
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.layout import Layout
from ridgeline.scenario import Scenario
from ridgeline.simulate.apart import Pool, prefill_pool
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.fleet import Upkeep
from ridgeline.simulate.simulation import Simulation
from ridgeline.simulate.stream import stream
from ridgeline.units import parse

_FLEET, _APART = Group("Fleet", sort_key=12), Group("Prefill and decode apart", sort_key=13)
_KEEPING = Group("Failures and autoscaling", sort_key=14)

SAMPLE = 10_000
"""Requests of a stream whose mean lengths decide about the bytes of a cached token."""


def _option(text: str, group: Group) -> Parameter:
    return Parameter(help=text, group=group)


def options(
    *,
    replicas: Annotated[int, _option("Equal replicas behind a router.", _FLEET)] = 1,
    router: Annotated[
        str, _option("Who gets a request: least-loaded, round-robin, prefix, or sticky sessions.", _FLEET)
    ] = "least-loaded",
    stream: Annotated[
        bool,
        _option(
            "Keep only live requests: round-robin on --workers processes, percentiles to 1 us or 1 in 65,536.", _FLEET
        ),
    ] = False,
    workers: Annotated[int, _option("Processes of --stream and --over; default: all processors.", _FLEET)] = 0,
    prefill_replicas: Annotated[int, _option("Replicas that only prefill; with --decode-replicas.", _APART)] = 0,
    decode_replicas: Annotated[int, _option("Replicas that decode what others prefilled.", _APART)] = 0,
    prefill_layout: Annotated[
        str, _option('Layout of the prefill replicas \\[such as "tp=4,ep=4"]; default: as the others.', _APART)
    ] = "",
    prefill_batched_tokens: Annotated[
        str, _option("Tokens of a prefill step at most; default: the engine's, by memory.", _APART)
    ] = "",
    between_failures: Annotated[
        str, _option("Mean time of a replica between failures \\[such as 10 h]; default: none fails.", _KEEPING)
    ] = "",
    repair: Annotated[str, _option("From a failure until the replica is up again.", _KEEPING)] = "5 min",
    retry: Annotated[str, _option("From a failure until its requests arrive at another.", _KEEPING)] = "0 s",
    fewest_replicas: Annotated[
        int, _option("Autoscaling from so many to --replicas; default: all are on.", _KEEPING)
    ] = 0,
    scale_target: Annotated[int, _option("Open requests per replica that it aims at.", _KEEPING)] = 0,
    scale_every: Annotated[str, _option("Between two looks at the load.", _KEEPING)] = "15 s",
    scale_start: Annotated[str, _option("From the start of a replica until it is up.", _KEEPING)] = "2 min",
    scale_keep: Annotated[str, _option("For which fewer must be enough before one is drained.", _KEEPING)] = "5 min",
) -> None:
    """Options that `simulate` adds to its own."""


def keeping(given: Mapping[str, Any]) -> Upkeep:
    """How replicas come and go.

    Raises
    ------
    InputError
        For options that mean nothing without another, and times that cannot be read.
    """
    if bool(given["fewest_replicas"]) != bool(given["scale_target"]):
        raise InputError("--fewest-replicas or --scale-target alone", "both: autoscaling needs a range and a target")
    mean = given["between_failures"]
    return Upkeep(
        between_failures=parse(mean, "s", "--between-failures") if mean else 0.0,
        repair=parse(given["repair"], "s", "--repair"),
        retry=parse(given["retry"], "s", "--retry"),
        seed=given["seed"],
        fewest=given["fewest_replicas"],
        target=given["scale_target"],
        every=parse(given["scale_every"], "s", "--scale-every"),
        start=parse(given["scale_start"], "s", "--scale-start"),
        keep=parse(given["scale_keep"], "s", "--scale-keep"),
    )


def streamed(scenario: Scenario, given: Mapping[str, Any], limits: Mapping[str, float], progress: Any) -> Simulation:
    """Serve requests while they are drawn.

    Raises
    ------
    InputError
        For options that need all requests at hand, or replicas that depend on each other.
    """
    for name in ("trace", "timeline", "prefill_replicas", "decode_replicas", "between_failures", "fewest_replicas"):
        if given[name]:
            raise InputError(f"--{name.replace('_', '-')} with --stream", "one of them")
    if given["replications"] != 1 or parse(given["warm_up"], "s") or parse(given["cool_down"], "s"):
        raise InputError("--stream with replications or a window", "one run, all of which counts")
    if given["router"] not in ("round-robin", "least-loaded"):
        raise InputError(f"--router {given['router']} with --stream", "round-robin, so that replicas are independent")
    workload = drawn(given)
    sample = replace(workload, requests=min(workload.requests, SAMPLE)).draw(given["seed"])
    made = deployed(scenario, sample, dict(given))
    check_chips(made, given["replicas"])
    workers = min(given["workers"] or os.cpu_count() or 1, given["replicas"])
    return stream(
        made, workload, given["seed"], given["replicas"], workers=workers, objectives=limits, progress=progress
    ).simulation(made, sample, given["replicas"])


def pools(scenario: Scenario, decode: Deployment, given: Mapping[str, Any]) -> tuple[int, Pool | None]:
    """How many replicas decode, and the pool before them, if there is one.

    Raises
    ------
    InputError
        For half of two pools, a layout that cannot be read, and more chips than there are.
    """
    first, second = given["prefill_replicas"], given["decode_replicas"]
    if not first and not second:
        for name in ("prefill_layout", "prefill_batched_tokens"):
            if given[name]:
                raise InputError(f"--{name.replace('_', '-')}", "two pools: --prefill-replicas and --decode-replicas")
        check_chips(decode, given["replicas"])
        return given["replicas"], None
    if first < 1 or second < 1:
        raise InputError(f"--prefill-replicas {first}, --decode-replicas {second}", "both, 1 or more each")
    if given["replicas"] != 1:
        raise InputError("--replicas beside two pools", "--prefill-replicas and --decode-replicas")
    mine = replace(
        decode.scenario, **_degrees(given["prefill_layout"], scenario), osl=1,
        system=scenario.prefill_system or scenario.system, prefill_system="", prefill_chips=0,
        chips=scenario.chips if not scenario.prefill_system else scenario.prefill_chips,
    )  # fmt: skip
    pool = prefill_pool(
        mine, decode, first, second, tokens=count(given["prefill_batched_tokens"], "--prefill-batched-tokens")
    )
    if scenario.prefill_system:
        check_chips(decode, second)
        check_chips(pool.replica, first, "--prefill-chips")
    else:
        check_chips(decode, second, more=pool.chips)
    return second, pool


def _degrees(text: str, scenario: Scenario) -> dict[str, int]:
    """Degrees of a layout such as "tp=4,ep=4"; those of the scenario where there is no text."""
    names = Layout.__struct_fields__
    if not text:
        return {name: getattr(scenario, name) for name in names}
    found = dict(zip(names, Layout.__struct_defaults__, strict=True))
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not value.isdigit():
            raise InputError(f"--prefill-layout {text!r}", "degrees as name=number", "such as tp=4,ep=4")
        if name not in names:
            raise UnknownNameError("degree in --prefill-layout", name, names)
        found[name] = int(value)
    return found


def check_chips(replica: Deployment, replicas: int, option: str = "--chips", more: int = 0) -> None:
    """Refuse more replicas than the chips make, `more` of which others take.

    Raises
    ------
    InputError
        With the number of chips that would do.
    """
    needed = replicas * replica.chips + more
    if needed > replica.subject.chips:
        others = f" beside {more} others" if more else ""
        raise InputError(
            f"{replicas} replicas of {replica.chips} chips{others}",
            f"at most the {replica.subject.chips} chips of {replica.subject.system.name}",
            f"{option} {needed}",
        )
