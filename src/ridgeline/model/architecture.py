"""What a language model is made of, as far as time, memory and money can tell.

A model is an embedding, a stack of layers, and a head. A layer is one or more *mixers* (attention of some kind, or a
recurrence), one or more *feed-forwards*, and a few small parameters. Every weight matrix is a :class:`Linear`; the list
of them is the single source for parameters, for FLOPs (2 per parameter and token) and for bytes read.

What this file does not know: hardware, dtypes, batches, how a matrix is divided over devices (it only says along which
dimension it *can* be divided).
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Literal

import msgspec

Split = Literal["heads", "kv", "ffn", "none"]
"""Along what a matrix may be divided by tensor parallelism: query heads, key-value heads (replicated once tp exceeds
them), feed-forward width, or not at all (every rank holds a copy)."""

Part = Literal["attention", "indexer", "ffn", "shared_expert", "expert", "router", "embedding", "head", "other"]
"""The part of the model a matrix belongs to; dtypes are chosen per part."""


class Linear(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A weight matrix of `rows` inputs and `cols` outputs, applied to every token.

    parameters = rows * cols * copies (+ cols * copies if `bias`);  FLOPs per token = 2 * rows * cols * copies.
    """

    name: str
    rows: int
    cols: int
    split: Split = "none"
    part: Part = "attention"
    copies: int = 1
    bias: bool = False
    rows_split: bool = False
    """Tensor parallelism divides the rows (outputs are then summed over ranks), not the columns."""
    joined: bool = False
    """Multiplied in one kernel with the matrix before it, whose input it shares."""

    @property
    def weights(self) -> int:
        """Elements of the matrix (no bias)."""
        return self.rows * self.cols * self.copies

    @property
    def parameters(self) -> int:
        """Elements of the matrix and its bias."""
        return self.weights + (self.cols * self.copies if self.bias else 0)


# --- mixers ---


class Attention(msgspec.Struct, frozen=True, kw_only=True, tag="attention"):
    """Softmax attention with grouped queries: full, windowed, chunked, or reusing another layer's keys and values.

    Stored per token: kv_heads * (head_dim + value_dim), of which only `window` tokens are kept if a window is set.
    """

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    linears: tuple[Linear, ...]
    window: int = 0
    """Tokens a query may look back; 0 means all."""
    chunked: bool = False
    """The window is a fixed chunk (Llama 4): a query sees its own chunk only, half a window on average."""
    blocks: int = 0
    """Blocks of the context that a query picks by their summaries, each as large as there are summaries per pick, which
    reads least: sqrt(context / blocks) tokens; 0: all tokens are read. No published model has blocks that grow."""
    shares_kv: bool = False
    """Keys and values are an earlier layer's: nothing stored, but still read."""
    small: int = 0
    """Other parameters: norms, sinks."""

    @property
    def kv_elements(self) -> int:
        """Elements of keys and values per token that a step reads for each token it attends to."""
        return self.kv_heads * (self.head_dim + self.value_dim)


class Indexer(msgspec.Struct, frozen=True, kw_only=True):
    """The small attention that picks the `topk` tokens a sparse attention reads (DeepSeek V3.2, V4, GLM-5).

    Its keys, `dim` elements of one byte per token (plus `scale_bytes` per token), are all read.
    """

    heads: int
    dim: int
    topk: int
    linears: tuple[Linear, ...]
    scale_bytes: int = 0
    small: int = 0
    shared: bool = False
    """Reuses the selection of an earlier layer: no indexer weights, keys or FLOPs here."""


class LatentAttention(msgspec.Struct, frozen=True, kw_only=True, tag="latent"):
    """Multi-head latent attention (DeepSeek V2): one latent of `kv_rank + rope_dim` per token serves all heads.

    *Absorbed* (decode): queries are carried into the latent space, scores over kv_rank + rope_dim, values over kv_rank.
    *Expanded* (prefill): latents are multiplied out into keys (nope_dim + rope_dim) and values (value_dim) per head.
    """

    heads: int
    kv_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    linears: tuple[Linear, ...]
    """All projections except the latent's up-projection, which `up_projection` gives."""
    indexer: Indexer | None = None
    small: int = 0

    @property
    def kv_elements(self) -> int:
        """Elements of the latent per token."""
        return self.kv_rank + self.rope_dim

    @property
    def up_projection(self) -> Linear:
        """Latent to keys and values of all heads; in absorbed form the same weights act on queries and outputs."""
        return Linear(
            name="kv_up", rows=self.kv_rank, cols=self.heads * (self.nope_dim + self.value_dim), split="heads"
        )


class CompressedAttention(msgspec.Struct, frozen=True, kw_only=True, tag="compressed"):
    """Attention over a local window plus a compressed history (DeepSeek V4): one shared key-value head.

    One entry of `head_dim` elements per `ratio` tokens is stored for the whole history, and the last `window` tokens
    are stored one by one. With an indexer a query reads its `topk` best entries, without one all. ratio 0: no history.
    """

    heads: int
    head_dim: int
    window: int
    ratio: int
    linears: tuple[Linear, ...]
    indexer: Indexer | None = None
    small: int = 0

    @property
    def kv_elements(self) -> int:
        """Elements of one entry."""
        return self.head_dim


class Recurrent(msgspec.Struct, frozen=True, kw_only=True, tag="recurrent"):
    """A recurrence with a state of fixed size: linear attention, gated delta net, Mamba 1 and 2, RG-LRU.

    A decode step reads and writes `state` elements per sequence and spends `flop_per_state` FLOPs on each; a token of a
    prefill spends as much, but the state is touched once per chunk.
    """

    kind: str
    heads: int
    state: int
    """Elements of the recurrent state of one sequence, kept at `state_bytes` each."""
    linears: tuple[Linear, ...]
    state_bytes: int = 4
    conv_state: int = 0
    """Elements of the convolution's tail of one sequence, kept in the activations' dtype."""
    flop_per_state: int = 6
    small: int = 0


Mixer = Attention | LatentAttention | CompressedAttention | Recurrent

# --- feed-forwards ---


class Dense(msgspec.Struct, frozen=True, kw_only=True, tag="dense"):
    """A dense feed-forward: up (and gate) and down projections."""

    width: int
    linears: tuple[Linear, ...]


class Experts(msgspec.Struct, frozen=True, kw_only=True, tag="experts"):
    """A mixture of `count` routed experts of which a token visits `active`, plus shared experts that all tokens visit.

    `groups`/`group_limit`: a token's experts lie in at most `group_limit` of `groups` groups (node-limited routing).
    """

    count: int
    active: int
    hidden: int
    """Width of the vectors sent to experts: the model's hidden size, or a latent."""
    width: int
    """Inner width of one expert."""
    matrices: int = 3
    """Matrices of one expert: 3 with a gate, 2 without."""
    bias: bool = False
    linears: tuple[Linear, ...] = ()
    """Router, shared experts, projections into and out of a latent: all that every token uses."""
    groups: int = 1
    group_limit: int = 1
    small: int = 0

    @property
    def expert_parameters(self) -> int:
        """Parameters of one routed expert."""
        bias = (self.matrices - 1) * self.width + self.hidden if self.bias else 0
        return self.matrices * self.hidden * self.width + bias


FeedForward = Dense | Experts

# --- layer and model ---


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: its mixers (side by side), its feed-forwards (side by side), other matrices, and small parameters."""

    mixers: tuple[Mixer, ...] = ()
    feedforwards: tuple[FeedForward, ...] = ()
    linears: tuple[Linear, ...] = ()
    """Matrices that are neither (per-layer embeddings' gates, low-rank residuals)."""
    small: int = 0
    """Norms and other vectors."""
    stored: bool = True
    """False if the weights are those of an earlier layer (Zamba 2): read again, but held once."""

    def placed_matrices(self) -> tuple[tuple[Linear, int], ...]:
        """Every matrix all tokens use, with the number of key-value heads that bounds its division by "kv"."""
        out = [(linear, 1) for linear in self.linears]
        for mixer in self.mixers:
            kv_heads = mixer.kv_heads if isinstance(mixer, Attention) else 1
            out += [(linear, kv_heads) for linear in mixer.linears]
            if isinstance(mixer, LatentAttention):
                out.append((mixer.up_projection, 1))
            if isinstance(mixer, LatentAttention | CompressedAttention) and mixer.indexer is not None:
                out += [(linear, 1) for linear in mixer.indexer.linears]
        for feedforward in self.feedforwards:
            out += [(linear, 1) for linear in feedforward.linears]
        return tuple(out)

    def matrices(self) -> tuple[Linear, ...]:
        """Every matrix all tokens use; routed experts are not among them."""
        return tuple(linear for linear, _ in self.placed_matrices())

    @property
    def vectors(self) -> int:
        """Parameters that are no matrix: norms, sinks, biases of attention kinds, decay vectors."""
        latent = (m for m in self.mixers if isinstance(m, LatentAttention | CompressedAttention))
        parts = [*self.mixers, *self.feedforwards, *(m.indexer for m in latent)]
        return self.small + sum(getattr(part, "small", 0) for part in parts)

    @property
    def parameters(self) -> int:
        """All parameters, every routed expert counted."""
        return self._count(active=False)

    @property
    def active_parameters(self) -> int:
        """Parameters one token uses."""
        return self._count(active=True)

    def _count(self, *, active: bool) -> int:
        total = self.vectors + sum(m.parameters for m in self.matrices())
        for feedforward in self.feedforwards:
            if isinstance(feedforward, Experts):
                total += (feedforward.active if active else feedforward.count) * feedforward.expert_parameters
        return total


class Architecture(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A model: what its config says, in the field's terms.

    `parameters` counts embeddings, layers and head, without multi-token-prediction modules and vision or audio towers.
    `active_parameters` counts what one token multiplies: active experts, the head, not the embedding table.
    """

    name: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    tied: bool = False
    """The head is the embedding table."""
    lookup: int = 0
    """Further parameters only looked up, never multiplied (per-layer embeddings of Gemma 3n, position tables)."""
    small: int = 0
    """The last norm."""
    head_bias: bool = False
    mtp: tuple[Layer, ...] = ()
    """Multi-token-prediction layers, used by speculative decoding only."""
    mtp_linears: tuple[Linear, ...] = ()
    max_context: int = 0
    dtypes: dict[str, str] = {}
    """Published storage dtype per part ("default" for the rest): what the checkpoint is stored in."""
    model_type: str = ""
    note: str = ""
    source: str = ""

    @cached_property
    def kinds(self) -> tuple[tuple[Layer, int], ...]:
        """Distinct layers with their counts, in order of first appearance."""
        return tuple(Counter(self.layers).items())

    @cached_property
    def parameters(self) -> int:
        """All parameters of the language model."""
        table = self.vocab * self.hidden
        body = sum(layer.parameters for layer in self.layers if layer.stored)
        return table * (1 if self.tied else 2) + (self.vocab if self.head_bias else 0) + self.lookup + self.small + body

    @cached_property
    def active_parameters(self) -> int:
        """Parameters one token is multiplied with, each counted once."""
        body = sum(layer.active_parameters for layer in self.layers if layer.stored)
        return self.vocab * self.hidden + self.small + body

    def __hash__(self) -> int:
        return hash((self.name, self.hidden, self.vocab, len(self.layers)))
