"""How good importance weights are, and what they tell: the shape of their tail, and information in nats.

    information = sum over equally likely bins of p ln(p bins)

Knows no sheet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 40
"""Equally likely bins of the prior between which information is counted."""


def information(ordered: Floats) -> float:
    """Nats between posterior and prior, from weights in the order of the quantity: bins equally likely before.

    The chance that few draws give information to nothing, (bins - 1) / 2 per effective draw, is taken off.
    """
    parts = np.array([part.sum() for part in np.array_split(ordered, BINS)])
    some = parts > 0
    found = float((parts[some] * np.log(parts[some] * BINS)).sum())
    return max(found - 0.5 * (BINS - 1) * float((ordered**2).sum()), 0.0)


def pareto_tail(weights: Floats) -> float:
    """Shape k of the generalised Pareto distribution of the largest weights (Zhang and Stephens 2009; Vehtari et al.).

    Up to 0.5 the weights have a variance, up to 0.7 an average of them is still of use.
    """
    count = int(min(len(weights) / 5, 3 * np.sqrt(len(weights))))
    order = np.sort(weights)
    tail = order[-count:] - order[-count - 1]
    if not tail[-1] > 0:
        return -np.inf
    points = 30 + int(np.sqrt(count))
    grid = 1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    theta = 1.0 / tail[-1] + grid / (3.0 * tail[int(count / 4 + 0.5) - 1])
    shape = np.log1p(-theta[:, None] * tail).mean(axis=1)
    profile = count * (np.log(-theta / shape) - shape - 1.0)
    mixing = 1.0 / np.exp(profile - profile[:, None]).sum(axis=1)
    best = float((theta * mixing).sum() / mixing.sum())
    k = float(np.log1p(-best * tail).mean())
    return (k * count + 0.5 * 10) / (count + 10)
