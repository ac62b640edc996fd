"""The dimensions of an attention block, and the weight matrices that follow from them.

Projections of grouped-query attention, hidden size h, H heads of size d, K key-value heads, values of size v:
q: h x H d (twice that with an output gate), k and v: h x K (d + v), out: H v x h.

What this file does not know: caches, contexts, dtypes.
"""

from __future__ import annotations

from typing import Literal

from ridgeline.model.architecture import Attention, CompressedAttention, Indexer, LatentAttention, Linear
from ridgeline.model.part import Count, Dimensions, Part, Size


class AttentionSpec(Part, frozen=True, kw_only=True):
    """Softmax attention with grouped queries (arXiv:2305.13245), full, windowed, chunked or KV-sharing."""

    heads: Size
    kv_heads: Size
    head_dim: Size
    value_dim: Count = 0
    """Size of one value; 0: that of a key."""
    window: Count = 0
    chunked: bool = False
    shares_kv: bool = False
    values_from_keys: bool = False
    """Values are computed from the key projection: no matrix of their own (both are cached)."""
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: Literal["", "head", "full"] = ""
    """Norm of queries and keys: none, one vector for all heads, or one per head."""
    gated: bool = False
    """An output gate as large as the queries comes out of the query projection."""
    sinks: bool = False
    input: Count = 0
    """Width of what is projected to q, k, v; 0: the hidden size."""

    def build(self, hidden: int) -> Attention:
        """Matrices and small parameters at model width `hidden`."""
        rows, value_dim = self.input or hidden, self.value_dim or self.head_dim
        q = Linear(
            name="q",
            rows=rows,
            cols=self.heads * self.head_dim * (2 if self.gated else 1),
            split="heads",
            bias=self.qkv_bias,
        )
        kv_dim = self.head_dim if self.values_from_keys else self.head_dim + value_dim
        kv = Linear(name="kv", rows=rows, cols=self.kv_heads * kv_dim, split="kv", joined=True, bias=self.qkv_bias)
        out = Linear(
            name="out", rows=self.heads * value_dim, cols=hidden, split="heads", rows_split=True, bias=self.out_bias
        )
        normed = {"": (0, 0), "head": (1, 1), "full": (self.heads, self.kv_heads)}[self.qk_norm]
        small = self.head_dim * (normed[0] + (0 if self.shares_kv else normed[1])) + (self.heads if self.sinks else 0)
        return Attention(
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=value_dim,
            linears=(q, out) if self.shares_kv else (q, kv, out),
            window=self.window,
            chunked=self.chunked,
            shares_kv=self.shares_kv,
            small=small,
        )


class IndexerSpec(Dimensions, frozen=True, kw_only=True):
    """The selector of a sparse attention: `heads` small queries, one key of `dim` per token, `topk` tokens kept."""

    heads: Size
    dim: Size
    topk: Size
    shared: bool = False
    """The selection is an earlier layer's."""

    def build(self, linears: tuple[Linear, ...], small: int) -> Indexer:
        """The indexer with the matrices its host attention gives it; none of them if shared."""
        if self.shared:
            linears, small = (), 0
        return Indexer(heads=self.heads, dim=self.dim, topk=self.topk, linears=linears, small=small, shared=self.shared)

    def linear(self, name: str, rows: int, cols: int) -> Linear:
        """A matrix of the indexer; every tensor-parallel rank holds a copy."""
        return Linear(name=f"indexer_{name}", rows=rows, cols=cols, part="indexer")


class LatentSpec(Part, frozen=True, kw_only=True):
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), with the indexer of DeepSeek-V3.2 if given."""

    heads: Size
    kv_rank: Size
    nope_dim: Size
    rope_dim: Count
    value_dim: Size
    q_rank: Count = 0
    """Rank of the query's down-projection; 0: queries are projected in one step."""
    bias: bool = False
    """Down-projections and output have biases."""
    indexer: IndexerSpec | None = None
    small: Count = 0
    """Further small parameters, besides the norms of the latents and of the indexer's keys."""

    def build(self, hidden: int) -> LatentAttention:
        """Matrices and small parameters at model width `hidden`."""
        queries = self.heads * (self.nope_dim + self.rope_dim)
        if self.q_rank:
            q = (
                Linear(name="q_down", rows=hidden, cols=self.q_rank, bias=self.bias),
                Linear(name="q_up", rows=self.q_rank, cols=queries, split="heads"),
            )
        else:
            q = (Linear(name="q", rows=hidden, cols=queries, split="heads"),)
        kv = Linear(name="kv_down", rows=hidden, cols=self.kv_rank + self.rope_dim, bias=self.bias, joined=True)
        out = Linear(
            name="out", rows=self.heads * self.value_dim, cols=hidden, split="heads", rows_split=True, bias=self.bias
        )
        indexer = None
        if self.indexer is not None:
            i = self.indexer
            linears = (
                i.linear("q", self.q_rank or hidden, i.heads * i.dim),
                i.linear("k", hidden, i.dim),
                i.linear("weights", hidden, i.heads),
            )
            indexer = i.build(linears, small=2 * i.dim)
        return LatentAttention(
            heads=self.heads,
            kv_rank=self.kv_rank,
            nope_dim=self.nope_dim,
            rope_dim=self.rope_dim,
            value_dim=self.value_dim,
            linears=(*q, kv, out),
            indexer=indexer,
            small=self.q_rank + self.kv_rank + self.small,
        )


class CompressedSpec(Part, frozen=True, kw_only=True):
    """Window plus compressed history (DeepSeek-V4): one key-value entry per `ratio` tokens, output in low-rank groups.

    With an indexer the compressor sees two overlapping windows, which doubles its projections.
    """

    heads: Size
    head_dim: Size
    q_rank: Size
    out_groups: Size
    out_rank: Size
    window: Size
    ratio: Count = 0
    indexer: IndexerSpec | None = None

    def build(self, hidden: int) -> CompressedAttention:
        """Matrices and small parameters at model width `hidden`."""
        inner = self.heads * self.head_dim
        linears = [
            Linear(name="q_down", rows=hidden, cols=self.q_rank),
            Linear(name="q_up", rows=self.q_rank, cols=inner, split="heads"),
            Linear(name="kv", rows=hidden, cols=self.head_dim, joined=True),
            Linear(
                name="out_down",
                rows=inner // self.out_groups,
                cols=self.out_rank,
                copies=self.out_groups,
                split="heads",
            ),
            Linear(name="out_up", rows=self.out_groups * self.out_rank, cols=hidden, split="heads", rows_split=True),
        ]
        small = self.heads + self.q_rank + self.head_dim
        series = 2 if self.indexer else 1
        if self.ratio:
            linears.append(Linear(name="compressor", rows=hidden, cols=2 * series * self.head_dim))
            small += self.ratio * series * self.head_dim + self.head_dim
        indexer = None
        if self.indexer is not None:
            i = self.indexer
            matrices = (
                i.linear("q", self.q_rank, i.heads * i.dim),
                i.linear("compressor", hidden, 2 * series * i.dim),
                i.linear("weights", hidden, i.heads),
            )
            indexer = i.build(matrices, small=self.ratio * series * i.dim + i.dim)
        return CompressedAttention(
            heads=self.heads,
            head_dim=self.head_dim,
            window=self.window,
            ratio=self.ratio,
            linears=tuple(linears),
            indexer=indexer,
            small=small,
        )
