"""Closed forms of pipeline schedules: how long a stage idles, what it holds, and how often weights are kept.

With p stages, m micro-batches, v chunks per stage; F, B, W seconds of one micro-batch's forward pass, whole backward
pass and gradient of weights on one stage:

    gpipe, 1f1b      (p-1) (F + B)              zb-h1     (p-1) (F + B - 2W)
    interleaved      (p-1) (F + B) / v          zb-h2     (p-1) (F + B - 3W)
    zb-v             as zb-h2                   dualpipe  (p/2-1) (F + 2B - 3W)

none below 0. Micro-batches whose activations the first stage holds at once: m (gpipe), p (1f1b, zb-h1, zb-v),
p + (p-1)/v (interleaved), 2p - 1 (zb-h2), p + 1 (dualpipe, with two copies of the weights); never more than m.

Sources: Narayanan et al. 2021 (arXiv:2104.04473), Korthikanti et al. 2022 (2205.05198), Qi et al. 2024 (2401.10241),
DeepSeek's DualPipe. Every stage is taken as equally long; `pipeline/` simulates unequal ones. Knows no model.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace

SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v", "dualpipe")
CHUNKED = ("1f1b", "interleaved")
"""Schedules that `vp` chunks per stage interleave; the others have the chunks that they have."""


def bubble_time(schedule: str, p: Array, v: Array, forward: Array, backward: Array, weights: Array) -> Array:
    """Seconds of a step in which a stage of a pipeline waits; `weights` is a part of `backward`.

    Examples
    --------
    >>> bubble_time("1f1b", 4, 1, 1.0, 2.0, 1.0), bubble_time("1f1b", 4, 3, 1.0, 2.0, 1.0)
    (9.0, 3.0)
    >>> bubble_time("zb-h1", 4, 1, 1.0, 2.0, 1.0), bubble_time("zb-h2", 4, 1, 1.0, 2.0, 1.0)
    (3.0, 0.0)
    """
    xp = namespace(p, v, forward, backward, weights)
    whole = forward + backward
    if schedule in ("gpipe", *CHUNKED):
        return (p - 1) * whole / (1 if schedule == "gpipe" else v)
    rounds, each = p - 1, whole - 3 * weights
    if schedule == "zb-h1":
        each = whole - 2 * weights
    elif schedule == "dualpipe":
        rounds = xp.maximum(p / 2 - 1, 0.0 * p)
        each = each + backward
    return rounds * xp.maximum(each, 0.0 * each)


def in_flight(schedule: str, p: Array, v: Array, m: Array) -> Array:
    """Micro-batches whose activations, of one stage each, the fullest device holds at once.

    Examples
    --------
    >>> in_flight("1f1b", 8, 1, 64), in_flight("1f1b", 8, 7, 64), in_flight("gpipe", 8, 1, 64)
    (8.0, 9.0, 64)
    """
    xp = namespace(p, v, m)
    held = {"gpipe": m + 0 * p, "zb-h2": 2 * p - 1, "dualpipe": p + 1}.get(schedule)
    if held is None:
        held = p + (p - 1) / v * (v > 1) if schedule in CHUNKED else 1.0 * p
    return xp.minimum(held + 0 * m, m + 0 * held)


def weight_copies(schedule: str) -> float:
    """How many stages' weights a device holds: DualPipe runs the pipeline in both directions."""
    return 2.0 if schedule == "dualpipe" else 1.0


def idle_share(p: Array, v: Array, m: Array) -> Array:
    """Share of the wall-clock time that a stage of 1F1B waits: (p-1) / (v m + p - 1).

    Examples
    --------
    >>> [round(idle_share(4, 1, m), 3) for m in (4, 8, 16, 32)]  # the lecture's training bubble
    [0.429, 0.273, 0.158, 0.086]
    """
    return (p - 1) / (v * m + p - 1)
