"""What benchmarks do that their rows do not say: how many requests a run sends, from their own documentation, and which
of a source's campaigns, each with a script of its own, a row belongs to.

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
    requests: tuple[tuple[int, int, int], ...] = ()
    """Prompt tokens, output tokens, and the requests that are sent at these lengths."""
    decimal: str = ""
    """Added to the source of rows whose prompts are whole hundreds of tokens, if another script sent those."""


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


@lru_cache(maxsize=4096)
def campaign(source: str, isl: float) -> str:
    """The source of a row, told apart by campaign.

    Examples
    --------
    >>> campaign("somebody", 1000), campaign("NVIDIA in-house runs", 1024), campaign("NVIDIA in-house runs", 1000)
    ('somebody', 'NVIDIA in-house runs', 'NVIDIA in-house runs, decimal lengths')
    """
    if isl and isl % 100 == 0:
        return next((f"{source}{each.decimal}" for each in benchmarks() if source.startswith(each.source)), source)
    return source
