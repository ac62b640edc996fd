"""What one device must hold: weights, cache, activations and the runtime's reserve; how many sequences fit.

    used = weights(stage) + sequences * cache(context) + activations + (1 - utilisation) * capacity  <=  capacity

The fullest device decides: the pipeline stage whose layers hold most, with the embedding or the head. Knows no second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import pairwise

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
    share, xp = shard(layout, 1, 1), namespace(layout.dp, seqs)
    kinds = [layer for layer, _ in model.kinds]
    weights = [layer_weights(layer, share, precision) if layer.stored else 0.0 for layer in kinds]
    caches = [_layer_cache(layer, layout, precision, context) for layer in kinds]
    drafter: Array = sum(m.parameters for m in model.mtp_linears) * precision.of("other")[0]
    for layer in model.mtp:
        drafter = drafter + layer_weights(layer, share, precision)
    return DeviceMemory(
        weights=_fullest(model, layout.pp, weights) + _ends(model, layout, precision) + (drafter if drafts else 0.0),
        cache_per_sequence=_fullest(model, layout.pp, caches),
        logits_per_sequence=4.0 * model.vocab / (layout.tp * layout.pp * layout.cp),
        activations=_activations(model, layout, precision, chunk),
        reserve=(1.0 - utilisation) * capacity,
        capacity=capacity,
        sequences=xp.maximum(seqs / layout.dp, 1.0 + 0 * seqs),
    )


@lru_cache(maxsize=4096)
def _stages(model: Architecture, stages: int) -> tuple[tuple[int, ...], ...]:
    """How many layers of each kind the stages have that hold most of something: contiguous, the first ones longer."""
    order = {layer: i for i, (layer, _) in enumerate(model.kinds)}
    kinds = [order[layer] for layer in model.layers]
    size, longer = divmod(len(kinds), stages)
    bounds = [i * size + min(i, longer) for i in range(stages + 1)]
    counts = {tuple(kinds[a:b].count(k) for k in range(len(order))) for a, b in pairwise(bounds)}
    return tuple(
        c for c in counts if not any(c != d and all(x <= y for x, y in zip(c, d, strict=True)) for d in counts)
    )


def _fullest(model: Architecture, stages: Array, per_layer: Sequence[Array]) -> Array:
    """The most that any pipeline stage holds, from what a layer of each kind holds."""

    def held(n: int) -> Array:
        totals = [sum((c * x for c, x in zip(counts, per_layer, strict=True)), 0.0) for counts in _stages(model, n)]
        return reduce(lambda x, y: namespace(x, y).maximum(x, y), totals)

    if isinstance(stages, int):
        return held(stages)
    xp = namespace(stages)
    out: Array = 0.0 * stages
    for n in map(int, xp.unique_values(stages)):
        most = held(n)
        out = namespace(stages, most).where(stages == n, most + 0.0 * out, out)
    return out


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
            held = (feedforward.count + share.redundant) * share.held_experts * share.expert_width
            total = total + feedforward.expert_parameters * precision.of("expert")[0] * held
    return total


def _ends(model: Architecture, layout: Layout, precision: Precision) -> Array:
    """Embedding and head as far as they fall to one device: both, or with stages the larger of the two."""
    xp = namespace(layout.pp)
    table = model.vocab * model.hidden / layout.tp
    embedding = (table + model.lookup / layout.tp) * precision.of("embedding")[0]
    head = 0.0 if model.tied else table * precision.of("head")[0]
    return xp.where(layout.pp > 1, namespace(embedding).maximum(embedding, head + 0 * embedding), embedding + head)


def _layer_cache(layer: Layer, layout: Layout, precision: Precision, context: Array) -> Array:
    """Bytes of one sequence in one layer on one device; context parallelism divides tokens, but no recurrent state."""
    total: Array = 0.0
    for mixer in layer.mixers:
        stored = kv.stored(mixer, context, precision.kv_bytes, precision.activation_bytes) * cache_share(mixer, layout)
        total = total + (stored if isinstance(mixer, Recurrent) else stored / layout.cp)
    return total


def _activations(model: Architecture, layout: Layout, precision: Precision, tokens: Array) -> Array:
    """Live activations of one layer for `tokens` tokens: a few hidden vectors and the widest row of a feed-forward."""
    widest = 0
    for layer, _ in model.kinds:
        for feedforward in layer.feedforwards:
            widest = max(widest, feedforward.width * (1 if isinstance(feedforward, Dense) else feedforward.active))
    return tokens * (4.0 * model.hidden + 2.0 * widest / layout.tp) * precision.activation_bytes
