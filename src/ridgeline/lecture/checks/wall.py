"""Chapter 4: the memory wall."""

from __future__ import annotations

import msgspec

from ridgeline.hardware import System, format_bytes, load_system
from ridgeline.lecture.checks.experts import c050
from ridgeline.roofline import drain_time
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point
from ridgeline.units import Seconds, Usd


def _bandwidth(system: System) -> float:
    return system.domain.size * system.chip.hbm_bandwidth


def staged(scenario: str, stages: float) -> tuple[Point, Point]:
    """One domain, and a pipeline of so many with a sequence in each."""
    one = Scenario.from_query(scenario)
    more = msgspec.structs.replace(one, pp=int(stages), chips=one.chips * int(stages), batch=one.batch * int(stages))
    return point(one), point(more)


def c082(share: float, capital: Usd) -> float:
    return share * capital


def c084(before: str, after: str) -> float:
    return load_system(after).value.domain.size / load_system(before).value.domain.size


def c085(before: str, after: str) -> float:
    return _bandwidth(load_system(after).value) / _bandwidth(load_system(before).value)


def c086(scenario: str, stages: float) -> float:
    one, more = staged(scenario, stages)
    return more.step.floor / one.step.floor


def c087(scenario: str, stages: float) -> bool:
    one, more = staged(scenario, stages)
    capacity = more.scenario.layout.chips / one.scenario.layout.chips
    return bool(capacity == stages and more.step.time.memory >= 0.999 * one.step.time.memory)


c088 = c050


def c162(parameters: float, format: str, small: str, large: str, limit: Seconds) -> bool:
    size = parameters * format_bytes(format)
    read = [drain_time(size, _bandwidth(load_system(name).value)) for name in (large, small)]
    return read[0] <= limit < read[1]
