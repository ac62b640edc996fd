"""Architectures as they are on sale, drawn from what is believed of them: the prior of an inference.

A model is dense or a mixture of experts, has active and total parameters, a kind of attention and with it bytes of
cache per token. Draws are from a fixed stream, so that the same question has the same answer. Knows no price.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.pricing.market import Line, Models

Floats = NDArray[np.float64]
TEN = 10.0
"""log10 of the 10e9 active parameters at which slopes are anchored."""
LEAST_REST = 0.05
"""log10(total / active) that a mixture of experts has at least."""


class Population(msgspec.Struct, frozen=True, kw_only=True):
    """Models, one to a row; sizes in log10."""

    experts: NDArray[np.bool_]
    kind: NDArray[np.int64]
    """Index into the kinds of attention."""
    active: Floats
    total: Floats
    cache: Floats
    """log10 of bytes per token."""

    def __len__(self) -> int:
        return len(self.active)


def draw(models: Models, count: int, stream: np.random.Generator) -> Population:
    """So many models as they are on sale."""
    experts = stream.random(count) < models.experts
    u, z = stream.random(count), stream.standard_normal((3, count))
    own, dense = models.experts_active, models.dense_active
    active = np.where(experts, own.mean + own.sd * z[0], dense.mean + dense.sd * z[0])
    rest = np.abs(models.dense_rest.mean + models.dense_rest.sd * z[1])
    total = np.where(
        experts, np.maximum(_line(models.experts_total, active - TEN, z[1]), active + LEAST_REST), active + rest
    )
    kinds = list(models.attention.values())
    kind = np.where(
        experts,
        np.searchsorted(np.cumsum([each.experts for each in kinds]), u),
        np.searchsorted(np.cumsum([each.dense for each in kinds]), u),
    ).clip(max=len(kinds) - 1)
    cache = np.choose(kind, [_line(each.cache, active - TEN, z[2]) for each in kinds])
    return Population(experts=experts, kind=kind, active=active, total=total, cache=cache)


def _line(line: Line, x: Floats, z: Floats) -> Floats:
    return line.mean + line.slope * x + line.sd * z
