"""What a chain of layers keeps for its backward pass, and what it computes again for that: four ways.

With L layers that each keep A bytes (`inside`, input included) of which b are the input (`boundary`), k layers to a
segment, s streams between layers, and work in forward passes of all layers (a backward pass is two):

    none          L A                                       3    everything is kept
    sqrt          ceil(L / k) min(s, k) b + k A - b         4    inputs of segments; of one segment all, computed again
    full          L b + A - b                               4    the same with k = 1: inputs of layers
    reversible    s b + A - b                               4    the last output; inputs are computed from outputs

An ordinary network has s = 1, a reversible one s = 2: a layer needs the outputs of the two before it, and reversible
layers keep (L - 2) b less than full recomputation for the same work; how much that is depends on b, not on A. The last
three compute every layer twice: 4/3 of the work. A - b: a layer's input is there already when it is computed again.

Sources: Chen et al. 2016 (arXiv:1604.06174, segments); Gomez et al. 2017 (arXiv:1707.04585, reversible). Knows neither
what a layer is nor what surrounds the chain (embedding, head, gradients). Exact in bytes and FLOPs for layers that are
alike; in seconds it is not, since inverting also reads and writes the streams.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace
from ridgeline.errors import UnknownNameError

METHODS = ("none", "sqrt", "full", "reversible")
STREAMS = 2
"""Of a reversible network."""


def activation_bytes(
    method: str, layers: Array, inside: Array, boundary: Array, *, segment: Array = 0, streams: int = 0
) -> Array:
    """Most bytes kept at once, from the first forward to the last backward pass; the equations above.

    Parameters
    ----------
    method
        One of METHODS.
    layers
        L, at least 1.
    inside, boundary
        A and b, bytes of one layer.
    segment
        k of `sqrt`, layers; 0: the root of L, rounded.
    streams
        s, each b wide; 0: 2 for `reversible`, else 1.

    Raises
    ------
    UnknownNameError
        For another method.

    Examples
    --------
    >>> [activation_bytes(method, 64, 17.0, 1.0) for method in METHODS]
    [1088.0, 143.0, 80.0, 18.0]
    """
    if method == "none":
        return layers * inside
    if method == "full":
        return (layers - 1) * boundary + inside
    if method == "reversible":
        return ((streams or STREAMS) - 1) * boundary + inside + 0.0 * layers
    if method == "sqrt":
        xp = namespace(layers, segment)
        k = xp.where(segment > 0, segment + 0 * layers, root(layers) + 0 * segment)
        inputs = xp.ceil(layers / k) * xp.minimum(k, (streams or 1) + 0 * k)
        return (inputs - 1) * boundary + xp.minimum(k, layers + 0 * k) * inside
    raise UnknownNameError("method", method[:60], METHODS)


def work(method: str, *, outside: Array = 0.0) -> Array:
    """Work of a training step over that of `none`; `outside`: share of forward work that is in no layer of the chain.

    Raises
    ------
    UnknownNameError
        For another method.

    Examples
    --------
    >>> work("reversible")
    1.3333333333333333
    """
    if method not in METHODS:
        raise UnknownNameError("method", method[:60], METHODS)
    return 1.0 + 0.0 * outside if method == "none" else 1.0 + (1.0 - outside) / 3.0


def reversing_saves(layers: Array, boundary: Array) -> Array:
    """Bytes by which a reversible chain keeps less than full recomputation: (L - 2) b, negative for one layer."""
    return (layers - STREAMS) * boundary


def root(layers: Array) -> Array:
    """Layers of a segment in Chen's plan: the root of L, rounded."""
    xp = namespace(layers)
    return xp.floor(xp.sqrt(layers) + 0.5)


def best_segment(layers: Array, inside: Array, boundary: Array) -> Array:
    """Layers k of a segment that keep least: the smallest k with k (k + 1) >= L b / A.

    A transformer's layer keeps 17 times its input (34 s b h over 2 s b h): up to 34 layers the best segment is one
    layer, full recomputation, and the root of L keeps more. Exact but for a last segment that is not full.

    Examples
    --------
    >>> best_segment(34, 17.0, 1.0), best_segment(100, 1.0, 1.0)
    (1.0, 10.0)
    """
    xp = namespace(layers, inside, boundary)
    k = xp.ceil((xp.sqrt(1.0 + 4.0 * layers * boundary / inside) - 1.0) / 2.0)
    return xp.maximum(k * 1.0, 1.0 + 0.0 * k)
