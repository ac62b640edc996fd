"""Bubble, activations, copies of the weights and messages of each schedule, in closed form.

F, B, W: one micro-batch's forward, gradient of the input and gradient of the weights on one of p devices; m
micro-batches, v chunks. Idle time of a step, and micro-batches of activations on the device that holds most:

    gpipe         (p - 1) (F + B + W)                          m
    1f1b          (p - 1) (F + B + W)                          p
    interleaved   (p - 1) (F + B + W) / v                      p + (p - 1) / v
    zb-h1         (p - 1) (F + B - W)                          p
    zb-h2         (p - 1) max(F + B - 2 W, 0)                  2 p - 1
    zb-v          0 if F = B = W                               p
    v-half        (p - 1) (F + B + W) / 2                      p / 2       both about, at F = B = W
    v-min         (p - 1) (F + B + W) 2 / 3                    p / 3       both about, at F = B = W
    dualpipe      (p / 2 - 1) (F&B + B - 2 W)                  p + 1
    dualpipev     (p - 1) (F&B + B - 2 W) / 2                  p + 1/2

F&B: a forward beside a whole backward, F + B + W where nothing is gained. Those of zb-h2 and zb-v hold for an optimiser
that does not wait for all devices (post-validation; without, about 8% are lost); zb-h1 and zb-h2 for W <= min(F, B) and
m >= 2 p - 1; dualpipe and dualpipev for F = B = W: elsewhere the event simulation finds more or less. Messages take no
time. v-half here has no reordering of its first and last passes and waits about 0.6 of 1f1b's bubble.
Sources: 1811.06965 (gpipe), 2104.04473 and 2205.05198 (interleaved), 2401.10241 (zb), README of deepseek-ai/DualPipe
(there B is the whole backward, and dualpipev has p / 2 devices). `training.bubble` has those that a search over layouts
needs, for arrays; here are all, with where they hold.
"""

from __future__ import annotations

import math
from functools import partial

from ridgeline.errors import UnknownNameError
from ridgeline.training.bubble import bubble_time, in_flight


def bubble(
    name: str, p: int, forward: float, gradient: float, weight: float, chunks: int = 1, together: float | None = None
) -> float:
    """Idle seconds of a step on the device that waits longest; nan where no closed form is published
    (UnknownNameError for another schedule).

    Parameters
    ----------
    name
        A schedule of `schedule.SCHEDULES`.
    p
        Devices.
    forward, gradient, weight
        F, B, W on a device's layers, s.
    chunks
        v.
    together
        F&B, s; F + B + W if not given.
    """
    both = forward + gradient + weight if together is None else together
    wait = partial(bubble_time, p=p, forward=forward, backward=gradient + weight, weights=weight)
    match name:
        case "gpipe" | "1f1b":
            return wait(name, v=1)
        case "interleaved":
            return wait(name, v=chunks)
        case "zb-h1" | "zb-h2":
            return wait(name, v=1) if weight <= min(forward, gradient) else math.nan
        case "zb-v":
            return 0.0 if math.isclose(forward, gradient) and math.isclose(gradient, weight) else math.nan
        case "v-half":
            return wait("1f1b", v=1) / 2
        case "v-min":
            return wait("1f1b", v=1) * 2 / 3
        case "dualpipe":
            return (p / 2 - 1) * (both + gradient - 2 * weight)
        case "dualpipev":
            return (p - 1) * (both + gradient - 2 * weight) / 2
    raise UnknownNameError("schedule", name, SHAPES)


def activations(name: str, p: int, micro: int, chunks: int = 1) -> float:
    """Micro-batches of a device's activations that the fullest device holds at once
    (UnknownNameError for another schedule).
    """
    match name:
        case "gpipe" | "1f1b" | "zb-h1" | "zb-h2" | "zb-v":
            return float(in_flight(name, p, 1, micro))
        case "interleaved":
            return p + (p - 1) / chunks if chunks > 1 and micro > p else float(min(micro, p if chunks == 1 else micro))
        case "v-half":
            return p / 2
        case "v-min":
            return p / 3
        case "dualpipe":
            return p + 1.0
        case "dualpipev":
            return p + 0.5
    raise UnknownNameError("schedule", name, SHAPES)


def idle_share(bubble: float, work: float) -> float:
    """Idle time over all of a step's time."""
    return bubble / (bubble + work)


SHAPES: dict[str, tuple[int, float]] = {
    "gpipe": (1, 1.0),
    "1f1b": (1, 1.0),
    "interleaved": (1, 0.0),
    "zb-h1": (1, 1.0),
    "zb-h2": (1, 1.0),
    "zb-v": (1, 2.0),
    "v-half": (1, 2.0),
    "v-min": (1, 2.0),
    "dualpipe": (2, 1.0),
    "dualpipev": (1, 2.0),
}
"""Copies of the weights, and messages between devices relative to 1f1b (interleaved: v)."""
