"""The backward pass, and what is computed again for it, as transforms of the forward pass's operations.

    matrix on t tokens      backward = 2 forward: gradients of inputs, and of weights (weights read, gradients written)
    attention               backward = 2 forward in model FLOPs; fused kernels compute the scores again: 2.5
    recomputation           none: 0    selective: the core of attention    full, reversible: the forward pass once more

Knows no device and no second.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ridgeline.arrays import Array
from ridgeline.work.operation import Operation

CORE = ("prefill attention", "prefill latent", "recurrence")
"""Families of the core of attention: what selective recomputation repeats."""


def backward(operation: Operation) -> Operation:
    """Gradients of an operation's inputs and weights: twice its FLOPs, its weights read once and written once."""
    return msgspec.structs.replace(
        operation,
        name=f"{operation.name}, backward",
        flop=2.0 * operation.flop,
        weights=2.0 * operation.weights,
        kv_read=2.0 * operation.kv_read,
        kv_write=2.0 * operation.kv_write,
        activations=2.0 * operation.activations,
    )


def repeats(family: str, recompute: Array) -> Array:
    """How often an operation is computed again in the backward pass, by index into RECOMPUTE: 0 or 1."""
    whole = 1.0 * (recompute >= 2)
    return whole + 1.0 * (recompute == 1) if family in CORE else whole


def training(operations: Iterable[Operation], recompute: Array = 0) -> list[Operation]:
    """Forward pass, backward pass and what is computed again, as operations."""
    out: list[Operation] = []
    for operation in operations:
        again = 1.0 + repeats(operation.family, recompute)
        forward = msgspec.structs.replace(
            operation,
            flop=operation.flop * again,
            weights=operation.weights * again,
            activations=operation.activations * again,
        )
        out += [forward, backward(operation)]
    return out
