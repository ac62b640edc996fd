"""All operations of one layer, of the embedding and of the head, on the share of the model that is counted.

A matrix of n weights on t tokens: flop = 2 t n, bytes read = n * bytes per weight, once per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.model.architecture import Architecture, Experts, LatentAttention, Layer, Linear
from ridgeline.precision import Precision
from ridgeline.work.attention import latent_tokens, mixer_operations
from ridgeline.work.experts import expert_operation
from ridgeline.work.operation import Operation
from ridgeline.work.segment import Segment


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """Which fraction of each dimension of a layer is counted. All 1: the whole model.

    `sequences` fraction of the sequences that attention handles; `tokens` fraction of the new tokens that matrices
    handle; `routed` fraction of the new tokens that reach the counted experts' ranks; the rest as named. `redundant` is
    a number: copies of experts beyond one of each.
    """

    heads: Array = 1.0
    ffn: Array = 1.0
    held_experts: Array = 1.0
    redundant: Array = 0
    expert_width: Array = 1.0
    vocab: Array = 1.0
    sequences: Array = 1.0
    tokens: Array = 1.0
    routed: Array = 1.0
    context: Array = 1.0

    def of(self, linear: Linear, kv_heads: int = 1) -> Array:
        """Fraction of a matrix that is held: key-value heads are never divided below one."""
        if linear.split == "heads":
            return self.heads
        if linear.split == "kv":
            return namespace(self.heads).maximum(self.heads, 1.0 / kv_heads)
        return self.ffn if linear.split == "ffn" else 1.0


def layer_operations(
    layer: Layer, segments: Sequence[Segment], shard: Shard, precision: Precision, skew: float = 0.0
) -> list[Operation]:
    """Operations of one layer on `segments`, on the counted share of the model.

    Parameters
    ----------
    segments
        The whole step's groups of sequences, all ranks together.
    skew
        Exponent of the experts' popularity (0: uniform routing).
    """
    tokens = _total(segment.tokens for segment in segments)
    mine = tokens * shard.tokens
    local = [msgspec.structs.replace(segment, seqs=segment.seqs * shard.sequences) for segment in segments]
    operations: list[Operation] = []
    for linear in layer.linears:
        operations.append(linear_operation(linear, mine, shard.of(linear), precision))
    for mixer in layer.mixers:
        kv_heads = getattr(mixer, "kv_heads", 1)
        linears = mixer.linears
        indexer = getattr(mixer, "indexer", None)
        if indexer is not None:
            linears = linears + indexer.linears
        for linear in linears:
            operations.append(linear_operation(linear, mine, shard.of(linear, kv_heads), precision))
        if isinstance(mixer, LatentAttention):
            up = _total(latent_tokens(mixer, segment, precision, shard.context) for segment in local)
            operations.append(linear_operation(mixer.up_projection, up, shard.heads, precision))
        operations += mixer_operations(mixer, local, precision, shard.heads, shard.context)
    for feedforward in layer.feedforwards:
        for linear in feedforward.linears:
            operations.append(linear_operation(linear, mine, shard.of(linear), precision))
        if isinstance(feedforward, Experts):
            routed = tokens * shard.routed
            operations.append(
                expert_operation(
                    feedforward, routed, precision, shard.held_experts, shard.expert_width, skew, shard.redundant
                )
            )
    return operations


def linear_operation(linear: Linear, tokens: Array, share: Array, precision: Precision) -> Operation:
    """A weight matrix on `tokens` tokens; `share` is the fraction of the matrix that is counted."""
    weight_bytes, math = precision.of(linear.part)
    weights = linear.weights * share
    rows, cols = linear.rows * linear.copies, linear.cols * linear.copies
    inner, outer = (rows * share, cols) if linear.rows_split else (rows, cols * share)
    return Operation(
        name=linear.name,
        family="gemm",
        math=math,
        stored=precision.stored.get(linear.part, precision.stored["default"]),
        flop=2.0 * tokens * weights,
        weights=weights * weight_bytes,
        activations=tokens * (outer if linear.joined else inner + outer) * precision.activation_bytes,
        depth=0.0 if linear.joined else inner,
        joined=linear.joined,
    )


def embedding_operations(
    model: Architecture, segments: Sequence[Segment], shard: Shard, precision: Precision
) -> list[Operation]:
    """The embedding's look-ups (one row per token) and the head's matrix (logits of the sampled positions only)."""
    tokens = _total(segment.tokens for segment in segments) * shard.tokens
    sampled = _total(segment.seqs * segment.sampled for segment in segments) * shard.tokens
    row_bytes, _ = precision.of("embedding")
    head_bytes, math = precision.of("head")
    table = model.hidden * model.vocab * shard.vocab
    rows = tokens * model.hidden * row_bytes
    return [
        Operation(name="embedding", family="lookup", math="bf16", weights=rows),
        Operation(
            name="head",
            family="gemm",
            math=math,
            stored=precision.stored.get("head", precision.stored["default"]),
            depth=model.hidden,
            flop=2.0 * sampled * table,
            weights=table * head_bytes,
            activations=sampled * (model.hidden + model.vocab * shard.vocab) * precision.activation_bytes,
        ),
    ]


def _total(values) -> Array:
    total: Array = 0
    for value in values:
        total = total + value
    return total
