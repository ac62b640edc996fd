"""Chapter 3: what pipelining buys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ridgeline.hardware import format_bytes, load_system
from ridgeline.layout import micro_batches
from ridgeline.lecture.checks.wall import staged
from ridgeline.scenario import Scenario
from ridgeline.serving import point
from ridgeline.training.bubble import idle_share
from ridgeline.training.pipeline.crossing import held_per_chip, idle_decode, inside_over_between, token_time
from ridgeline.units import Seconds, Tokens


def c063(system: str, active: float, layers: float) -> float:
    found = load_system(system).value
    return inside_over_between(found.scale_up, found.scale_out, active, layers)


def c064(scenario: str, stages: float) -> float:
    one, more = staged(scenario, stages)
    return more.step.floor / one.step.floor


def c065(stages: float, micro_batches: float) -> float:
    return idle_decode(micro_batches, stages)


def c066(stages: int, micro_batches: float) -> float:
    return idle_share(float(stages), 1.0, micro_batches)


def c067(scenario: str, stages: float, hop: Seconds) -> float:
    one, more = staged(scenario, stages)
    return token_time(more.step.floor, stages, hop) / one.step.floor


def c068(stages: int) -> float:
    return next(m for m in range(1, 1000) if idle_decode(m, int(stages)) == 0)


def c069(scenario: str, stages: float) -> float:
    asked = Scenario.from_query(scenario)
    layout = msgspec.structs.replace(asked.layout, pp=int(stages))
    count = micro_batches(layout, asked.batch)
    return count * (asked.batch / count)


def c070(scenario: str) -> float:
    found = point(Scenario.from_query(scenario))
    numbers, asked = found.numbers, found.scenario
    stages = asked.layout.pp
    cache = asked.batch / stages * asked.context * numbers["kv_read_bytes_per_token"].value
    formula = sum(held_per_chip(numbers["weight_bytes"].value, cache, asked.layout.chips / stages, stages))
    held = numbers["memory_weights_bytes"].value + numbers["memory_cache_bytes"].value
    return held / formula


def c071(scenario: str, stages: float) -> float:
    one, more = staged(scenario, stages)
    return more.numbers["memory_cache_bytes"].value / one.numbers["memory_cache_bytes"].value


def c072(
    parameters: float, ranks: float, batch: float, context: Tokens, cache: Annotated[float, "B/tok"], stages: float
) -> float:
    weights, held = held_per_chip(parameters * format_bytes("fp8"), batch * context * cache, ranks, stages)
    return weights / held


def c073(parameters: float, format: str) -> float:
    return parameters * format_bytes(format)


def c074(system: str, parameters: float, format: str) -> float:
    found = load_system(system).value
    return found.domain.size * found.chip.hbm_capacity / (parameters * format_bytes(format))


def c075(stages: float, cache: float) -> float:
    return sum(held_per_chip(1.0, cache, 1.0, stages)) / sum(held_per_chip(1.0, cache, 1.0, 1.0))


def c076(scenario: str) -> float:
    found = point(Scenario.from_query(scenario))
    hops = [seconds for layer in found.step.layers for m, seconds in layer.messages if m.name == "stage hop"]
    return float(hops[0])


def c077(stages: float, hop: Seconds) -> float:
    return token_time(0.0, stages, hop)


def c161(scenario: str, stages: float) -> float:
    asked = Scenario.from_query(scenario)
    count = int(stages)
    deep = msgspec.structs.replace(asked, pp=count, chips=asked.chips * count)
    one, more = point(asked), point(deep)
    read = more.step.work.weights * micro_batches(deep.layout, deep.batch)
    return read / one.step.work.weights
