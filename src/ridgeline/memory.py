"""What one device must hold: weights, cache, activations and the runtime's reserve; how many sequences fit.

    used = weights(stage) + sequences * cache(context) + activations + (1 - utilisation) * capacity  <=  capacity

The fullest device decides: a stage of ceil(layers / pp) layers with the embedding or the head. Knows no second.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.layout import Layout, shard
from ridgeline.model import Architecture, kv
from ridgeline.model.architecture import (
    CompressedAttention,
    Dense,
    Experts,
    LatentAttention,
    Layer,
    Mixer,
    Recurrent,
)
from ridgeline.precision import Precision
from ridgeline.work import Shard


class DeviceMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes on the fullest device, with `sequences` sequences on its rank; numbers or arrays."""

    weights: Array
    cache_per_sequence: Array
    logits_per_sequence: Array
    activations: Array
    reserve: Array
    capacity: Array
    sequences: Array

    @property
    def cache(self) -> Array:
        """Cache of all sequences of the rank."""
        return self.cache_per_sequence * self.sequences

    @property
    def used(self) -> Array:
        """All that is held or kept free, in bytes."""
        held = self.weights + self.activations + self.reserve
        return held + self.sequences * (self.cache_per_sequence + self.logits_per_sequence)

    @property
    def fits(self) -> Array:
        """Whether it does not exceed the device's capacity."""
        return self.used <= self.capacity

    @property
    def most_sequences(self) -> Array:
        """Sequences per rank that would fit; 0 if not even the weights do."""
        room = self.capacity - self.weights - self.activations - self.reserve
        each = self.cache_per_sequence + self.logits_per_sequence
        xp = namespace(room, each)
        return xp.maximum(xp.floor(room / each), 0 * room)


def device_memory(
    model: Architecture,
    layout: Layout,
    precision: Precision,
    *,
    capacity: Array,
    seqs: Array,
    context: Array,
    chunk: Array = 8192,
    utilisation: float = 0.9,
    drafts: bool = False,
) -> DeviceMemory:
    """Memory of the fullest device of a replica that holds `seqs` sequences of `context` tokens.

    Parameters
    ----------
    chunk
        New tokens per rank in the largest step; activations are sized for it (vLLM's max_num_batched_tokens, 8192).
    utilisation
        Share of the capacity that the engine may use; the rest is the runtime's (vLLM's gpu_memory_utilization, 0.9).
    drafts
        Whether the multi-token-prediction layers are loaded too.
    """
    xp = namespace(layout.tp, layout.pp, layout.dp, layout.cp, seqs, context)
    stage = xp.ceil(len(model.layers) / layout.pp) / len(model.layers)
    return DeviceMemory(
        weights=_weights(model, layout, precision, stage, drafts),
        cache_per_sequence=stage * _cache_per_sequence(model, layout, precision, context),
        logits_per_sequence=4.0 * model.vocab / (layout.tp * layout.pp * layout.cp),
        activations=_activations(model, layout, precision, chunk),
        reserve=(1.0 - utilisation) * capacity,
        capacity=capacity,
        sequences=xp.maximum(seqs / layout.dp, 1.0 + 0 * seqs),
    )


def cache_share(mixer: Mixer, layout: Layout) -> Array:
    """Fraction of a mixer's cache on one tensor rank: 1/tp while key-value heads last; latents are on every rank."""
    if isinstance(mixer, (LatentAttention, CompressedAttention)):
        return 1.0
    heads = mixer.heads if isinstance(mixer, Recurrent) else mixer.kv_heads
    return namespace(layout.tp).maximum(1.0 / layout.tp, 1.0 / heads)


def layer_weights(layer: Layer, share: Shard, precision: Precision) -> Array:
    """Bytes of one layer's weights on one device."""
    total: Array = layer.vectors * precision.of("other")[0]
    for linear, kv_heads in layer.placed_matrices():
        total = total + linear.parameters * precision.of(linear.part)[0] * share.of(linear, kv_heads)
    for feedforward in layer.feedforwards:
        if isinstance(feedforward, Experts):
            held = share.held_experts * share.expert_width
            total = total + feedforward.count * feedforward.expert_parameters * precision.of("expert")[0] * held
    return total


def _weights(model: Architecture, layout: Layout, precision: Precision, stage: Array, drafts: bool) -> Array:
    """A stage's layers, and the embedding and head that fall to it: with stages the larger of the two."""
    xp = namespace(layout.pp)
    share = shard(layout, 1)
    body: Array = 0.0
    for layer, count in model.kinds:
        if layer.stored:
            body = body + count * layer_weights(layer, share, precision)
    drafter: Array = sum(m.parameters for m in model.mtp_linears) * precision.of("other")[0]
    for layer in model.mtp if drafts else ():
        drafter = drafter + layer_weights(layer, share, precision)
    table = model.vocab * model.hidden / layout.tp
    embedding = (table + model.lookup / layout.tp) * precision.of("embedding")[0]
    head = 0.0 if model.tied else table * precision.of("head")[0]
    ends = xp.where(layout.pp > 1, namespace(embedding).maximum(embedding, head + 0 * embedding), embedding + head)
    return body * stage + ends + (drafter if drafts else 0.0)


def _cache_per_sequence(model: Architecture, layout: Layout, precision: Precision, context: Array) -> Array:
    total: Array = 0.0
    for layer, count in model.kinds:
        for mixer in layer.mixers:
            stored = kv.stored(mixer, context, precision.kv_bytes, precision.activation_bytes)
            total = total + count * stored * cache_share(mixer, layout)
    return total / layout.cp


def _activations(model: Architecture, layout: Layout, precision: Precision, tokens: Array) -> Array:
    """Live activations of one layer for `tokens` tokens: a few hidden vectors and the widest row of a feed-forward."""
    widest = 0
    for layer, _ in model.kinds:
        for feedforward in layer.feedforwards:
            widest = max(widest, feedforward.width * (1 if isinstance(feedforward, Dense) else feedforward.active))
    return tokens * (4.0 * model.hidden + 2.0 * widest / layout.tp) * precision.activation_bytes
