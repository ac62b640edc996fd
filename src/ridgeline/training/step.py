"""What one training step takes: layers of the longest stage, times micro-batches, plus what stands outside them.

    layer    = max( kernels forward + backward + again, host ) + messages that nothing hides
    pace     = max over stages of  layers * layer (+ head on the last)
    step     = m pace + bubble + hops + gradients and weights between ranks + optimizer + fixed

    backward of a matrix = 2 forward; of attention, `attention_backward` forward; again: what is recomputed
    messages of data parallelism:  max( share, 1 - pace / their time ) of their time: they hide behind one micro-batch
    zero 2 reduces gradients of every micro-batch, which it has no room to add up
    zero 3 gathers weights forward and backward and reduces gradients of every micro-batch, and hides behind its layer

`Parts` is what layout and system say, `step_time` applies a framework's constants to it: linear, so that fits are fast.
The floor takes the same FLOPs, bytes and bubble at peak rates with perfect overlap. Knows no memory and no money.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.hardware import System, known
from ridgeline.messages import Message, ranks_inside
from ridgeline.model import Architecture
from ridgeline.model.architecture import Experts
from ridgeline.precision import Precision
from ridgeline.roofline import Time
from ridgeline.training.bubble import bubble_time
from ridgeline.training.forward import Forward, forward, sent
from ridgeline.training.framework import Factors, Habits, youth
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.memory import parameters
from ridgeline.training.repeat import dealt, floats, once
from ridgeline.training.stages import Stages

FORWARD = ("tp", "cp", "ep", "etp", "micro_batch", "sp")
"""Fields of a layout on which a layer's forward pass depends."""
SHARED = ("tp", "pp", "vp", "cp", "dp", "ep", "etp", "zero", "shards", "balanced")
"""Fields on which messages of data parallelism depend."""
HOPS = ("tp", "pp", "cp", "dp", "micro_batch")
"""Fields on which a hop between stages depends."""
STREAMING = 0.85
"""Share of the peak bandwidth at which an optimizer passes over its states."""
PARTS = (
    "matrices", "attention", "experts", "element-wise", "recomputation", "head", "host", "tensor messages",
    "context messages", "expert messages", "bubble", "hops", "data messages", "optimizer", "fixed",
)  # fmt: skip
"""What a step's time goes into; they add up to it."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and counts of a step that no framework changes."""

    forward: Forward
    stages: Stages
    micro_batches: Array
    pp: Array
    vp: Array
    tensor: Array
    """Whether there are messages of tensor parallelism: 0 or 1."""
    crowd: Array
    """Tensor ranks of a stage in a pipeline; 0 without either."""
    far: Array
    """Scale-up domains, beyond one, in which the tensor ranks of a stage lie."""
    counted: float
    """Share of layers with experts whose tokens are counted before their matrices can start."""
    local: Array
    """Experts on a device whose matrices the host starts one by one, averaged over all layers."""
    again: Array
    """Share of matrices that are computed again, and of attention's core."""
    core_again: Array
    hop: Array
    """Seconds of one hop between stages."""
    hop_wire: Array
    reduce: Array
    """Seconds in which gradients pass between ranks once; of all layers of a device."""
    reductions: Array
    """How often they do in a step."""
    gather: Array
    """Seconds in which weights pass between ranks, once."""
    shared_wire: Array
    """Both at peak bandwidth, in a step."""
    tied: Array
    """Seconds in which first and last stage add up their gradients of a table that they share."""
    per_layer: Array
    """Under ZeRO-3: seconds of these messages per layer and micro-batch."""
    per_layer_wire: Array
    optimizer: Array
    schedule: str
    frozen: bool
    age: float = 0.0
    """Years by which the software is older than the newest that was measured."""
    youth: float = 0.0
    """How new its chips were to it: 1 when they were announced, 0 in the end."""
    fault: float = 0.0
    """Seconds that a micro-batch waits at each neighbour of a stage, on a cluster known to be broken."""


class TrainingTime(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step by what they go into; they add up to `seconds`."""

    seconds: Array
    """The whole step."""
    mature: dict[str, Array]
    """Parts of the step with mature software."""
    young: Array
    """Factor on all of them for software that is young on its chips."""

    @property
    def parts(self) -> dict[str, Array]:
        """Seconds by what they go into."""
        return {name: self.young * seconds for name, seconds in self.mature.items()}


def step_parts(
    model: Architecture,
    system: System,
    precision: Precision,
    layout: TrainingLayout,
    seq: Array,
    batch: Array,
    habits: Habits,
    *,
    uneven: float = 0.0,
    frozen: bool = False,
    fused: bool = True,
    age: float = 0.0,
    fault: float = 0.0,
    dropless: bool = True,
) -> Parts:
    """Counts and seconds of a step of `batch` sequences of `seq` tokens on all chips of `layout`.

    Raises
    ------
    InputError
        If the chip does not compute in a needed format, or a bandwidth that is needed is not known.
    """
    passes = once(
        lambda few: forward(model, system, precision, floats(few), seq, uneven=uneven, fused=fused), layout, FORWARD
    )
    messages, each, tied, optimizer = once(lambda few: _shared(model, system, floats(few), habits), layout, SHARED)
    hop, hop_wire = once(lambda few: _hop(model, system, precision, floats(few), seq), layout, HOPS)
    stages, layout = dealt(model, layout), floats(layout)
    chosen = 1.0 * (layout.recompute == 1)
    whole = 1.0 * (layout.recompute >= 2)
    zero3, zero0 = 1.0 * (layout.zero >= 3), 1.0 * (layout.zero < 1)
    m = layout.micro_batches(batch)
    each_time = 1.0 * (layout.zero == 2) + (0.0 if habits.accumulates else zero0 * (layout.pp > 1))
    every = 1.0 + each_time * (m - 1.0)
    trained = 0.0 if frozen else 1.0
    counted, experts = _routed(model)
    return Parts(
        forward=passes,
        stages=stages,
        micro_batches=m,
        pp=layout.pp,
        vp=layout.vp,
        tensor=1.0 * (layout.tp > 1),
        crowd=layout.tp * (layout.tp > 1) * (layout.pp > 1),
        far=(layout.tp / ranks_inside(layout.tp, 1, system.domain.size)) - 1.0,
        counted=counted * dropless,
        local=experts * dropless / (layout.ep * layout.etp),
        again=whole + chosen * habits.selective_repeats,
        core_again=whole + chosen,
        hop=hop,
        hop_wire=hop_wire,
        reduce=(1.0 - zero3) * messages[0] * trained,
        reductions=every,
        gather=(1.0 - zero3) * messages[2] * trained,
        shared_wire=(1.0 - zero3) * (every * messages[1] + messages[3]) * trained,
        tied=tied * trained,
        per_layer=zero3 * (each[0] + 2.0 * each[2]),
        per_layer_wire=zero3 * (each[1] + 2.0 * each[3]),
        optimizer=optimizer * trained,
        schedule=layout.schedule,
        frozen=frozen,
        age=age,
        youth=youth(system.chip.name, age),
        fault=fault,
    )


def _shared(
    model: Architecture, system: System, layout: TrainingLayout, habits: Habits
) -> tuple[tuple[Array, ...], tuple[Array, ...], Array, Array]:
    """Seconds of what data parallelism shares out: messages of all layers of a device and of one layer, the sum of a
    tied table's gradients, and the optimizer's passes over its part.
    """
    counts, chip = parameters(model), system.chip
    layers = dealt(model, layout).middle
    dense_layer = counts.dense / layout.tp + counts.copied
    expert_layer = counts.experts / (layout.ep * layout.etp)
    ends = (counts.embedding + (0.0 if model.tied else counts.head)) / layout.tp / layout.pp
    dense, expert = layers * dense_layer + ends, layers * expert_layer
    held = (dense + expert) / _share(layout)
    optimizer = held * (2.0 * habits.states + habits.gradients + habits.weights) / chip.hbm_bandwidth
    if layout.offload in ("optimizer", "both"):
        optimizer = optimizer + held * 2.0 * habits.states / known(chip, "host_link")
    whole = _data(system, layout, dense, expert, habits)
    return (
        whole,
        _data(system, layout, dense_layer, expert_layer, habits),
        _tied(model, system, layout, habits),
        optimizer,
    )


def _hop(
    model: Architecture, system: System, precision: Precision, layout: TrainingLayout, seq: Array
) -> tuple[Array, Array]:
    """Seconds of one hop of a micro-batch to the next stage, measured and at peak bandwidth."""
    size = layout.micro_batch * seq / layout.cp * model.hidden * precision.activation_bytes / layout.tp
    stride = layout.tp * layout.cp * layout.dp
    return sent(
        Message(name="stage hop", kind="send", ranks=layout.pp, stride=stride, bytes=size, far_bytes=size), system
    )


def _tied(model: Architecture, system: System, layout: TrainingLayout, habits: Habits) -> Array:
    """Seconds of the sum of the embedding's gradients over the two stages that hold it; 0 if head and table are two."""
    if not model.tied:
        return 0.0
    pair = 2.0 - 1.0 * (layout.pp == 1)
    size = model.vocab * model.hidden * habits.sent / layout.tp
    stride = layout.tp * layout.cp * layout.dp * namespace(layout.pp).maximum(layout.pp - 1, 1 + 0 * layout.pp)
    return sent(Message(name="table", kind="all_reduce", ranks=pair, stride=stride, bytes=size), system)[0]


def _routed(model: Architecture) -> tuple[float, float]:
    """Share of layers with routed experts, and experts of a layer, averaged over all layers."""
    counts = [(n, sum(f.count for f in layer.feedforwards if isinstance(f, Experts))) for layer, n in model.kinds]
    layers = len(model.layers)
    return sum(n for n, experts in counts if experts) / layers, sum(n * experts for n, experts in counts) / layers


def _share(layout: TrainingLayout) -> Array:
    xp = namespace(layout.zero, layout.sharing)
    return xp.where(layout.zero >= 1, 1.0 * layout.sharing, 1.0 + 0.0 * layout.sharing)


def _data(
    system: System, layout: TrainingLayout, dense: Array, expert: Array, habits: Habits
) -> tuple[Array, Array, Array, Array]:
    """Seconds in which gradients are reduced, measured and at peak bandwidth, and weights gathered, likewise; once.

    Where `shards` ranks share a copy, the copies' gradients are reduced among each other too.
    """
    sharing = layout.sharing
    total: list[Array] = [0.0] * 4
    copies = layout.ranks / sharing
    for size, ranks, stride in (
        (dense, sharing, layout.tp),
        (expert, layout.expert_copies, layout.ep * layout.etp),
    ):
        if isinstance(size, float) and size == 0.0:
            continue
        reduce = Message(name="gradients", kind="reduce_scatter", ranks=ranks, stride=stride, bytes=size * habits.sent)
        gather = Message(name="weights", kind="all_gather", ranks=ranks, stride=stride, bytes=size * habits.weights)
        total = [before + each for before, each in zip(total, sent(reduce, system) + sent(gather, system), strict=True)]
    across = Message(
        name="copies", kind="all_reduce", ranks=copies, stride=layout.tp * sharing,
        bytes=dense * habits.sent / sharing,
    )  # fmt: skip
    seconds, wire = sent(across, system)
    return total[0] + seconds, total[1] + wire, total[2], total[3]


def step_time(parts: Parts, f: Factors) -> TrainingTime:
    """Seconds of a step with the constants of a framework."""
    one, m = parts.forward, parts.micro_batches
    xp = namespace(one.gemm, one.tp, m, parts.pp, parts.reduce)
    young, stale = 1.0 + f.youth * parts.youth, 1.0 + f.aging_experts * parts.age
    gemm, attention, experts = f.gemm * one.gemm, f.attention * one.attention, f.experts * one.experts * stale
    streams = f.streams * (one.streams + one.scores)
    weight = 0.0 if parts.frozen else 1.0
    run = gemm + attention + experts + streams
    back = (1.0 + weight) * (gemm + experts) + f.attention_backward * attention + 2.0 * streams
    again = parts.again * (gemm + experts + streams) + parts.core_again * (
        attention + f.streams * one.scores * (parts.again == 0)
    )
    kernels = run + back + again
    sorting = (f.host_experts * parts.counted + f.host_each * parts.local) * stale
    host = (f.host + f.meeting * parts.tensor + f.stalled * parts.crowd + sorting) * (1.0 + parts.again / 3.0)
    waits = xp.maximum(host - kernels, 0.0)
    rounds = 2.0 + parts.again
    tensor = rounds * (
        (f.tp + (f.tp_far - f.tp) * (parts.far > 0)) * one.tp + f.tp_hop * parts.far + f.sync * parts.tensor
    )
    context = f.cp * (2.0 + parts.core_again) * one.cp
    expert = f.ep * rounds * one.ep * stale
    layer = kernels + waits + tensor + context + expert
    collected = parts.per_layer
    sharded = f.dp * collected + (1.0 - f.dp) * xp.maximum(collected - layer, 0.0)
    layer = layer + sharded
    head = (2.0 + weight) * f.gemm * one.head
    stages = parts.stages
    lone = 1.0 * (parts.pp == 1)
    tail = stages.last * layer + head
    pace = xp.maximum(stages.middle * layer + lone * head, tail)
    extra = pace - stages.middle * layer
    forward = stages.middle * (layer * run / kernels)
    hop = f.pp * parts.hop
    bubble = bubble_time(
        parts.schedule,
        parts.pp,
        parts.vp,
        forward,
        stages.middle * layer - forward,
        stages.middle * (gemm + experts) * weight,
    )
    hops = (2.0 * m * parts.vp * (hop + f.handover) + 2.0 * (parts.pp - 1) * hop) * (1.0 - lone)
    hops = hops + m * parts.fault * xp.minimum(parts.pp - 1.0, 2.0)
    visible = f.dp * parts.reduce + (1.0 - f.dp) * xp.maximum(parts.reduce - pace, 0.0)
    loaded = f.dp * parts.gather + (1.0 - f.dp) * xp.maximum(parts.gather - pace, 0.0)
    count = m * stages.middle
    taken = {
        "matrices": count * (2.0 + weight) * gemm,
        "attention": count * (1.0 + f.attention_backward) * attention,
        "experts": count * (2.0 + weight) * experts,
        "element-wise": count * 3.0 * streams,
        "recomputation": count * again,
        "head": m * extra,
        "host": count * waits,
        "tensor messages": count * tensor,
        "context messages": count * context,
        "expert messages": count * expert,
        "bubble": bubble,
        "hops": hops,
        "data messages": count * sharded + parts.reductions * visible + loaded + parts.tied,
        "optimizer": parts.optimizer / STREAMING,
        "fixed": f.step,
    }
    return TrainingTime(seconds=young * sum(taken.values()), mature=taken, young=young)


def floor_time(parts: Parts) -> Time:
    """The same step at peak rates: math, bytes and messages overlap perfectly, and the bubble is overhead."""
    one, m, stages = parts.forward, parts.micro_batches, parts.stages
    xp = namespace(one.math, m, parts.pp)
    passes = 2.0 if parts.frozen else 3.0
    layer = one.math * (passes + parts.again) + one.core * (parts.core_again - parts.again)
    lone = 1.0 * (parts.pp == 1)
    pace = xp.maximum(
        stages.middle * layer + lone * passes * one.head_math, stages.last * layer + passes * one.head_math
    )
    forward = stages.middle * one.math
    bubble = bubble_time(
        parts.schedule, parts.pp, parts.vp, forward, stages.middle * layer - forward, forward - stages.middle * one.core
    )
    sent = m * stages.middle * ((2.0 + parts.again) * one.wire + parts.per_layer_wire) + parts.shared_wire
    sent = sent + 2.0 * m * parts.vp * parts.hop_wire
    return Time(math=m * pace, memory=parts.optimizer + 0.0 * m, comms=sent, overhead=bubble + 0.0 * m)
