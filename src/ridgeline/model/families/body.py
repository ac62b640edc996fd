"""What a family's reader returns, and the reading that families share: layer lists, windows, grouped-query attention.

Absent keys mean what the family's published configuration class gives them (Hugging Face transformers 5, class
defaults); where that is no safe meaning the key must be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ridgeline.model.attention import AttentionSpec
from ridgeline.model.feedforward import DenseSpec, ExpertsSpec
from ridgeline.model.keys import Keys
from ridgeline.model.spec import PartSpec

Parts = tuple[PartSpec, ...]
MOST_LAYERS = 10_000


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of a model and what surrounds them."""

    layers: tuple[Parts, ...]
    norms: int = 1
    lookup: int = 0
    head_bias: bool = False
    mtp: tuple[Parts, ...] = ()
    reused: frozenset[int] = frozenset()
    """Indices of layers whose weights are those of an equal layer before."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """How configs of one `model_type` are read: a reader, and what keys mean if they are absent."""

    read: Callable[[Keys], Body]
    tied: bool = False
    defaults: dict[str, Any] = {}


def depth(c: Keys) -> int:
    """Number of layers."""
    return c.integer("num_hidden_layers", "n_layer", "n_layers", "num_layers", high=MOST_LAYERS)


def hidden_size(c: Keys) -> int:
    """Model width."""
    return c.integer("hidden_size", "n_embd", "d_model", "n_embed")


def heads(c: Keys) -> int:
    """Query heads."""
    return c.integer("num_attention_heads", "n_head", "n_heads")


def kv_heads(c: Keys) -> int:
    """Key-value heads."""
    queries, count = heads(c), c.integer("num_key_value_heads")
    if queries % count:
        raise c.error("num_key_value_heads", f"expected a divisor of {queries} query heads, got {count}")
    return count


def head_dim(c: Keys, *, explicit: bool = True) -> int:
    """Size of a head: `head_dim` if given, else hidden size / heads."""
    size = c.optional("head_dim", "attention_head_dim") if explicit else 0
    size = size or hidden_size(c) // heads(c)
    if not size:
        raise c.error("num_attention_heads", f"is more than the hidden size {hidden_size(c)}")
    return size


def grouped(c: Keys, *, bias_key: str = "attention_bias", bias: bool = False, **more: Any) -> AttentionSpec:
    """Grouped-query attention with the usual keys; `more` goes to the part."""
    biased = c.flag(bias_key, default=bias) if bias_key else bias
    sizes: dict[str, Any] = {
        "heads": heads(c),
        "kv_heads": kv_heads(c) if "kv_heads" not in more else 0,
        "head_dim": head_dim(c) if "head_dim" not in more else 0,
        "qkv_bias": biased,
        "out_bias": biased,
    }
    return AttentionSpec(**(sizes | more))


def with_window(part: AttentionSpec, window: int, **more: Any) -> AttentionSpec:
    """The same attention with a window."""
    return msgspec.structs.replace(part, window=window, **more)


_ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")


def alternating(c: Keys, part: AttentionSpec, full: Callable[[int], bool]) -> list[AttentionSpec]:
    """One attention per layer, full or windowed: as `layer_types` says, else by the rule `full` of the index."""
    n = depth(c)
    types = c.texts("layer_types", length=n, allowed=_ATTENTION)
    if types is None:
        types = ["full_attention" if full(i) else "sliding_attention" for i in range(n)]
    if set(types) == {"full_attention"}:
        return [part] * n
    windowed = with_window(part, c.integer("sliding_window", "sliding_window_size"))
    return [part if kind == "full_attention" else windowed for kind in types]


def uniform_window(c: Keys, part: AttentionSpec) -> list[AttentionSpec]:
    """The same attention in every layer, windowed if `sliding_window` is set (Mistral, Phi-3)."""
    window = c.optional("sliding_window")
    return alternating(c, part, full=lambda _: not window)


def qwen_window(c: Keys, part: AttentionSpec) -> list[AttentionSpec]:
    """Windows only if `use_sliding_window`, from layer `max_window_layers` on (Qwen 2 and 3)."""
    if not c.flag("use_sliding_window"):
        return alternating(c, part, full=lambda _: True)
    first = c.integer("max_window_layers", default=28, low=0)
    return alternating(c, part, full=lambda i: i < first)


def dense(c: Keys, *names: str, bias_key: str = "mlp_bias", **more: Any) -> DenseSpec:
    """A dense feed-forward of the width that `names` (or `intermediate_size`) gives."""
    biased = c.flag(bias_key) if bias_key else False
    return DenseSpec(**({"width": c.integer(*(names or ("intermediate_size",))), "bias": biased} | more))


def experts(c: Keys, **more: Any) -> ExpertsSpec:
    """A mixture of experts with the usual keys, spelt in any of the usual ways."""
    sizes: dict[str, Any] = {
        "count": c.integer("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
        "active": c.integer("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k_experts", "moe_k"),
        "width": more["width"] if "width" in more else c.integer("moe_intermediate_size"),
    }
    part = ExpertsSpec(**(sizes | more))
    if part.active > part.count:
        raise c.error("num_experts_per_tok", f"expected at most the {part.count} experts there are, got {part.active}")
    return part


def qwen_feedforwards(c: Keys, mixture: ExpertsSpec) -> list[DenseSpec | ExpertsSpec]:
    """Mixtures at every `decoder_sparse_step`-th layer except `mlp_only_layers` (Qwen)."""
    n, step = depth(c), c.integer("decoder_sparse_step", default=1)
    plain = c.listed("mlp_only_layers") or []
    sparse = [(i + 1) % step == 0 and i not in plain for i in range(n)]
    c.ignore("intermediate_size")
    return [mixture if each else dense(c, bias_key="") for each in sparse]


def stack(mixers: Sequence[PartSpec], feedforwards: Sequence[PartSpec]) -> tuple[Parts, ...]:
    """Layers of one mixer and one feed-forward each."""
    return tuple(zip(mixers, feedforwards, strict=True))


def sparse_layers(c: Keys) -> list[bool]:
    """Which layers are mixtures: `mlp_layer_types`, else all from `first_k_dense_replace` on at `moe_layer_freq`."""
    n = depth(c)
    types = c.texts("mlp_layer_types", length=n, allowed=("dense", "sparse"))
    _, frequency = c.get("moe_layer_freq")
    c.ignore("first_k_dense_replace")
    if types is not None:
        return [kind == "sparse" for kind in types]
    if isinstance(frequency, list):
        return [each == 1 for each in c.integers("moe_layer_freq", length=n) or ()]
    first, period = c.integer("first_k_dense_replace", low=0), c.integer("moe_layer_freq", default=1)
    return [i >= first and i % period == 0 for i in range(n)]


def repeated_last(c: Keys, layers: Sequence[Parts], *names: str) -> tuple[Parts, ...]:
    """Multi-token-prediction modules: as many as the key says, each like the last layer."""
    return (layers[-1],) * c.integer(*names, default=0, low=0, high=64)
