"""What if a value of the system or of the model's experts were another: "chip.hbm_bandwidth=2x,domain.size=144".

A value is a quantity with its unit, or a factor with an "x" on what is there; several are applied in their order.
Paths are those of `System` (chip.hbm_bandwidth, chip.peak.fp8, domain.size, network.latency, ...), and experts.count,
experts.active, experts.width of every mixture in the model. Measured efficiencies stay: a chip with twice the bandwidth
reaches the same share of it. Knows no time.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import Chip, System
from ridgeline.model import Architecture
from ridgeline.model.architecture import Experts, Layer
from ridgeline.units import QUANTITIES, parse

EXPERTS = ("count", "active", "width")


def changed(system: System, model: Architecture, text: str) -> tuple[System, Architecture, dict[str, str]]:
    """System and model with the values of `text`, and what was changed: path -> value as given.

    Raises
    ------
    InputError
        For text without "=", a value that cannot be read or is not allowed, a factor on a value that is not known.
    UnknownNameError
        For a path that leads to no value.
    """
    done: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        path, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not value:
            raise InputError(f"--set {item!r:.60}", "PATH=VALUE", "such as chip.hbm_bandwidth=2x or domain.size=144")
        if path.startswith("experts."):
            model = _with_experts(model, path.removeprefix("experts."), value)
        else:
            system = _with_value(system, path, value)
        done[path] = f"{done[path]}, {value}" if path in done else value
    return system, model, done


def paths(owner: Any, prefix: str = "") -> list[str]:
    """Dotted paths of all numbers of a system that may be changed."""
    out: list[str] = []
    for name, (kind, unit) in _fields(type(owner)).items():
        value = getattr(owner, name)
        if isinstance(value, msgspec.Struct):
            out += paths(value, f"{prefix}{name}.")
        elif unit or kind in (int, float, bool) or name == "topology":
            out.append(f"{prefix}{name}")
    return out


def _fields(owner: type) -> dict[str, tuple[Any, str]]:
    """Type and unit of each field of a class."""
    out: dict[str, tuple[Any, str]] = {}
    for name, hint in get_type_hints(owner, include_extras=True).items():
        unit, kind = "", hint
        pending = [hint]
        while pending:
            each = pending.pop()
            if get_origin(each) is Annotated:
                unit = next((note for note in each.__metadata__ if isinstance(note, str) and note in QUANTITIES), unit)
                kind = each.__origin__
                pending.append(kind)
            elif get_args(each) and type(None) in get_args(each):
                pending += [option for option in get_args(each) if option is not type(None)]
        out[name] = (kind, unit)
    return out


def _with_value(system: System, path: str, text: str) -> System:
    """The system with one value replaced, checked as its class checks it."""
    if path not in (known := paths(system)):
        raise UnknownNameError("value to --set", path[:60], [*known, *(f"experts.{name}" for name in EXPERTS)])
    *above, last = path.split(".")
    owners: list[Any] = [system]
    for name in above:
        owners.append(getattr(owners[-1], name))
    new: Any = _value(f"--set {path}", getattr(owners[-1], last), text, *_fields(type(owners[-1]))[last])
    change = {last: new}
    if path == "chip.hbm_capacity" and isinstance(chip := owners[-1], Chip) and chip.hbm_visible:
        change["hbm_visible"] = chip.hbm_visible * new / chip.hbm_capacity
    for name, owner in zip(above[::-1], owners[:0:-1], strict=True):
        change = {name: replace(owner, **change)}
    try:
        return msgspec.convert(msgspec.to_builtins(replace(system, **change)), System)
    except msgspec.ValidationError as error:
        raise InputError(f"--set {path}={text}", str(error).partition(" - ")[0]) from None


def _value(what: str, now: Any, text: str, kind: Any, unit: str) -> Any:
    """A value from text: a factor on what is, a quantity, a truth or a word."""
    if isinstance(now, bool):
        if text not in ("true", "false"):
            raise InputError(f"{what}={text}", "true or false")
        return text == "true"
    if isinstance(now, str):
        return text
    if text.endswith("x"):
        if now is None:
            raise InputError(f"{what}={text}", "a value with its unit, since the catalogue has none to multiply")
        new = parse(text[:-1], "1", what) * now
    else:
        new = parse(text, unit or "1", what)
    if kind is int or isinstance(now, int):
        if new != round(new):
            raise InputError(f"{what}={text}", f"a whole number, not {new:g}")
        return round(new)
    return new


def _with_experts(model: Architecture, name: str, text: str) -> Architecture:
    """The model with another number or width of experts in every mixture; the router grows along."""
    if name not in EXPERTS:
        raise UnknownNameError("value to --set", f"experts.{name}"[:60], [f"experts.{each}" for each in EXPERTS])
    if not any(isinstance(f, Experts) for layer in model.layers for f in layer.feedforwards):
        raise InputError(f"--set experts.{name}", f"a model with experts, which {model.name} has not")

    def here(layer: Layer) -> Layer:
        parts: list[Any] = []
        for part in layer.feedforwards:
            if isinstance(part, Experts):
                new = _value(f"--set experts.{name}", getattr(part, name), text, int, "1")
                change: dict[str, Any] = {name: new}
                if name == "count":
                    change["linears"] = tuple(
                        replace(linear, cols=new) if linear.part == "router" and linear.cols == part.count else linear
                        for linear in part.linears
                    )
                part = replace(part, **change)
                if not 1 <= part.active <= part.count:
                    raise InputError(f"--set experts.{name}={text}", f"{part.active} active of {part.count} experts")
            parts.append(part)
        return replace(layer, feedforwards=tuple(parts))

    kinds = {layer: here(layer) for layer in {*model.layers, *model.mtp}}
    return replace(model, layers=tuple(kinds[x] for x in model.layers), mtp=tuple(kinds[x] for x in model.mtp))
