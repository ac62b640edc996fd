"""Every schedule on the same devices and micro-batches: simulated beside its closed form.

Times are those of one micro-batch on one device's layers; a schedule that cannot run so is left out with its reason.
"""

from __future__ import annotations

import msgspec

from ridgeline.errors import InputError
from ridgeline.training.pipeline.bubble import SHAPES, activations, bubble, idle_share
from ridgeline.training.pipeline.engine import Run, in_flight, simulate
from ridgeline.training.pipeline.schedule import SCHEDULES, program

APART = ("zb-h2", "zb-v")
"""Schedules whose devices go on at once after a step: the optimiser checks afterwards."""


EXACT = 1e-12
"""Share of a step below which idle time is an error of rounding."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule, simulated."""

    name: str
    run: Run
    step: float
    """Seconds; of `APART` from a device's first operation to its last."""
    idle: float
    """Seconds, of the device that waits longest."""
    closed: float
    """Idle seconds by the closed form; nan where there is none."""
    share: float
    """Idle over step."""
    flight: tuple[float, ...]
    """Micro-batches of a device's activations held at most, by device."""
    expected: float
    """The same of the fullest device, in closed form."""
    copies: int
    messages: float
    """Messages between devices, relative to 1f1b."""


class Pass(msgspec.Struct, frozen=True, kw_only=True):
    """One micro-batch on all layers of one device, s."""

    forward: float
    gradient: float
    weight: float
    message: float = 0.0
    """From one device to the next."""
    together: float | None = None
    """A forward beside a whole backward; None: one after the other."""
    kept: float = 1.0
    """Share of the activations kept from the gradient of the input until that of the weights."""


def run(name: str, devices: int, micro: int, chunks: int, times: Pass) -> Compared:
    """Simulate one schedule with `chunks` per device where it has a choice.

    Raises
    ------
    InputError
        If the schedule cannot run with these numbers.
    """
    chunks = chunks if name == "interleaved" else 1
    made = program(name, devices, micro, chunks)
    part = made.share
    found = simulate(
        made,
        times.forward * part,
        times.gradient * part,
        times.weight * part,
        times.message,
        None if times.together is None else times.together * part,
    )
    apart = name in APART
    step = found.period if apart else found.span
    idle = found.idle_apart if apart else found.idle
    idle = idle if idle > EXACT * step else 0.0
    copies, messages = SHAPES[name]
    return Compared(
        name=name,
        run=found,
        step=step,
        idle=idle,
        closed=bubble(name, devices, times.forward, times.gradient, times.weight, chunks, times.together),
        share=idle_share(idle, step - idle),
        flight=tuple(in_flight(made, times.kept).tolist()),
        expected=activations(name, devices, micro, chunks),
        copies=copies,
        messages=messages or float(chunks),
    )


def compare(devices: int, micro: int, chunks: int, times: Pass) -> tuple[list[Compared], dict[str, str]]:
    """All schedules; and what others would need to run, by name."""
    found: list[Compared] = []
    refused: dict[str, str] = {}
    for name in SCHEDULES:
        try:
            found.append(run(name, devices, micro, chunks, times))
        except InputError as error:
            refused[name] = error.expected
    return found, refused
