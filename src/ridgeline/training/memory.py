"""What one device holds in training, and how likely it runs out of memory.

    weights + gradients + optimizer + activations in flight + logits + gathered weights + fixed  <=  capacity

    zero 0: all of it on every rank    1: optimizer / R    2: also gradients / R    3: also weights / R, two layers
    gathered at a time                R: ranks that share a copy

The fullest device decides: the first stage, which holds the activations of most micro-batches, or the last, with head
and logits. Errors of memory are taken as log-normal: P(out) = Phi(ln(used / capacity) / sigma). Knows no second.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.model import Architecture
from ridgeline.model.architecture import Experts
from ridgeline.training.activations import BYTES, boundary_bytes, layer_bytes
from ridgeline.training.bubble import in_flight, weight_copies
from ridgeline.training.framework import Allocation, Habits
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.rematerialisation import STREAMS
from ridgeline.training.repeat import dealt, floats
from ridgeline.training.stages import Stages

PARTS = ("weights", "gradients", "optimizer", "activations", "logits", "gathered", "fixed", "context")


class TrainingMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on the fullest device."""

    weights: Array
    gradients: Array
    optimizer: Array
    activations: Array
    logits: Array
    gathered: Array
    """Weights of two layers that ZeRO-3 collects, and buckets of gradients on their way."""
    fixed: Array
    """Buffers of communication and workspaces."""
    context: Array
    """What the allocator does not count: the driver's context, libraries of messages."""
    host: Array
    """In the host's memory."""

    @property
    def allocated(self) -> Array:
        """What a framework reports as its peak."""
        return (
            self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.gathered + self.fixed
        )

    @property
    def used(self) -> Array:
        """All of the device's bytes."""
        return self.allocated + self.context

    def parts(self) -> dict[str, Array]:
        """The addends of `used`."""
        return {name: getattr(self, name) for name in PARTS}


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of an average layer and of the ends, by what divides them."""

    dense: float
    """Divided by tp."""
    copied: float
    """On every tensor rank: norms, routers, latents."""
    experts: float
    embedding: float
    head: float


@lru_cache(maxsize=256)
def parameters(model: Architecture) -> Parameters:
    """Parameters of an average layer."""
    dense = copied = experts = 0.0
    for layer, count in model.kinds:
        if not layer.stored:
            continue
        copied += count * layer.vectors
        for linear in layer.matrices():
            if linear.split == "none":
                copied += count * linear.parameters
            else:
                dense += count * linear.parameters
        for part in layer.feedforwards:
            if isinstance(part, Experts):
                experts += count * part.count * part.expert_parameters
    n, table = len(model.layers), float(model.vocab * model.hidden)
    return Parameters(
        dense=dense / n, copied=copied / n, experts=experts / n, embedding=table + model.lookup, head=table
    )


def training_memory(
    model: Architecture,
    layout: TrainingLayout,
    seq: Array,
    batch: Array,
    habits: Habits,
    allocation: Allocation,
    *,
    dropout: bool = False,
    fused: bool = True,
    frozen: bool = False,
) -> TrainingMemory:
    """Memory of the fullest device of a job.

    Parameters
    ----------
    dropout, fused
        As `activations.layer_bytes`.
    frozen
        Whether only adapters are trained: neither gradients nor optimizer states of the model itself.
    """
    stages, layout = dealt(model, layout), floats(layout)
    xp = namespace(layout.pp, layout.tp, layout.micro_batch, batch)
    first = _held(model, layout, stages, seq, batch, habits, allocation, dropout, fused, frozen, last=False)
    if is_one(layout.pp):
        return first
    last = _held(model, layout, stages, seq, batch, habits, allocation, dropout, fused, frozen, last=True)
    fuller = last.used > first.used
    return TrainingMemory(
        **{
            name: xp.where(fuller, getattr(last, name), getattr(first, name))
            for name in TrainingMemory.__struct_fields__
        }
    )


def _held(
    model: Architecture,
    layout: TrainingLayout,
    stages: Stages,
    seq: Array,
    batch: Array,
    habits: Habits,
    allocation: Allocation,
    dropout: bool,
    fused: bool,
    frozen: bool,
    *,
    last: bool,
) -> TrainingMemory:
    """Memory of the first or of the last stage."""
    xp = namespace(layout.pp, layout.tp, layout.micro_batch, batch, layout.zero)
    counts, one = parameters(model), layout.pp == 1
    layers = stages.last if last else stages.first
    ends = counts.head + 0.0 * layers if last else counts.embedding + 0.0 * layers
    if not last and not model.tied:
        ends = ends + counts.head * one
    copies = weight_copies(layout.schedule)
    dense = copies * ((layers * counts.dense + ends) / layout.tp + layers * counts.copied)
    expert = copies * layers * counts.experts / (layout.ep * layout.etp)
    share, expert_copies = layout.sharing, layout.expert_copies
    few = namespace(share, expert_copies)
    expert_share = few.minimum(share, few.maximum(expert_copies, 1.0 + 0.0 * expert_copies))

    shared = dense / share + expert / expert_share
    whole = dense + expert + 0.0 * shared

    def held(zero: int, each: float) -> Array:
        """Bytes of something that `zero` and higher levels share out."""
        return each * xp.where(layout.zero >= zero, shared, whole)

    trained = 0.0 if frozen else 1.0
    optimizer = held(1, habits.states) * trained
    away = 1.0 if layout.offload in ("optimizer", "both") else 0.0
    layer_dense = counts.dense / layout.tp + counts.copied
    layer_expert = counts.experts / (layout.ep * layout.etp)
    sharded = 1.0 * (layout.zero >= 3)
    gathered = sharded * (habits.weights * 2.0 + habits.sent * trained) * (layer_dense + layer_expert)
    kept, host = _activations(model, layout, layers, seq, batch, habits, allocation, dropout, fused, last=last)
    tokens = layout.micro_batch * seq / layout.cp
    logits = habits.logits * tokens * model.vocab / layout.tp * (1.0 * one if not last else 1.0)
    return TrainingMemory(
        weights=held(3, habits.weights) * allocation.states,
        gradients=held(2, habits.gradients) * trained * allocation.states,
        optimizer=optimizer * (1.0 - away) * allocation.states,
        activations=kept,
        logits=logits,
        gathered=gathered + 0.0 * kept,
        fixed=allocation.fixed + allocation.tp * (layout.tp > 1) + 0.0 * kept,
        context=allocation.context + 0.0 * kept,
        host=host + optimizer * away,
    )


def _activations(
    model: Architecture,
    layout: TrainingLayout,
    layers: Array,
    seq: Array,
    batch: Array,
    habits: Habits,
    allocation: Allocation,
    dropout: bool,
    fused: bool,
    *,
    last: bool,
) -> tuple[Array, Array]:
    """Activations of all micro-batches in flight, on the device and in the host's memory."""
    xp = namespace(layout.recompute, layout.pp, layout.tp, layout.micro_batch, batch)
    each = layer_bytes(model, layout, seq, fused=fused, dropout=dropout, selective=habits.selective_keeps)
    edge = boundary_bytes(model, layout, seq)
    m = layout.micro_batches(batch)
    flying = xp.minimum(1.0 + 0.0 * m, m) if last else in_flight(layout.schedule, layout.pp, layout.vp, m)
    full, reversible = layout.recompute == 2, layout.recompute == 3
    per_layer = xp.where(full, edge, xp.where(reversible, 0.0 * edge, each))
    kept = flying * (layers * per_layer + xp.where(reversible, STREAMS * edge, 0.0 * edge))
    again = xp.where(layout.recompute >= 2, each - edge, 0.0 * each)  # its input is there already
    whole = layout.micro_batch * seq / layout.cp * (model.hidden * 2.0 * BYTES) * (layout.tp > 1)
    working = allocation.peak * each + again + allocation.gathered * whole
    away = layout.offload in ("activations", "both")
    stays = 2.0 * per_layer if away else kept
    return allocation.activations * stays + working, (kept - stays if away else 0.0 * kept)


def chance_of_running_out(used: Array, capacity: Array, sigma: float) -> Array:
    """Probability that a device runs out of memory, for log-normal errors: Phi(ln(used / capacity) / sigma).

    Examples
    --------
    >>> round(chance_of_running_out(80e9, 80e9, 0.08), 3), round(chance_of_running_out(70e9, 80e9, 0.08), 3)
    (0.5, 0.048)
    """
    xp = namespace(used, capacity)
    z = xp.log(used / capacity) / sigma
    return normal_cdf(z)


def normal_cdf(z: Array) -> Array:
    """Distribution function of a standard normal variable, within 1e-5 for arrays (Zelen and Severo 1964)."""
    if isinstance(z, float):
        return 0.5 * math.erfc(-z / math.sqrt(2.0))
    xp = namespace(z)
    t = 1.0 / (1.0 + 0.33267 * abs(z))
    tail = xp.exp(-0.5 * z * z) / math.sqrt(2 * math.pi) * t * (0.4361836 + t * (-0.1201676 + t * 0.9372980))
    return xp.where(z > 0, 1.0 - tail, tail)
