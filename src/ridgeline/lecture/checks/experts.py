"""Chapter 2: experts inside a rack."""

from __future__ import annotations

import msgspec

from ridgeline.collectives import wire_time
from ridgeline.hardware import System, format_bytes, load_system
from ridgeline.messages import Message, distinct_groups
from ridgeline.model import load_model
from ridgeline.model.architecture import Experts
from ridgeline.scenario import Scenario
from ridgeline.serving import point

TOKENS = 1e9
"""Bytes of an all-to-all, enough that latency does not matter."""


def _memory(system: System) -> float:
    return system.domain.size * system.chip.hbm_capacity


def exchange(system: System, racks: float) -> float:
    """Seconds of an all-to-all of uniform copies over so many domains."""
    near = TOKENS / racks
    message = Message(
        name="dispatch",
        kind="all_to_all",
        ranks=racks * system.domain.size,
        stride=1,
        bytes=near,
        far_bytes=TOKENS - near,
    )
    return float(wire_time(message, system))


def c043(model: str) -> float:
    found = next(f for layer in load_model(model).layers for f in layer.feedforwards if isinstance(f, Experts))
    return found.active / found.count


def c044(experts: float, ranks: float) -> float:
    return experts / ranks


def c045(system: str) -> bool:
    return load_system(system).value.domain.topology == "switched"


def c046(system: str) -> float:
    return load_system(system).value.domain.size


def c047(system: str, card: float) -> float:
    found = load_system(system).value
    return found.scale_up / (found.scale_out * card)


def c048(racks: float, experts: int, active: int) -> float:
    return distinct_groups(racks, int(experts), int(active)) * (1.0 - 1.0 / racks) / float(active)


def c049(system: str, racks: float) -> float:
    found = load_system(system).value
    return exchange(found, racks) / exchange(found, 1.0)


def c050(system: str, ranks: float) -> float:
    return ranks / load_system(system).value.domain.size


def c051(system: str, faster: float) -> bool:
    found = load_system(system).value
    network = msgspec.structs.replace(found.network, bandwidth=found.scale_out * faster)
    return exchange(msgspec.structs.replace(found, network=network), 2.0) > exchange(found, 1.0)


def c052(system: str, dies: float) -> float:
    return load_system(system).value.domain.size * dies


def c053(before: str, after: str, dies_before: float, dies_after: float) -> float:
    return c052(after, dies_after) / c052(before, dies_before)


def c055(chips: float, links: float) -> float:
    return (2.0 * chips * links) / (chips * links)


def c057(system: str) -> float:
    return _memory(load_system(system).value)


c058 = c057


def c059(system: str, parameters: float, format: str) -> float:
    return parameters * format_bytes(format) / _memory(load_system(system).value)


def c061(domains: float, system: str) -> float:
    found = load_system(system).value
    return domains * _memory(found) / _memory(found)


def c062(scenario: str, shared: int) -> float:
    apart = Scenario.from_query(scenario)
    together = msgspec.structs.replace(apart, tp=int(shared), dp=apart.dp // int(shared))
    return point(together).estimate.seconds / point(apart).estimate.seconds


def c154(scenario: str) -> float:
    sent = {
        message.name: message.bytes + message.far_bytes
        for layer in point(Scenario.from_query(scenario)).step.layers
        for message, _ in layer.messages
        if message.kind == "all_to_all"
    }
    return sum(sent.values()) / sent["dispatch"]


def c156(scenario: str) -> bool:
    found = point(Scenario.from_query(scenario))
    ranks = {m.ranks for layer in found.step.layers for m, _ in layer.messages if m.kind == "all_to_all"}
    return ranks == {found.scenario.layout.chips}
