"""Every layout of a model on at most so many chips, as arrays.

    tp * pp * dp * cp <= chips,   ep divides tp * dp,   all degrees divide the model (`layout.Divisors`)

Dense models get dp = 1: copies that share nothing are replicas. Knows no time.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.layout import Divisors, Layout

if TYPE_CHECKING:
    from ridgeline.model import Architecture

MOST = 16384
"""Chips of the largest search: one replica has no use for more."""


def layouts(model: Architecture, chips: int) -> Layout:
    """All valid layouts of `model` on up to `chips` chips; each degree an integer array, replicas of one chip first.

    Raises
    ------
    InputError
        For more than MOST chips.
    """
    if chips > MOST:
        raise InputError(f"--chips {chips}", f"at most {MOST} chips to search over", "replicas are independent")
    import numpy as np

    can = Divisors.of(model)
    tensor = [t for t in range(1, chips + 1) if all(n % t == 0 for n in can.heads + can.widths)]
    stages = range(1, min(can.layers, chips) + 1)
    data = range(1, chips + 1) if can.experts else (1,)
    contexts = [c for c in (1, 2, 4, 8, 16, 32, 64) if c <= chips]
    groups = [e for e in range(1, chips + 1) if all(n % e == 0 for n in can.experts)] if can.experts else [1]
    rows = [
        (t, p, d, e, c)
        for t, p, c in product(tensor, stages, contexts)
        if t * p * c <= chips
        for d in data[: chips // (t * p * c)]
        for e in groups
        if t * d % e == 0
    ]
    tp, pp, dp, ep, cp = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    every = Layout(tp=tp, pp=pp, dp=dp, ep=ep, cp=cp)
    keep = np.flatnonzero(can.valid(every))
    keep = keep[np.argsort(every.chips[keep], kind="stable")]
    return Layout(tp=tp[keep], pp=pp[keep], dp=dp[keep], ep=ep[keep], cp=cp[keep])
