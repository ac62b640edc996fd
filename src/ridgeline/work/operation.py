"""One operation's FLOPs and bytes, and their sum.

A step does math and moves memory: an :class:`Operation` counts both for one kernel-sized piece of a layer, a
:class:`Work` is a sum of operations, FLOPs kept apart by the number format they are computed in.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ridgeline.arrays import Array


class Routing(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens meet the routed experts of an operation, where nobody says which experts are popular."""

    experts: int
    """Experts of the layer, on all ranks."""
    ranks: Array
    """Ranks that share them out."""
    crowd: Array
    """Visits per expert: tokens * active / experts."""
    copies: Array = 0.0
    """Redundant copies of experts."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """FLOPs and bytes of one operation, on the part of the model that is counted; numbers or arrays of one shape.

    `flop` two per multiply-add; `weights`, `kv_read`, `kv_write` bytes that must cross HBM once per step;
    `activations` bytes of inputs and outputs, which a perfect fusion would keep on chip and a floor leaves out.
    """

    name: str
    family: str
    """Kind of kernel, which decides its efficiency: gemm, experts, (decode | prefill) (attention | latent), recurrence,
    elementwise or lookup."""
    math: str
    """Number format of the multiplications: a field of `hardware.Peak`."""
    stored: str = "bf16"
    """Format of what is read: weights, or the cache."""
    flop: Array = 0.0
    weights: Array = 0.0
    kv_read: Array = 0.0
    kv_write: Array = 0.0
    activations: Array = 0.0
    depth: Array = 0.0
    """What one thread block runs through alone: rows of a matrix, tokens that a query sees, experts touched."""
    scores: Array = 0.0
    """Exponentials of a softmax: query-key pairs times heads."""
    joined: bool = False
    """Part of the kernel of the operation before."""
    routing: Routing | None = None
    """Only routed experts: what an estimate needs to expect uneven ones."""

    @property
    def memory(self) -> Array:
        """Bytes that must cross HBM: weights, and the cache read and written."""
        return self.weights + self.kv_read + self.kv_write

    def __add__(self, other: Operation) -> Operation:
        """The same operation on a further group of sequences."""
        assert (self.name, self.family) == (other.name, other.family)
        return Operation(
            name=self.name,
            family=self.family,
            math=self.math,
            stored=self.stored,
            flop=self.flop + other.flop,
            weights=self.weights + other.weights,
            kv_read=self.kv_read + other.kv_read,
            kv_write=self.kv_write + other.kv_write,
            activations=self.activations + other.activations,
            depth=self.depth + other.depth,
            scores=self.scores + other.scores,
            joined=self.joined,
        )


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of operations: FLOPs by number format, bytes by kind. Add works, or multiply one by a count."""

    flop: dict[str, Array]
    weights: Array = 0.0
    kv_read: Array = 0.0
    kv_write: Array = 0.0
    activations: Array = 0.0

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> Work:
        """Sum of `operations`."""
        flop: dict[str, Array] = {}
        weights = kv_read = kv_write = activations = 0.0
        for op in operations:
            flop[op.math] = flop.get(op.math, 0.0) + op.flop
            weights = weights + op.weights
            kv_read = kv_read + op.kv_read
            kv_write = kv_write + op.kv_write
            activations = activations + op.activations
        return cls(flop=flop, weights=weights, kv_read=kv_read, kv_write=kv_write, activations=activations)

    def __add__(self, other: Work) -> Work:
        flop = dict(self.flop)
        for math, value in other.flop.items():
            flop[math] = flop.get(math, 0.0) + value
        return Work(
            flop=flop,
            weights=self.weights + other.weights,
            kv_read=self.kv_read + other.kv_read,
            kv_write=self.kv_write + other.kv_write,
            activations=self.activations + other.activations,
        )

    def __mul__(self, count: Array) -> Work:
        return Work(
            flop={math: value * count for math, value in self.flop.items()},
            weights=self.weights * count,
            kv_read=self.kv_read * count,
            kv_write=self.kv_write * count,
            activations=self.activations * count,
        )

    __rmul__ = __mul__

    @property
    def total_flop(self) -> Array:
        """FLOPs of all formats together."""
        return sum(self.flop.values())

    @property
    def memory(self) -> Array:
        """Bytes that must cross HBM: weights, and the cache read and written."""
        return self.weights + self.kv_read + self.kv_write
