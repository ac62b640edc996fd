"""Transformers with recurrent layers: Mamba 1 and 2, alone or beside attention."""

from __future__ import annotations

import math

from ridgeline.model.architecture import Linear
from ridgeline.model.attention import AttentionSpec
from ridgeline.model.families.body import (
    Body,
    Parts,
    dense,
    depth,
    experts,
    grouped,
    head_dim,
    heads,
    hidden_size,
    kv_heads,
    stack,
)
from ridgeline.model.families.linear import LINEAR, recurrent_layers
from ridgeline.model.feedforward import DenseSpec, MatricesSpec
from ridgeline.model.keys import Keys
from ridgeline.model.recurrent import Mamba2Spec, MambaSpec
from ridgeline.model.spec import PartSpec


def jamba(c: Keys) -> Body:
    """Jamba: Mamba 1, an attention and a mixture each at their own period and offset."""
    n, hidden = depth(c), hidden_size(c)
    _, rank = c.get("mamba_dt_rank")
    mamba = MambaSpec(
        inner=c.integer("mamba_expand") * hidden,
        state=c.integer("mamba_d_state"),
        dt_rank=math.ceil(hidden / 16) if rank in (None, "auto") else c.integer("mamba_dt_rank"),
        conv=c.integer("mamba_d_conv"),
        conv_bias=c.flag("mamba_conv_bias", default=True),
        bias=c.flag("mamba_proj_bias"),
        inner_norms=True,
    )
    attention, plain = (
        grouped(c, bias_key="", head_dim=head_dim(c, explicit=False)),
        dense(c, bias_key=""),
    )
    period, offset = c.integer("attn_layer_period"), c.integer("attn_layer_offset", low=0)
    sparse_period, sparse_offset = c.integer("expert_layer_period"), c.integer("expert_layer_offset", low=0)
    count, active = c.integer("num_experts"), c.integer("num_experts_per_tok")
    mixture = experts(c, width=plain.width) if count > 1 else plain
    if active > count:
        raise c.error("num_experts_per_tok", f"expected at most {count}")
    mixers: list[PartSpec] = [attention if i % period == offset else mamba for i in range(n)]
    return Body(layers=stack(mixers, [mixture if i % sparse_period == sparse_offset else plain for i in range(n)]))


def _mamba2(
    c: Keys, *, inner: int, gated_norm: bool = True, out_bias: bool | None = None, norms: int = 1
) -> Mamba2Spec:
    """Mamba 2 with the keys of Bamba, Granite 4 and Falcon-H1; the head size may be "auto"."""
    count = c.integer("mamba_n_heads")
    _, size = c.get("mamba_d_head")
    size = inner // count if size in (None, "auto") else c.integer("mamba_d_head")
    if size * count != inner:
        raise c.error("mamba_d_head", f"expected {inner} / {count} heads, got {size}")
    return Mamba2Spec(
        heads=count,
        head_dim=size,
        state=c.integer("mamba_d_state"),
        groups=c.integer("mamba_n_groups"),
        conv=c.integer("mamba_d_conv"),
        conv_bias=c.flag("mamba_conv_bias", default=True),
        bias=(bias := c.flag("mamba_proj_bias")),
        out_bias=bias if out_bias is None else out_bias,
        gated_norm=gated_norm,
        norms=norms,
    )


def granite_hybrid(c: Keys) -> Body:
    """Granite 4: Mamba 2 and attention, a mixture if there are experts, and a shared feed-forward in every layer."""
    n = depth(c)
    recurrent = recurrent_layers(c, "layer_types", "layers_block_type")
    if recurrent is None:
        raise c.error("layer_types", "is missing", "expected one of mamba, attention per layer")
    attention = grouped(c, head_dim=head_dim(c, explicit=False))
    mamba = _mamba2(c, inner=c.integer("mamba_expand", default=2) * hidden_size(c)) if any(recurrent) else attention
    c.ignore("mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_n_groups", "mamba_d_conv", "mamba_expand")
    shared = c.integer("shared_intermediate_size")
    if c.optional("num_local_experts"):
        ffn: PartSpec = experts(c, width=c.integer("intermediate_size"), shared_width=shared)
    else:
        c.ignore("num_experts_per_tok")
        ffn = DenseSpec(width=shared)
    return Body(layers=stack([mamba if each else attention for each in recurrent], [ffn] * n))


def bamba(c: Keys) -> Body:
    """Bamba: Mamba 2, attention in the layers `attn_layer_indices` lists."""
    n = depth(c)
    full = c.listed("attn_layer_indices")
    if full is None:
        raise c.error("attn_layer_indices", "is missing", "expected a list of layer numbers")
    mamba = _mamba2(c, inner=c.integer("mamba_expand") * hidden_size(c))
    attention = grouped(c, head_dim=head_dim(c, explicit=False))
    return Body(layers=stack([attention if i in full else mamba for i in range(n)], [dense(c)] * n))


def falcon_h1(c: Keys) -> Body:
    """Falcon-H1: Mamba 2 and attention side by side behind one norm, then a feed-forward."""
    inner = c.integer("mamba_d_ssm", default=c.integer("mamba_expand", default=2) * hidden_size(c))
    mamba = _mamba2(c, inner=inner, gated_norm=c.flag("mamba_rms_norm"), out_bias=c.flag("projectors_bias"), norms=0)
    c.ignore("mamba_use_mlp")
    return Body(layers=((grouped(c), mamba, dense(c)),) * depth(c))


_NEMOTRON = {"M": "linear_attention", "*": "full_attention", "E": "moe", "-": "mlp"}
_NEMOTRON_OLD = {"mamba": "linear_attention", "attention": "full_attention"}


def _nemotron_kinds(c: Keys, pattern: str, types: str) -> list[str] | None:
    """Layer kinds of Nemotron-H: a pattern of letters or a list of names."""
    letters = c.text(pattern)
    if set(letters) - _NEMOTRON.keys():
        raise c.error(pattern, f"expected letters out of {' '.join(_NEMOTRON)}, got {letters[:40]!r}")
    names = c.texts(types, allowed=(*_NEMOTRON.values(), *_NEMOTRON_OLD))
    return [_NEMOTRON[each] for each in letters] or (names and [_NEMOTRON_OLD.get(each, each) for each in names])


def nemotron_h(c: Keys) -> Body:
    """Nemotron-H and Nemotron 3: every layer is a Mamba 2, an attention, a feed-forward or a (latent) mixture."""
    kinds = _nemotron_kinds(c, "hybrid_override_pattern", "layers_block_type")
    if kinds is None:
        raise c.error("hybrid_override_pattern", "is missing", "expected one letter of M * E - per layer")
    if c.get("num_hidden_layers")[1] is not None and depth(c) != len(kinds):
        raise c.error("num_hidden_layers", f"expected {len(kinds)}, the length of the layer pattern, got {depth(c)}")
    c.ignore("ssm_state_size", "mamba_num_heads", "mamba_head_dim", "moe_latent_size", "mtp_layers_block_type")
    c.ignore("moe_intermediate_size", "n_routed_experts", "num_experts_per_tok", "moe_shared_expert_intermediate_size")
    parts: dict[str, PartSpec] = {}
    ahead = c.integer("num_nextn_predict_layers", default=0, low=0, high=64)
    module = (_nemotron_kinds(c, "mtp_hybrid_override_pattern", "mtp_layers_block_type") or []) if ahead else []
    for kind in {*kinds, *module}:
        parts[kind] = _nemotron_part(c, kind)
    prediction = tuple(parts[kind] for kind in module)
    return Body(layers=tuple((parts[kind],) for kind in kinds), mtp=(prediction,) * ahead if prediction else ())


def _nemotron_part(c: Keys, kind: str) -> PartSpec:
    bias = c.flag("mlp_bias")
    if kind == "full_attention":
        size = c.integer("head_dim", "attention_head_dim", default=hidden_size(c) // heads(c))
        return grouped(c, head_dim=size)
    if kind == "linear_attention":
        return Mamba2Spec(
            heads=c.integer("mamba_num_heads"),
            head_dim=c.integer("mamba_head_dim"),
            state=c.integer("ssm_state_size"),
            groups=c.integer("mamba_n_groups", "n_groups"),
            conv=c.integer("mamba_d_conv", "conv_kernel"),
            conv_bias=c.flag("mamba_conv_bias", "use_conv_bias", default=True),
            bias=c.flag("use_bias"),
            out_bias=c.flag("use_bias"),
        )
    if kind == "mlp":
        return dense(c, bias_key="", gated=False, bias=bias)
    shared = c.integer("n_shared_experts", low=0) * c.integer("moe_shared_expert_intermediate_size")
    groups, limit = c.integer("n_group", default=1), c.integer("topk_group", default=1)
    return experts(
        c,
        gated=False,
        shared_bias=bias,
        shared_width=shared,
        latent=c.optional("moe_latent_size"),
        groups=groups,
        group_limit=limit,
    )


def zamba2(c: Keys) -> Body:
    """Zamba 2: Mamba 2 layers; before some a transformer block of shared weights, with adapters of low rank.

    The shared block works on the hidden state next to the embedding, hence on twice the width.
    """
    n, hidden = depth(c), hidden_size(c)
    types = c.texts("layers_block_type", length=n, allowed=(*LINEAR, "hybrid"))
    if types is None:
        raise c.error("layers_block_type", "is missing", "expected one of mamba, hybrid per layer")
    count = c.integer("n_mamba_heads")
    mamba = Mamba2Spec(
        heads=count,
        head_dim=c.integer("mamba_expand") * hidden // count,
        state=c.integer("mamba_d_state"),
        groups=c.integer("mamba_ngroups"),
        conv=c.integer("mamba_d_conv"),
        conv_bias=c.flag("use_conv_bias", default=True),
        bias=c.flag("add_bias_linear"),
        out_bias=c.flag("add_bias_linear"),
    )
    bias, rank = c.flag("add_bias_linear"), c.integer("adapter_rank")
    width = c.integer("intermediate_size", default=4 * hidden)
    queries, blocks = heads(c), c.integer("num_mem_blocks", default=1)
    c.ignore("mamba_headdim", "attention_head_dim", "attention_hidden_size", "kv_channels")
    attention = AttentionSpec(
        heads=queries, kv_heads=kv_heads(c), head_dim=2 * hidden // queries, input=2 * hidden, norms=2
    )
    block = (attention, DenseSpec(width=width, bias=bias))
    adapters = [
        Linear(name="projection", rows=hidden, cols=hidden, part="other"),
        Linear(name="ffn_adapter_down", rows=hidden, cols=rank, part="other"),
        Linear(name="ffn_adapter_up", rows=rank, cols=2 * width, part="other"),
    ]
    if c.flag("use_shared_attention_adapter"):
        adapters.append(Linear(name="qkv_adapter_down", rows=2 * hidden, cols=rank, part="other", copies=3))
        adapters.append(Linear(name="qkv_adapter_up", rows=rank, cols=2 * hidden, part="other", copies=3))
    extra = MatricesSpec(linears=tuple(adapters))
    layers: list[Parts] = []
    reused: set[int] = set()
    hybrids = 0
    for kind in types:
        if kind == "hybrid":
            if hybrids >= blocks:
                reused.add(len(layers))
            hybrids += 1
            layers += [block, (mamba, extra)]
        else:
            layers.append((mamba,))
    return Body(layers=tuple(layers), reused=frozenset(reused))
