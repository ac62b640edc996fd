"""Whether a claim holds: its check run with the lecture's inputs, with real ones, and without its assumption.

    not computable             there is no check, and no source settles it
    contradicted               the value that is judged is not what was stated
    under an assumption        it is, and `assuming` says on what condition
    reproduced                 it is

A check is a function of `checks/` with the name of the claim; its parameters are annotated with their units, and it
calls the public laws. Knows no law itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from types import CodeType, FunctionType
from typing import Any, get_args, get_type_hints

import msgspec

from ridgeline.lecture.claim import Claim, Inputs
from ridgeline.scenario import Scenario
from ridgeline.serving import Given, Point, point
from ridgeline.serving.numbers import source
from ridgeline.units import parse, show

VERDICTS = ("reproduced", "under an assumption", "contradicted", "not computable")
_CHECKS = "ridgeline.lecture.checks"
SWING = 2.0
"""Factor by which the tornado divides and multiplies each input."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """What a check gives for one set of inputs."""

    label: str
    inputs: dict[str, Given]
    value: Any
    holds: bool


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A claim and what came of it."""

    claim: Claim
    verdict: str
    said: Value | None
    otherwise: Value | None
    real: list[Value]
    laws: list[str]
    """Public laws that the check calls, by dotted name."""


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """A claim's value as one input is halved and doubled, and whether the claim then holds."""

    name: str
    low: float
    high: float
    low_holds: bool
    high_holds: bool


def examine(claim: Claim) -> Finding:
    """Run the check of a claim with all its inputs."""
    check = _check(claim)
    if check is None:
        verdict = {"confirmed": VERDICTS[0], "refuted": VERDICTS[2]}.get(claim.evidence, VERDICTS[3])
        return Finding(claim=claim, verdict=verdict, said=None, otherwise=None, real=[], laws=[])
    said = None if claim.said is None else _value(claim, check, claim.said)
    otherwise = None if claim.otherwise is None else _value(claim, check, (claim.said or {}) | claim.otherwise)
    real = [_value(claim, check, inputs) for inputs in claim.real]
    judged = [said] if claim.judged == "said" else real
    holds = all(value is not None and value.holds for value in judged)
    verdict = VERDICTS[2 if not holds else 1 if claim.assuming else 0]
    return Finding(claim=claim, verdict=verdict, said=said, otherwise=otherwise, real=real, laws=laws(claim))


def tornado(claim: Claim) -> list[Swing]:
    """What each number that goes into a claim moves, the largest swing first; empty where there is none to move."""
    check = _check(claim)
    inputs = claim.said if claim.said is not None else next(iter(claim.real), None)
    if check is None or not inputs:
        return []
    base = _given(check, inputs)
    out: list[Swing] = []
    for name, given in base.items():
        if isinstance(given.value, bool) or not isinstance(given.value, int | float):
            continue
        ends = []
        for factor in (1 / SWING, SWING):
            moved = base | {name: msgspec.structs.replace(given, value=given.value * factor)}
            try:
                ends.append(_run(claim, check, moved))
            except (ValueError, ZeroDivisionError):  # no such thing as half of it
                ends.append((math.nan, False))
        if not isinstance(ends[0][0], bool):
            (low, low_holds), (high, high_holds) = ends
            out.append(Swing(name=name, low=float(low), high=float(high), low_holds=low_holds, high_holds=high_holds))
    return sorted(out, key=lambda swing: -abs(swing.high - swing.low) if math.isfinite(swing.high - swing.low) else 0)


def laws(claim: Claim) -> list[str]:
    """Dotted names of the public laws that a claim's check calls, itself or through its chapter's own functions."""
    check = _check(claim)
    return [] if check is None else list(dict.fromkeys(_called(check)))


def _called(function: Callable[..., Any]) -> Iterator[str]:
    codes = [function.__code__]
    for code in codes:  # grows: what is nested in it
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
        for name in code.co_names:
            thing = function.__globals__.get(name)
            module = getattr(thing, "__module__", "")
            if not callable(thing) or not module.startswith("ridgeline."):
                continue
            if module.startswith(_CHECKS) and isinstance(thing, FunctionType):
                yield from _called(thing)
            else:
                yield f"{module}.{thing.__qualname__}"


def stated(claim: Claim) -> tuple[float, float]:
    """Least and greatest value, in the claim's unit, that count as what was stated."""
    text = claim.stated.strip()
    for sign in (">=", "<="):
        if text.startswith(sign):
            edge = parse(text.removeprefix(sign).strip(), claim.unit, claim.id)
            return (edge, math.inf) if sign == ">=" else (0.0, edge)
    low, dots, high = text.partition("..")
    if dots:
        return parse(low, claim.unit, claim.id), parse(high, claim.unit, claim.id)
    value = parse(text, claim.unit, claim.id)
    return value * (1 - claim.within), value * (1 + claim.within)


def printed(claim: Claim, value: Any) -> str:
    """A claim's value as a reader wants it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{float(value):,.4g}" if claim.unit == "1" else show(float(value), claim.unit)


def _check(claim: Claim) -> Callable[..., Any] | None:
    module = import_module(f"{_CHECKS}.{claim.chapter}")
    return getattr(module, claim.id.lower(), None)


def _value(claim: Claim, check: Callable[..., Any], inputs: Inputs) -> Value:
    given = _given(check, inputs)
    value, holds = _run(claim, check, given)
    return Value(label=_label(inputs), inputs=given, value=value, holds=holds)


def _run(claim: Claim, check: Callable[..., Any], given: dict[str, Given]) -> tuple[Any, bool]:
    value = check(**{name: item.value for name, item in given.items()})
    if not claim.stated:
        return bool(value), bool(value)
    low, high = stated(claim)
    return value, bool(low <= value <= high)


def _given(check: Callable[..., Any], inputs: Inputs) -> dict[str, Given]:
    """Inputs as numbers with units and sources: quantities are read, "@name" is looked up in the scenario."""
    hints = _hints(check)
    asked = inputs.get("scenario", "")
    out: dict[str, Given] = {}
    for name, hint in hints.items():
        if name == "scenario":
            out[name] = Given(asked, "", "")
        elif name in inputs:
            value = inputs[name]
            if isinstance(value, str) and value.startswith("@"):
                out[name] = _looked_up(_point(asked), value[1:], _unit(hint))
            elif hint in (str, bool, int):
                out[name] = Given(value, "1" if hint is int else "", "")
            else:
                out[name] = Given(parse(value, _unit(hint), name), _unit(hint), "")
    return out


def _looked_up(found: Point, name: str, unit: str) -> Given:
    """A number of a point by its name, or a value of its system by its dotted path."""
    if name in found.numbers:
        number = found.numbers[name]
        said = dict.fromkeys(given.source for given in number.inputs.values() if given.source)
        return Given(float(number.value), number.unit, "\n".join(said))
    value: Any = found.subject.system
    for part in name.split("."):
        value = getattr(value, part)
    return Given(float(value), unit, source(found.subject, name))


@lru_cache(maxsize=64)
def _point(query: str) -> Point:
    return point(Scenario.from_query(query))


@lru_cache(maxsize=512)
def _hints(check: Callable[..., Any]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(check, include_extras=True).items() if name != "return"}


def _unit(hint: Any) -> str:
    return get_args(hint)[1] if getattr(hint, "__metadata__", ()) else "1"


def _label(inputs: Inputs) -> str:
    if "of" in inputs:
        return inputs["of"]
    if "scenario" in inputs:
        asked = Scenario.from_query(inputs["scenario"])
        return f"{asked.model} on {asked.system}"
    return ", ".join(str(value) for value in inputs.values() if isinstance(value, str) and not value[:1].isdigit())
