"""What benchmarks do that their rows do not say, from their own documentation: how many requests a run sends, whether
these are equal, what they set of an engine, and which of a source's campaigns, each with a script of its own, a row
belongs to.

Knows no row and no engine.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

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


@lru_cache(maxsize=1024)
def equal(source: str) -> float:
    """`Benchmark.equal` of a source, its campaign told apart; 0 where nothing is known.

    Examples
    --------
    >>> equal("NVIDIA in-house runs"), equal("NVIDIA in-house runs, decimal lengths"), equal("somebody")
    (10.0, 0.0, 0.0)
    """
    found = next((each for each in benchmarks() if source.startswith(each.source)), None)
    return 0.0 if found is None or (found.decimal and found.decimal in source) else found.equal


@lru_cache(maxsize=1024)
def mean_length(source: str) -> float:
    """Mean length of the prompts and answers of a source over what its rows say.

    Examples
    --------
    >>> mean_length("InferenceX"), mean_length("somebody")
    (0.9, 1.0)
    """
    return next(((1.0 + each.shortest) / 2.0 for each in benchmarks() if source.startswith(each.source)), 1.0)


@lru_cache(maxsize=1024)
def licence(source: str) -> str:
    """Licence of what a source publishes; empty where nobody looked it up.

    Examples
    --------
    >>> licence("TRT-LLM performance.md"), licence("somebody")
    ('Apache-2.0', '')
    """
    return next((each.licence for each in benchmarks() if source.startswith(each.source) and each.licence), "")


@lru_cache(maxsize=1024)
def attention_dp(source: str) -> bool:
    """`Benchmark.attention_dp` of a source."""
    return any(each.attention_dp for each in benchmarks() if source.startswith(each.source))


@lru_cache(maxsize=1024)
def overlapped(source: str) -> bool:
    """`Benchmark.overlapped` of a source."""
    return any(each.overlapped for each in benchmarks() if source.startswith(each.source))


@lru_cache(maxsize=1024)
def redundant(source: str) -> int:
    """`Benchmark.redundant` of a source.

    Examples
    --------
    >>> redundant("SGLang large-scale EP blog"), redundant("somebody")
    (32, 0)
    """
    return next((each.redundant for each in benchmarks() if source.startswith(each.source)), 0)


@lru_cache(maxsize=4096)
def gathering(source: str, engine: str, model: str, isl: float, osl: float, tp: float) -> float:
    """Steps that an engine waits for more prompts in a run; 0 where nothing is known.

    Examples
    --------
    >>> gathering("InferenceX", "trtllm", "llama-3.1-70b", 1024, 1024, 4)
    20.0
    """
    known = [each for benchmark in benchmarks() if source.startswith(benchmark.source) for each in benchmark.gather]
    runs = {(each.engine, each.model, each.isl, each.osl): each for each in known}
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
    known = [each for benchmark in benchmarks() if source.startswith(benchmark.source) for each in benchmark.holds]
    return next((float(each.tokens) for each in known if each.chip == chip), 0.0)


@lru_cache(maxsize=4096)
def polling(source: str, engine: str, generation: str, batch: float) -> float:
    """Decode steps after which an engine looks for new requests, with `batch` of them open; 0 where nothing is known.

    Examples
    --------
    >>> polling("InferenceX", "sglang", "blackwell", 4), polling("InferenceX", "sglang", "hopper", 4)
    (10.0, 0.0)
    """
    known = [each for benchmark in benchmarks() if source.startswith(benchmark.source) for each in benchmark.poll]
    found = [each for each in known if (each.engine, each.generation) == (engine, generation) and batch >= each.open]
    return float(max((each.steps for each in found), default=0))


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
