"""Operands that no cache holds: a large block of random numbers, cut into as many copies of an operand as fit.

The n-th call takes the n-th copy, so that weights and caches come out of memory as they do in a model that is larger
than the processor's caches. Knows no kernel.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ridgeline.validate.measure.device import Device

ROOM = 1 << 29
"""Bytes of the block: several times the largest cache of common processors and GPUs."""
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp8": "float8_e4m3fn"}
"""PyTorch's names of the number formats that are measured."""


class Store:
    """Blocks of random numbers on one device, one for each number format."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._blocks: dict[str, Any] = {}

    def dtype(self, number: str) -> Any:
        """PyTorch's type of a number format."""
        return getattr(self.device.torch, DTYPES[number])

    def fits(self, number: str, *shape: int) -> bool:
        """Whether there is room for two copies, so that one is never read twice in a row."""
        return 2 * prod(shape) * self.dtype(number).itemsize <= ROOM

    def copies(self, number: str, *shape: int) -> Any:
        """All the copies of an operand of this shape that fit."""
        if number not in self._blocks:
            torch, dtype = self.device.torch, self.dtype(number)
            few = (torch.randn(1 << 20, device=self.device.kind) * 0.02).to(dtype)
            self._blocks[number] = few.view(torch.uint8).repeat(ROOM // (few.numel() * dtype.itemsize)).view(dtype)
        size = prod(shape)
        count = self._blocks[number].numel() // size
        return self._blocks[number][: count * size].view(count, *shape)

    def fresh(self, number: str, *shape: int) -> Any:
        """Small operands that a kernel before would have left in the cache."""
        wide = number if number != "fp8" else "bf16"
        return self.device.torch.randn(*shape, device=self.device.kind).to(self.dtype(wide))
