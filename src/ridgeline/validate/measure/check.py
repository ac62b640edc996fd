"""Steps of a small real transformer, measured, against what Ridgeline predicts for it from the measured chip.

    floor     of `timing.step` at the measured peaks
    estimate  sum over kernels of `efficiency.kernel_time`: PyTorch alone, without an engine around it
    knee      the batch from which a decode step takes longer: the c of t = a max(1, B / c) that fits best

The predicted knee is that of the estimates; B* is that of the roofline at peak rates (`roofline.balance_batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from ridgeline.efficiency import KERNELS, kernel_constants, kernel_time
from ridgeline.hardware import System, format_bytes
from ridgeline.layout import Layout
from ridgeline.model import Architecture
from ridgeline.precision import resolve
from ridgeline.roofline import balance_batch, ridge_tokens
from ridgeline.timing import Step, step
from ridgeline.validate.measure.block import Shape
from ridgeline.validate.measure.clock import Clock
from ridgeline.validate.measure.device import Device
from ridgeline.validate.measure.transformer import Transformer
from ridgeline.work import Segment

SHAPES = {
    "cpu": Shape(hidden=1024, heads=16, kv_heads=4, head_dim=64, width=2816),
    "cuda": Shape(hidden=5120, heads=40, kv_heads=8, head_dim=128, width=13824),
}
"""Layers that no micro-benchmark has."""
LAYERS, VOCAB = 8, 16384
KNEE = tuple((1 << power, 64) for power in range(11))
DECODES = tuple((seqs, past) for seqs in (1, 4, 16, 64) for past in (500, 2000, 8000))
PROMPTS = tuple((seqs, new) for seqs in (1, 4) for new in (100, 400, 1200, 4000))
BEYOND = 12
"""Batches are measured up to this many times B*."""
QUICK, FULL = (0.2, 0.5), (0.6, 2.0)
"""Seconds for one step's samples, and the longest predicted step that is run."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A step, measured and predicted, in seconds."""

    phase: str
    batch: int
    context: int
    """Tokens in the cache (decode), or of each prompt (prefill)."""
    measured: float
    floor: float
    estimate: float

    @property
    def error(self) -> float:
        """Relative error of the estimate: estimate / measured - 1."""
        return self.estimate / self.measured - 1


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """All steps, and where decode stops being free."""

    model: str
    rows: tuple[Held, ...]
    balance_batch: float
    """B* of the roofline."""

    @property
    def median_error(self) -> float:
        """Median of |error|."""
        return float(np.median([abs(row.error) for row in self.rows]))

    @property
    def knee(self) -> float:
        """Measured batch from which a decode step takes longer."""
        return self._knee(lambda row: row.measured)

    @property
    def predicted_knee(self) -> float:
        """The same of the estimates."""
        return self._knee(lambda row: row.estimate)

    def _knee(self, seconds: Callable[[Held], float]) -> float:
        rows = [row for row in self.rows if row.phase == "decode" and (row.batch, row.context) in KNEE]
        return knee([row.batch for row in rows], [seconds(row) for row in rows])


def check(
    device: Device, system: System, *, quick: bool = False, tell: Callable[[str], None] = lambda s: None
) -> Check:
    """Run a small transformer on `device` and predict every step from `system`, its measured self."""
    shape, (budget, longest) = SHAPES[device.kind], QUICK if quick else FULL
    model = shape.architecture(LAYERS, VOCAB)
    runner = Transformer(device, shape, LAYERS, VOCAB, 8192)
    clock, chip = Clock(device=device, budget=budget), system.chip
    ridge = ridge_tokens(chip.math_rate("bf16"), chip.hbm_bandwidth, format_bytes("bf16"))
    balance = balance_batch(ridge, model.parameters, model.active_parameters)
    rows: list[Held] = []
    with device.torch.inference_mode():
        for segment in _segments(quick, BEYOND * balance):
            predicted = _predict(model, system, segment)
            estimate = estimated(predicted, system)
            if estimate > longest:
                continue
            tell(f"{segment.phase} of {segment.seqs}, {segment.new + segment.past} tokens each")
            cache = runner.cache(segment.seqs, segment.past + segment.new)
            tokens = runner.tokens(segment.seqs, segment.new)
            measured = clock.time(lambda i, t=tokens, c=cache, s=segment: runner.step(t, c, s.past)).seconds
            held = Held(
                phase=segment.phase,
                batch=segment.seqs,
                context=segment.past or segment.new,
                measured=measured,
                floor=float(predicted.floor),
                estimate=estimate,
            )
            rows.append(held)
    return Check(model=model.name, rows=tuple(rows), balance_batch=balance)


def estimated(found: Step, system: System) -> float:
    """Seconds of all kernels of a step, one after another; what only looks up, at peak bandwidth."""
    chip, total = system.chip, 0.0
    for layer in found.layers:
        for operation, time in layer.operations:
            if operation.family in KERNELS:
                row = kernel_constants(operation.family, chip, operation.stored)
                streamed = operation.activations / chip.hbm_bandwidth
                each = kernel_time(row, time.math, time.memory, streamed, operation.depth, operation.scores)
                total += layer.count * (each - row.fixed * operation.joined)
            else:
                total += layer.count * time.lower
    return float(total)


def knee(batches: Sequence[float], seconds: Sequence[float]) -> float:
    """The c of t = a max(1, B / c) with the least absolute error of ln t, among all batches in between."""
    batch, log = np.array(batches, float), np.log(seconds)

    def miss(c: float) -> float:
        rest = log - np.log(np.maximum(1.0, batch / c))
        return float(np.abs(rest - np.median(rest)).sum())

    return float(min(np.geomspace(batch.min(), batch.max(), 200), key=miss))


def _segments(quick: bool, most: float) -> Iterator[Segment]:
    for seqs, past in (*(pair for pair in KNEE if pair[0] <= most), *DECODES[:: 2 if quick else 1]):
        yield Segment(seqs=seqs, new=1, past=past)
    for seqs, new in PROMPTS[:: 2 if quick else 1]:
        yield Segment(seqs=seqs, new=new, past=0, prefill=True)


def _predict(model: Architecture, system: System, segment: Segment) -> Step:
    return step(model, system, Layout(), [segment], resolve(model, system.chip))
