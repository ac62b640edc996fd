"""Which layers fall to which stage of a pipeline: how many the longest stages have, with embedding and head.

Dealt evenly, the longest stages have v ceil(L / (p v)) of L layers, and first the last, then the first stage has one
fewer where L leaves room (Llama 3: 126 layers in 16 stages are 14 of 8 and two of 7). Balanced, embedding and head
count as layers: a stage takes layers until it has its share of all. Knows no second.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.model import Architecture


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """Layers of the first stage, of those between, and of the last; one stage is first, between and last."""

    first: Array
    middle: Array
    last: Array


@lru_cache(maxsize=256)
def head_in_layers(model: Architecture) -> float:
    """Work of the head over that of an average layer."""
    active = sum(count * layer.active_parameters for layer, count in model.kinds) / len(model.layers)
    return model.vocab * model.hidden / active


def room(layers: int, pp: Array, vp: Array) -> Array:
    """Places for layers that stay empty when all chunks are as long as the longest."""
    return -(-layers // (pp * vp)) * vp * pp - layers


def deal(layers: int, pp: Array, vp: Array, balanced: Array, head: float) -> Stages:
    """Layers by stage; `head` is the cost of the head in layers.

    Examples
    --------
    >>> deal(126, 16, 1, False, 1.0)
    Stages(first=7.0, middle=8.0, last=7.0)
    """
    xp = namespace(pp, vp, balanced)
    slots = xp.ceil(layers / (pp * vp)) * vp
    left = slots * pp - layers
    last = slots - xp.minimum(left, 1.0 + 0.0 * left)
    first = slots - xp.minimum(xp.maximum(left - 1.0, 0.0 * left), 1.0 + 0.0 * left)
    share = xp.ceil((layers + head) / pp)
    rest = layers - share * (pp - 1)
    chosen = (balanced & (pp > 1)) * 1.0
    shortest = xp.minimum(xp.maximum(rest, 0.0 * rest), share)
    one = (pp == 1) * 1.0
    return Stages(
        first=one * layers + (1.0 - one) * (chosen * share + (1.0 - chosen) * first),
        middle=one * layers + (1.0 - one) * (chosen * share + (1.0 - chosen) * slots),
        last=one * layers + (1.0 - one) * (chosen * shortest + (1.0 - chosen) * last),
    )
