"""By how many percent a step changes when one of its inputs grows by one: exact, through JAX.

    elasticity of t in x  =  d ln t / d ln x  =  x / t * dt/dx

-1 for a bandwidth means that the memory alone decides; 1 for the batch, that a step of twice the sequences takes twice
as long. At a kink, where two terms bind equally, it lies between those of the two sides. Only what can change by a
little has one: lengths, batch, rates and latencies, not degrees or formats. Knows no cost.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ridgeline.accelerator import library
from ridgeline.estimate import estimate
from ridgeline.scenario import Scenario
from ridgeline.serving.point import Evaluator
from ridgeline.subject import Subject, subject
from ridgeline.timing import Step, step

WORKLOAD = ("batch", "context", "isl", "osl", "cached")
"""Fields of a scenario that a step may depend on smoothly."""
SYSTEM = ("chip.hbm_bandwidth", "chip.peak.bf16", "chip.peak.fp8", "chip.peak.fp4", "chip.peak.int8",
          "domain.bandwidth", "domain.latency", "network.bandwidth", "network.latency")  # fmt: skip
"""Rates and latencies of a system."""


class Elasticity(msgspec.Struct, frozen=True, kw_only=True):
    """Percent by which a step's floor and estimate change for one percent more of an input."""

    value: float
    """The input, in SI units."""
    floor: float
    estimate: float


def elasticities(scenario: Scenario) -> dict[str, Elasticity]:
    """Elasticities of the step of a scenario in every input that it has, by name.

    Inputs are fields of the scenario ("batch") and values of the system by path ("chip.hbm_bandwidth"); one on which
    neither floor nor estimate depends is left out. Derivatives are exact (reverse mode, 64 bits).

    Raises
    ------
    InputError
        Without JAX, and as `serving.point`.
    """
    jax = library("elasticities")
    found = subject(scenario)
    names = [name for name in WORKLOAD if getattr(scenario, name)]
    values = {name: float(getattr(scenario, name)) for name in names}
    values |= {path: float(value) for path in SYSTEM if (value := _get(found.system, path))}

    def both(inputs: dict[str, Any]) -> Any:
        one = _step(scenario, found, inputs)
        return jax.numpy.stack([jax.numpy.asarray(t, dtype=float) for t in one])

    with jax.default_device(jax.devices("cpu")[0]):
        times, slopes = both(values), jax.jacrev(both)(values)
    out: dict[str, Elasticity] = {}
    for name, slope in slopes.items():
        floor, expected = (float(s * values[name] / t) + 0.0 for s, t in zip(slope, times, strict=True))
        if floor or expected:
            out[name] = Elasticity(value=values[name], floor=floor, estimate=expected)
    return out


def _step(scenario: Scenario, found: Subject, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """Floor and estimate of the scenario's step with some of its inputs replaced."""
    system = found.system
    for path in SYSTEM:
        if path in inputs:
            system = _put(system, path, inputs[path])
    changed = {name: value for name, value in inputs.items() if name in WORKLOAD}
    scenario = msgspec.structs.replace(scenario, **changed)
    found = msgspec.structs.replace(found, system=system)
    made = _timed(scenario, found)
    expected = estimate(made, found.model, system, scenario.layout, scenario.engine)
    return made.floor, expected.seconds


def _timed(scenario: Scenario, found: Subject) -> Step:
    layout = scenario.layout
    if scenario.phase == "decode":
        return Evaluator(scenario, found).decode(layout, scenario.batch)
    return step(found.model, found.system, layout, scenario.segments, found.precision, skew=scenario.skew)


def _get(thing: Any, path: str) -> Any:
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def _put(thing: Any, path: str, value: Any) -> Any:
    """A copy with another value at a path."""
    name, _, rest = path.partition(".")
    return msgspec.structs.replace(thing, **{name: _put(getattr(thing, name), rest, value) if rest else value})
