"""How a reversible chain adds: in floating point, where inverting rounds, or modulo 2^32, where it is exact.

    float    (x + f) - f = x up to the rounding of two sums: the error grows with depth; fp16 and bf16 soon drown in it
    fixed    integers X = round(2^p x): (X + F) - F = X mod 2^32, whatever F is, as in a cipher's Feistel round

Fixed point rounds every function's value to 2^-p and holds |x| < 2^(31 - p); larger sums wrap around, which inverting
undoes too. The derivative of the rounding is taken as 1. Exact only if a function gives the same bits twice: the same
kernels, threads and random numbers.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import torch
from torch import Tensor


class Arithmetic(Protocol):
    """What a chain asks of its numbers."""

    def enter(self, x: Tensor) -> Tensor:
        """A stream as it is kept, from a floating-point tensor."""
        ...

    def leave(self, x: Tensor, like: torch.dtype) -> Tensor:
        """The floating-point tensor that functions see of a stream."""
        ...

    def add(self, x: Tensor, f: Tensor) -> Tensor:
        """X + f."""
        ...

    def subtract(self, x: Tensor, f: Tensor) -> Tensor:
        """X - f."""
        ...


class Float(msgspec.Struct, frozen=True):
    """Streams in the format they come in."""

    def enter(self, x: Tensor) -> Tensor:
        """The tensor itself."""
        return x

    def leave(self, x: Tensor, like: torch.dtype) -> Tensor:
        """The tensor itself."""
        return x

    def add(self, x: Tensor, f: Tensor) -> Tensor:
        """X + f, in the format of x."""
        return x + f.to(x.dtype)

    def subtract(self, x: Tensor, f: Tensor) -> Tensor:
        """X - f, in the format of x."""
        return x - f.to(x.dtype)


class Fixed(msgspec.Struct, frozen=True):
    """Streams as 32-bit integers with `point` bits after the point."""

    point: int = 16

    def enter(self, x: Tensor) -> Tensor:
        """round(2^p x) modulo 2^32."""
        return (x.double() * 2.0**self.point).round().to(torch.int64).to(torch.int32)

    def leave(self, x: Tensor, like: torch.dtype) -> Tensor:
        """X / 2^p, rounded to the format `like`."""
        return (x.double() * 2.0**-self.point).to(like)

    def add(self, x: Tensor, f: Tensor) -> Tensor:
        """X + F modulo 2^32."""
        return x + self.enter(f)

    def subtract(self, x: Tensor, f: Tensor) -> Tensor:
        """X - F modulo 2^32."""
        return x - self.enter(f)
