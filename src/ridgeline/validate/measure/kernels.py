"""Micro-benchmarks: what a device copies, reads, multiplies and launches, and what the kernels of a layer take.

Every kernel is counted by the laws that count a model's steps (`work/`), so that what is fitted to the readings means
the same there. As many as there is time for, spread over sizes, the quickest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import NamedTuple

import msgspec

from ridgeline.hardware import Chip, format_bytes
from ridgeline.precision import resolve
from ridgeline.roofline import work_time
from ridgeline.validate.measure.block import Block, Shape, Tensor
from ridgeline.validate.measure.clock import Call, Clock
from ridgeline.validate.measure.reading import Reading, bare
from ridgeline.validate.measure.store import ROOM, Store
from ridgeline.work import Operation, Segment, Shard, layer_operations

SHAPES = (
    Shape(hidden=768, heads=12, kv_heads=4, head_dim=64, width=2048),
    Shape(hidden=2048, heads=32, kv_heads=8, head_dim=64, width=5632),
    Shape(hidden=4096, heads=32, kv_heads=8, head_dim=128, width=14336),
    Shape(hidden=8192, heads=64, kv_heads=8, head_dim=128, width=28672),
)
"""Layers: the size of GPT-2, TinyLlama, Llama 3 8B and 70B."""
TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
DECODES = tuple((seqs, past) for seqs in (1, 4, 16, 64, 256) for past in (127, 511, 2047, 8191, 32767))
PROMPTS = tuple((seqs, new) for seqs in (1, 4) for new in (64, 128, 256, 512, 1024, 2048, 4096, 8192))
SQUARE = (1024, 2048, 4096, 8192)
LONGEST = 1 << 15
SHARE = 0.25
"""A kernel is left out if the roofline gives it more than this share of the seconds for one reading."""


class Case(NamedTuple):
    """A kernel to be timed, at least `floor` seconds; `prepare` makes its operands."""

    operation: Operation
    shape: dict[str, float]
    floor: float
    prepare: Callable[[], Call]


def machine_readings(clock: Clock, store: Store) -> Iterator[Reading]:
    """Copying and reading memory, launching a kernel of no work, and square matrix products of every format."""
    torch, kind = store.device.torch, store.device.kind
    source, target = store.copies("bf16", ROOM // 4)
    yield _reading(clock, bare("copy", memory=ROOM), {"bytes": ROOM / 2}, lambda i: target.copy_(source))
    floats = store.copies("fp32", ROOM // 4)
    yield _reading(clock, bare("read", memory=ROOM), {"bytes": ROOM}, lambda i: floats.sum())
    small = torch.zeros(8, device=kind)
    yield _reading(clock, bare("launch"), {"recorded": 0}, lambda i: small.add_(1), recorded=False)
    if kind == "cuda":
        yield _reading(clock, bare("launch"), {"recorded": 1}, lambda i: small.add_(1))
    for number in formats(store):
        block = _block(store, SHAPES[0], number)
        for n in SQUARE:
            left, right = store.fresh(number, n, n), store.copies(number, n, n)
            call = partial(_multiply, block, left, right)
            math = "fp8" if number == "fp8" else "bf16"
            square = bare("matmul", math, number, flop=2.0 * n**3, memory=format_bytes(number) * n**2)
            yield (found := _reading(clock, square, {"n": n}, call))
            if found.seconds * 8 > clock.budget:  # the next takes eight times as long
                break


def kernel_readings(clock: Clock, store: Store, chip: Chip, seconds: float) -> Iterator[Reading]:
    """Kernels of layers of several shapes, formats, batches and contexts, for about `seconds` in all."""
    cases = [case for shape in SHAPES for case in (*_matrices(store, chip, shape), *_attentions(store, chip, shape))]
    affordable = [case for case in cases if case.floor < SHARE * clock.budget]
    stop = perf_counter() + seconds
    for case in sorted(_spread(affordable, int(seconds / clock.budget)), key=lambda case: case.floor):
        if perf_counter() < stop:
            yield _reading(clock, case.operation, case.shape, case.prepare())


def _spread(cases: list[Case], most: int) -> Iterator[Case]:
    """At most `most` of the cases, as many of each family and format, evenly from the quickest to the slowest."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.operation.family, case.operation.stored), []).append(case)
    for group in groups.values():
        ordered, share = sorted(group, key=lambda case: case.floor), most // len(groups)
        yield from (ordered[i * len(ordered) // share] for i in range(share)) if len(ordered) > share else ordered


def formats(store: Store) -> tuple[str, ...]:
    """Number formats that the device multiplies."""
    if store.device.kind == "cpu":
        return "bf16", "fp32"
    return ("bf16", "fp16", "fp8") if store.device.narrow else ("bf16", "fp16")


def fused(operations: list[Operation]) -> list[Operation]:
    """Operations with those that share a kernel added to the first of it."""
    kernels: list[Operation] = []
    for operation in operations:
        if operation.joined:
            operation = msgspec.structs.replace(operation, name=kernels[-1].name, joined=False)
            operation = kernels.pop() + operation
        kernels.append(operation)
    return kernels


def _matrices(store: Store, chip: Chip, shape: Shape) -> Iterator[Case]:
    """The four matrices of a layer with the element-wise work around them."""
    model = shape.architecture(1, 2)
    for number in formats(store):
        block = _block(store, shape, number)
        precision = resolve(model, chip, number)
        for tokens in TOKENS:
            segment = Segment(seqs=tokens, new=1, past=1)
            for operation in fused(layer_operations(model.layers[0], [segment], Shard(), precision)):
                if operation.family == "gemm" and store.fits(number, *shape.matrices[operation.name]):
                    sizes = {"hidden": float(shape.hidden), "tokens": float(tokens)}
                    prepare = partial(_matrix, store, block, number, operation.name, tokens)
                    yield Case(operation, sizes, work_time(operation, chip).lower, prepare)


def _attentions(store: Store, chip: Chip, shape: Shape) -> Iterator[Case]:
    """Attention with its rotation and the writing of the cache, in decode and of whole prompts."""
    model, block = shape.architecture(1, 2), _block(store, shape, "bf16")
    precision = resolve(model, chip, "bf16")
    decode = [Segment(seqs=seqs, new=1, past=past) for seqs, past in DECODES]
    prompts = [Segment(seqs=seqs, new=new, past=0, prefill=True) for seqs, new in PROMPTS]
    for segment in (*decode, *prompts):
        cache = (2, segment.seqs, shape.kv_heads, segment.past + segment.new, shape.head_dim)
        *_, operation = (
            op for op in layer_operations(model.layers[0], [segment], Shard(), precision) if op.family != "gemm"
        )
        if store.fits("bf16", *cache):
            sizes = {name: float(getattr(segment, name)) for name in ("seqs", "new", "past")}
            sizes["hidden"] = float(shape.hidden)
            prepare = partial(_attention, store, block, cache, segment.tokens, segment.past)
            yield Case(operation, sizes, work_time(operation, chip).lower, prepare)


def _block(store: Store, shape: Shape, number: str) -> Block:
    return Block(store.device, shape, LONGEST, store.dtype("bf16" if number == "fp8" else number))


def _multiply(block: Block, left: Tensor, right: Tensor, i: int) -> Tensor:
    return block.multiply(left, right[i % len(right)])


def _matrix(store: Store, block: Block, number: str, name: str, tokens: int) -> Call:
    """A matrix on its operands."""
    out, inner = block.shape.matrices[name]
    matrices = store.copies(number, out, inner)
    x, stream = store.fresh(number, tokens, inner), store.fresh(number, tokens, block.shape.hidden)
    if name in ("q", "up"):
        before = block.project if name == "q" else block.gate
        return lambda i: before(x, matrices[i % len(matrices)])
    after = block.output if name == "out" else block.down
    return lambda i: after(x, matrices[i % len(matrices)], stream)


def _attention(store: Store, block: Block, cache: tuple[int, ...], tokens: int, past: int) -> Call:
    """An attention on its operands."""
    caches = store.copies("bf16", *cache)
    qkv = store.fresh("bf16", tokens, block.shape.matrices["q"][0])
    return lambda i: block.attend(qkv, caches[i % len(caches)][0], caches[i % len(caches)][1], past)


def _reading(
    clock: Clock, operation: Operation, shape: dict[str, float], call: Call, *, recorded: bool = True
) -> Reading:
    timing = clock.time(call, recorded=recorded)
    return Reading(operation=operation, shape=shape, **msgspec.structs.asdict(timing))
