"""One step of one replica: Work over Layout on System -> Time.

    time = sum over layers ( count * (operations / peak rates, messages) ) + embedding and head + (pp - 1) hops

A decode step gives every sequence its next token(s); a prefill step computes prompts; a mixed step does both. The step
is cut into micro-batches for the pipeline; `Step.time` is what one micro-batch needs through all stages, which is the
time between two tokens of a sequence, and in which all micro-batches advance. Numbers or arrays; all broadcast.

The floor is `time.lower`. Knows no queue and no money.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ridgeline.arrays import Array
from ridgeline.collectives import sent_time
from ridgeline.hardware import System
from ridgeline.layout import Layout, micro_batches, shard
from ridgeline.messages import Message, layer_messages, stage_message
from ridgeline.model import Architecture
from ridgeline.model.architecture import LatentAttention, Layer, Recurrent
from ridgeline.precision import Precision
from ridgeline.roofline import Time, work_time
from ridgeline.work import Operation, Segment, Work, embedding_operations, layer_operations, linear_operation


class LayerTime(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of layer, on one device: its operations and messages, each with its time, for one micro-batch.

    `time` is of one layer; the step has `count` of them.
    """

    name: str
    count: Array
    operations: tuple[tuple[Operation, Time], ...]
    messages: tuple[tuple[Message, Array], ...]
    wires: tuple[Array, ...]
    """Seconds of each message at peak bandwidth, latency left out."""
    time: Time


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step's time on one replica, with everything it is made of.

    `tokens` and `seqs` are the whole replica's. `floor` is the physical bound; `estimate.py` has what engines take.
    """

    layers: tuple[LayerTime, ...]
    time: Time
    seqs: Array
    tokens: Array
    rank_tokens: Array
    """New tokens that the matrices of one rank see, in one micro-batch."""
    micro_batches: Array
    prefill: bool
    """Whether it computes prompts and nothing else."""
    segments: tuple[Segment, ...] = ()
    drafts: Array = 0
    """What it was made from."""

    @property
    def work(self) -> Work:
        """FLOPs and bytes of all operations, on one device for one micro-batch."""
        total = Work(flop={})
        for layer in self.layers:
            total = total + Work.of(operation for operation, _ in layer.operations) * layer.count
        return total

    @property
    def floor(self) -> Array:
        """Seconds below which the step cannot take: perfect overlap at peak rates."""
        return self.time.lower

    @property
    def serial_layers(self) -> Array:
        """Seconds if overlap is perfect within a layer but layers wait for each other: sum of the longest terms."""
        total: Array = 0.0
        for layer in self.layers:
            total = total + layer.count * layer.time.lower
        return total


def layer_name(layer: Layer) -> str:
    """A layer's kind in words: its mixers (with their window) and its feed-forwards."""
    parts: list[str] = []
    for mixer in layer.mixers:
        if isinstance(mixer, Recurrent):
            parts.append(mixer.kind)
        else:
            window = 0 if isinstance(mixer, LatentAttention) else mixer.window
            parts.append(f"{mixer.__struct_config__.tag}" + (f"-{window}" if window else ""))
    parts += [str(feedforward.__struct_config__.tag) for feedforward in layer.feedforwards]
    return " + ".join(parts) or "empty"


def step(
    model: Architecture,
    system: System,
    layout: Layout,
    segments: Sequence[Segment],
    precision: Precision,
    *,
    skew: float = 0.0,
    drafts: Array = 0,
) -> Step:
    """Time of one step of `segments` (the whole replica's sequences) on one replica of `layout`.

    Parameters
    ----------
    skew
        Exponent of the experts' popularity; 0: uniform routing.
    drafts
        Tokens per sequence that the model's own multi-token-prediction layers draft before the step, one after another;
        nothing for models without them (a separate draft model is not counted).

    Raises
    ------
    InputError
        If a group of ranks leaves the scale-up domain of a system whose scale-out bandwidth is unknown, or the chip
        cannot compute in the needed format.
    """
    segments = list(segments)
    seqs, tokens = _sum(s.seqs for s in segments), _sum(s.tokens for s in segments)
    share = shard(layout, seqs, tokens)
    domain = system.domain.size
    layers: list[LayerTime] = []
    for layer, count in model.kinds:
        operations = layer_operations(layer, segments, share, precision, skew)
        messages = layer_messages(layer, model, layout, segments, share, precision, domain, skew)
        layers.append(_layer_time(layer_name(layer), count, operations, messages, system))
    ends = embedding_operations(model, segments, share, precision)
    layers.append(_layer_time("embedding + head", 1, ends, [], system))
    if model.mtp and not (isinstance(drafts, int) and drafts == 0):
        single = [msgspec.structs.replace(s, new=1, sampled=1) for s in segments]
        for layer in model.mtp:
            operations = layer_operations(layer, single, share, precision, skew)
            messages = layer_messages(layer, model, layout, single, share, precision, domain, skew)
            layers.append(_layer_time(f"draft: {layer_name(layer)}", drafts, operations, messages, system))
        merge = [linear_operation(m, seqs * share.tokens, 1.0, precision) for m in model.mtp_linears]
        ends = embedding_operations(model, single, share, precision)
        layers.append(_layer_time("draft: embedding + head", drafts, merge + ends, [], system))
    if not isinstance(layout.pp, int) or layout.pp > 1:
        hop = stage_message(model, layout, tokens * share.tokens, precision)
        layers.append(_layer_time("pipeline", layout.pp - 1, [], [hop], system))
    total = Time()
    for layer in layers:
        total = total + layer.time * layer.count
    return Step(
        layers=tuple(layers),
        time=total,
        seqs=seqs,
        tokens=tokens,
        rank_tokens=tokens * share.tokens,
        micro_batches=micro_batches(layout, seqs),
        prefill=all(segment.prefill for segment in segments),
        segments=tuple(segments),
        drafts=drafts,
    )


def _layer_time(
    name: str, count: Array, operations: list[Operation], messages: list[Message], system: System
) -> LayerTime:
    timed = tuple((operation, work_time(operation, system.chip)) for operation in operations)
    sent = [sent_time(message, system) for message in messages]
    math, memory, comms = _sum(t.math for _, t in timed), _sum(t.memory for _, t in timed), _sum(t for _, t in sent)
    return LayerTime(
        name=name,
        count=count,
        operations=timed,
        messages=tuple(zip(messages, (t for _, t in sent), strict=True)),
        wires=tuple(wire for wire, _ in sent),
        time=Time(math=math, memory=memory, comms=comms),
    )


def _sum(values) -> Array:
    total: Array = 0.0
    for value in values:
        total = total + value
    return total
