"""What benchmarks do that their rows do not say, from their own documentation: how many requests a run sends.

Knows no row and no engine.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import msgspec


class Benchmark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benchmark whose rows have a `source` that begins with its own."""

    source: str
    reference: str
    date: str
    requests: tuple[tuple[int, int, int], ...]
    """Prompt tokens, output tokens, and the requests that are sent at these lengths."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    benchmark: tuple[Benchmark, ...]


@lru_cache(maxsize=1)
def benchmarks() -> tuple[Benchmark, ...]:
    """All benchmarks of the catalogue."""
    text = files("ridgeline.catalog").joinpath("benchmarks.toml").read_bytes()
    return msgspec.toml.decode(text, type=_File).benchmark


@lru_cache(maxsize=1024)
def requests(source: str, isl: float, osl: float) -> float:
    """Requests of a run; infinite where nothing is known: the run is then long.

    Examples
    --------
    >>> requests("TRT-LLM perf-overview v0.17", 128, 2048), requests("somebody", 128, 2048)
    (3000.0, inf)
    """
    for benchmark in benchmarks():
        if source.startswith(benchmark.source):
            return next((float(n) for i, o, n in benchmark.requests if (i, o) == (isl, osl)), float("inf"))
    return float("inf")
