"""The Gemmas: wide heads, norms before and after, windows, key-value sharing, per-layer embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ridgeline.model.architecture import Linear
from ridgeline.model.attention import AttentionSpec
from ridgeline.model.families.body import (
    Body,
    Parts,
    alternating,
    dense,
    depth,
    experts,
    grouped,
    hidden_size,
    stack,
    with_window,
)
from ridgeline.model.feedforward import DenseSpec, MatricesSpec
from ridgeline.model.keys import Keys
from ridgeline.model.spec import PartSpec


def gemma(c: Keys) -> Body:
    """Gemma 1."""
    return Body(layers=stack([grouped(c)] * depth(c), [dense(c, bias_key="")] * depth(c)))


def gemma2(c: Keys) -> Body:
    """Gemma 2: norms before and after, every other layer windowed."""
    attention = alternating(c, grouped(c, norms=2), full=lambda i: i % 2 == 1)
    return Body(layers=stack(attention, [dense(c, bias_key="", norms=2)] * depth(c)))


def gemma3(c: Keys) -> Body:
    """Gemma 3 text tower: five windowed layers to one full, norms on q and k."""
    every = c.integer("sliding_window_pattern", "_sliding_window_pattern", default=6)
    attention = alternating(c, grouped(c, norms=2, qk_norm="head"), full=lambda i: (i + 1) % every == 0)
    return Body(layers=stack(attention, [dense(c, bias_key="", norms=2)] * depth(c)))


def _per_layer(c: Keys, hidden: int, n: int) -> tuple[int, Parts, Parts]:
    """Per-layer embeddings: elements of their tables, what the model and what each layer adds for them."""
    size = c.optional("hidden_size_per_layer_input")
    if not size:
        c.ignore("vocab_size_per_layer_input")
        return 0, (), ()
    table = c.integer("vocab_size_per_layer_input") * n * size
    once = MatricesSpec(
        linears=(Linear(name="per_layer_inputs", rows=hidden, cols=n * size, part="other"),), small=size
    )
    gate = Linear(name="per_layer_gate", rows=hidden, cols=size, part="other")
    back = Linear(name="per_layer_projection", rows=size, cols=hidden, part="other")
    return table, (once,), (MatricesSpec(linears=(gate, back), norms=1),)


def _shared(c: Keys, n: int) -> list[bool]:
    """The last `num_kv_shared_layers` layers reuse keys and values of earlier ones."""
    last = c.integer("num_kv_shared_layers", default=0, low=0, high=n - 1)
    return [i >= n - last for i in range(n)]


def gemma3n(c: Keys) -> Body:
    """Gemma 3n: per-layer embeddings, residual streams (AltUp), low-rank residuals (LAuReL), shared KV."""
    n, hidden = depth(c), hidden_size(c)
    streams, rank = c.integer("altup_num_inputs"), c.integer("laurel_rank")
    attention = alternating(c, grouped(c, norms=2, qk_norm="head"), full=lambda i: (i + 1) % 5 == 0)
    c.ignore("altup_active_idx", "altup_correct_scale")
    widths = c.integers("intermediate_size", length=n) if isinstance(c.get("intermediate_size")[1], list) else None
    ffn = [DenseSpec(width=w, norms=2) for w in widths or [c.integer("intermediate_size")] * n]
    table, once, each_layer = _per_layer(c, hidden, n)
    mixing = MatricesSpec(
        linears=(
            Linear(name="altup_correction", rows=streams, cols=streams, part="other"),
            Linear(name="altup_prediction", rows=streams, cols=streams * streams, part="other"),
            Linear(name="altup_router", rows=hidden, cols=streams, part="other"),
            Linear(name="laurel_down", rows=hidden, cols=rank, part="other"),
            Linear(name="laurel_up", rows=rank, cols=hidden, part="other"),
        ),
        norms=3,
    )
    shared = _shared(c, n)
    mixers = [with_window(part, part.window, shares_kv=reuse) for part, reuse in zip(attention, shared, strict=True)]
    layers = tuple((mixer, wide, mixing, *each_layer) for mixer, wide in zip(mixers, ffn, strict=True))
    projections = Linear(name="altup_projections", rows=hidden, cols=hidden, part="other", copies=2 * (streams - 1))
    return Body(layers=((*once, MatricesSpec(linears=(projections,))), *layers), lookup=table)


def gemma4(c: Keys) -> Body:
    """Gemma 4: full layers with their own heads, values made from keys, a mixture beside the dense feed-forward."""
    n, hidden = depth(c), hidden_size(c)
    window = c.integer("sliding_window")
    types = c.texts("layer_types", length=n, allowed=("full_attention", "sliding_attention"))
    types = types or ["full_attention" if (i + 1) % 6 == 0 else "sliding_attention" for i in range(n)]
    types = [*types[:-1], "full_attention"]
    from_keys, shared = c.flag("attention_k_eq_v"), _shared(c, n)
    overrides = _overrides(c, types, from_keys=from_keys)
    base = grouped(c, norms=2, qk_norm="head")
    wide = c.flag("use_double_wide_mlp")
    table, once, each_layer = _per_layer(c, hidden, n)
    plain = dense(c, bias_key="", norms=2)
    mixture: Parts = ()
    if c.flag("enable_moe_block"):
        count = c.integer("num_experts")
        mixture = (experts(c, small=count, norms=4),)
    c.ignore("num_experts", "top_k_experts", "moe_intermediate_size")
    layers = []
    for i, kind in enumerate(types):
        full = kind == "full_attention"
        mixer: AttentionSpec = msgspec.structs.replace(
            base,
            **overrides[i],
            window=0 if full else window,
            values_from_keys=full and from_keys,
            shares_kv=shared[i],
        )
        ffn: PartSpec = msgspec.structs.replace(plain, width=plain.width * (2 if wide and shared[i] else 1))
        layers.append((mixer, ffn, *mixture, *each_layer))
    return Body(layers=((once,) if once else ()) + tuple(layers), lookup=table)


def _overrides(c: Keys, types: list[str], *, from_keys: bool) -> list[dict[str, Any]]:
    """Head size and key-value heads where a layer differs: `per_layer_config`, else `global_...` of the full layers."""
    c.ignore("per_layer_config")
    listed = c.child("per_layer_config")
    if listed.config:
        entries: Mapping[str, Any] = {str(int(key)) if key.isdigit() else key: key for key in listed.config}
        found = []
        for i in range(len(types)):
            entry = listed.child(entries[str(i)]) if str(i) in entries else Keys({}, listed.where)
            sizes = {"head_dim": entry.optional("head_dim"), "kv_heads": entry.optional("num_key_value_heads")}
            found.append({key: value for key, value in sizes.items() if value})
        return found
    sizes = {"head_dim": c.integer("global_head_dim", default=512)}
    kv = c.optional("num_global_key_value_heads")
    if kv and from_keys:
        sizes["kv_heads"] = kv
    return [dict(sizes) if kind == "full_attention" else {} for kind in types]
