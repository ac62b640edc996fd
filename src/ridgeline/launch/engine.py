"""What a version of a serving engine calls things: its flags, with where they were read; knows no deployment.

`catalog/launch/NAME.toml` holds one engine: version, source, date, flags by what they set, spellings of cache formats
and of weights that it quantises while loading, and its router for separate prefill and decode.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import msgspec


class Router(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands before separate prefill and decode servers."""

    command: str
    source: str


class Engine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One version of a serving engine."""

    title: str
    version: str
    source: str
    """Where the flags were read."""
    date: str
    note: str
    vendors: tuple[str, ...]
    """Makers of chips for which these flags hold."""
    flags: dict[str, str]
    kv: dict[str, str]
    """Format of the cache -> how the engine spells it."""
    weights: dict[str, str]
    """Formats to which it quantises a checkpoint while loading it."""
    router: Router


@lru_cache(maxsize=8)
def engine(name: str) -> Engine:
    """An engine by the name of its file."""
    text = files("ridgeline.catalog").joinpath("launch", f"{name}.toml").read_bytes()
    return msgspec.toml.decode(text, type=Engine)
