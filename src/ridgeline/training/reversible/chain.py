"""A chain whose layers add to the stream of two layers back, so that it runs backwards and need not be stored.

    forward      x[l+1] = x[l-1] + f_l(x[l])
    backward     x[l-1] = x[l+1] - f_l(x[l])
    gradients    d[l-1] = d[l+1]        d[l] += (df_l / dx[l])^T d[l+1]

Feistel's round with a sum for its xor: f needs no inverse. RevNet's coupling y1 = x1 + F(x2), y2 = x2 + G(y1) is the
same chain with F and G in turn (Gomez et al. 2017, arXiv:1707.04585). One network, four ways to keep its activations:
those of `rematerialisation.METHODS`.

Functions must give the same value twice. Random numbers do: every function draws from a seed of its own, so that what
is kept of all randomness is one number. A sample of the input is kept and compared with what is rebuilt; a function
that changed between its two runs raises InversionError. Under `torch.compile` the chain itself stays eager, a graph
break, since compilers do not trace a backward pass that differentiates; `compile_functions` compiles what it calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.training.rematerialisation import METHODS, root
from ridgeline.training.reversible.arithmetic import Arithmetic, Fixed, Float

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.1}
"""Relative error of a rebuilt input beyond which rounding is no explanation."""
SAMPLE = 1024
"""Values of each stream that are kept to check what is rebuilt."""


class InversionError(RuntimeError):
    """What the backward pass rebuilt is not what went in; gradients would be wrong."""


class Chain(nn.Module):
    """Layers f_l on two streams; `method` says what is kept for the backward pass.

    Parameters
    ----------
    functions
        f_l: each takes a tensor and gives one of the same shape.
    method
        One of METHODS.
    segment
        Layers of a segment of the method `sqrt`; 0: the root of their number.
    arithmetic
        Float, or Fixed for exact inversion; with Fixed the other methods round as it does.
    tolerance
        Relative error of the rebuilt input that is still taken for rounding; None: by format, 0 for Fixed.
    """

    def __init__(
        self,
        functions: Iterable[nn.Module],
        *,
        method: str = "reversible",
        segment: int = 0,
        arithmetic: Arithmetic | None = None,
        tolerance: float | None = None,
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise UnknownNameError("method", str(method)[:60], METHODS)
        self.functions = nn.ModuleList(functions)
        self.method, self.segment, self.tolerance = method, segment, tolerance
        self.arithmetic = arithmetic or Float()

    def forward(self, older: Tensor, newer: Tensor) -> tuple[Tensor, Tensor]:
        """(x[0], x[1]) to (x[L], x[L+1]); InputError for streams that differ in shape or format."""
        if older.shape != newer.shape or older.dtype != newer.dtype:
            given = f"{tuple(older.shape)} {older.dtype}, {tuple(newer.shape)} {newer.dtype}"
            raise InputError(f"streams {given}", "two of the same shape and format")
        return self._run(older, newer)  # pyright: ignore[reportCallIssue]  # the decorator hides self

    @torch.compiler.disable
    def _run(self, older: Tensor, newer: Tensor) -> tuple[Tensor, Tensor]:
        calls = self._calls(newer)
        if self.method == "none" or not torch.is_grad_enabled():
            return _forward(calls, self.arithmetic, older, newer)
        if self.method == "reversible":
            limit = self.tolerance
            if limit is None:
                limit = 0.0 if isinstance(self.arithmetic, Fixed) else TOLERANCE[newer.dtype]
            return _Reversed.apply(calls, self.arithmetic, limit, older, newer, *_parameters(self))
        if isinstance(self.arithmetic, Fixed):
            raise InputError(f"method {self.method!r} with Fixed", "reversible, or none")
        length = 1 if self.method == "full" else self.segment or int(root(len(calls)))
        for start in range(0, len(calls), length):
            part = calls[start : start + length]
            if length == 1:
                older, newer = newer, self.arithmetic.add(older, _Again.apply(part[0], newer, *part[0].parameters()))
            else:
                own = _parameters(*(call.function for call in part))
                older, newer = _Again.apply(_Part(part, self.arithmetic), older, newer, *own)
        return older, newer

    @torch.no_grad()
    def inverse(self, older: Tensor, newer: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """(x[L], x[L+1]) back to (x[0], x[1]), in the arithmetic's own numbers."""
        for call in reversed(self._calls(newer, seed)):
            older, newer = self.arithmetic.subtract(newer, call(self.arithmetic.leave(older, call.format))), older
        return older, newer

    @torch.no_grad()
    def streams(self, older: Tensor, newer: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor]:
        """What `inverse` inverts: (x[L], x[L+1]) in the arithmetic's own numbers."""
        older, newer = self.arithmetic.enter(older), self.arithmetic.enter(newer)
        for call in self._calls(newer, seed):
            older, newer = newer, self.arithmetic.add(older, call(self.arithmetic.leave(newer, call.format)))
        return older, newer

    def compile_functions(self, **options: Any) -> None:
        """Compile every layer's function; rounding may then differ between a function's two runs: not for Fixed."""
        for function in self.functions:
            function.compile(**options)

    def _calls(self, like: Tensor, seed: int | None = None) -> list[_Call]:
        """The functions with their seeds, under the present autocast."""
        device = like.device.type
        cast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        random = any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p for module in self.modules())
        if seed is None and random and self.training:
            seed = int(torch.randint(2**62, ()))
        drawn = self.training and random
        # functions see floats also where streams are integers
        form = next((p.dtype for p in self.parameters()), torch.float32) if not like.is_floating_point() else like.dtype
        return [
            _Call(f, None if not drawn or seed is None else seed + i, device, cast, form)
            for i, f in enumerate(self.functions)
        ]


class Block(nn.Module):
    """RevNet's block on one tensor: its last dimension halved into two streams, y1 = x1 + F(x2), y2 = x2 + G(y1)."""

    def __init__(self, f: nn.Module, g: nn.Module, **options: Any) -> None:
        super().__init__()
        self.chain = Chain([f, g], **options)

    def forward(self, x: Tensor) -> Tensor:
        """Y of the same shape as x."""
        return torch.cat(self.chain(*halves(x)), dim=-1)


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two streams from the halves of the last dimension.

    Raises
    ------
    InputError
        For an odd width.
    """
    width = x.shape[-1]
    if width % 2:
        raise InputError(f"width {width}", "an even number: each stream gets half", f"use {width + 1}")
    return x[..., : width // 2], x[..., width // 2 :]


class _Call:
    """A function under the seed and the autocast of its first run."""

    def __init__(
        self, function: nn.Module, seed: int | None, device: str, cast: torch.dtype | None, form: torch.dtype
    ) -> None:
        self.function, self.seed, self.device, self.cast, self.format = function, seed, device, cast, form

    def __call__(self, x: Tensor) -> Tensor:
        """f(x)."""
        cast = torch.autocast(self.device, self.cast) if self.cast else torch.autocast(self.device, enabled=False)
        with cast, nullcontext() if self.seed is None else _seeded(self.seed, x):
            return self.function(x)

    def parameters(self) -> list[Tensor]:
        return _parameters(self.function)


class _Part:
    """A segment of a chain as one function of both streams."""

    def __init__(self, calls: Sequence[_Call], arithmetic: Arithmetic) -> None:
        self.calls, self.arithmetic = calls, arithmetic

    def __call__(self, older: Tensor, newer: Tensor) -> tuple[Tensor, Tensor]:
        return _forward(self.calls, self.arithmetic, older, newer)


@contextmanager
def _seeded(seed: int, x: Tensor) -> Iterator[None]:
    """Random numbers from a seed; those of the rest of the program go on as if none had been drawn."""
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(seed % 2**63)
        yield


def _parameters(*modules: nn.Module) -> list[Tensor]:
    """Parameters with gradients, each once."""
    return list({id(p): p for module in modules for p in module.parameters() if p.requires_grad}.values())


def _forward(calls: Sequence[_Call], arithmetic: Arithmetic, older: Tensor, newer: Tensor) -> tuple[Tensor, Tensor]:
    """The chain as autograd sees it."""
    if isinstance(arithmetic, Fixed):
        older, newer = _Rounded.apply(arithmetic, older), _Rounded.apply(arithmetic, newer)
        for call in calls:
            older, newer = newer, older + _Rounded.apply(arithmetic, call(newer))
        return older, newer
    for call in calls:
        older, newer = newer, arithmetic.add(older, call(newer))
    return older, newer


class _Rounded(torch.autograd.Function):
    """A value rounded to fixed point, in floating point; the derivative of rounding is taken as 1."""

    @staticmethod
    def forward(ctx: Any, arithmetic: Fixed, x: Tensor) -> Tensor:
        return arithmetic.leave(arithmetic.enter(x), x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, gradients[0]


class _Again(torch.autograd.Function):
    """A function that keeps its inputs only, and is computed again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, call: Callable[..., Any], *inputs: Tensor) -> Any:
        ctx.call, ctx.streams = call, 2 if isinstance(call, _Part) else 1
        ctx.save_for_backward(*inputs)
        return call(*inputs[: ctx.streams])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        inputs, parameters = ctx.saved_tensors[: ctx.streams], ctx.saved_tensors[ctx.streams :]
        _, found = _differentiated(ctx.call, inputs, parameters, gradients)
        return None, *found


class _Reversed(torch.autograd.Function):
    """A chain that keeps its outputs only; what went in is rebuilt layer by layer in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, calls: list[_Call], arithmetic: Arithmetic, tolerance: float, older: Tensor, newer: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        form = newer.dtype
        older, newer = arithmetic.enter(older), arithmetic.enter(newer)
        ctx.sample = _sample(older), _sample(newer)
        for call in calls:
            older, newer = newer, arithmetic.add(older, call(arithmetic.leave(newer, form)))
        ctx.calls, ctx.arithmetic, ctx.tolerance, ctx.form = calls, arithmetic, tolerance, form
        ctx.parameters = parameters
        if not calls:
            older, newer = older.clone(), newer.clone()
        ctx.save_for_backward(older, newer)
        return arithmetic.leave(older, form), arithmetic.leave(newer, form)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (older, newer), (d_older, d_newer), arithmetic = ctx.saved_tensors, gradients, ctx.arithmetic
        older, newer = older.detach(), newer.detach()
        ctx.maybe_clear_saved_tensors()  # the outputs are let go of when the layer before them is rebuilt
        total: dict[int, Tensor] = {}
        for call in reversed(ctx.calls):
            own = call.parameters()
            x = arithmetic.leave(older, ctx.form)
            value, (dx, *found) = _differentiated(_beside(call, newer), (x,), own, (d_newer,))
            for parameter, gradient in zip(own, found, strict=True):
                if gradient is not None:
                    before = total.get(id(parameter))
                    total[id(parameter)] = gradient if before is None else before + gradient
            older, newer = arithmetic.subtract(newer, value), older
            d_older, d_newer = d_newer, d_older if dx is None else d_older + dx
            del value, x, dx, found
        _compare(ctx.sample, (_sample(older), _sample(newer)), ctx.tolerance)
        return None, None, None, d_older, d_newer, *(total.get(id(p)) for p in ctx.parameters)


class _Beside(torch.autograd.Function):
    """A value, and a tensor that is kept as long as the value's graph is: so that hooks on what is saved see it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, kept: Tensor) -> Tensor:
        ctx.save_for_backward(kept)
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None


def _beside(call: _Call, kept: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that is computed while the other stream waits."""
    return lambda x: _Beside.apply(call(x), kept)


def _differentiated(
    call: Callable[..., Any], inputs: Sequence[Tensor], parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> tuple[Any, tuple[Tensor | None, ...]]:
    """A function's value, and the gradients of inputs and parameters."""
    inputs = [x.detach().requires_grad_() for x in inputs]
    with torch.enable_grad():
        value = call(*inputs)
    values = value if isinstance(value, tuple) else (value,)
    if not any(v.requires_grad for v in values):
        return value, (None,) * (len(inputs) + len(parameters))
    outer = [g.to(v.dtype) for v, g in zip(values, gradients, strict=True)]
    found = torch.autograd.grad(values, [*inputs, *parameters], outer, allow_unused=True)
    return value if isinstance(value, tuple) else value.detach(), found


def _sample(x: Tensor) -> Tensor:
    """A few values, evenly spread; a copy."""
    flat = x.detach().reshape(-1)
    return flat[:: max(len(flat) // SAMPLE, 1)].clone()


def _compare(kept: Sequence[Tensor], rebuilt: Sequence[Tensor], tolerance: float) -> None:
    """Refuse gradients from activations that are not those of the forward pass."""
    before, after = (torch.cat(list(pair)).double() for pair in (kept, rebuilt))
    size = before.norm()
    error = float((after - before).norm() / size) if size > 0 else float(after.norm())
    if not error <= tolerance:
        raise InversionError(
            f"the input that was rebuilt differs from what went in by {error:.2g} of its size, more than the "
            f"{tolerance:.2g} that rounding explains: a function gave another value when it was run again (random "
            "numbers of its own, changed state or weights, kernels that are not deterministic), or the streams have "
            "too few bits for this depth (keep them in fp32, or use Fixed)"
        )
