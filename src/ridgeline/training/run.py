"""One training job on one layout: floor, estimate and interval of a step, memory, utilisation, days, dollars, energy.

    days = tokens / (batch seq) * step / goodput          dollars = chips * price * days
    MFU = FLOPs per token (a convention's) * tokens per second and chip / peak of the chip in the format of its matrices
    HFU = MFU with what is computed again

Estimates are refused nowhere: a layout that does not fit has a chance of running out of memory near one. Numbers or
arrays of layouts. Knows no search.
"""

from __future__ import annotations

from math import exp

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.hardware import System
from ridgeline.model import Architecture
from ridgeline.precision import Precision
from ridgeline.roofline import Time
from ridgeline.training.conventions import CONVENTIONS, flop_per_token, multiplied
from ridgeline.training.framework import Frameworks, Habits, frameworks
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.memory import TrainingMemory, chance_of_running_out, training_memory
from ridgeline.training.step import Parts, TrainingTime, floor_time, step_parts, step_time

SIGMA = 1.2816
"""Standard deviations between the middle and nine tenths of a normal distribution."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a job but its layout."""

    model: Architecture
    system: System
    precision: Precision
    seq: Array
    batch: Array
    framework: str = "megatron"
    habits: Habits
    frozen: bool = False
    dropout: bool = False
    fused: bool = True
    uneven: float = 0.0
    age: float = 0.0
    fault: float = 0.0
    dropless: bool = True


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """What one step takes and holds; numbers or arrays."""

    layout: TrainingLayout
    setting: Setting
    parts: Parts
    time: TrainingTime
    floor: Time
    memory: TrainingMemory
    low: Array
    high: Array
    out_of_memory: Array
    """Probability."""

    @property
    def seconds(self) -> Array:
        """Estimate of a step."""
        return self.time.seconds

    @property
    def rate(self) -> Array:
        """Tokens per second and chip."""
        return self.setting.batch * self.setting.seq / (self.seconds * self.layout.chips)

    def utilisation(self, convention: str) -> Array:
        """MFU as a project counts it."""
        per_token = flop_per_token(self.setting.model, self.setting.seq, convention)
        return per_token * self.rate / self.peak

    @property
    def hardware_utilisation(self) -> Array:
        """HFU: FLOPs that are computed, causal attention and what is computed again included, over the peak."""
        s = self.setting
        model = flop_per_token(s.model, s.seq, "nvidia")
        square = flop_per_token(s.model, s.seq, "megatron") - model
        body = multiplied(s.model) - s.model.vocab * s.model.hidden
        again = self.parts.again * 2.0 * body + self.parts.core_again * square / 3.0
        return (model + again) * self.rate / self.peak

    @property
    def peak(self) -> float:
        """FLOP/s of a chip in the format of the matrices of attention, which stand for all."""
        s = self.setting
        return s.system.chip.math_rate(s.precision.of("attention")[1])

    def conventions(self) -> dict[str, Array]:
        """MFU by convention."""
        return {name: self.utilisation(name) for name in CONVENTIONS}


def train(setting: Setting, layout: TrainingLayout, found: Frameworks | None = None) -> TrainingRun:
    """A training step of a job on a layout, or on arrays of layouts.

    Raises
    ------
    InputError
        If the chip does not compute in a needed format, or a bandwidth that is needed is not known.
    """
    found = found or frameworks()
    s, chip = setting, setting.system.chip
    parts = step_parts(
        s.model, s.system, s.precision, layout, s.seq, s.batch, s.habits,
        uneven=s.uneven, frozen=s.frozen, fused=s.fused, age=s.age, fault=s.fault, dropless=s.dropless,
    )  # fmt: skip
    time, floor = step_time(parts, found.factors(s.framework, chip.name)), floor_time(parts)
    memory = training_memory(
        s.model, layout, s.seq, s.batch, s.habits, found.allocations(s.framework),
        dropout=s.dropout, fused=s.fused, frozen=s.frozen,
    )  # fmt: skip
    spread, held = found.spread_of("time", s.framework), found.spread_of("memory", s.framework)
    seconds = time.seconds
    xp = namespace(seconds, floor.lower)
    low = xp.maximum(seconds * exp(spread.low), floor.lower + 0.0 * seconds)
    return TrainingRun(
        layout=layout,
        setting=setting,
        parts=parts,
        time=time,
        floor=floor,
        memory=memory,
        low=low,
        high=xp.maximum(seconds * exp(spread.high), low),
        out_of_memory=chance_of_running_out(memory.used, chip.usable, (held.high - held.low) / (2.0 * SIGMA)),
    )


def checkpoint_bytes(model: Architecture, habits: Habits) -> float:
    """Bytes of a checkpoint: weights and optimizer states."""
    return model.parameters * (habits.weights + habits.states)
