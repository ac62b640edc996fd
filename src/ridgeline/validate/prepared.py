"""Rows of measured points made ready: grouped, with the steps they need as arrays.

Rows of the same model, chip, formats and engine are evaluated together. How engines of the measurements were set, where
their rows do not say, stands here: formats of caches, memory they keep, sequences they admit. Knows no engine's
constants: what is left is linear in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain
from typing import TypeVar

import msgspec
import numpy as np

from ridgeline.efficiency import generation
from ridgeline.engines import OVERLAPPED, VERSION
from ridgeline.errors import InputError
from ridgeline.estimate import UNEVEN, Terms, terms
from ridgeline.layout import Divisors, Layout
from ridgeline.memory import device_memory
from ridgeline.roofline import Time
from ridgeline.scenario import Scenario
from ridgeline.serving.online import met
from ridgeline.serving.point import CHUNK
from ridgeline.subject import Subject, subject
from ridgeline.timing import Step, step
from ridgeline.validate.benchmarks import benchmark, campaign, holding, requests
from ridgeline.validate.passes import cut, waves
from ridgeline.validate.pools import MODE, PreparedPools, evaluate_pools
from ridgeline.validate.row import MOST, NAMES, POOLS, numbers
from ridgeline.validate.scheduling import scheduled
from ridgeline.validate.single import MODES as SINGLE
from ridgeline.work import Segment

FORMATS = {"fp16": "bf16"}
"""Formats that are the same to every law."""
ENGINES = {"TensorRT-LLM": "trtllm", "vLLM": "vllm", "SGLang": "sglang"}
"""Engines whose kernels were measured, by the name that sources use."""
EAGER = " eager"
"""Added to an engine's name where it ran without captured graphs: every kernel is then launched by the host."""
BALANCED = ("balanced routing", "perfect EPLB")
"""Notes of rows whose routing was simulated: every expert is as popular as any other."""
KV_OF = {
    ("trtllm", "fp8"): "fp8",
    ("vllm", "fp8"): "fp8",
    ("trtllm", "nvfp4"): "fp8",
    ("vllm", "nvfp4"): "fp8",
    ("sglang", "nvfp4"): "fp8",
}
"""Format of the cache where a row does not state it: such checkpoints are made with NVIDIA ModelOpt, whose recipes
declare an fp8 cache, which these engines follow. All others: bf16."""
WIDE_CACHE = {("vllm", "hopper")}
"""Engines that keep a 16-bit cache with such checkpoints on a generation of chips: what vLLM's attention kernels read
there by default. Llama-3.3-70B on two H100 holds 29 to 31 sequences of 9,216 tokens, half as many as in fp8."""
CHECKPOINTS = {("vllm", "llama-3.1-405b", "fp8", ""): ("fp8,attention=bf16", "bf16")}
"""Formats of weights and cache of checkpoints that quantise less than their name says, by engine, model and the formats
of the row: Meta's own fp8 of Llama 3.1 405B converts feed-forwards only (its model card)."""
MOST_SEQUENCES = {"trtllm": 4096, "vllm": 1024}
"""Sequences per rank that engines admit by default, whatever memory holds (max_batch_size, max_num_seqs)."""
UTILISATION = 0.92
"""Share of the memory that engines of the measurements let weights and cache fill."""
RESERVED = {"vllm": (0.1, 4e9), "sglang": (0.0, 14e9)}
"""Share of the memory, and bytes, that engines keep from weights and cache, where that is known. vLLM: what
gpu_memory_utilization leaves, captured graphs, communicators and the sampler of 1,024 sequences that it profiles;
SGLang: 0.5 GB, 1.5 MB per token of a chunk of 8,192, 2 MB per captured batch (`mem_fraction_static` in its
server_args)."""
PREEMPTS = {"vllm"}
"""Engines that admit a request when its prompt fits, and put the last ones back when the cache is full."""
OF_FREE = {"trtllm": 0.9}
"""Engines whose cache fills a share of what weights leave, and which reserve room for a request's whole output before
they admit it (TensorRT-LLM: free_gpu_memory_fraction, and the scheduler policy GUARANTEED_NO_EVICT)."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A row that cannot be predicted, and why."""

    row: int
    reason: str


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A group of like rows with the steps they need: what is left is linear in an engine's constants."""

    rows: list[int]
    """Places of the rows in the file."""
    keys: list[tuple[str, str]]
    """Mode and metric of each."""
    engine: str
    source: str
    """The benchmark that measured them, whose client drove the engine."""
    number: dict[str, np.ndarray]
    """The rows' numeric columns."""
    decode: Terms
    prefill: Terms
    alone: Terms
    prompts: np.ndarray
    decode_time: Time
    prefill_time: Time
    """Their bounds."""
    capacity: np.ndarray
    fits: np.ndarray
    found: Subject


Columns = TypeVar("Columns", bound=msgspec.Struct)
"""Numbers of rows: a column of each field."""
Member = tuple[int, tuple[str, str], dict[str, float]]
"""A row's place, its mode and metric, its numbers."""
Key = tuple[str, str, str, str, str, str, bool, bool]
"""Model, chip, engine and its manner, formats of weights and cache, source, campaign and version, balanced routing,
separate pools."""
DEGREES = ("tp", "pp", "dp", "ep", "cp")
"""Columns of a layout."""
PLACE = (*NAMES, "notes", "source", "engine_version", "mode", "isl")
"""Columns that decide a row's group."""


def prepare(rows: Sequence[Mapping[str, str]], catalog: str = "") -> Iterator[Prepared | PreparedPools | Refusal]:
    """Group rows and evaluate their steps; a row that cannot be used comes out as a refusal."""
    groups: dict[Key, list[Member]] = {}
    places: dict[tuple[str | None, ...], list[Member]] = {}
    for i, row in enumerate(rows):
        if row.get("mode") in SINGLE:
            continue
        try:
            number = numbers(row)
        except InputError as error:
            yield Refusal(row=i, reason=str(error))
            continue
        cells = tuple(map(row.get, PLACE))
        if cells not in places:
            places[cells] = groups.setdefault(_key(row, number["isl"]), [])
        places[cells].append((i, (row["mode"], row["metric"]), number))
    read = lru_cache(maxsize=None)(partial(_subject, catalog))
    alike: dict[tuple[int, str, bool, int, bool], tuple[Subject, list[tuple[str, list[Member]]]]] = {}
    for key, members in groups.items():
        try:
            found = _group_subject(key, read)
        except InputError as error:
            yield from (Refusal(row=i, reason=str(error)) for i, _, _ in members)
            continue
        can = Divisors.of(found.model)
        kept: list[Member] = []
        spread = bool(can.experts) and benchmark(key[5]).attention_dp
        for i, what, given in members:
            number = _attention_dp(given) if spread else given
            try:
                _check(number, can, found)
                kept.append((i, what, number))
            except InputError as error:
                yield Refusal(row=i, reason=str(error))
        if kept:
            copies = benchmark(key[5]).redundant if can.experts else 0
            alike.setdefault((id(found), key[2], key[6], copies, key[-1]), (found, []))[1].append((key[5], kept))
    for (_, engine, balanced, copies, apart), (found, by_source) in alike.items():
        try:
            if apart:
                most, used = MOST_SEQUENCES.get(engine, np.inf), _utilisation(engine, found)
                kept = [_drawn(member, source) for source, members in by_source for member in members]
                yield evaluate_pools(kept, found, engine, most=most, utilisation=used)
            else:
                yield from _evaluate(by_source, found, engine, 0.0 if balanced else UNEVEN, copies)
        except InputError as error:
            yield from (Refusal(row=i, reason=str(error)) for _, members in by_source for i, _, _ in members)


def _subject(catalog: str, model: str, chip: str, weights: str, kv: str) -> Subject:
    """A model on a chip in given formats (InputError)."""
    return subject(Scenario.read({"model": model, "system": chip, "catalog": catalog, "weights": weights, "kv": kv}))


def _manner(notes: str, source: str) -> str:
    """How an engine ran, where a row's notes or its benchmark say so."""
    if "launch bound" in notes:
        return EAGER
    return OVERLAPPED if "two micro-batches overlapped" in notes or benchmark(source).overlapped else ""


def _key(row: Mapping[str, str], isl: float) -> Key:
    """What rows of a group have in common."""
    model, chip, engine, weights, kv = [row.get(name, "") for name in NAMES]
    notes = row.get("notes", "")
    engine = ENGINES.get(engine, engine) + _manner(notes, row.get("source", ""))
    source = campaign(row.get("source", ""), isl) + (
        f"{VERSION}{version}" if (version := row.get("engine_version")) else ""
    )
    balanced = any(each in notes for each in BALANCED)
    return model, chip, engine, weights, kv, source, balanced, row["mode"] == MODE


def _group_subject(key: Key, read: Callable[..., Subject]) -> Subject:
    """Model, chip and formats of a group of rows (InputError)."""
    model, chip, engine, weights, kv, *_ = key
    cache = FORMATS.get(kv, kv) or KV_OF.get((engine, weights), "")
    found = read(model, chip, FORMATS.get(weights, weights), cache)
    if not kv and cache and (engine, generation(found.system.chip.name)) in WIDE_CACHE:
        found = read(model, chip, FORMATS.get(weights, weights), "")
    if special := CHECKPOINTS.get((engine.removesuffix(EAGER), found.model.name, weights, kv)):
        found = read(model, chip, *special)
    return found


def _utilisation(engine: str, found: Subject) -> float:
    """Share of a device's memory that an engine lets weights and cache fill."""
    share, fixed = RESERVED.get(engine.removesuffix(EAGER).removesuffix(OVERLAPPED), (1.0 - UTILISATION, 0.0))
    return 1.0 - share - fixed / found.system.chip.usable


def _check(number: Mapping[str, float], can: Divisors, found: Subject) -> None:
    """Refuse a row whose layout is none, or whose chips have no known link."""
    if number["chips"] > 1 and found.system.domain.bandwidth is None:
        raise InputError(found.system.name, "no known bandwidth between its chips")
    if number["chips"] > found.system.domain.size and found.system.network.bandwidth is None:
        raise InputError(found.system.name, "no known bandwidth between its domains")
    for pool in POOLS if "prefill_tp" in number else ("",):
        ranks, ep = number[f"{pool}tp"] * number[f"{pool}dp"], number[f"{pool}ep"]
        if ranks % ep or (ep > 1 and not can.experts):
            raise InputError(
                f"{pool}ep={ep:g}", f"a divisor of {pool}tp * {pool}dp = {ranks:g}, for a model with experts"
            )


def _attention_dp(number: dict[str, float]) -> dict[str, float]:
    """A layout of tensor parallelism alone as one of attention-data and expert parallelism."""
    ranks = number["tp"] if number["dp"] == number["ep"] == 1.0 else 1.0
    return number | {"tp": 1.0, "dp": ranks, "ep": ranks} if ranks > 1.0 else number


def _drawn(member: Member, source: str) -> Member:
    """A row with the mean lengths of what its benchmark's client draws."""
    row, key, number = member
    share = benchmark(source).mean_length
    return row, key, number | {"isl": share * number["isl"], "osl": share * number["osl"]}


def _evaluate(
    by_source: list[tuple[str, list[Member]]], found: Subject, engine: str, uneven: float, copies: int
) -> Iterator[Prepared]:
    """Steps of like rows of several sources as arrays, then a group for each source."""
    members = [member for _, rows in by_source for member in rows]
    at, keys, given = map(list, zip(*members, strict=True))
    cells = np.fromiter(chain.from_iterable(map(dict.values, given)), float, len(given) * len(given[0]))
    n = dict(zip(given[0], cells.reshape(len(given), -1).T.copy(), strict=True))
    mode = np.array([mode for mode, _ in keys])
    kernels = engine.removesuffix(EAGER).removesuffix(OVERLAPPED)
    online, static = mode == "online", mode == "static"
    who = [source for source, rows in by_source for _ in rows]
    named = n["isl"], n["osl"]
    drawn = np.array([benchmark(source).mean_length for source in who])
    n |= {"isl": drawn * n["isl"], "osl": drawn * n["osl"]}
    layout = msgspec.structs.replace(_layout(n), redundant=copies)
    context = np.where((mode == "decode_step") & (n["context"] > 0), n["context"], n["isl"] + n["osl"] / 2)
    context = np.maximum(context, 1.0)
    held = device_memory(
        found.model,
        layout,
        found.precision,
        capacity=found.system.chip.usable,
        seqs=1.0,
        context=np.where(static | (engine in OF_FREE), np.maximum(n["isl"] + n["osl"], 1.0), context),
        utilisation=_utilisation(engine, found),
    )
    fits = held.most_sequences
    if engine in OF_FREE:
        free = np.maximum(held.capacity - held.weights - held.activations, 0.0)
        fits = np.floor(OF_FREE[engine] * free / (held.cache_per_sequence + held.logits_per_sequence))
    most = MOST_SEQUENCES.get(engine.removesuffix(EAGER), np.inf)
    capacity = np.maximum(np.minimum(fits, most) * layout.dp, 1.0)
    sent = np.array([requests(*of) for of in zip(who, *(each.tolist() for each in named), strict=True)])
    n["requests"] = np.maximum(np.where(n["requests"] > 0, n["requests"], sent), 1.0)
    capacity = np.minimum(np.where(n["places"] > 0, n["places"], capacity), n["requests"])
    n["batch"] = np.where(n["rate"] > 0, met(n["batch"], np.minimum(n["requests"], MOST)), n["batch"])
    asked = np.where(n["batch"] > 0, n["batch"], np.inf)
    isl = np.maximum(n["isl"], 1.0)
    chunk = np.maximum(CHUNK / isl, 1.0) * layout.dp * layout.pp
    full = np.where(mode == "prefill", chunk, capacity)
    batch = np.where(online | static, np.minimum(asked, capacity), np.where(n["batch"] > 0, n["batch"], full))
    if kernels in PREEMPTS:
        batch = np.where(static, np.minimum(n["batch"] / _lives(n, who, found, fits * layout.dp), most), batch)
    batch = np.maximum(batch, 1.0)
    prompts = np.where(online, chunk, np.where(mode == "prefill", batch, np.maximum(n["batch"], 1.0)))

    turns = 2 if engine.endswith(OVERLAPPED) else 1

    def run(segment: Segment, layout: Layout = layout) -> tuple[Step, Terms]:
        result = step(found.model, found.system, layout, [segment], found.precision)
        if turns > 1:
            half = msgspec.structs.replace(segment, seqs=np.maximum(segment.seqs / turns, 1.0))
            part = step(found.model, found.system, layout, [half], found.precision)
            return result, terms(part, found.model, found.system, layout, kernels, uneven) * turns
        return result, terms(result, found.model, found.system, layout, kernels, uneven)

    # A piece for every stage, so that each holds one.
    steps, whole_prompts = (
        cut(kernels, seqs, new, layout.pp, online) for seqs, new in ((batch, np.ones_like(isl)), (prompts, isl))
    )
    decode_step, decode = run(Segment(seqs=steps.seqs * layout.pp, new=1, past=context))
    decode = _times(decode, steps.steady(layout.pp), batch / layout.dp)
    # Full prefill steps and those of one prompt, in one call.
    columns = (whole_prompts.seqs * layout.pp, whole_prompts.new, whole_prompts.past)
    lone = (np.ones_like(isl), isl, np.zeros_like(isl))
    seqs, new, past = (np.concatenate(both) for both in zip(columns, lone, strict=True))
    both_steps, both = run(Segment(seqs=seqs, new=new, past=past, prefill=True), _twice(layout))
    prefill, alone = (_part(both, at, len(isl)) for at in (0, len(isl)))
    prefill = _times(prefill, whole_prompts.filled(layout.pp), prompts / layout.dp)
    prefill_time = _part(both_steps.time, 0, len(isl))
    prefill_time = msgspec.structs.replace(prefill_time, math=prefill_time.math * whole_prompts.steady(layout.pp))
    n["batch"] = np.where(n["batch"] > 0, n["batch"], capacity)
    n["inside"] = batch
    n["unnumbered"] = np.where((asked == np.inf) & ~online, 1.0, 0.0)
    n |= scheduled(n, named, online, who, kernels, found, batch)
    room = np.maximum((held.capacity - held.weights) / held.cache_per_sequence, 1.0) * layout.dp
    n["most"] = np.maximum(batch, np.minimum(asked, room))
    whole = Prepared(
        rows=at,
        keys=keys,
        engine=engine,
        source=by_source[0][0],
        number=n,
        decode=decode,
        prefill=prefill,
        alone=alone,
        prompts=prompts,
        decode_time=decode_step.time,
        prefill_time=prefill_time,
        capacity=capacity,
        fits=held.most_sequences >= 1,
        found=found,
    )
    if len(by_source) == 1:
        yield whole
        return
    start = 0
    for source, rows in by_source:
        yield _group(whole, source, start, len(rows))
        start += len(rows)


def _group(whole: Prepared, source: str, start: int, count: int) -> Prepared:
    """The rows of one source."""
    parts = ("decode", "prefill", "alone", "decode_time", "prefill_time")
    return msgspec.structs.replace(
        _part(whole, start, count),
        rows=whole.rows[start : start + count],
        keys=whole.keys[start : start + count],
        source=source,
        number={name: column[start : start + count] for name, column in whole.number.items()},
        **{name: _part(getattr(whole, name), start, count) for name in parts},
    )


def _lives(n: Mapping[str, np.ndarray], who: list[str], found: Subject, fits: np.ndarray) -> np.ndarray:
    """Lifetimes that static batches take in the cache that their benchmark tells, else in that for `fits` sequences."""
    told = np.array([holding(source, found.system.chip.name) for source in who])
    tokens = np.where(told > 0, told, fits * (n["isl"] + n["osl"]))
    return waves(n["batch"], tokens, n["isl"], n["osl"])


def _times(one: Terms, times: np.ndarray, sequences: np.ndarray) -> Terms:
    """Terms of as many pieces one after another, of a pass with so many sequences of each rank."""
    return msgspec.structs.replace(one * times, sequences=sequences)


def _layout(number: Mapping[str, np.ndarray]) -> Layout:
    """Layouts of rows; a degree is one number if it is the same for all, which laws handle faster."""
    degrees = np.array([number[name] for name in DEGREES], np.int64)
    same = (degrees == degrees[:, :1]).all(axis=1).tolist()
    first = degrees[:, 0].tolist()
    each = zip(DEGREES, same, first, degrees, strict=True)
    return Layout(**{name: one if alike else column for name, alike, one, column in each})


def _twice(layout: Layout) -> Layout:
    """The layouts of rows, one after another twice."""
    degrees = {name: getattr(layout, name) for name in DEGREES}
    twice = {name: d if isinstance(d, int) else np.tile(d, 2) for name, d in degrees.items()}
    return Layout(**twice, redundant=layout.redundant)


def _part(values: Columns, start: int, count: int) -> Columns:
    """The same for some of the rows."""
    columns = {name: getattr(values, name) for name in values.__struct_fields__}
    arrays = {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
    return msgspec.structs.replace(values, **{name: each[start : start + count] for name, each in arrays.items()})
