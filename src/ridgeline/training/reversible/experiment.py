"""The last chapter measured: what four ways to keep activations hold, cost and lose, against the law.

    bytes        saved tensors at their peak, depth by depth, against `rematerialisation.activation_bytes`
    work         FLOPs counted, 4/3 of storing all by the law; seconds measured in turns, the least of each taken
    gradients    relative difference from storing all, by number format
    inversion    relative error of an input that was run forward and back, by depth and format; fixed point: none
    loss         the same network trained on a scene of Coriolanus, activations stored or rebuilt; the ordinary stack

Runs on the processor, or on CUDA where there is one; the peak that its allocator saw is then measured too. One thread:
more are slower for sizes this small. Knows nothing of large models: `rematerialisation.py` is the law for those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.nn import functional

from ridgeline.errors import InputError
from ridgeline.training.rematerialisation import METHODS, activation_bytes, work
from ridgeline.training.reversible.arithmetic import Fixed, Float
from ridgeline.training.reversible.chain import Chain
from ridgeline.training.reversible.flops import Flops
from ridgeline.training.reversible.saved import SavedBytes
from ridgeline.training.reversible.transformer import Shape, Transformer, functions

DEPTHS, QUICK = (2, 4, 8, 16, 32, 64), (2, 8, 64)
FORMATS = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16}
DEEPEST = 128
"""Layers of the deepest inversion."""
ANY = 1e9
"""A tolerance that refuses nothing: the error itself is what is measured."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that one method keeps at one depth."""

    layers: int
    method: str
    measured: int
    law: float
    cuda: int = 0
    """What the allocator's peak rose by; 0 on other devices."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and FLOPs of a training step against storing all."""

    method: str
    seconds: float
    ratio: float
    flop: int
    """Of matrix products, counted."""
    flop_ratio: float
    law: float


class Gradient(msgspec.Struct, frozen=True, kw_only=True):
    """Relative difference of all gradients from storing all in the same format."""

    method: str
    format: str
    error: float


class Inversion(msgspec.Struct, frozen=True, kw_only=True):
    """Relative error of an input that went through all layers and back."""

    layers: int
    format: str
    error: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Loss per character, nats, at some steps of training."""

    network: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """All that was measured."""

    shape: Shape
    device: str
    kept: tuple[Kept, ...]
    costs: tuple[Cost, ...]
    gradients: tuple[Gradient, ...]
    inversions: tuple[Inversion, ...]
    curves: tuple[Curve, ...]
    seconds: float


def experiment(
    *,
    width: int = 64,
    depth: int = 64,
    quick: bool = False,
    seed: int = 0,
    device: str = "",
    told: Callable[[str], None] = lambda part: None,
) -> Experiment:
    """Measure everything; `told` hears of each part as it begins.

    Parameters
    ----------
    width
        Of a stream: even, and a multiple of 4 heads. Seconds are measured at twice the width.
    depth
        Layers of the deepest network whose bytes are counted; from 2.
    quick
        Fewer depths, steps and repetitions: about ten seconds.
    device
        "cpu" or "cuda"; empty: CUDA where there is one.

    Raises
    ------
    InputError
        For a width or depth out of range, a device that is not there, or too little memory.
    """
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if where not in ("cpu", "cuda") or (where == "cuda" and not torch.cuda.is_available()):
        has = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise InputError(f"--device {where[:40]}", f"one of {has}")
    if depth < 2:
        raise InputError(f"depth {depth}", "at least 2: a reversible network has two streams")
    begin, depths = time.perf_counter(), (*(each for each in (QUICK if quick else DEPTHS) if each < depth), depth)
    shape = Shape(width=width, heads=4, layers=depth, batch=1 if quick else 2, seq=64)
    try:
        with _single_thread():
            told("bytes")
            kept = tuple(_kept(shape, where, depth, method) for depth in depths for method in METHODS)
            told("seconds")
            costs = _costs(
                Shape(width=2 * width, heads=4, layers=4 if quick else 8, batch=4, seq=128), where, 3 if quick else 7
            )
            told("gradients")
            gradients = tuple(
                Gradient(method=method, format=name, error=_gradient_error(shape, where, method, form))
                for name, form in FORMATS.items()
                for method in METHODS[1:]
            )
            told("inversion")
            inversions = tuple(
                Inversion(layers=depth, format=name, error=_inversion_error(shape, where, depth, name))
                for depth in (*depths, DEEPEST)
                for name in (*FORMATS, "fixed")
            )
            told("loss")
            curves = _curves(where, 20 if quick else 200, seed)
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        needed = f"enough for a transformer of {depth} layers of width {width}"
        fix = "a smaller --width or --depth" if where == "cpu" else "--device cpu, a smaller --width or --depth"
        raise InputError(f"memory of {where}", needed, fix) from error
    return Experiment(
        shape=shape, device=where, kept=kept, costs=costs, gradients=gradients, inversions=inversions, curves=curves,
        seconds=time.perf_counter() - begin,
    )  # fmt: skip


def _out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """PyTorch has an error of its own for devices only; on the processor its allocator's message tells."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


@contextmanager
def _single_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _chain(shape: Shape, layers: int, device: str, form: torch.dtype = torch.float32, **options: Any) -> Chain:
    """A chain of one function per layer; the same weights whatever its options."""
    torch.manual_seed(1)
    made = functions(msgspec.structs.replace(shape, layers=layers), "lecture")
    return Chain(made, **options).to(device, form)


def _step(chain: Chain, streams: tuple[Tensor, Tensor], weight: Tensor) -> None:
    older, newer = chain(*streams)
    ((older + newer) * weight).sum().backward()


def _streams(shape: Shape, device: str, form: torch.dtype) -> tuple[tuple[Tensor, Tensor], Tensor]:
    torch.manual_seed(2)
    size = (shape.batch, shape.seq, shape.width)
    x, y, weight = (torch.randn(size, device=device, dtype=form) for _ in range(3))
    return (x.requires_grad_(), y.requires_grad_()), weight


def _kept(shape: Shape, device: str, layers: int, method: str) -> Kept:
    chain = _chain(shape, layers, device, method=method)
    streams, weight = _streams(shape, device, torch.float32)
    cuda = device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with SavedBytes([*chain.parameters(), weight]) as saved:
        _step(chain, streams, weight)
    inside = shape.attention_bytes() + shape.mlp_bytes()
    streamed = 2 if method in ("sqrt", "reversible") else 0
    return Kept(
        layers=layers,
        method=method,
        measured=saved.peak,
        law=float(activation_bytes(method, layers, inside, shape.boundary_bytes(), streams=streamed)),
        cuda=torch.cuda.max_memory_allocated() - before if cuda else 0,
    )


def _costs(shape: Shape, device: str, repeats: int) -> tuple[Cost, ...]:
    """Seconds of each method in turns, so that a machine that slows down slows all; the least of each."""
    streams, weight = _streams(shape, device, torch.float32)
    chains = {method: _chain(shape, shape.layers, device, method=method) for method in METHODS}
    flop = {}
    for method, chain in chains.items():
        with Flops() as counted:
            _step(chain, streams, weight)
        flop[method] = counted.total
    best: dict[str, float] = dict.fromkeys(METHODS, float("inf"))
    for i in range(repeats + 1):
        for method, chain in chains.items():
            start = time.perf_counter()
            _step(chain, streams, weight)
            if device == "cuda":
                torch.cuda.synchronize()
            if i:  # the first is for warming up
                best[method] = min(best[method], time.perf_counter() - start)
    return tuple(
        Cost(
            method=method, seconds=seconds, ratio=seconds / best["none"], flop=flop[method],
            flop_ratio=flop[method] / flop["none"], law=float(work(method)),
        )
        for method, seconds in best.items()
    )  # fmt: skip


def _gradients(shape: Shape, device: str, method: str, form: torch.dtype) -> Tensor:
    """All gradients of a chain of 8 layers as one vector."""
    free = {"tolerance": ANY} if method == "reversible" else {}
    chain = _chain(shape, 8, device, form, method=method, **free)
    streams, weight = _streams(shape, device, form)
    _step(chain, streams, weight)
    parts = [p.grad.flatten().double() for p in (*streams, *chain.parameters()) if p.grad is not None]
    return torch.cat(parts)


def _gradient_error(shape: Shape, device: str, method: str, form: torch.dtype) -> float:
    expected = _gradients(shape, device, "none", form)
    return float((_gradients(shape, device, method, form) - expected).norm() / expected.norm())


def _inversion_error(shape: Shape, device: str, layers: int, name: str) -> float:
    form = FORMATS.get(name, torch.float32)
    chain = _chain(shape, layers, device, form, arithmetic=Fixed() if name == "fixed" else Float())
    (x, y), _ = _streams(shape, device, form)
    x, y = x.detach(), y.detach()
    before = torch.cat([chain.arithmetic.enter(x), chain.arithmetic.enter(y)]).double()
    after = torch.cat(chain.inverse(*chain.streams(x, y))).double()
    return float((after - before).norm() / before.norm())


def _curves(device: str, steps: int, seed: int) -> tuple[Curve, ...]:
    """Three networks from the same seed on the same batches."""
    ids = _text().to(device)
    shape = Shape(width=64, heads=4, layers=4, batch=8, seq=64, vocabulary=int(ids.max()) + 1)
    made: dict[str, Callable[[], Transformer]] = {
        "rebuilt": lambda: Transformer(shape, form="revnet", method="reversible"),
        "stored": lambda: Transformer(shape, form="revnet", method="none"),
        "ordinary": lambda: Transformer(shape, form="residual"),
    }
    shown = tuple(sorted({0, *(steps * i // 5 - 1 for i in range(1, 6))}))
    curves: list[Curve] = []
    for name, make in made.items():
        torch.manual_seed(seed)
        model = make().to(device)
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        batches = torch.Generator().manual_seed(seed)
        losses: list[float] = []
        for _ in range(steps):
            start = torch.randint(len(ids) - shape.seq - 1, (shape.batch,), generator=batches).tolist()
            window = torch.stack([ids[i : i + shape.seq + 1] for i in start])
            loss = functional.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        curves.append(Curve(network=name, steps=shown, losses=tuple(losses[i] for i in shown)))
    return tuple(curves)


@lru_cache(maxsize=1)
def _text() -> Tensor:
    """The opening of Shakespeare's Coriolanus (public domain) as numbers of characters."""
    text = Path(__file__).with_name("coriolanus.txt").read_text("utf-8")
    known = {sign: i for i, sign in enumerate(sorted(set(text)))}
    return torch.tensor([known[sign] for sign in text])
