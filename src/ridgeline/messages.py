"""What a layout sends, and over how many ranks: the messages of one layer, and of one pipeline hop.

With t tokens on a rank, hidden size d, b bytes per activation (per device and layer, one way):

    tensor parallel      all-reduce of t d b over tp ranks, after the mixers and after the feed-forward
    experts, dp > 1      dispatch: each token once to every distinct rank that holds one of its experts, combine: back;
                         the two halves of the mixers' all-reduce (reduce-scatter, all-gather) surround them
    context parallel     prefill: keys and values go round the cp ranks; decode: queries out, partial outputs back
    pipeline             one hop of t d b to the next stage

Distinct ranks among R that hold E/R experts each, for k experts per token: R (1 - C(E - E/R, k) / C(E, k)). Across
domains (nodes, racks) a token is sent once per distinct domain and forwarded inside; node-limited routing caps them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.layout import Layout
from ridgeline.model.architecture import Architecture, Attention, Experts, LatentAttention, Layer, Recurrent
from ridgeline.precision import Precision
from ridgeline.work import Segment, Shard, effective_window, load_imbalance

Kind = Literal["all_reduce", "reduce_scatter", "all_gather", "all_to_all", "send"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One collective of every device of a replica.

    `bytes`: the whole buffer of one rank (all-reduce, all-gather, reduce-scatter), or the bytes one rank sends to other
    ranks of its own domain (all-to-all, send); `far_bytes`: what it sends to other domains. `ranks` ranks take part,
    `stride` apart in the placement.
    """

    name: str
    kind: Kind
    ranks: Array
    stride: Array
    bytes: Array
    far_bytes: Array = 0.0


def ranks_inside(ranks: Array, stride: Array, domain: Array) -> Array:
    """Ranks of a group, `stride` apart, that share one scale-up domain of `domain` devices."""
    xp = namespace(ranks, stride, domain)
    return xp.minimum(ranks + 0 * stride, xp.maximum(domain // stride, 1 + 0 * ranks))


def distinct_groups(groups: Array, count: int, active: int) -> Array:
    """Expected number of `groups` equal expert groups that hold at least one of a token's `active` of `count` experts.

    groups * (1 - C(n - n/groups, k) / C(n, k)), as a product over the k draws.

    Examples
    --------
    >>> round(distinct_groups(64, 256, 8), 2)
    7.68
    """
    size = count / groups
    xp = namespace(size)
    missed: Array = 1.0
    for drawn in range(active):
        missed = missed * xp.maximum(count - size - drawn, 0.0 * size) / (count - drawn)
    return groups * (1.0 - missed)


def layer_messages(
    layer: Layer,
    model: Architecture,
    layout: Layout,
    segments: list[Segment],
    shard: Shard,
    precision: Precision,
    domain: Array,
    skew: float = 0.0,
) -> list[Message]:
    """Messages of one layer for one micro-batch; `domain` is the number of devices of one scale-up domain.

    Where no layout has data or context parallelism, those that only these send are left out.
    `skew` is the exponent of the experts' popularity: the busiest rank receives more than the mean.
    """
    seqs_tokens = sum((segment.tokens for segment in segments), 0.0)
    tokens = seqs_tokens * shard.tokens
    buffer = tokens * model.hidden * precision.activation_bytes
    tp, messages = layout.tp, list[Message]()
    if layer.mixers:
        messages.append(Message(name="attention all-reduce", kind="all_reduce", ranks=tp, stride=1, bytes=buffer))
        if not is_one(layout.cp):
            messages += _context_messages(layer, layout, segments, shard, precision)
    experts = next((f for f in layer.feedforwards if isinstance(f, Experts)), None)
    if layer.feedforwards:
        # With dp > 1 the experts' combine returns tokens to where they came from; the all-reduce is then already paid
        # by the reduce-scatter and all-gather around it. Dense layers always pay their own.
        alone = 1.0 if experts is None else 1.0 * (layout.dp == 1)
        messages.append(
            Message(name="feed-forward all-reduce", kind="all_reduce", ranks=tp, stride=1, bytes=buffer * alone)
        )
    if experts is not None and not is_one(layout.dp):
        messages += expert_messages(experts, layout, tokens / tp, precision, domain, skew)
    return messages


def expert_messages(
    experts: Experts, layout: Layout, tokens: Array, precision: Precision, domain: Array, skew: float
) -> list[Message]:
    """Dispatch and combine of `tokens` tokens that start on each device of `layout`, whose tp * dp ranks share the
    experts; nothing if every rank holds all tokens.
    """
    xp = namespace(layout.tp, layout.dp, layout.ep, tokens)
    ep, ranks = layout.ep, layout.tp * layout.dp
    beside = ranks_inside(layout.tp, 1, domain)
    inside = beside * ranks_inside(layout.dp, layout.tp * layout.cp, domain)
    domains = ranks / inside
    shared = 1.0 * (layout.dp > 1)
    copies = distinct_groups(ep, experts.count, experts.active) * layout.moe_tp
    away = copies * (1.0 - 1.0 / ranks)
    groups = xp.minimum(domains, 1.0 * ep)
    reached = distinct_groups(groups, experts.count, experts.active) * (domains / groups)
    if experts.group_limit < experts.groups:
        limit = xp.maximum(experts.group_limit * domains / experts.groups, 1.0 + 0 * domains)
        reached = xp.minimum(reached, limit)
    far = reached * (1.0 - 1.0 / domains)
    per_copy = (
        tokens * experts.hidden * shared * load_imbalance(experts.count, experts.active, ep, skew, layout.redundant)
    )
    return [
        Message(
            name=name,
            kind="all_to_all",
            ranks=ranks,
            stride=layout.cp,
            bytes=xp.maximum(away - far, 0.0 * away) * per_copy * width,
            far_bytes=far * per_copy * width,
        )
        for name, width in (("dispatch", precision.dispatch_bytes), ("combine", precision.activation_bytes))
    ]


def _context_messages(
    layer: Layer, layout: Layout, segments: list[Segment], shard: Shard, precision: Precision
) -> list[Message]:
    """Context parallelism: the cheaper of sending keys and values round, or queries out and partial outputs back."""
    total: Array = 0.0
    xp = namespace(layout.cp, shard.heads)
    for mixer in layer.mixers:
        if isinstance(mixer, Recurrent):
            continue
        if isinstance(mixer, Attention):
            keys = mixer.kv_elements * xp.maximum(shard.heads, 1.0 / mixer.kv_heads) * precision.kv_bytes
            query = mixer.heads * (mixer.head_dim + mixer.value_dim) * shard.heads * precision.activation_bytes
        else:
            keys = mixer.kv_elements * precision.kv_bytes
            width = mixer.kv_elements * 2 if isinstance(mixer, LatentAttention) else mixer.head_dim * 2
            query = mixer.heads * width * shard.heads * precision.activation_bytes
        for segment in segments:
            mine = segment.seqs * shard.sequences
            window = effective_window(mixer) if isinstance(mixer, Attention) else 0
            ring = (segment.entries(window) + segment.new) * keys
            asked = segment.new * query
            total = total + mine * namespace(ring, asked).minimum(ring + 0.0 * asked, asked + 0.0 * ring)
    return [
        Message(name="context exchange", kind="all_gather", ranks=layout.cp, stride=layout.tp, bytes=total),
    ]


def stage_message(model: Architecture, layout: Layout, tokens: Array, precision: Precision) -> Message:
    """One hop between pipeline stages: the hidden vectors of `tokens` tokens of a rank, divided over its tp ranks."""
    size = tokens * model.hidden * precision.activation_bytes / layout.tp
    stride = layout.tp * layout.cp * layout.dp
    return Message(name="stage hop", kind="send", ranks=layout.pp, stride=stride, bytes=size, far_bytes=size)
