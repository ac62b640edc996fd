"""Decode in two dimensionless numbers: the batch in units of B* and the context in units of L*.

With b = B / B* and l = L / L*, in units of the time (or price) of one token's math:

    cost of a token        c(b, l) = max(1, 1/b + l)             1/b: weights, shared by the batch; l: its own cache
    MFU                    1 / c
    compute-bound          b >= 1 / (1 - l), never for l >= 1; that is l <= 1 - 1/b
    floor                  max(1, l): what no batch beats; alone (b = 1/B*) a token costs about B* times as much
    slow mode              saves 1 - max(1, l) / c
    fast mode              s times the speed for q times the price on the same chips: B0 / B_fast = q s
    step's time over weights' own                                                   max(b, 1 + l b)

All of the lecture's pictures of decode follow. Perfect overlap, data-sheet rates, one context for all sequences; every
weight is read each step, which a mixture of experts at small batches does not do. Arguments may be arrays.
Source: R. Pope's blackboard lecture (2026); `serving.balance` gives B* and L* of a model on a system.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace


def token_cost(batch: Array, context: Array) -> Array:
    """Cost of one token in units of its math: max(1, 1/b + l); `batch` = B/B* above 0, `context` = L/L*.

    Examples
    --------
    >>> token_cost(1.0, 1.0), token_cost(2.0, 0.5)
    (2.0, 1.0)
    """
    reads = 1.0 / batch + context
    xp = namespace(reads)
    return xp.maximum(reads, 1.0 + 0.0 * reads)


def model_utilisation(batch: Array, context: Array) -> Array:
    """MFU of decode at the roofline: 1 / max(1, 1/b + l)."""
    return 1.0 / token_cost(batch, context)


def cost_floor(context: Array) -> Array:
    """What no batch beats, in units of one token's math: max(1, l)."""
    xp = namespace(context)
    return xp.maximum(context, 1.0 + 0.0 * context)


def saturating_batch(context: Array) -> Array:
    """Batch over B* from which decode is bound by math: 1 / (1 - l); infinite from l = 1 on."""
    xp = namespace(context)
    left = 1.0 - context
    return xp.where(left > 0, 1.0 / xp.maximum(left, 1e-300), float("inf"))


def memory_bound_context(batch: Array) -> Array:
    """Context over L* from which memory binds: 1 - 1/b, the kink of cost against context; 0 below B*."""
    free = 1.0 - 1.0 / batch
    return namespace(free).maximum(free, 0.0 * free)


def slow_saving(batch: Array, context: Array) -> Array:
    """Share of the cost that waiting for any batch would save: 1 - max(1, l) / max(1, 1/b + l)."""
    return 1.0 - cost_floor(context) / token_cost(batch, context)


def fast_batches(price: Array, speed: Array) -> Array:
    """Standard over fast batch if price follows cost and the chips are the same: q s.

    A step's cost is its time shared by its batch: q = (t_fast / B_fast) / (t_0 / B_0) with t_0 / t_fast = s.
    """
    return price * speed


def fast_cache(price: Array, speed: Array) -> Array:
    """Cache bytes over weight bytes at the standard batch that a fast mode implies, both modes bound by memory.

    (1 + y / (q s)) s = 1 + y, so y = (s - 1) / (1 - 1/q) for q above 1.
    """
    return (speed - 1.0) / (1.0 - 1.0 / price)


def step_over_weights(batch: Array, context: Array) -> Array:
    """Time of a step over that of reading the weights alone: max(b, 1 + l b), the most that a smaller batch gains."""
    math, memory = batch + 0.0 * context, 1.0 + context * batch
    return namespace(math, memory).maximum(math, memory)
