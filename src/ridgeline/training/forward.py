"""What a layer's forward pass takes on one device: counts at peak, kernels as measured, messages of its group.

A micro-batch of b sequences of s tokens is b s / cp tokens on a device; matrices have 1 / tp of their width, experts
1 / (ep etp) of theirs, and attention sees every pair of its share of the queries. For each kind of layer, averaged
over the stack:

    gemm, attention, experts    seconds by `efficiency.kernel_time`, the law that serving uses
    streams                     seconds in which norms, residuals and activation functions cross HBM, at peak bandwidth
    tp, cp, ep                  seconds of messages by `efficiency.link_time`
    math                        FLOPs at peak rates: the floor

Knows no schedule, no backward pass and no framework.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.collectives import hop_time, wire_time
from ridgeline.efficiency import kernel_constants, kernel_time, link_constants, link_time
from ridgeline.hardware import System
from ridgeline.layout import Layout
from ridgeline.messages import Message, expert_messages
from ridgeline.model import Architecture
from ridgeline.model.architecture import Attention, CompressedAttention, Dense, Experts, Layer, Recurrent
from ridgeline.precision import Precision
from ridgeline.training.layout import TrainingLayout
from ridgeline.work import Segment, Shard, embedding_operations, layer_operations, routed
from ridgeline.work.training import CORE

NORMS = 8.0
"""Times that norms and residuals of a layer read or write a hidden vector in the forward pass: two of each, in, out."""
SCORES = 6.0
"""Times that unfused attention moves a score: product out, softmax in and out, dropout in and out, product in."""
TILE, ODD = 64, 1.35
"""Matrices of which a rank's part is no multiple of TILE wide run ODD times as long (BLOOM's chronicles: 14,400 / 8
against 13,824 / 8)."""
STAND_IN = {"recurrence": "decode attention"}
"""Families whose kernels nobody measured, and those that stand in for them."""


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of one micro-batch's forward pass; `head` of the head, all else of one average layer; they add."""

    gemm: Array = 0.0
    attention: Array = 0.0
    experts: Array = 0.0
    streams: Array = 0.0
    scores: Array = 0.0
    """Where attention is not fused: seconds in which the scores cross HBM as often as they must."""
    tp: Array = 0.0
    cp: Array = 0.0
    ep: Array = 0.0
    math: Array = 0.0
    """At peak rates: everything multiplied."""
    core: Array = 0.0
    """Of `math`, the core of attention."""
    wire: Array = 0.0
    """The messages at peak bandwidth, latencies left out."""
    head: Array = 0.0
    head_math: Array = 0.0

    def __add__(self, other: Forward) -> Forward:
        return Forward(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def __mul__(self, count: float) -> Forward:
        return Forward(**{name: getattr(self, name) * count for name in self.__struct_fields__})


def forward(
    model: Architecture,
    system: System,
    precision: Precision,
    layout: TrainingLayout,
    seq: Array,
    *,
    uneven: float = 0.0,
    fused: bool = True,
) -> Forward:
    """The forward pass of one micro-batch of `layout` in sequences of `seq` tokens.

    Parameters
    ----------
    uneven
        Variance of the experts' popularity; 0: a router that balances them.
    fused
        Whether attention keeps its scores on chip.

    Raises
    ------
    InputError
        If the chip does not compute in a needed format, or a bandwidth that is needed is not known.
    """
    tokens = layout.micro_batch * seq / layout.cp
    segment = Segment(seqs=layout.micro_batch / layout.cp, new=seq, sampled=seq, prefill=True)
    tp = 1.0 / layout.tp
    shard = Shard(
        heads=tp,
        ffn=tp,
        held_experts=1.0 / layout.ep,
        expert_width=1.0 / layout.etp,
        vocab=tp,
        routed=layout.ep * layout.etp * tp,
    )
    total = Forward()
    for layer, count in model.kinds:
        one = _layer(layer, model, system, precision, layout, segment, shard, tokens, uneven, fused)
        total = total + one * (count / len(model.layers))
    head = next(o for o in embedding_operations(model, [segment], shard, precision) if o.name == "head")
    constants = kernel_constants("gemm", system.chip, head.stored)
    math, memory = head.flop / system.chip.math_rate(head.math), head.memory / system.chip.hbm_bandwidth
    logits = head.activations / system.chip.hbm_bandwidth
    return msgspec.structs.replace(
        total, head=kernel_time(constants, math, memory, logits, head.depth, 0.0) + 2.0 * logits, head_math=math
    )


def _layer(
    layer: Layer,
    model: Architecture,
    system: System,
    precision: Precision,
    layout: TrainingLayout,
    segment: Segment,
    shard: Shard,
    tokens: Array,
    uneven: float,
    fused: bool,
) -> Forward:
    chip = system.chip
    seconds: dict[str, Array] = {"gemm": 0.0, "attention": 0.0, "experts": 0.0}
    math: Array = 0.0
    core: Array = 0.0
    odd = _misaligned(layer, layout.tp)
    for operation in layer_operations(layer, [segment], shard, precision):
        constants = kernel_constants(STAND_IN.get(operation.family, operation.family), chip, operation.stored)
        at_peak = operation.flop / chip.math_rate(operation.math)
        busiest = routed(operation.routing, uneven)[1] if operation.routing and uneven else 1.0
        streamed = operation.activations * busiest / chip.hbm_bandwidth
        memory = operation.memory / chip.hbm_bandwidth
        taken = kernel_time(constants, at_peak * busiest, memory, streamed, operation.depth, operation.scores)
        taken = taken - constants.fixed if operation.joined else taken
        if operation.family == "gemm":
            taken = taken * odd
        math = math + at_peak
        if operation.family in CORE:
            core = core + at_peak
        family = operation.family if operation.family in seconds else "attention"
        seconds[family] = seconds[family] + taken
    scores: Array = 0.0
    if not fused:
        heads = sum(mixer.heads for mixer in layer.mixers) / layout.tp
        scores = SCORES * segment.seqs * segment.new * segment.new * heads * 2.0 / chip.hbm_bandwidth
    tp, cp, ep, wire = _messages(layer, model, system, precision, layout, segment, tokens, uneven)
    between = namespace(layout.sp, layout.tp).where(layout.sp, 1.0 / layout.tp, 1.0 + 0.0 / layout.tp)
    rows = NORMS * model.hidden * between + 3.0 * _width(layer) / layout.tp
    return Forward(
        gemm=seconds["gemm"],
        attention=seconds["attention"],
        experts=seconds["experts"],
        streams=tokens * rows * precision.activation_bytes / chip.hbm_bandwidth,
        scores=scores + 0.0 * tokens,
        tp=tp,
        cp=cp,
        ep=ep,
        math=math,
        core=core,
        wire=wire,
    )


def _misaligned(layer: Layer, tp: Array) -> Array:
    """Factor on the matrices of a layer of which a rank's part does not fill tiles."""
    widths = {
        linear.rows if linear.rows_split else linear.cols for linear in layer.matrices() if linear.split != "none"
    }
    odd = 0.0 * tp
    for width in widths:
        odd = odd + 1.0 * (width / tp % TILE != 0)
    return 1.0 + (ODD - 1.0) * (odd > 0)


@lru_cache(maxsize=1024)
def _width(layer: Layer) -> float:
    """Elements per token that activation functions of a layer go through."""
    total = 0.0
    for part in layer.feedforwards:
        if isinstance(part, Dense):
            total += part.width
        else:
            shared = sum(linear.rows for linear in part.linears if linear.rows_split)
            total += part.active * part.width + shared
    return total


def _messages(
    layer: Layer,
    model: Architecture,
    system: System,
    precision: Precision,
    layout: TrainingLayout,
    segment: Segment,
    tokens: Array,
    uneven: float,
) -> tuple[Array, Array, Array, Array]:
    """Seconds of a layer's tensor, context and expert messages, and of all of them at peak bandwidth."""
    hidden = tokens * model.hidden * precision.activation_bytes
    dense = any(isinstance(f, Dense) or any(li.rows_split for li in f.linears) for f in layer.feedforwards)
    rounds = float(bool(layer.mixers)) + float(dense)
    reduce = Message(name="tensor", kind="all_reduce", ranks=layout.tp, stride=1, bytes=hidden)
    keys = 0.0
    for mixer in layer.mixers:
        if isinstance(mixer, Attention):
            width = mixer.kv_elements * namespace(layout.tp).maximum(1.0 / layout.tp, 1.0 / mixer.kv_heads)
        elif isinstance(mixer, Recurrent):
            width = 0.0
        elif isinstance(mixer, CompressedAttention):
            width = mixer.kv_elements + 0.0 / layout.tp
        else:
            width = mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.value_dim) / layout.tp
        keys = keys + segment.seqs * segment.new * layout.cp * width * precision.activation_bytes
    ring = Message(name="context", kind="all_gather", ranks=layout.cp, stride=layout.tp, bytes=keys)
    (tensor, tensor_wire), (context, context_wire) = sent(reduce, system), sent(ring, system)
    seconds = [tensor * rounds, context, 0.0 * tokens]
    wire = tensor_wire * rounds + context_wire
    for part in layer.feedforwards:
        if isinstance(part, Experts):
            group = Layout(dp=layout.ep * layout.etp, ep=layout.ep)
            for message in expert_messages(part, group, tokens / layout.tp, precision, system.domain.size, 0.0):
                taken, at_peak = sent(message, system)
                seconds[2], wire = seconds[2] + taken, wire + at_peak
    return seconds[0], seconds[1], seconds[2], wire


def sent(message: Message, system: System) -> tuple[Array, Array]:
    """Seconds of a message with measured constants, and those of its bytes at peak bandwidth."""
    if is_one(message.ranks):
        return 0.0 * message.bytes, 0.0 * message.bytes
    constants = link_constants(message.kind, system.chip, peer_access=system.domain.peer_access)
    wire = wire_time(message, system)
    return link_time(constants, wire, message.ranks) + hop_time(message, system) * (wire > 0), wire
