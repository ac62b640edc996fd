"""Transformers with latent or compressed attention: DeepSeek V2 to V4, Kimi K2, GLM-5, Mistral 4."""

from __future__ import annotations

import msgspec

from ridgeline.model.architecture import Linear
from ridgeline.model.attention import CompressedSpec, IndexerSpec, LatentSpec
from ridgeline.model.families.body import (
    Body,
    Parts,
    dense,
    depth,
    experts,
    heads,
    hidden_size,
    repeated_last,
    sparse_layers,
)
from ridgeline.model.feedforward import ExpertsSpec, MatricesSpec
from ridgeline.model.keys import Keys


def latent_attention(c: Keys, indexer: IndexerSpec | None = None) -> LatentSpec:
    """Multi-head latent attention with the usual keys; `q_lora_rank` null means no query down-projection."""
    c.ignore("num_key_value_heads", "head_dim", "qk_head_dim")
    return LatentSpec(
        heads=heads(c),
        kv_rank=c.integer("kv_lora_rank"),
        nope_dim=c.integer("qk_nope_head_dim"),
        rope_dim=c.integer("qk_rope_head_dim"),
        value_dim=c.integer("v_head_dim"),
        q_rank=c.optional("q_lora_rank"),
        bias=c.flag("attention_bias"),
        indexer=indexer,
    )


def _mixture(c: Keys) -> ExpertsSpec:
    """Routed and shared experts of one width, node-limited if `n_group` says so."""
    width = c.integer("moe_intermediate_size")
    shared = c.integer("n_shared_experts", "num_shared_experts", low=0)
    groups, limit = c.integer("n_group", "num_expert_group", default=1), c.integer("topk_group", default=1)
    return experts(c, width=width, shared_width=shared * width, groups=groups, group_limit=limit)


def feedforwards(c: Keys) -> list[Parts]:
    """Per layer a dense feed-forward or a mixture."""
    sparse = sparse_layers(c)
    c.ignore("intermediate_size")
    plain = (dense(c, bias_key=""),) if not all(sparse) else ()
    mixture = (_mixture(c),) if any(sparse) else ()
    return [mixture if each else plain for each in sparse]


def deepseek(c: Keys) -> Body:
    """DeepSeek V2, V2.5, V3, R1; Kimi K2; GLM-4.7-Flash; Mistral 4."""
    attention = latent_attention(c)
    layers = tuple((attention, *each) for each in feedforwards(c))
    return Body(layers=layers, mtp=repeated_last(c, layers, "num_nextn_predict_layers", "num_mtp_layers"))


def deepseek_sparse(c: Keys) -> Body:
    """DeepSeek V3.2, GLM-5: latent attention whose indexer may be shared by following layers."""
    n = depth(c)
    c.ignore("layer_types")
    own, shared = latent_attention(c, _indexer(c)), latent_attention(c, _indexer(c, shared=True))
    mixers = [shared if reuse else own for reuse in _shared_indexers(c, n)]
    layers = tuple((mixer, *each) for mixer, each in zip(mixers, feedforwards(c), strict=True))
    return Body(layers=layers, mtp=repeated_last(c, layers, "num_nextn_predict_layers"))


def mistral_large4(c: Keys) -> Body:
    """Mistral Large 4: as DeepSeek V3.2, learnt softmax scales, every fourth layer without rotary part."""
    n = depth(c)
    sources = c.integers("kv_source_layers", length=n)
    if sources is not None and sources != list(range(n)):
        raise c.error("kv_source_layers", "expected every layer to own its cache; sharing of latents is not modelled")
    every = c.integer("no_rope_layer_interval", default=4)
    rotary = c.integers("no_rope_layers", length=n) or [int((i + 1) % every != 0) for i in range(n)]
    body = deepseek_sparse(c)

    def scaled(parts: Parts, *, rotates: bool) -> Parts:
        mixer = parts[0]
        assert isinstance(mixer, LatentSpec)
        small = 2 * mixer.heads
        if mixer.indexer and not mixer.indexer.shared:
            small += 2 * mixer.indexer.heads + 2 * hidden_size(c)
        sizes = {} if rotates else {"nope_dim": mixer.nope_dim + mixer.rope_dim, "rope_dim": 0}
        return (msgspec.structs.replace(mixer, small=small, **sizes), *parts[1:])

    layers = tuple(scaled(parts, rotates=bool(each)) for parts, each in zip(body.layers, rotary, strict=True))
    return Body(layers=layers)


def _indexer(c: Keys, *, shared: bool = False) -> IndexerSpec:
    """The selector of a sparse attention with the usual keys."""
    return IndexerSpec(
        heads=c.integer("index_n_heads"), dim=c.integer("index_head_dim"), topk=c.integer("index_topk"), shared=shared
    )


def _shared_indexers(c: Keys, n: int) -> list[bool]:
    """Which layers reuse the selection of an earlier one: `indexer_types`, a pattern of F and S, or a frequency."""
    types = c.texts("indexer_types", length=n, allowed=("full", "shared"))
    name, pattern = c.get("index_topk_pattern")
    every, offset = c.integer("index_topk_freq", default=1), c.integer("index_skip_topk_offset", default=2, low=0)
    if types is not None:
        return [kind == "shared" for kind in types]
    if pattern is not None:
        if not isinstance(pattern, str) or len(pattern) != n or set(pattern) - set("FS"):
            raise c.error(name, f"expected {n} letters F or S")
        return [letter == "S" for letter in pattern]
    return [max(i - offset + 1, 0) % every != 0 for i in range(n)]


_RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}


def deepseek_v4(c: Keys) -> Body:
    """DeepSeek V4: a window, compressed history at two ratios (the finer one with an indexer), hyper-connections."""
    n, hidden, streams = depth(c), hidden_size(c), c.integer("hc_mult")
    ratios, prediction = _compression(c, n)
    c.ignore("num_key_value_heads", "qk_rope_head_dim", "num_hash_layers", "compress_rates", "intermediate_size")
    c.texts("mlp_layer_types", length=n, allowed=("hash_moe", "moe"))
    indexer = _indexer(c)
    fine = min((each for each in ratios if each), default=0)
    parts = {
        ratio: CompressedSpec(
            heads=heads(c),
            head_dim=c.integer("head_dim"),
            q_rank=c.integer("q_lora_rank"),
            out_groups=c.integer("o_groups"),
            out_rank=c.integer("o_lora_rank"),
            window=c.integer("sliding_window"),
            ratio=ratio,
            indexer=indexer if ratio and ratio == fine and ratio < 128 else None,
        )
        for ratio in {*ratios, *prediction}
    }
    mixture = _mixture(c)
    mixes = (2 + streams) * streams
    connection = Linear(name="hyper_connection", rows=streams * hidden, cols=mixes, part="other", copies=2)
    hyper = MatricesSpec(linears=(connection,), small=2 * (mixes + 3))
    head = MatricesSpec(
        linears=(Linear(name="hyper_head", rows=streams * hidden, cols=streams, part="other"),), small=streams + 1
    )
    layers = tuple((parts[ratio], mixture, hyper) for ratio in ratios)
    return Body(layers=(*layers, (head,)), mtp=tuple((parts[ratio], mixture, hyper) for ratio in prediction))


def _compression(c: Keys, n: int) -> tuple[list[int], list[int]]:
    """Compression ratio of each layer and of each prediction module: `compress_ratios` may go on beyond the layers."""
    modules = c.integer("num_nextn_predict_layers", default=0, low=0, high=64)
    types = c.texts("layer_types", length=n, allowed=tuple(_RATIOS))
    if types is not None:
        rates = c.child("compress_rates")
        return [rates.integer(kind, default=_RATIOS[kind], low=0) for kind in types], [0] * modules
    ratios = c.listed("compress_ratios")
    if ratios is None or len(ratios) not in (n, n + modules):
        raise c.error("compress_ratios", f"expected a list of {n} ratios, and one more per prediction module")
    return ratios[:n], (ratios[n:] or [0] * modules)
