"""Pipelines of scale-up domains: what crosses between stages, when that is a bottleneck, and what stages do for decode.

P stages on E chips each, batch b per stage in flight, context L, k bytes of cache per token, U and O bytes/s per chip
inside and between domains:

    experts' messages over a stage's / those between stages      (O / U) 2 n l               >= 1: no bottleneck
    memory of a chip                            N b_w / (E P) + b L k / E                    the cache does not fall
    micro-batches that keep all stages busy     m >= P, else 1 - m / P of the time is idle
    time per token                              T + P h                                      h: seconds of a hop
    bytes per token over all P - 1 boundaries   d b_e (P - 1) times streams, or d b_e sum_s (1 + r s / P)

streams: 1 for a residual stream, n for hyper-connections (arXiv 2409.19606, 2512.24880); the sum is for residuals that
attend to the outputs of r earlier blocks (2603.15031): all of them so far go along, once per boundary.
Source: R. Pope in D. Patel's lecture on serving (2026), part on pipelines; all arguments may be arrays.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace


def inside_over_between(scale_up: Array, scale_out: Array, experts: Array, layers: Array) -> Array:
    """Time of the experts' dispatch and combine in a stage over that of its one message to the next.

    Parameters
    ----------
    scale_up, scale_out
        Bandwidth per chip inside and between domains, B/s.
    experts
        n, distinct chips that a token is sent to.
    layers
        l, layers with experts in a stage.
    """
    return scale_out / scale_up * experts * layers * 2.0


def held_per_chip(weights: Array, cache: Array, chips: Array, stages: Array) -> tuple[Array, Array]:
    """Bytes of weights and of cache on a chip: `weights` B of the model, `cache` B of one stage's worth of sequences.

    A pipeline keeps `stages` times as many sequences, divided over as many more chips: the cache stays.
    """
    return weights / (chips * stages), cache * stages / (chips * stages)


def idle_decode(micro: Array, stages: Array) -> Array:
    """Share of the time in which a stage has nothing to do with `micro` batches under way: max(0, 1 - m / P)."""
    idle = 1.0 - micro / stages
    return namespace(idle).maximum(idle, 0.0 * idle)


def token_time(step: Array, stages: Array, hop: Array) -> Array:
    """Seconds per token through all stages: those of one domain alone, and a `hop` after each stage."""
    return step + stages * hop * (stages > 1)


def residual_bytes(stages: int, width: float, element: float, streams: float = 1.0, blocks: int = 0) -> float:
    """Bytes of one token's residual state over all boundaries between stages, one way.

    Parameters
    ----------
    stages
        P.
    width
        d of the residual stream.
    element
        Bytes per number.
    streams
        Residual streams side by side.
    blocks
        r: earlier blocks whose outputs later layers attend to; 0: none.
    """
    each = width * element
    return sum(each * (streams + blocks * stage / stages) for stage in range(1, stages))
