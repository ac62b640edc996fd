"""FLOPs of matrix products, counted as they are run: forward, backward, and what is computed again between.

Two per multiply-add, from the shapes of each product, by PyTorch's own formulas. Its counter cannot be used as it is:
it follows modules, and a backward pass that differentiates inside another breaks that. Not counted: what has no
formula, such as fused attention on a processor, norms and sums.
"""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):
    """Counts inside a `with` block.

    >>> import torch
    >>> with Flops() as counted:
    ...     y = torch.ones(2, 3) @ torch.ones(3, 5)
    >>> counted.total
    60
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=out))
        return out
