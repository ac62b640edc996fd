"""What each device of a pipeline does, in which order: the static program of a schedule.

A model of `stages` pieces in a row passes `micro` micro-batches forward, then back. The work on one micro-batch in one
stage is F (forward), then B (gradient of the input), then W (gradient of the weights); a whole backward does B and W as
one piece, so that its gradient goes back only when both are done. A slot holds one operation, or a forward and a
backward that run side by side. Knows no times: `engine.py` has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec
import numpy as np

FORWARD, INPUT, WEIGHT, WHOLE = range(4)
"""Kinds of operations: F, B, W, and a backward that is not divided."""
KINDS = ("F", "B", "W", "BW")


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """Order of operations on every device.

    An operation is the number ``(kind * stages + stage) * micro + micro_batch``.
    """

    name: str
    stages: int
    """Pieces of the model in the order of the forward pass, of each direction."""
    micro: int
    """Micro-batches, of all directions together."""
    places: tuple[tuple[int, ...], ...]
    """Device of each stage, for each direction: one direction, or two of which each passes half of the micro-batches
    (the first half and the second half of their numbers)."""
    slots: tuple[np.ndarray, ...]
    """Of each device, in order: ``int64[slots, 2]``, an operation and another beside it or -1."""
    share: float
    """Part of a device's layers in one stage: 1 / stages per device and direction."""
    copies: int = 1
    """Copies of the weights that all devices together hold."""

    @property
    def devices(self) -> int:
        """Number of devices."""
        return len(self.slots)

    def split(self, operation: int) -> tuple[int, int, int]:
        """Kind, stage and micro-batch of an operation."""
        kind, rest = divmod(operation, self.stages * self.micro)
        return (kind, *divmod(rest, self.micro))


class Writer:
    """Writes the slots of one device; counts the micro-batches of each of its chunks by itself.

    A chunk is a stage on this device with the numbers of the micro-batches that pass it.
    """

    def __init__(self, stages: int, micro: int, chunks: Iterable[tuple[int, int]]) -> None:
        """`chunks`: stage and first micro-batch of each."""
        self.order: list[int] = []
        self.beside: dict[int, int] = {}
        self.base = [[(kind * stages + stage) * micro + first for kind in range(4)] for stage, first in chunks]
        self.next = [[0, 0, 0] for _ in self.base]
        self.pending: deque[int] = deque()

    def take(self, chunk: int, kind: int) -> int:
        """The next operation of this kind of a chunk."""
        counts = self.next[chunk]
        column = INPUT if kind == WHOLE else kind
        number = counts[column]
        counts[column] = number + 1
        if kind == WHOLE:
            counts[WEIGHT] += 1
        return self.base[chunk][kind] + number

    def forward(self, chunk: int = 0) -> None:
        """Forward of the chunk's next micro-batch."""
        self.order.append(self.take(chunk, FORWARD))

    def backward(self, chunk: int = 0) -> None:
        """Whole backward."""
        self.order.append(self.take(chunk, WHOLE))

    def gradient(self, chunk: int = 0) -> None:
        """Gradient of the input; that of the weights is kept for `weight`."""
        operation = self.take(chunk, INPUT)
        self.order.append(operation)
        self.pending.append(operation + self.base[chunk][WEIGHT] - self.base[chunk][INPUT])

    def weight(self) -> None:
        """Gradient of the weights that has waited longest."""
        self.order.append(self.pending.popleft())

    def together(self, forward: int, backward: int) -> None:
        """Forward of one chunk beside a whole backward of another."""
        self.beside[len(self.order)] = self.take(backward, WHOLE)
        self.order.append(self.take(forward, FORWARD))

    def flush(self) -> None:
        """All weights that wait."""
        self.order += self.pending
        self.pending.clear()

    @property
    def slots(self) -> np.ndarray:
        """What was written: ``int64[slots, 2]``."""
        found = np.full((len(self.order), 2), -1)
        found[:, 0] = self.order
        found[list(self.beside), 1] = list(self.beside.values())
        return found
