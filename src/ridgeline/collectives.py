"""Time of a collective on a two-level network: wire time of the slower level, plus the latency of the hops.

With n1 ranks in the domain (one-way bandwidth U per chip) and n2 = ranks / n1 domains (O per chip), buffer S:

    all-reduce               max( 2 (n1-1)/n1 S/U , 2 (n2-1)/n2 (S/n1)/O )    reducing switch: at most S/U inside
    all-gather, reduce-sc.   half of it
    all-to-all, send         max( near bytes / U , far bytes / O )
    torus of side a in D dimensions, all-to-all: near bytes x (D a/4 hops on average) / U   (the bisection bound)

The two levels are taken to overlap perfectly. Latency is two hops for an all-reduce and one for the others on a switch,
and as many times half the way round on a torus. These are lower bounds. Knows no model.
"""

from __future__ import annotations

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.hardware import System
from ridgeline.messages import Message, ranks_inside

_ROUNDS = {"all_reduce": 2, "reduce_scatter": 1, "all_gather": 1, "all_to_all": 1, "send": 1}


def message_time(message: Message, system: System) -> Array:
    """Seconds of one message, all ranks starting together; 0 for a group of one rank or an empty message.

    Raises
    ------
    InputError
        If the bandwidth of a level that the group uses is not known.
    """
    return sent_time(message, system)[1]


def sent_time(message: Message, system: System) -> tuple[Array, Array]:
    """`wire_time` and `message_time` of a message."""
    if is_one(message.ranks):
        return 0.0, 0.0
    inside = ranks_inside(message.ranks, message.stride, system.domain.size)
    wire = _wire_time(message, system, inside)
    return wire, (wire + _hop_time(message, system, inside)) * (wire > 0)


def hop_time(message: Message, system: System) -> Array:
    """Seconds that the first byte of a message is under way."""
    return _hop_time(message, system, ranks_inside(message.ranks, message.stride, system.domain.size))


def wire_time(message: Message, system: System) -> Array:
    """Seconds that the bytes of a message take at peak bandwidth, latency left out; errors as `message_time`."""
    return _wire_time(message, system, ranks_inside(message.ranks, message.stride, system.domain.size))


def _hop_time(message: Message, system: System, inside: Array) -> Array:
    hops = _hops(system, inside, namespace(message.ranks, message.stride)) * (inside > 1)
    rounds = _ROUNDS[message.kind]
    return rounds * (hops * system.domain.latency + system.network.latency * (message.ranks > inside))


def _wire_time(message: Message, system: System, inside: Array) -> Array:
    ranks, size, kind = message.ranks, message.bytes, message.kind
    xp = namespace(ranks, size, message.far_bytes, message.stride)
    rounds, several, outside = _ROUNDS[kind], inside > 1, ranks / inside
    if kind == "all_to_all":
        near = size * several * _path(system, inside, xp)
    elif kind == "send":
        near = size * several
    else:
        near = rounds * (inside - 1) / inside * size
        if system.domain.in_network_reduction and kind == "all_reduce":
            near = xp.minimum(near, size * several)
    wire = near / (system.scale_up if _any(several) else 1.0)
    beyond = outside > 1
    if _any(beyond):
        far = message.far_bytes
        if kind == "send":
            far = far * beyond
        elif kind != "all_to_all":
            far = rounds * (outside - 1) / outside * (size / inside)
        wire = xp.maximum(wire, far / system.scale_out)
    return wire * (ranks > 1)


def _hops(system: System, ranks: Array, xp) -> Array:
    """Hops of the longest way between `ranks` chips of a compact block: 1 through a switch."""
    if system.domain.topology == "switched":
        return 1.0
    dims = system.domain.dims
    side = xp.exp(xp.log(1.0 * ranks) / dims)
    return xp.maximum(dims * side / 2, 1.0 + 0 * side)


def _path(system: System, ranks: Array, xp) -> Array:
    """Average links that a byte of an all-to-all crosses: 1 through a switch, D a/4 on a torus of side a."""
    if system.domain.topology == "switched":
        return 1.0
    return xp.maximum(_hops(system, ranks, xp) / 2, 1.0 + 0.0 * ranks)


def _any(condition: Array) -> bool:
    return bool(condition) if isinstance(condition, bool) else bool(condition.any())
