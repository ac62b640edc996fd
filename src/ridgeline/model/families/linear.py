"""Transformers with recurrent layers: gated delta nets, Kimi delta attention, lightning attention, RG-LRU."""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.model.families.body import (
    Body,
    dense,
    depth,
    experts,
    grouped,
    head_dim,
    heads,
    hidden_size,
    qwen_feedforwards,
    repeated_last,
    stack,
    uniform_window,
)
from ridgeline.model.families.latent import feedforwards, latent_attention
from ridgeline.model.feedforward import DenseSpec
from ridgeline.model.keys import Keys
from ridgeline.model.recurrent import DeltaSpec, KdaSpec, LightningSpec, RglruSpec
from ridgeline.model.spec import PartSpec

LINEAR = ("linear_attention", "mamba", "recurrent")
FULL = ("full_attention", "attention")


def recurrent_layers(c: Keys, *names: str) -> list[bool] | None:
    """Which layers are recurrent, as a list of layer types says."""
    types = c.texts(*names, length=depth(c), allowed=(*LINEAR, *FULL))
    return None if types is None else [kind in LINEAR for kind in types]


def qwen3_next(c: Keys) -> Body:
    """Qwen3-Next and Qwen3.5: gated delta nets, a gated full attention every `full_attention_interval` layers."""
    n, every = depth(c), c.integer("full_attention_interval", default=4)
    recurrent = recurrent_layers(c, "layer_types") or [(i + 1) % every != 0 for i in range(n)]
    full = grouped(c, gated=c.flag("attn_output_gate", default=True), qk_norm="head")
    delta = DeltaSpec(
        key_heads=c.integer("linear_num_key_heads"),
        value_heads=c.integer("linear_num_value_heads"),
        key_dim=c.integer("linear_key_head_dim"),
        value_dim=c.integer("linear_value_head_dim"),
        conv=c.integer("linear_conv_kernel_dim"),
    )
    if c.optional("num_experts"):
        shared = c.integer("shared_expert_intermediate_size")
        ffn: Sequence[PartSpec] = qwen_feedforwards(c, experts(c, shared_width=shared, shared_gate=True))
    else:
        ffn = [dense(c, bias_key="")] * n
    c.ignore("intermediate_size", "use_sliding_window")
    layers = stack([delta if each else full for each in recurrent], ffn)
    return Body(layers=layers, mtp=repeated_last(c, layers, "mtp_num_hidden_layers", "num_nextn_predict_layers"))


def kimi_linear(c: Keys) -> Body:
    """Kimi Linear: Kimi delta attention, with latent attention in the layers listed (counted from 1)."""
    n, nested = depth(c), c.child("linear_attn_config")
    recurrent = recurrent_layers(c, "layer_types")
    if recurrent is None:
        full = nested.listed("full_attn_layers", low=1)
        if full is None:
            raise nested.error("full_attn_layers", "is missing", "expected a list of layers, counted from 1")
        recurrent = [i + 1 not in full for i in range(n)]
        nested.ignore("kda_layers")
    for keys, gate in ((nested, "use_full_rank_gate"), (c, "mla_use_output_gate")):
        if keys.flag(gate):
            raise keys.error(gate, "is not modelled")
    kda = KdaSpec(
        heads=nested.integer("num_heads", default=c.optional("linear_num_heads") or None),
        head_dim=nested.integer("head_dim", default=c.optional("linear_head_dim") or None),
        conv=nested.integer("short_conv_kernel_size", default=c.optional("linear_conv_kernel_dim") or None),
    )
    latent = latent_attention(c)
    layers = zip((kda if each else latent for each in recurrent), feedforwards(c), strict=True)
    return Body(layers=tuple((mixer, *ffn) for mixer, ffn in layers))


def minimax(c: Keys) -> Body:
    """MiniMax-Text-01 and M1: lightning attention, a softmax attention in the layers marked 1."""
    n = depth(c)
    recurrent = recurrent_layers(c, "layer_types")
    if recurrent is None:
        marks = c.integers("attn_type_list", length=n)
        if marks is None:
            raise c.error(
                "attn_type_list", "is missing", f"expected {n} entries: 0 for lightning, 1 for softmax attention"
            )
        recurrent = [mark == 0 for mark in marks]
    full = uniform_window(c, grouped(c, bias_key="")) if c.optional("sliding_window") else [grouped(c, bias_key="")] * n
    lightning = LightningSpec(heads=heads(c), head_dim=head_dim(c))
    mixture = experts(c, width=c.integer("intermediate_size"), shared_width=c.optional("shared_intermediate_size"))
    return Body(layers=stack([lightning if r else f for r, f in zip(recurrent, full, strict=True)], [mixture] * n))


def recurrent_gemma(c: Keys) -> Body:
    """RecurrentGemma and Griffin: RG-LRU blocks and windowed attention in the pattern `block_types`."""
    n, hidden = depth(c), hidden_size(c)
    kinds = c.texts("block_types", allowed=(*LINEAR, *FULL)) or ["recurrent", "recurrent", "attention"]
    width = c.integer("lru_width", default=hidden)
    rglru = RglruSpec(width=width, heads=heads(c), conv=c.integer("conv1d_width"))
    window = c.integer("attention_window_size", "sliding_window")
    bias = c.flag("attention_bias")
    size = head_dim(c, explicit=False)
    attention = grouped(c, bias_key="", qkv_bias=bias, out_bias=True, head_dim=size, window=window)
    ffn = DenseSpec(width=c.integer("intermediate_size") // 2, bias=True)
    mixers = [rglru if kinds[i % len(kinds)] in LINEAR else attention for i in range(n)]
    return Body(layers=stack(mixers, [ffn] * n))
