"""Decoder-only transformers with dense feed-forwards: Llama and its many relatives, and the older GPTs.

What this file does not know: mixtures of experts (mixture.py), latent attention (latent.py), recurrences (hybrid.py),
the Gemmas (gemma.py).
"""

from __future__ import annotations

import math

from ridgeline.errors import InputError
from ridgeline.model.architecture import Linear
from ridgeline.model.attention import AttentionSpec
from ridgeline.model.families.body import (
    Body,
    Parts,
    alternating,
    dense,
    depth,
    grouped,
    head_dim,
    heads,
    hidden_size,
    qwen_window,
    repeated_last,
    stack,
    uniform_window,
    with_window,
)
from ridgeline.model.feedforward import DenseSpec, MatricesSpec
from ridgeline.model.keys import Keys


def llama(c: Keys) -> Body:
    """Llama 1 to 3 and models of the same shape."""
    return Body(layers=stack([grouped(c)] * depth(c), [dense(c)] * depth(c)))


def mistral(c: Keys) -> Body:
    """Mistral, Ministral, Phi-3, Phi-4: no biases, one window for all layers if any."""
    attention = uniform_window(c, grouped(c, bias_key=""))
    return Body(layers=stack(attention, [dense(c, bias_key="")] * depth(c)))


def qwen2(c: Keys) -> Body:
    """Qwen 2 and 2.5: biases on q, k, v. MiMo 7B adds prediction modules."""
    attention = qwen_window(c, grouped(c, bias_key="", qkv_bias=True))
    layers = stack(attention, [dense(c, bias_key="")] * depth(c))
    return Body(layers=layers, mtp=repeated_last(c, layers, "num_nextn_predict_layers"))


def qwen3(c: Keys) -> Body:
    """Qwen 3 dense: norms on queries and keys."""
    attention = qwen_window(c, grouped(c, qk_norm="head"))
    return Body(layers=stack(attention, [dense(c, bias_key="")] * depth(c)))


def cohere(c: Keys) -> Body:
    """Command R, R+ and A: attention and feed-forward side by side behind one norm; Cohere 2 alternates windows."""
    qk_norm = "full" if c.flag("use_qk_norm") else ""
    part = grouped(c, qk_norm=qk_norm)
    every = c.integer("sliding_window_pattern", default=4)
    windows = c.text("model_type") == "cohere2"
    attention = alternating(c, part, full=lambda i: not windows or (i + 1) % every == 0)
    return Body(layers=stack(attention, [dense(c, bias_key="", norms=0)] * depth(c)))


def glm4(c: Keys) -> Body:
    """GLM-4 dense (9B, 32B): biases on q, k, v, norms before and after."""
    part = grouped(c, bias_key="", qkv_bias=c.flag("attention_bias", default=True), norms=2)
    return Body(layers=stack([part] * depth(c), [dense(c, bias_key="", norms=2)] * depth(c)))


def olmo(c: Keys) -> Body:
    """OLMo 1: norms without parameters."""
    part = grouped(c, norms=0)
    return Body(layers=stack([part] * depth(c), [dense(c, bias_key="", norms=0)] * depth(c)), norms=0)


def olmo2(c: Keys) -> Body:
    """OLMo 2 and 3: a norm over all heads of q and k; OLMo 3 has three windowed layers to one full."""
    windows = c.text("model_type") == "olmo3"
    attention = alternating(c, grouped(c, qk_norm="full"), full=lambda i: not windows or (i + 1) % 4 == 0)
    return Body(layers=stack(attention, [dense(c, bias_key="")] * depth(c)))


def exaone4(c: Keys) -> Body:
    """EXAONE 4: norms on q and k; windows in all but every fourth layer if a window is set."""
    every = c.integer("sliding_window_pattern", default=4) if c.optional("sliding_window") else 1
    attention = alternating(c, grouped(c, bias_key="", qk_norm="head"), full=lambda i: (i + 1) % every == 0)
    return Body(layers=stack(attention, [dense(c, bias_key="")] * depth(c)))


def seed_oss(c: Keys) -> Body:
    """Seed-OSS: biases on q, k, v by `attention_bias`, on the output by `attention_out_bias`."""
    part = grouped(
        c,
        bias_key="",
        qkv_bias=c.flag("attention_bias", default=True),
        out_bias=c.flag("attention_out_bias"),
    )
    return Body(layers=stack([part] * depth(c), [dense(c)] * depth(c)))


def nemotron(c: Keys) -> Body:
    """Nemotron 3 and 4 (dense, squared ReLU): no gate, norms with shift."""
    part = grouped(c, norms=2)
    return Body(layers=stack([part] * depth(c), [dense(c, gated=False, norms=2)] * depth(c)), norms=2)


def stablelm(c: Keys) -> Body:
    """StableLM 2: norms with shift."""
    part = grouped(c, bias_key="", qkv_bias=c.flag("use_qkv_bias"), norms=2)
    side_by_side = c.flag("use_parallel_residual")
    return Body(
        layers=stack([part] * depth(c), [dense(c, bias_key="", norms=0 if side_by_side else 2)] * depth(c)), norms=2
    )


def starcoder2(c: Keys) -> Body:
    """StarCoder 2: biases everywhere, no gate, one window if any."""
    bias = c.flag("use_bias", default=True)
    attention = uniform_window(c, grouped(c, bias_key="", bias=bias, norms=2))
    return Body(layers=stack(attention, [dense(c, bias_key="", bias=bias, gated=False, norms=2)] * depth(c)), norms=2)


def phi(c: Keys) -> Body:
    """Phi 1 and 2: side by side, biases everywhere, also on the head."""
    part = grouped(c, bias_key="", bias=True, norms=2)
    layers = stack([part] * depth(c), [dense(c, bias_key="", bias=True, gated=False, norms=0)] * depth(c))
    return Body(layers=layers, norms=2, head_bias=True)


def falcon(c: Keys) -> Body:
    """Falcon 7B (one key-value head), 40B and 180B (`new_decoder_architecture`: grouped, two norms)."""
    bias, new = c.flag("bias"), c.flag("new_decoder_architecture")
    many = new or not c.flag("multi_query", default=True)
    kv = c.integer("num_kv_heads", "n_head_kv", default=heads(c)) if many else 1
    two_norms = (
        not c.flag("parallel_attn", default=True) or c.integer("num_ln_in_parallel_attn", default=2 if new else 1) == 2
    )
    part = grouped(c, bias_key="", bias=bias, kv_heads=kv, head_dim=head_dim(c, explicit=False), norms=2)
    width = c.integer("ffn_hidden_size", default=4 * hidden_size(c))
    feedforward = DenseSpec(width=width, gated=False, bias=bias, norms=2 if two_norms else 0)
    return Body(layers=stack([part] * depth(c), [feedforward] * depth(c)), norms=2)


def gpt2(c: Keys) -> Body:
    """GPT-2 and GPT-BigCode (StarCoder 1): a table of positions, biases everywhere."""
    queries, hidden = heads(c), hidden_size(c)
    kv = 1 if c.flag("multi_query") else queries
    part = grouped(c, bias_key="", bias=True, kv_heads=kv, head_dim=hidden // queries, norms=2)
    width = c.integer("n_inner", default=4 * hidden)
    layers = stack([part] * depth(c), [DenseSpec(width=width, gated=False, bias=True, norms=2)] * depth(c))
    return Body(
        layers=layers, norms=2, lookup=hidden * c.integer("n_positions", "max_position_embeddings", default=1024)
    )


def gptj(c: Keys) -> Body:
    """GPT-J: side by side, biases in the feed-forward and on the head."""
    hidden = hidden_size(c)
    part = grouped(c, bias_key="", kv_heads=heads(c), head_dim=hidden // heads(c), norms=2)
    width = c.integer("n_inner", default=4 * hidden)
    layers = stack([part] * depth(c), [DenseSpec(width=width, gated=False, bias=True, norms=0)] * depth(c))
    return Body(layers=layers, norms=2, head_bias=True)


def gpt_neox(c: Keys) -> Body:
    """GPT-NeoX and Pythia: biases everywhere, two norms."""
    part = grouped(c, bias=True, kv_heads=heads(c), norms=2)
    layers = stack([part] * depth(c), [dense(c, bias_key="", bias=True, gated=False, norms=2)] * depth(c))
    return Body(layers=layers, norms=2)


def opt(c: Keys) -> Body:
    """OPT: a table of positions (two rows are reserved), biases by `enable_bias`."""
    bias, hidden = c.flag("enable_bias", default=True), hidden_size(c)
    if c.integer("word_embed_proj_dim", default=hidden) != hidden:
        raise c.error("word_embed_proj_dim", f"expected the hidden size {hidden}; narrower embeddings are not modelled")
    norms = 2 if c.flag("layer_norm_elementwise_affine", default=True) else 0
    part = grouped(c, bias_key="", bias=bias, kv_heads=heads(c), norms=norms)
    layers = stack(
        [part] * depth(c), [dense(c, "ffn_dim", bias_key="", bias=bias, gated=False, norms=norms)] * depth(c)
    )
    final = norms if c.flag("do_layer_norm_before", default=True) and not c.flag("_remove_final_layer_norm") else 0
    return Body(layers=layers, norms=final, lookup=hidden * (c.integer("max_position_embeddings") + 2))


def decilm(c: Keys) -> Body:
    """Nemotron Super and Ultra (DeciLM): each block says its key-value heads and width, or that it has none."""
    queries, hidden, n = heads(c), hidden_size(c), depth(c)
    blocks = c.children("block_configs", n)
    if blocks is None:
        raise c.error("block_configs", "is missing", "expected one entry per layer")
    c.ignore("num_key_value_heads", "intermediate_size")
    full = grouped(c, kv_heads=queries, head_dim=head_dim(c))
    layers: list[Parts] = []
    for block in blocks:
        if block.config.get("parallel_blocks") is not None:
            raise block.error("parallel_blocks", "parallel blocks are not modelled")
        layers.append(
            (
                *_deci_attention(block.child("attention"), full, hidden),
                *_deci_feedforward(c, block.child("ffn"), hidden),
            )
        )
    return Body(layers=tuple(layer for layer in layers if layer))


def _deci_attention(block: Keys, full: AttentionSpec, hidden: int) -> Parts:
    if block.flag("no_op"):
        return ()
    if block.flag("replace_with_linear"):
        return (MatricesSpec(linears=(Linear(name="attention_linear", rows=hidden, cols=hidden),), norms=1),)
    group = block.integer("n_heads_in_group")
    if full.heads % group:
        raise block.error("n_heads_in_group", f"expected a divisor of {full.heads} query heads, got {group}")
    return (with_window(full, block.optional("window_length"), kv_heads=full.heads // group),)


def _deci_feedforward(c: Keys, block: Keys, hidden: int) -> Parts:
    if block.flag("no_op"):
        return ()
    if block.flag("replace_with_linear"):
        return (MatricesSpec(linears=(Linear(name="ffn_linear", rows=hidden, cols=hidden, part="ffn"),), norms=1),)
    width = block.optional("intermediate_size")
    if not width:
        _, factor = block.get("ffn_mult")
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < 1000:
            raise InputError(f"{block.where}: key `ffn_mult`", "expected a positive number")
        width = 256 * math.ceil(int(2 * factor * hidden / 3) / 256)
    return (DenseSpec(width=width, bias=c.flag("mlp_bias")),)
