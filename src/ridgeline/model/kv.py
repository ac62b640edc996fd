"""How many bytes of keys, values and states one sequence keeps, and how many of them one decode step reads.

For a mixer with e elements per token, context L, window w, b bytes per element:

| mixer | stored | read per step |
|---|---|---|
| full attention | L e b | L e b |
| window | min(L, w) e b | the same; a chunk is half full on average |
| block-sparse, n picks | (L + sqrt(n L)) e b | min(L, 2 sqrt(n L)) e b: summaries and picks |
| shared keys and values | 0 | as the layer it shares with |
| latent | L (kv_rank + rope_dim) b | the same |
| with an indexer | + L dim | min(L, topk) e b + L dim |
| compressed, ratio m | (min(L, w) + L / m) e b + L dim / m | (min(L, w) + min(L / m, topk)) e b + L dim / m |
| recurrence | state + tail of the convolution | the same |

Indexer keys take one byte per element. Blocks and paging are not known here, nor how caches are divided over devices.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.model.architecture import Architecture, Attention, CompressedAttention, Indexer, Mixer, Recurrent


def stored(mixer: Mixer, context: Array, kv_bytes: float, activation_bytes: float = 2.0) -> Array:
    """Bytes that one sequence of `context` tokens keeps in `mixer`, a recurrence's state included.

    Parameters
    ----------
    context
        Tokens in the sequence.
    kv_bytes
        Bytes per element of keys, values and latents.
    activation_bytes
        Bytes per element of a convolution's tail.
    """
    if isinstance(mixer, Recurrent):
        return state(mixer, activation_bytes) + 0 * context
    if isinstance(mixer, Attention) and mixer.shares_kv:
        return 0.0 * context
    entry = mixer.kv_elements * kv_bytes
    if isinstance(mixer, CompressedAttention):
        history = context / mixer.ratio * (entry + _keys(mixer.indexer)) if mixer.ratio else 0.0
        return _least(context, mixer.window) * entry + history
    if isinstance(mixer, Attention):
        return (_least(context, mixer.window) + (mixer.blocks * context) ** 0.5) * entry
    return context * (entry + _keys(mixer.indexer))


def read(mixer: Mixer, context: Array, kv_bytes: float, activation_bytes: float = 2.0) -> Array:
    """Bytes of a sequence of `context` tokens that one decode step reads; parameters as in :func:`stored`."""
    if isinstance(mixer, Recurrent):
        return state(mixer, activation_bytes) + 0 * context
    entry = mixer.kv_elements * kv_bytes
    if isinstance(mixer, Attention):
        if mixer.blocks:
            return _least(context, 2 * (mixer.blocks * context) ** 0.5) * entry
        return _least(context, mixer.window / 2 if mixer.chunked else mixer.window) * entry
    topk = mixer.indexer.topk if mixer.indexer else 0
    if isinstance(mixer, CompressedAttention):
        history = context / mixer.ratio if mixer.ratio else 0.0 * context
        return (_least(context, mixer.window) + _least(history, topk)) * entry + history * _keys(mixer.indexer)
    return _least(context, topk) * entry + context * _keys(mixer.indexer)


def state(mixer: Recurrent, activation_bytes: float = 2.0) -> float:
    """Bytes of a recurrence's state and of its convolution's tail, for one sequence."""
    return mixer.state * mixer.state_bytes + mixer.conv_state * activation_bytes


class PerToken(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of one token's keys and values in all layers."""

    growing: float
    """In layers that keep the whole context: what every further token costs."""
    windowed: float
    """In layers that keep a window: what a token costs until the window is full."""
    read: float
    """That a decode step reads per token of a context no longer than any window or selection."""

    @property
    def stored(self) -> float:
        """That a token of a short context keeps: growing + windowed."""
        return self.growing + self.windowed


def per_token(model: Architecture, kv_bytes: float) -> PerToken:
    """KV bytes per token of a model at `kv_bytes` per element."""
    growing = windowed = reading = 0.0
    for layer, count in model.kinds:
        for mixer in layer.mixers:
            if isinstance(mixer, Recurrent):
                continue
            first, second = (
                stored(mixer, 1.0, kv_bytes),
                stored(mixer, 2.0**40 + 1, kv_bytes) - stored(mixer, 2.0**40, kv_bytes),
            )
            growing += count * second
            windowed += count * (first - second)
            reading += count * read(mixer, 1.0, kv_bytes)
    return PerToken(growing=growing, windowed=windowed, read=reading)


def total_stored(model: Architecture, context: Array, kv_bytes: float, activation_bytes: float = 2.0) -> Array:
    """Bytes that one sequence of `context` tokens keeps in all layers; parameters as in :func:`stored`."""
    parts = [
        count * stored(m, context, kv_bytes, activation_bytes) for layer, count in model.kinds for m in layer.mixers
    ]
    return sum(parts, 0.0)


def total_read(model: Architecture, context: Array, kv_bytes: float, activation_bytes: float = 2.0) -> Array:
    """Bytes that one decode step reads of one sequence of `context` tokens in all layers; as :func:`read`."""
    parts = [count * read(m, context, kv_bytes, activation_bytes) for layer, count in model.kinds for m in layer.mixers]
    return sum(parts, 0.0)


def total_state(model: Architecture, activation_bytes: float = 2.0) -> float:
    """Bytes of all recurrent states of one sequence, however long it is."""
    mixers = [(m, count) for layer, count in model.kinds for m in layer.mixers]
    return sum(count * state(m, activation_bytes) for m, count in mixers if isinstance(m, Recurrent))


def _keys(indexer: Indexer | None) -> float:
    """Bytes per token of an indexer's keys; none if it reuses another layer's selection."""
    return 0.0 if indexer is None or indexer.shared else indexer.dim + indexer.scale_bytes


def _least(context: Array, limit: Array) -> Array:
    """The tokens of a context that a limit leaves; 0 is no limit."""
    none = isinstance(limit, (int, float)) and not limit
    return context if none else namespace(context, limit).minimum(context, limit + 0 * context)
