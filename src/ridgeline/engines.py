"""Constants of engines: what steps add to kernels, how clients drive engines, and how far measurements lie off.

They are fitted level by level (`validate.fit`): all engines ("any"), an engine, the engine on a generation of chips or
at a place, which is a model on a system. The stored file has a line for each, with what differs from the level above;
errors and intervals are lists in the order of HeldOut's fields and of SPREAD, and places with constants of their own
are not named again. Knows no step.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from itertools import takewhile
from typing import Any

import msgspec

from ridgeline.arrays import Array
from ridgeline.efficiency import generation

OVERLAPPED = " overlapped"
"""Added to an engine's name where two micro-batches take turns, as in DeepSeek's own and large SGLang deployments."""
VERSION = " at "
"""Between a benchmark's name and the version of the engine that it ran."""
APART = "separate pools"
"""Stands for a source: clients of separate pools, whose own prefill meets no decodes."""
FITTED = "fitted"
"""Key of the interval where constants were fitted to this model on this system by this engine."""
LEVELS = ("measured kernels", "measured steps", "pooled", "spec sheet only")
"""What an estimate rests on, best first."""
SPREAD = (*LEVELS, "any", FITTED)
"""Levels of an interval, in the order of the stored file."""


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How prompts reach the engine: constants of its front end and of the client that drives it."""

    frontend: float
    """Seconds per request outside the steps: HTTP, tokenising, scheduling."""
    per_request: float
    """Seconds more for each other open request."""
    first: float
    """Own prefill over that of a prompt alone: it shares its steps with decodes and other prompts."""
    burst: float
    """Share of the others' prefills that come before a request's own first token."""
    launch: float = 0.0
    """Seconds of a layer that a step with prompts takes at least: as if the host launched its kernels one by one."""
    missing: float = 0.0
    """Places of the engine, 0 to 1, that no request gets: clients keep one more open than are let in."""


class EngineConstants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step of an engine adds to its kernels, fitted to whole steps."""

    engine: str
    generation: str = ""
    """Generation of chips (`efficiency.generation`) they are for; empty: all."""
    place: str = ""
    """Engine, model and system they are for, as `place` names them; empty: all."""
    rows: int
    """Measured numbers behind it."""
    chips: tuple[str, ...]
    """Chips they were measured on."""
    kernels: float
    """Factor on kernels' work; 1 for engines whose kernels were measured."""
    attention: float = 1.0
    """Further factor on that of attention; 1 likewise."""
    prefill: float
    """Further factor on both in prefill steps; 1 likewise."""
    scores: float = 0.0
    """Times that the scores of prompts are written or read; 0 where one kernel computes attention."""
    launches: float
    quantise: float
    sync: float
    messages: float
    layer: float
    """Small kernels of a layer."""
    host: float
    sequence: float
    client: Client
    overlap: Array = 0.0
    """Share of messages that hides behind kernels: 1 if two micro-batches take turns."""

    def work_factor(self, prefill: bool, mixed: bool = False) -> float:
        """Factor on kernels' work in a step; with prompts and decodes the larger, so that neither is for free."""
        return self.kernels * (self.prefill if prefill else max(self.prefill, 1.0) if mixed else 1.0)


def spread(metric: str, resting: str, engine: str) -> tuple[float, float]:
    """ln(measured / estimate) between which four of five held-out measurements of a metric lie, at a level (FITTED)."""
    table = engines().spread
    if own := table.get(f"{metric}, {engine}", {}).get(resting):
        return own
    by_level = table.get(metric) or table.get(metric.partition("/")[2]) or table["all"]
    return by_level.get(resting) or by_level[LEVELS[0] if resting == FITTED else "any"]


def place(engine: str, model: str, system: str) -> str:
    """How a model on a system by an engine is named in `Engines.places`."""
    return f"{engine}, {model}, {system}"


class HeldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Error of predictions with constants fitted without the rows predicted."""

    n: int
    median_abs_error: float
    p90_abs_error: float
    bias: float


class Engines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All fitted engines, and how far measurements lie from estimates."""

    source: str
    notice: str = ""
    """Whose measurements the constants were fitted to, and their licence."""
    engines: tuple[EngineConstants, ...]
    places: tuple[str, ...]
    """Model, system and engine of all rows that constants were fitted to, as `place` names them."""
    clients: dict[str, Client]
    """How the clients of some benchmarks drive engines, by "engine, source of the measurement", the same with
    ", generation of chips", ", source", and "place, source"; by APART: how prompts reach separate pools."""
    held_out: dict[str, HeldOut]
    """By "mode/metric" and by "mode/metric, engine", each model on each system left out."""
    near: dict[str, HeldOut] = {}
    """The same, rows left out at random."""
    ablation: dict[str, tuple[float, float]] = {}
    """Median and 90th percentile of the error of the time per output token online, by what was left out of the law and
    the fit (`validate.ablation`)."""
    spread: dict[str, dict[str, tuple[float, float]]]
    """By metric or "metric, engine", and by level: ln(measured / estimate) below and above which a tenth of held-out
    measurements lie."""

    def constants(self, name: str, chip: str = "", source: str = "", where: str = "") -> EngineConstants:
        """Constants of an engine on chips like `chip`, else on all; of all engines ("any") if nobody measured it.

        `source` names a benchmark whose clients are known, or is APART; `where` a `place`, which may have its own.
        """
        found = {(engine.engine, engine.generation, engine.place): engine for engine in self.engines}
        base = name.removesuffix(OVERLAPPED)
        levels = [(who, alike, "") for who in (base, "any") for alike in (generation(chip), "")]
        benchmark = source.partition(VERSION)[0]
        known = [f"{base}, {source}, {generation(chip)}", f"{base}, {source}", f"{base}, {benchmark}", f", {benchmark}"]
        if where:
            levels, known = [(base, "", where), *levels], [f"{where}, {source}", *known]
        constants = next(found[each] for each in levels if each in found)
        client = next((self.clients[key] for key in known if key in self.clients), None)
        if client:
            constants = msgspec.structs.replace(constants, client=client)
        return constants if base == name else msgspec.structs.replace(constants, overlap=1.0)


@lru_cache(maxsize=1)
def engines() -> Engines:
    """The shipped constants of engines."""
    return read_engines(files("ridgeline.catalog").joinpath("engines.json").read_bytes())


@lru_cache(maxsize=4096)
def engine_constants(name: str, chip: str = "", source: str = "", where: str = "") -> EngineConstants:
    """`Engines.constants` of what is shipped."""
    return engines().constants(name, chip, source, where)


def write_engines(found: Engines) -> str:
    """Constants as stored: JSON with a line for each thing, which says what differs from the level above."""
    tables: dict[str, Any] = msgspec.to_builtins(found)
    levels = {_name(each): each for each in tables["engines"]}
    tables["engines"] = [_less(each, levels.get(_above(each), {})) for each in tables["engines"]]
    tables["places"] = _other_places(found)
    tables["clients"] = _clients_less(tables["clients"])
    for name in ("held_out", "near"):
        tables[name] = {key: list(each.values()) for key, each in tables[name].items()}
    tables["spread"] = {key: [each.get(level) for level in SPREAD] for key, each in tables["spread"].items()}
    parts = []
    for name, table in tables.items():
        pairs = table.items() if isinstance(table, dict) else [("", each) for each in table]
        lines = [f"{_json(key)}:{_json(each)}" if key else _json(each) for key, each in pairs]
        opening, closing = "{}" if isinstance(table, dict) else "[]"
        whole = _json(table) if isinstance(table, str) else "\n".join([opening, ",\n".join(lines), closing])
        parts.append(f"{_json(name)}:{whole}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def read_engines(text: bytes) -> Engines:
    """Constants that `write_engines` has written."""
    tables = msgspec.json.decode(text)
    levels: dict[tuple[str, str, str], dict[str, Any]] = {}
    for each in tables["engines"]:
        each.setdefault("engine", each.get("place", "").partition(", ")[0])
        above = levels.get(_above(each), {})
        levels[_name(each)] = above | each | {"client": above.get("client", {}) | each.get("client", {})}
    tables["engines"] = list(levels.values())
    own = {each["place"] for each in tables["engines"]} - {""}
    others = {f"{engine}, {where}" for engine, places in tables["places"].items() for where in places}
    tables["places"] = sorted(own | others)
    for key, each in tables["clients"].items():
        tables["clients"][key] = tables["clients"].get(_client_above(key, tables["clients"]), {}) | each
    for name in ("held_out", "near"):
        tables[name] = {k: dict(zip(HeldOut.__struct_fields__, e, strict=True)) for k, e in tables[name].items()}
    for key, each in tables["spread"].items():
        tables["spread"][key] = {level: pair for level, pair in zip(SPREAD, each, strict=True) if pair}
    return msgspec.convert(tables, Engines)


def _name(engine: dict[str, Any]) -> tuple[str, str, str]:
    return engine["engine"], engine.get("generation", ""), engine.get("place", "")


def _above(engine: dict[str, Any]) -> tuple[str, str, str]:
    """The level above: that of a generation or a place is its engine's, that of an engine is "any"."""
    name, *where = _name(engine)
    return (name if any(where) else "any" if name != "any" else "", "", "")


def _less(engine: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """What differs from the level above; the name stays, once."""
    name = "place" if engine.get("place") else "engine"
    kept = {key: each for key, each in engine.items() if each != above.get(key) or key == name}
    if "client" in kept and above:
        was = above["client"]
        kept["client"] = {key: each for key, each in kept["client"].items() if each != was[key]}
    return kept


def _other_places(found: Engines) -> dict[str, list[str]]:
    """By engine, model and system of the places that have no constants of their own."""
    own = {each.place for each in found.engines}
    out: dict[str, list[str]] = {}
    for engine, _, where in (each.partition(", ") for each in found.places if each not in own):
        out.setdefault(engine, []).append(where)
    return out


def _clients_less(clients: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Of each client what differs from the one above."""
    out: dict[str, dict[str, float]] = {}
    for key, each in clients.items():
        above = clients.get(_client_above(key, clients), {})
        out[key] = {name: value for name, value in each.items() if value != above.get(name)}
    return out


def _client_above(key: str, clients: Iterable[str]) -> str:
    """The longest key before `key` that it begins with, or whose benchmark it is of; empty if there is none."""
    before = takewhile(lambda other: other != key, clients)
    return max((k for k in before if key.startswith(k) or (k.startswith(", ") and k in key)), key=len, default="")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
