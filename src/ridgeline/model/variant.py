"""One model with another attention in every layer: what long contexts would cost if only that were changed.

| kind | every layer has | dimensions |
|---|---|---|
| dense | grouped-query attention to all tokens | the model's heads; its key-value heads, or 8 |
| latent | multi-head latent attention (DeepSeek-V2) | the model's, or ranks over a head's size as in DeepSeek-V3 |
| sliding | grouped-query attention to the last 4,096 tokens | |
| topk | latent attention to the 2,048 tokens that an indexer picks | indexer of DeepSeek-V3.2: 64 heads of 128 |
| block | grouped-query attention to 16 blocks of the size that reads least | `Attention.blocks`: the square root |
| linear | Kimi delta attention: a state in place of a cache | the model's heads |
| hybrid | three of four layers linear, the fourth as published (Kimi Linear, Qwen3-Next) | |

Hidden size, feed-forwards, vocabulary and formats stay, so parameters change by the attention's projections only. Knows
no quality: a window or a state forgets what a cache keeps.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    LatentAttention,
    Layer,
    Mixer,
    Recurrent,
)
from ridgeline.model.attention import AttentionSpec, IndexerSpec, LatentSpec
from ridgeline.model.recurrent import KdaSpec

PUBLISHED = "published"
KINDS = (PUBLISHED, "dense", "latent", "sliding", "topk", "block", "linear", "hybrid")
WINDOW, TOPK, BLOCKS = 4096, 2048, 16
KV_HEADS = 8
LINEAR_PER_FULL = 3
"""Linear layers to each full one in a hybrid."""


def variant(model: Architecture, kind: str) -> Architecture:
    """The model with its attention replaced by a kind of KINDS; "published" is the model itself.

    Raises
    ------
    InputError
        For an unknown kind, or a model without any attention to take dimensions from.
    """
    if kind not in KINDS:
        raise UnknownNameError("attention", kind[:60], KINDS)
    if kind == PUBLISHED:
        return model
    full = _largest(model)
    made = _mixer(full, kind, model.hidden)
    layers = []
    for i, layer in enumerate(model.layers):
        mixer: Mixer = made
        if kind == "hybrid" and i % (LINEAR_PER_FULL + 1) == LINEAR_PER_FULL:
            mixer = full
        layers.append(_with(layer, mixer))
    return msgspec.structs.replace(
        model, name=f"{model.name}, {kind}", layers=tuple(layers), mtp=(), mtp_linears=(), max_context=0
    )


def _with(layer: Layer, mixer: Mixer) -> Layer:
    """The layer with one mixer in place of those it has; one without any stays as it is."""
    return msgspec.structs.replace(layer, mixers=(mixer,)) if layer.mixers else layer


def _largest(model: Architecture) -> Attention | LatentAttention | CompressedAttention:
    """The attention that sees most tokens: full before windowed, with most heads."""
    found = [m for layer, _ in model.kinds for m in layer.mixers if not isinstance(m, Recurrent)]
    if not found:
        raise InputError(f"{model.name} with another attention", "a model that has some: its heads are taken over")
    sees = [m.window if isinstance(m, (Attention, CompressedAttention)) and m.window else math.inf for m in found]
    return max(zip(sees, found, strict=True), key=lambda each: (each[0], each[1].heads))[1]


def _mixer(full: Attention | LatentAttention | CompressedAttention, kind: str, hidden: int) -> Mixer:
    size = full.nope_dim if isinstance(full, LatentAttention) else full.head_dim
    groups = full.kv_heads if isinstance(full, Attention) else math.gcd(KV_HEADS, full.heads)
    if kind in ("linear", "hybrid"):
        return KdaSpec(heads=full.heads, head_dim=size, conv=4).build(hidden)
    if kind in ("latent", "topk"):
        indexer = IndexerSpec(heads=64, dim=128, topk=TOPK) if kind == "topk" else None
        if isinstance(full, LatentAttention):
            spec = LatentSpec(
                heads=full.heads, kv_rank=full.kv_rank, nope_dim=full.nope_dim, rope_dim=full.rope_dim,
                value_dim=full.value_dim, q_rank=_q_rank(full), indexer=indexer,
            )  # fmt: skip
        else:
            spec = LatentSpec(
                heads=full.heads, kv_rank=4 * size, nope_dim=size, rope_dim=size // 2, value_dim=size,
                q_rank=12 * size, indexer=indexer,
            )  # fmt: skip
        return spec.build(hidden)
    spec = AttentionSpec(heads=full.heads, kv_heads=groups, head_dim=size, window=WINDOW if kind == "sliding" else 0)
    made = spec.build(hidden)
    return msgspec.structs.replace(made, blocks=BLOCKS) if kind == "block" else made


def _q_rank(full: LatentAttention) -> int:
    return next((linear.cols for linear in full.linears if linear.name == "q_down"), 0)
