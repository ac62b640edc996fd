"""When each operation of a pipeline's program runs: an exact simulation, event by event.

A device runs its slots in order; a slot starts when the device is free and what it needs has arrived:

    F(s, k) needs F(s - 1, k), B(s, k) needs B(s + 1, k), the last stage's B needs its F

and what comes from another device arrives `message` seconds later. Devices are advanced until they wait; the end of
what they wait for wakes them, so every operation is touched once. A program in which devices wait for each other is
refused. Knows no schedule, and no link that is shared: messages do not delay each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.training.pipeline.program import FORWARD, INPUT, WEIGHT, WHOLE, Program

Times = float | Sequence[float]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Begin and end of every slot, of each device: ``float64[slots]``, s."""

    program: Program
    begin: tuple[np.ndarray, ...]
    end: tuple[np.ndarray, ...]

    @property
    def span(self) -> float:
        """Seconds from the first operation to the last: a step whose optimiser waits for all devices."""
        return max(float(end[-1]) for end in self.end)

    @property
    def period(self) -> float:
        """Seconds of a step whose devices go on at once: the longest from a device's first operation to its last.

        So steps follow if the optimiser checks afterwards instead of waiting (post-validation).
        """
        return max(float(end[-1] - begin[0]) for begin, end in zip(self.begin, self.end, strict=True))

    @property
    def idle(self) -> float:
        """Seconds of `span` in which the device that waits longest has nothing to do: the bubble."""
        return self.span - float(self.busy.min())

    @property
    def idle_apart(self) -> float:
        """The same of a step whose devices go on at once."""
        spans = np.array([float(end[-1] - begin[0]) for begin, end in zip(self.begin, self.end, strict=True)])
        return float((spans - self.busy).max())

    @property
    def busy(self) -> np.ndarray:
        """Seconds of work of each device."""
        return np.array([float((end - begin).sum()) for begin, end in zip(self.begin, self.end, strict=True)])


def simulate(
    found: Program,
    forward: Times,
    gradient: Times,
    weight: Times,
    message: float = 0.0,
    together: Times | None = None,
) -> Run:
    """Run a program.

    Parameters
    ----------
    found
        The program.
    forward, gradient, weight
        F, B and W of one micro-batch in one stage, s: a number, or one per stage (of the program's stages, which are
        chunks of a device where it has several).
    message
        Seconds for activations or gradients from one device to another; between two stages of one device none.
    together
        Seconds of a forward beside a whole backward; one after the other (F + B + W) if not given. For stages that
        differ the mean of both counts.

    Raises
    ------
    InputError
        For times that are negative or not as many as stages, or a program whose devices wait for each other.
    """
    f, b, w = (_each(value, found.stages, what) for value, what in ((forward, "F"), (gradient, "B"), (weight, "W")))
    both = None if together is None else _each(together, found.stages, "F&B")
    if not 0 <= message < np.inf:
        raise InputError(f"a message of {message:g} s", "a time of 0 or more")
    times = np.stack([f, b, w, b + w])
    columns = [_columns(found, slots, times, both) for slots in found.slots]
    source, hop = _sources(found, float(message))
    ended = [-1.0] * (len(source) - 1) + [0.0]
    sleeper = [-1] * len(source)
    free = len(source) - 2  # the place of every W, which waits for nothing
    begins: list[list[float]] = [[] for _ in found.slots]
    ends: list[list[float]] = [[] for _ in found.slots]
    awake = list(range(found.devices))
    while awake:
        device = awake.pop()
        begin, end, (span, key, beside) = begins[device], ends[device], columns[device]
        now = end[-1] if end else 0.0
        for index in range(len(end), len(span)):
            own, other, start = key[index], beside[index], now
            if own != free:
                need = source[own]
                arrived = ended[need]
                if arrived >= 0 and other >= 0:
                    start = max(start, arrived + hop[own])
                    need, arrived = source[other], ended[source[other]]
                if arrived < 0:
                    sleeper[need] = device
                    break
                arrived += hop[own if other < 0 else other]
                if arrived > start:
                    start = arrived
                now = ended[own] = start + span[index]
                if sleeper[own] >= 0:
                    awake.append(sleeper[own])
                    sleeper[own] = -1
                if other >= 0:
                    ended[other] = now
                    if sleeper[other] >= 0:
                        awake.append(sleeper[other])
                        sleeper[other] = -1
            else:
                now = start + span[index]
            begin.append(start)
            end.append(now)
    if any(len(end) < len(slots) for end, slots in zip(ends, found.slots, strict=True)):
        raise InputError(f"schedule {found.name}", "a program whose devices do not wait for each other")
    return Run(program=found, begin=tuple(map(np.array, begins)), end=tuple(map(np.array, ends)))


def in_flight(found: Program, kept: float = 1.0) -> np.ndarray:
    """Most activations that each device holds at once, ``float64[devices]``, in micro-batches of a device's layers.

    Parameters
    ----------
    found
        The program: the order alone decides.
    kept
        Share of a micro-batch's activations that the gradient of the weights still needs after that of the input.
    """
    change = np.zeros(4)
    change[[INPUT, WEIGHT, WHOLE]] = 1 - kept, kept, 1.0
    most: list[float] = []
    for pairs in found.slots:
        kind = np.maximum(pairs, 0) // (found.stages * found.micro)
        gain = ((kind == FORWARD) & (pairs >= 0)).sum(1)
        freed = np.where(pairs >= 0, change[kind], 0.0).sum(1)
        held = np.cumsum(gain - freed) + freed  # in a slot, what it makes is there and what it frees still is
        most.append(float(held.max()) * found.share)
    return np.array(most)


def _each(value: Times, stages: int, what: str) -> np.ndarray:
    """A time for each stage."""
    found = np.broadcast_to(np.asarray(value, float), stages) if np.ndim(value) == 0 else np.asarray(value, float)
    if found.shape != (stages,):
        raise InputError(f"{found.size} times {what}", f"one for each of {stages} stages")
    if not ((found >= 0) & (found < np.inf)).all():
        raise InputError(f"{what} of {found.min():g} to {found.max():g} s", "times of 0 or more")
    return found


def _columns(
    found: Program, pairs: np.ndarray, times: np.ndarray, both: np.ndarray | None
) -> tuple[list[float], list[int], list[int]]:
    """Of each slot of a device: its seconds, and the places of its operations in a list of ends (see `_sources`)."""
    half = found.stages * found.micro
    kind, rest = np.divmod(np.maximum(pairs, 0), half)
    stage = rest // found.micro
    span = np.where(pairs >= 0, times[kind, stage], 0.0).sum(1)
    if both is not None:
        span = np.where(pairs[:, 1] >= 0, both[stage].mean(1), span)
    key = np.where(kind == FORWARD, rest, np.where(kind == WEIGHT, 2 * half, rest + half))
    return span.tolist(), key[:, 0].tolist(), np.where(pairs[:, 1] >= 0, key[:, 1], -1).tolist()


def _sources(found: Program, message: float) -> tuple[list[int], list[float]]:
    """Place of what each waits for, and the seconds from there: every F, every backward, any W, and nothing at all.

    A W waits for nothing, since its B comes before it on the same device.
    """
    stages, micro = found.stages, found.micro
    half = stages * micro
    none = 2 * half + 1
    source = [*[none] * micro, *range(half - micro), *range(half + micro, 2 * half), *range(half - micro, half)]
    place = found.places[0]  # a second direction has its hops at the same stages
    away = [0.0, *(message if a != b else 0.0 for a, b in pairwise(place))]
    return [*source, none, none], [*np.repeat([*away, *away[1:], 0.0], micro).tolist(), 0.0, 0.0]
