"""What benchmarks do that their rows do not say, from their own documentation: how many requests a run sends, whether
these are equal, what they set of an engine, and which of a source's campaigns, each with a script of its own, a row
belongs to.

Knows no row and no engine.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec


class Gather(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs in which an engine waits so many steps for more prompts before it computes one."""

    engine: str
    model: str
    isl: int
    osl: int
    tp: int
    """At most."""
    steps: int


class Holds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens that the cache of a replica holds on a chip, where the benchmark's settings tell."""

    chip: str
    tokens: int


class Poll(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Runs in which an engine looks for new requests every so many decode steps."""

    engine: str
    generation: str
    """Of chips."""
    open: int
    """Requests that are kept open, at least."""
    steps: int


class Benchmark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A benchmark whose rows have a `source` that begins with its own."""

    source: str
    reference: str
    date: str
    licence: str = ""
    """Of what it publishes."""
    requests: tuple[tuple[int, int, int], ...] = ()
    """Prompt tokens, output tokens, and the requests that are sent at these lengths."""
    decimal: str = ""
    """Added to the source of rows whose prompts are whole hundreds of tokens, if another script sent those."""
    equal: float = 0.0
    """Rounds of a run in which all prompts have one length and all answers too, of rows without `decimal`; 0: they
    do not, or nobody knows."""
    shortest: float = 1.0
    """Lengths of prompts and answers are drawn at random, all alike, between this share of what a row says and that."""
    gather: tuple[Gather, ...] = ()
    holds: tuple[Holds, ...] = ()
    poll: tuple[Poll, ...] = ()
    attention_dp: bool = False
    """Whether models with experts ran attention-data and expert parallel on all chips of a stage, where a row has only
    their number."""
    overlapped: bool = False
    """Whether two micro-batches take turns."""
    redundant: int = 0
    """Redundant copies of popular experts."""

    @property
    def mean_length(self) -> float:
        """Mean length of prompts and answers over what rows say."""
        return (1.0 + self.shortest) / 2.0


@lru_cache(maxsize=1)
def _told() -> tuple[dict[str, Any], ...]:
    """All benchmarks of the catalogue, checked; the shortest names first."""
    text = files("ridgeline.catalog").joinpath("benchmarks.toml").read_bytes()
    found: list[dict[str, Any]] = msgspec.toml.decode(text)["benchmark"]
    msgspec.convert(found, tuple[Benchmark, ...])
    return tuple(sorted(found, key=lambda each: len(each["source"])))


@lru_cache(maxsize=1024)
def benchmark(source: str) -> Benchmark:
    """What is known of a source of rows: of all benchmarks whose name it begins with, the longest has the last word.

    Examples
    --------
    >>> of = benchmark("TRT-LLM perf-overview (v1.0) at 1.0")
    >>> of.attention_dp, of.licence, len(of.requests)
    (True, 'Apache-2.0', 15)
    >>> benchmark("InferenceX").mean_length, benchmark("somebody").mean_length
    (0.9, 1.0)
    """
    known: dict[str, Any] = {"source": source, "reference": "", "date": ""}
    for each in _told():
        if source.startswith(each["source"]):
            known |= each
    return msgspec.convert(known, Benchmark)


@lru_cache(maxsize=1024)
def requests(source: str, isl: float, osl: float) -> float:
    """Requests of a run; infinite where nothing is known: the run is then long.

    Examples
    --------
    >>> requests("TRT-LLM perf-overview v0.17", 128, 2048), requests("somebody", 128, 2048)
    (3000.0, inf)
    """
    return next((float(n) for i, o, n in benchmark(source).requests if (i, o) == (isl, osl)), float("inf"))


@lru_cache(maxsize=1024)
def equal(source: str) -> float:
    """`Benchmark.equal` of a source, its campaign told apart; 0 where nothing is known.

    Examples
    --------
    >>> equal("NVIDIA in-house runs"), equal("NVIDIA in-house runs, decimal lengths"), equal("somebody")
    (10.0, 0.0, 0.0)
    """
    found = benchmark(source)
    return 0.0 if found.decimal and found.decimal in source else found.equal


@lru_cache(maxsize=4096)
def gathering(source: str, engine: str, model: str, isl: float, osl: float, tp: float) -> float:
    """Steps that an engine waits for more prompts in a run; 0 where nothing is known.

    Examples
    --------
    >>> gathering("InferenceX", "trtllm", "llama-3.1-70b", 1024, 1024, 4)
    20.0
    """
    runs = {(each.engine, each.model, each.isl, each.osl): each for each in benchmark(source).gather}
    found = runs.get((engine, model, int(isl), int(osl)))
    return float(found.steps) if found and tp <= found.tp else 0.0


@lru_cache(maxsize=1024)
def holding(source: str, chip: str) -> float:
    """Tokens that the cache of a replica holds in a source's runs on a chip; 0 where nothing is known.

    Examples
    --------
    >>> holding("dstack H100 vs MI300X Llama-405B", "h100"), holding("somebody", "h100")
    (91680.0, 0.0)
    """
    return next((float(each.tokens) for each in benchmark(source).holds if each.chip == chip), 0.0)


@lru_cache(maxsize=4096)
def polling(source: str, engine: str, generation: str, batch: float) -> float:
    """Decode steps after which an engine looks for new requests, with `batch` of them open; 0 where nothing is known.

    Examples
    --------
    >>> polling("InferenceX", "sglang", "blackwell", 4), polling("InferenceX", "sglang", "hopper", 4)
    (10.0, 0.0)
    """
    asked = [each for each in benchmark(source).poll if (each.engine, each.generation) == (engine, generation)]
    return float(max((each.steps for each in asked if batch >= each.open), default=0))


@lru_cache(maxsize=4096)
def campaign(source: str, isl: float) -> str:
    """The source of a row, told apart by campaign.

    Examples
    --------
    >>> campaign("somebody", 1000), campaign("NVIDIA in-house runs", 1024), campaign("NVIDIA in-house runs", 1000)
    ('somebody', 'NVIDIA in-house runs', 'NVIDIA in-house runs, decimal lengths')
    """
    return source + benchmark(source).decimal if isl and isl % 100 == 0 else source
