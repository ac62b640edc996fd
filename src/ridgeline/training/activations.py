"""What a layer keeps of a micro-batch until its backward pass: bytes per token of one device.

Every matrix keeps its input, every nonlinearity its input, attention its queries, keys, values and output, and a
dropout its mask. With hidden size h, t = tp, values of 2 bytes:

    a layer of GPT-3 with dropout, no tensor parallelism     34 h + 5 a s       (Korthikanti 2022, eq. 1)
    with it                                                  (10 + 24 / t) h + 5 a s / t        (eq. 2)
    and with the tokens of norms divided too (sp)            (34 h + 5 a s) / t                 (eq. 4)

a heads, s tokens of the sequence. Fused attention (all of today's) keeps no scores, so that the term in s is 0, and so
does selective recomputation. Full recomputation keeps a layer's input, 2 h; reversible layers nothing but the last
output, twice. Knows no schedule and no framework.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.model import Architecture
from ridgeline.model.architecture import Attention, Experts, LatentAttention, Layer, Recurrent
from ridgeline.training.layout import TrainingLayout

BYTES = 2.0
"""Of an activation."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Elements or bytes per token of an average layer, by what divides them."""

    whole: float
    """Bytes in vectors of hidden size, which only `sp` divides by tp."""
    divided: float
    """Bytes divided by tp."""
    keys: float
    """Bytes divided by tp, but not below one key-value head."""
    kv_heads: float
    routed: float
    """Bytes of routed experts for all of a token's experts, divided by tp (with etp, or with sp's tokens)."""
    scores: float
    """Bytes per key of the sequence, divided by tp: only without fused attention."""


@lru_cache(maxsize=256)
def kept(model: Architecture, dropout: bool) -> Kept:
    """What an average layer keeps per token."""
    total = [0.0] * 6
    for layer, count in model.kinds:
        for i, value in enumerate(_layer(layer, model.hidden, dropout)):
            total[i] += value * count / len(model.layers)
    return Kept(
        whole=total[0], divided=total[1], keys=total[2], kv_heads=total[3] or 1.0, routed=total[4], scores=total[5]
    )


def _layer(layer: Layer, hidden: int, dropout: bool) -> tuple[float, ...]:
    """The fields of `Kept` for one layer."""
    whole = divided = keys = routed = scores = 0.0
    kv_heads = 0.0
    for linear in layer.linears:
        divided += BYTES * linear.rows if linear.rows_split else 0.0
    for mixer in layer.mixers:
        whole += BYTES * 2 * hidden  # input of the norm and its output, which the projections share
        whole += hidden if dropout else 0.0
        if isinstance(mixer, Attention):
            divided += BYTES * mixer.heads * (mixer.head_dim + mixer.value_dim)
            keys += BYTES * mixer.kv_elements
            kv_heads = max(kv_heads, mixer.kv_heads)
            scores += mixer.heads * (BYTES * 2 + 1 if dropout else BYTES)
        elif isinstance(mixer, LatentAttention):
            expanded = mixer.heads * (mixer.nope_dim + mixer.rope_dim)
            divided += BYTES * (2 * expanded + 2 * mixer.heads * mixer.value_dim)
            whole += BYTES * 2 * (mixer.kv_rank + mixer.rope_dim + _rank(mixer))
        elif isinstance(mixer, Recurrent):
            divided += BYTES * 2 * sum(linear.cols for linear in mixer.linears if not linear.rows_split)
        else:
            divided += BYTES * 2 * mixer.heads * mixer.head_dim
            whole += BYTES * mixer.kv_elements
    for part in layer.feedforwards:
        whole += BYTES * 2 * hidden + (hidden if dropout else 0.0)
        for linear in part.linears:
            if linear.rows_split:
                divided += BYTES * linear.rows
            elif linear.split == "ffn":
                divided += BYTES * linear.cols
        if isinstance(part, Experts):
            # the permuted copy of the input, gate and up, their product, and the output before it is weighed
            routed += BYTES * part.active * (2 * part.hidden + part.matrices * part.width)
    return whole, divided, keys, kv_heads, routed, scores


def _rank(mixer: LatentAttention) -> int:
    """Size of the queries' latent; 0 if queries have none."""
    down = [linear for linear in mixer.linears if linear.name.startswith("q") and linear.split == "none"]
    return down[0].cols if down else 0


def layer_bytes(
    model: Architecture,
    layout: TrainingLayout,
    seq: Array,
    *,
    fused: bool,
    dropout: bool,
    selective: float = 1.0,
    routed_copies: float = 1.0,
) -> Array:
    """Bytes that an average layer keeps of one micro-batch on one device, if its forward pass is not computed again.

    Parameters
    ----------
    fused
        Whether attention keeps no scores.
    dropout
        Whether there are dropouts after attention and feed-forward.
    selective
        Share of what else is kept that remains under selective recomputation.
    """
    parts = kept(model, dropout)
    tokens = layout.micro_batch * seq / layout.cp
    xp = namespace(layout.tp, layout.sp)
    tp = 1.0 / layout.tp
    between = xp.where(layout.sp, tp, 1.0 + 0.0 * tp)
    chosen = 1.0 * (layout.recompute == 1)
    each = (
        parts.whole * between
        + parts.divided * tp
        + parts.keys * namespace(tp).maximum(tp, 1.0 / parts.kv_heads)
        + parts.routed * routed_copies * tp
    )
    scores = 0.0 if fused else parts.scores * seq * tp * (1.0 - chosen)
    return tokens * (each * (1.0 - chosen * (1.0 - selective)) + scores)


def boundary_bytes(model: Architecture, layout: TrainingLayout, seq: Array) -> Array:
    """Bytes of a layer's input on one device: what full recomputation keeps, and what a pipeline sends."""
    tokens = layout.micro_batch * seq / layout.cp
    xp = namespace(layout.tp, layout.sp)
    return tokens * model.hidden * BYTES * xp.where(layout.sp, 1.0 / layout.tp, 1.0 + 0.0 / layout.tp)
