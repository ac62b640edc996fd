"""Bytes that autograd keeps for the backward pass, counted tensor by tensor: exact and free of noise.

Every tensor that is saved passes a hook; memory shared by several counts once, parameters not at all. What is kept
while a part is computed again in the backward pass counts too. Not counted: gradients on their way, and outputs that
nobody saved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor


class SavedBytes(torch.autograd.graph.saved_tensors_hooks):
    """Counts inside a `with` block, which must hold forward and backward pass.

    >>> x = torch.ones(1000, requires_grad=True)
    >>> with SavedBytes() as saved:
    ...     (x * 2).exp().sum().backward()  # the exponential keeps its value, 4,000 bytes
    >>> saved.peak, saved.now
    (4000, 0)
    """

    def __init__(self, ignored: Iterable[Tensor] = ()) -> None:
        self.now = self.peak = 0
        self._owners: Counter[int] = Counter()
        self._ignored = {tensor.untyped_storage().data_ptr() for tensor in ignored}
        super().__init__(self._pack, _unpack)

    def __enter__(self) -> SavedBytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().__enter__()
        return self

    def _pack(self, tensor: Tensor) -> _Held:
        return _Held(self, tensor)

    def _count(self, place: int, size: int, sign: int) -> None:
        if place in self._ignored:
            return
        self._owners[place] += sign
        if self._owners[place] == (1 if sign > 0 else 0):
            self.now += sign * size
            self.peak = max(self.peak, self.now)


class _Held:
    """A saved tensor, until autograd lets go of it."""

    def __init__(self, count: SavedBytes, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        self.tensor, self._count, self._place, self._size = tensor, count, storage.data_ptr(), storage.nbytes()
        count._count(self._place, self._size, 1)

    def __del__(self) -> None:
        self._count._count(self._place, self._size, -1)


def _unpack(held: _Held) -> Tensor:
    return held.tensor
