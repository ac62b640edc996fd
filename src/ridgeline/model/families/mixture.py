"""Decoder-only transformers with mixtures of experts and grouped-query attention."""

from __future__ import annotations

from ridgeline.model.attention import AttentionSpec
from ridgeline.model.families.body import (
    Body,
    alternating,
    dense,
    depth,
    experts,
    grouped,
    head_dim,
    heads,
    qwen_feedforwards,
    qwen_window,
    repeated_last,
    sparse_layers,
    stack,
    uniform_window,
    with_window,
)
from ridgeline.model.keys import Keys


def mixtral(c: Keys) -> Body:
    """Mixtral."""
    attention = uniform_window(c, grouped(c, bias_key=""))
    return Body(layers=stack(attention, [experts(c, width=c.integer("intermediate_size"))] * depth(c)))


def phimoe(c: Keys) -> Body:
    """Phi-3.5-MoE: norms with shift, biases by `attention_bias` and `lm_head_bias`."""
    attention = uniform_window(c, grouped(c, norms=2))
    mixture = experts(c, width=c.integer("intermediate_size"), norms=2)
    return Body(layers=stack(attention, [mixture] * depth(c)), norms=2, head_bias=c.flag("lm_head_bias"))


def dbrx(c: Keys) -> Body:
    """DBRX: nested `attn_config` and `ffn_config`, norms without shift."""
    attention, ffn = c.child("attn_config"), c.child("ffn_config")
    part = grouped(c, bias_key="", kv_heads=attention.integer("kv_n_heads"))
    mixture = experts(ffn, width=ffn.integer("ffn_hidden_size"))
    return Body(layers=stack([part] * depth(c), [mixture] * depth(c)))


def olmoe(c: Keys) -> Body:
    """OLMoE: a norm over all heads of q and k."""
    part = grouped(c, qk_norm="full")
    return Body(layers=stack([part] * depth(c), [experts(c, width=c.integer("intermediate_size"))] * depth(c)))


def granitemoe(c: Keys) -> Body:
    """Granite 3 mixtures, with a shared expert if `shared_intermediate_size` is set."""
    mixture = experts(c, width=c.integer("intermediate_size"), shared_width=c.optional("shared_intermediate_size"))
    return Body(layers=stack([grouped(c)] * depth(c), [mixture] * depth(c)))


def qwen2_moe(c: Keys) -> Body:
    """Qwen 1.5 and 2 mixtures: biases on q, k, v, a gated shared expert; windows on even layers if any."""
    part = grouped(c, bias_key="", qkv_bias=c.flag("qkv_bias", default=True))
    windows = c.flag("use_sliding_window")
    last = c.integer("max_window_layers", default=28, low=0)
    attention = alternating(c, part, full=lambda i: not windows or i % 2 == 1 or i >= last)
    mixture = experts(c, shared_width=c.integer("shared_expert_intermediate_size"), shared_gate=True)
    return Body(layers=stack(attention, qwen_feedforwards(c, mixture)))


def qwen3_moe(c: Keys) -> Body:
    """Qwen 3 mixtures: norms on q and k, no shared expert; one window for all layers if any."""
    part = grouped(c, qk_norm="head")
    window = c.integer("sliding_window") if c.flag("use_sliding_window") else 0
    c.ignore("max_window_layers")
    if c.optional("shared_expert_intermediate_size"):
        raise c.error("shared_expert_intermediate_size", "expected 0: this family has no shared expert")
    return Body(layers=stack([with_window(part, window)] * depth(c), qwen_feedforwards(c, experts(c))))


def qwen3_vl(c: Keys) -> Body:
    """The text tower of Qwen3-VL: Qwen 3 without windows."""
    attention = qwen_window(c, grouped(c, qk_norm="head"))
    return Body(layers=stack(attention, [dense(c, bias_key="")] * depth(c)))


def glm4_moe(c: Keys) -> Body:
    """GLM-4.5, 4.6, 4.7: biases on q, k, v, norms on q and k if `use_qk_norm`, shared experts."""
    part = grouped(
        c,
        bias_key="",
        qkv_bias=c.flag("attention_bias"),
        qk_norm="head" if c.flag("use_qk_norm") else "",
    )
    return _shared(c, part)


def dots1(c: Keys) -> Body:
    """dots.llm1: norms on q and k, shared experts."""
    return _shared(c, grouped(c, qk_norm="head"))


def _shared(c: Keys, part: AttentionSpec) -> Body:
    width = c.integer("moe_intermediate_size")
    shared = c.integer("n_shared_experts", low=0)
    mixture = experts(c, width=width, shared_width=shared * width)
    sparse = sparse_layers(c)
    plain = mixture if all(sparse) else dense(c, bias_key="")
    c.ignore("intermediate_size")
    layers = stack([part] * depth(c), [mixture if each else plain for each in sparse])
    return Body(layers=layers, mtp=repeated_last(c, layers, "num_nextn_predict_layers"))


def minimax_m2(c: Keys) -> Body:
    """MiniMax-M2: a norm over all heads of q and k."""
    if c.optional("shared_intermediate_size"):
        raise c.error("shared_intermediate_size", "expected 0: this family has no shared expert")
    c.ignore("attn_type_list")
    norm = "full" if c.flag("use_qk_norm", default=True) else ""
    part = grouped(c, bias_key="", qk_norm=norm)
    layers = stack([part] * depth(c), [experts(c, width=c.integer("intermediate_size"))] * depth(c))
    c.ignore("mtp_transformer_layers")
    return Body(layers=layers, mtp=repeated_last(c, layers, "num_mtp_modules") if c.flag("use_mtp") else ())


def gpt_oss(c: Keys) -> Body:
    """gpt-oss: biases everywhere, attention sinks, windows on even layers."""
    part = grouped(c, bias=True, sinks=True)
    attention = alternating(c, part, full=lambda i: i % 2 == 1)
    c.ignore("experts_per_token")
    mixture = experts(c, width=c.integer("intermediate_size"), bias=True, router_bias=True)
    return Body(layers=stack(attention, [mixture] * depth(c)))


def llama4(c: Keys) -> Body:
    """Llama 4: a shared expert, mixtures every `interleave_moe_layer_step` layers, three chunked layers to one full."""
    n = depth(c)
    step, chunk = c.integer("interleave_moe_layer_step", default=1), c.optional("attention_chunk_size")
    listed = c.listed("moe_layers")
    sparse = list(range(step - 1, n, step)) if listed is None else listed
    every = c.integer("no_rope_layer_interval", default=4)
    rope = c.integers("no_rope_layers", length=n) if c.config.get("no_rope_layers") else None
    rope = rope or [int((i + 1) % every != 0) for i in range(n)]
    types = c.texts("layer_types", length=n, allowed=("full_attention", "chunked_attention"))
    part = grouped(c)
    chunked = with_window(part, chunk, chunked=True) if chunk else part
    full = [kind == "full_attention" for kind in types] if types else [not each for each in rope]
    width = c.integer("intermediate_size")
    mixture = experts(c, width=width, shared_width=width)
    plain = dense(c, "intermediate_size_mlp", bias_key="") if len(sparse) < n else mixture
    c.ignore("intermediate_size_mlp")
    feedforwards = [mixture if i in set(sparse) else plain for i in range(n)]
    return Body(layers=stack([part if each else chunked for each in full], feedforwards))


def mimo_v2(c: Keys) -> Body:
    """MiMo-V2-Flash: values narrower than keys; windowed layers have sinks and their own number of key-value heads."""
    n, queries = depth(c), heads(c)
    pattern = c.integers("hybrid_layer_pattern", length=n)
    types = c.texts("layer_types", length=n, allowed=("full_attention", "sliding_attention"))
    if types is None and pattern is not None:
        types = ["sliding_attention" if each else "full_attention" for each in pattern]
    if types is None:
        types = ["full_attention" if i == 0 or (i + 1) % 6 == 0 else "sliding_attention" for i in range(n)]
    part = grouped(c, out_bias=False, value_dim=c.integer("v_head_dim"), head_dim=head_dim(c))
    windowed = AttentionSpec(
        heads=c.integer("swa_num_attention_heads", default=queries),
        kv_heads=c.integer("swa_num_key_value_heads", default=2 * part.kv_heads),
        head_dim=c.integer("swa_head_dim", default=part.head_dim),
        value_dim=c.integer("swa_v_head_dim", default=part.value_dim),
        qkv_bias=part.qkv_bias,
        sinks=c.flag("add_swa_attention_sink_bias", default=True),
        window=c.integer("sliding_window", "sliding_window_size"),
    )
    sparse = sparse_layers(c)
    mixture = experts(c)
    plain = dense(c, bias_key="")
    attention = [part if kind == "full_attention" else windowed for kind in types]
    return Body(layers=stack(attention, [mixture if each else plain for each in sparse]))


def ernie(c: Keys) -> Body:
    """ERNIE 4.5, dense and mixtures: biases by `use_bias`, shared experts, first layers dense."""
    bias = c.flag("use_bias")
    part, plain = grouped(c, bias_key="", bias=bias), dense(c, bias_key="", bias=bias)
    if c.text("model_type") == "ernie4_5":
        return Body(layers=stack([part] * depth(c), [plain] * depth(c)))
    width = c.integer("moe_intermediate_size")
    shared = c.integer("moe_num_shared_experts", default=2, low=0)
    count = c.integer("moe_num_experts")
    mixture = experts(c, width=width, bias=bias, shared_bias=bias, shared_width=shared * width, small=count)
    n, step = depth(c), c.integer("moe_layer_interval", default=1)
    first, last = (
        c.integer("moe_layer_start_index", default=1, low=0),
        c.integer("moe_layer_end_index", default=n - 1, low=-1),
    )
    sparse = [first <= i <= (last if last >= 0 else n - 1) and (i + 1) % step == 0 for i in range(n)]
    return Body(layers=stack([part] * n, [mixture if each else plain for each in sparse]))
