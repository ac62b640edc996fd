"""Scores, values, cache traffic and states: what a mixer costs beyond its weight matrices.

For one sequence with P query-key pairs (`Segment.pairs`) and e cached entries read (`Segment.entries`):

    full or windowed      flop = 2 P heads (head_dim + value_dim)                   read = e kv_elements
    latent, absorbed      flop = 2 P heads (2 kv_rank + rope_dim) + 2 new U         read = e (kv_rank + rope_dim)
    latent, expanded      flop = 2 P heads (nope_dim + rope_dim + value_dim) + 2 (past + new) U
    block-sparse          P and e those of 2 sqrt(picks context): summaries and picked blocks
    top-k with indexer    P and e with the window topk; the indexer scores all pairs and reads all its keys
    compressed            window entries one by one, history as one entry per `ratio` tokens
    recurrent             flop = flop_per_state * state per token; the state is read and written once

U is the size of the latent's up-projection. The absorbed or the expanded form is taken, whichever takes less time.
Softmax and other element-wise work is left out: it is overlapped or a few per cent (exponentials on Blackwell: more).
"""

from __future__ import annotations

from collections.abc import Sequence

from ridgeline.arrays import Array, namespace
from ridgeline.model.architecture import Attention, CompressedAttention, Indexer, LatentAttention, Mixer, Recurrent
from ridgeline.precision import Precision
from ridgeline.work.operation import Operation
from ridgeline.work.segment import Segment


def mixer_operations(
    mixer: Mixer, segments: Sequence[Segment], precision: Precision, heads: Array = 1.0, context: Array = 1.0
) -> list[Operation]:
    """Operations of `mixer` on `segments` besides its weight matrices.

    Parameters
    ----------
    heads
        Fraction of the query heads that is counted. Key-value heads are never divided below one.
    context
        Fraction of each sequence's cached tokens that is counted (context parallelism).
    """
    scores = _KINDS[type(mixer)]
    operations = [scores(mixer, segment, precision, heads, context) for segment in segments]
    indexer = getattr(mixer, "indexer", None)
    if indexer is not None and not indexer.shared:
        ratio = getattr(mixer, "ratio", 1)
        operations += [_indexer(indexer, segment, precision, ratio, context) for segment in segments]
    return operations


def effective_window(mixer: Attention) -> float:
    """Tokens a query sees at most, as a lower bound: a chunk is half seen on average over positions."""
    return mixer.window / 2 if mixer.chunked else mixer.window


def _attention(mixer: Attention, seg: Segment, precision: Precision, heads: Array, context: Array) -> Operation:
    window = effective_window(mixer)
    kv = mixer.kv_elements * precision.kv_bytes * namespace(heads).maximum(heads, 1.0 / mixer.kv_heads)
    if mixer.blocks:
        pairs, read = seg.block_pairs(mixer.blocks), seg.block_entries(mixer.blocks)
        depth = _depth(seg, 2 * (mixer.blocks * (seg.past + seg.new)) ** 0.5, context)
    else:
        pairs, read, depth = seg.pairs(window), seg.entries(window), _depth(seg, window, context)
    pairs = seg.seqs * pairs * context
    width = mixer.head_dim + mixer.value_dim
    return Operation(
        name=f"{seg.phase} attention",
        family=f"{seg.phase} attention",
        math=precision.attention_math,
        stored=precision.kv,
        flop=2.0 * pairs * width * mixer.heads * heads,
        depth=depth,
        scores=pairs * mixer.heads * heads,
        kv_read=seg.seqs * read * kv * context,
        kv_write=0.0 if mixer.shares_kv else seg.tokens * kv * context,
        activations=seg.tokens * width * mixer.heads * heads * precision.activation_bytes,
    )


def _depth(seg: Segment, window: Array, context: Array) -> Array:
    """Tokens that the last query of a sequence sees on this device; a window of 0 is none."""
    seen = (seg.past + seg.new) * context
    if isinstance(window, (int, float)) and not window:
        return seen
    return namespace(seen, window).minimum(seen, window + 0 * seen)


def absorbed(mixer: LatentAttention, seg: Segment, precision: Precision, context: Array = 1.0) -> Array:
    """Whether the absorbed form takes no longer than the expanded one, each part at the peak of its format."""
    up = mixer.up_projection.weights
    pairs = seg.pairs(_topk(mixer)) * context
    extra = pairs * mixer.heads * (2 * mixer.kv_rank - mixer.nope_dim - mixer.value_dim)
    return extra * precision.score_cost <= seg.past * context * up


def latent_tokens(mixer: LatentAttention, seg: Segment, precision: Precision, context: Array = 1.0) -> Array:
    """Tokens that pass the latent's up-projection: the new ones if absorbed, the whole context if expanded."""
    past = seg.past * context + 0 * seg.new
    return seg.seqs * (seg.new + namespace(past).where(absorbed(mixer, seg, precision, context), 0 * past, past))


def _latent(mixer: LatentAttention, seg: Segment, precision: Precision, heads: Array, context: Array) -> Operation:
    topk = _topk(mixer)
    pairs = seg.seqs * seg.pairs(topk) * context
    wide = 2.0 * mixer.kv_rank + mixer.rope_dim + 0 * pairs
    narrow = float(mixer.nope_dim + mixer.rope_dim + mixer.value_dim) + 0 * pairs
    width = namespace(pairs).where(absorbed(mixer, seg, precision, context), wide, narrow)
    entry = mixer.kv_elements * precision.kv_bytes
    return Operation(
        name=f"{seg.phase} attention",
        family=f"{seg.phase} latent",
        math=precision.attention_math,
        stored=precision.kv,
        flop=2.0 * pairs * width * mixer.heads * heads,
        depth=_depth(seg, topk, context),
        scores=pairs * mixer.heads * heads,
        kv_read=seg.seqs * seg.selected(topk) * entry * context,
        kv_write=seg.tokens * entry * context,
        activations=seg.tokens
        * mixer.heads
        * (mixer.kv_elements + mixer.value_dim)
        * heads
        * precision.activation_bytes,
    )


def _topk(mixer: LatentAttention | CompressedAttention) -> int:
    return mixer.indexer.topk if mixer.indexer else 0


def _indexer(indexer: Indexer, seg: Segment, precision: Precision, ratio: Array, context: Array) -> Operation:
    """Scores of the indexer over every `ratio`-th token; keys of one byte per element, its heads not divided."""
    entry = indexer.dim + indexer.scale_bytes
    _, math = precision.of("indexer")
    return Operation(
        name=f"{seg.phase} indexer",
        family=f"{seg.phase} latent",
        math=math,
        stored="fp8",
        flop=2.0 * seg.seqs * seg.pairs() / ratio * indexer.heads * indexer.dim * context,
        kv_read=seg.seqs * seg.past / ratio * entry * context,
        kv_write=seg.tokens / ratio * entry * context,
    )


def _compressed(
    mixer: CompressedAttention, seg: Segment, precision: Precision, heads: Array, context: Array
) -> Operation:
    entry = mixer.kv_elements * precision.kv_bytes
    pairs, read, write = seg.pairs(mixer.window), seg.entries(mixer.window), seg.new
    if mixer.ratio:
        topk = _topk(mixer) * mixer.ratio
        pairs = pairs + seg.pairs(topk) / mixer.ratio
        read = read + seg.selected(topk) / mixer.ratio
        write = write + seg.new / mixer.ratio
    return Operation(
        name=f"{seg.phase} attention",
        family=f"{seg.phase} latent",
        math=precision.attention_math,
        stored=precision.kv,
        scores=seg.seqs * pairs * mixer.heads * heads * context,
        flop=4.0 * seg.seqs * pairs * mixer.heads * mixer.head_dim * heads * context,
        kv_read=seg.seqs * read * entry * context,
        kv_write=seg.seqs * write * entry * context,
        activations=2.0 * seg.tokens * mixer.heads * mixer.head_dim * heads * precision.activation_bytes,
    )


def _recurrent(mixer: Recurrent, seg: Segment, precision: Precision, heads: Array, context: Array) -> Operation:
    share = namespace(heads).maximum(heads, 1.0 / mixer.heads)
    state = (mixer.state * mixer.state_bytes + mixer.conv_state * precision.activation_bytes) * share
    resumed = namespace(seg.past).minimum(seg.past, 1 + 0 * seg.past)
    return Operation(
        name=f"{seg.phase} {mixer.kind}",
        family="recurrence",
        math="bf16",
        flop=mixer.flop_per_state * mixer.state * seg.tokens * share,
        kv_read=seg.seqs * resumed * state,
        kv_write=seg.seqs * state,
    )


_KINDS = {
    Attention: _attention,
    LatentAttention: _latent,
    CompressedAttention: _compressed,
    Recurrent: _recurrent,
}
