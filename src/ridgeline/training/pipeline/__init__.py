"""Pipeline parallelism: schedules simulated event by event, their closed forms, and when not to pipeline."""

from ridgeline.training.pipeline.bubble import SHAPES, activations, bubble, idle_share
from ridgeline.training.pipeline.crossing import (
    held_per_chip,
    idle_decode,
    inside_over_between,
    residual_bytes,
    token_time,
)
from ridgeline.training.pipeline.diagram import BESIDE, IDLE, kinds, pixels, runs
from ridgeline.training.pipeline.engine import Run, in_flight, simulate
from ridgeline.training.pipeline.program import KINDS, Program
from ridgeline.training.pipeline.schedule import SCHEDULES, program
from ridgeline.training.pipeline.sharding import Variant, variant

__all__ = [
    "BESIDE",
    "IDLE",
    "KINDS",
    "SCHEDULES",
    "SHAPES",
    "Program",
    "Run",
    "Variant",
    "activations",
    "bubble",
    "held_per_chip",
    "idle_decode",
    "idle_share",
    "in_flight",
    "inside_over_between",
    "kinds",
    "pixels",
    "program",
    "residual_bytes",
    "runs",
    "simulate",
    "token_time",
    "variant",
]
