"""A random network held against a cipher: how far a small change goes with depth, and how far the worst one goes.

    layer         h(x) = x + W2 gelu(W1 norm(x))                       residual and norm, each can be left out
    growth        |F(x + d) - F(x)| / |F(x)| over |d| / |x|            random d
    Jacobian      largest singular value of dF/dx, scaled the same way: the worst d
    attack        |F(x + d) - F(x)| along it, at a finite size; and how far along the gradient a readout changes its
                  sign, as an adversarial example makes it

What a cipher wants, that one changed bit changes half of the output, is what residuals and norms prevent. Weights are
drawn with variance 1 / inputs, untrained. A trained network grows otherwise; its residual and norm do the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A network of residual layers."""

    width: int = 64
    expansion: int = 4
    residual: bool = True
    norm: bool = True


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """How a relative change of the input has grown after so many layers."""

    depth: int
    random: float
    """A random direction, mean."""
    worst: float
    """The direction of the largest singular value of the Jacobian."""
    attack: float
    """A finite step along that direction, measured and not differentiated."""
    flip: float
    """|d| / |x| along the gradient at which a random readout changes its sign, to first order: its attack."""
    flip_random: float
    """The same along a random direction."""


class Network:
    """Layers with weights drawn from a seed."""

    def __init__(self, shape: Shape, depth: int, seed: int = 0) -> None:
        rng, wide = np.random.default_rng(seed), shape.width * shape.expansion
        self.shape = shape
        self.first = rng.normal(0, shape.width**-0.5, (depth, wide, shape.width))
        self.second = rng.normal(0, wide**-0.5, (depth, shape.width, wide))

    def run(self, x: np.ndarray, depth: int) -> np.ndarray:
        """Output ``float[..., width]`` after the first `depth` layers."""
        for i in range(depth):
            inner = x / np.sqrt(np.mean(x * x, -1, keepdims=True)) if self.shape.norm else x
            out = _gelu(inner @ self.first[i].T) @ self.second[i].T
            x = x + out if self.shape.residual else out
        return x

    def jacobians(self, x: np.ndarray, depths: Sequence[int]) -> dict[int, np.ndarray]:
        """dF/dx at one x after each of some depths: ``float[width, width]``, the product of the layers' own."""
        one = np.eye(len(x))
        total, out = one, {}
        for i in range(max(depths)):
            rms = np.sqrt(np.mean(x * x)) if self.shape.norm else 1.0
            inner = x / rms
            normed = (one - np.outer(inner, inner) / len(x)) / rms if self.shape.norm else one
            hidden = self.first[i] @ inner
            own = self.second[i] @ (_slope(hidden)[:, None] * self.first[i]) @ normed
            made = self.second[i] @ _gelu(hidden)
            total = total + own @ total if self.shape.residual else own @ total
            x = x + made if self.shape.residual else made
            if i + 1 in depths:
                out[i + 1] = total
        return out


def growth(shape: Shape, depths: Sequence[int], *, size: float = 1e-3, samples: int = 6, seed: int = 0) -> list[Growth]:
    """Growth of a relative change of `size` at several depths of one network, geometric means over some inputs.

    Parameters
    ----------
    depths
        Numbers of layers, each at least 1.
    size
        |d| / |x|.
    samples
        Inputs, each with a random direction and a random readout of its own.
    """
    network, rng = Network(shape, max(depths), seed), np.random.default_rng(seed + 1)
    x, step, readout = (rng.normal(size=(samples, shape.width)) for _ in range(3))
    step *= _norm(x) / _norm(step)
    slopes = [network.jacobians(one, depths) for one in x]
    out: list[Growth] = []
    for depth in depths:
        base = network.run(x, depth)
        here = np.stack([each[depth] for each in slopes])
        _, largest, directions = np.linalg.svd(here)
        worst = network.run(x + size * _norm(x) * directions[:, 0], depth) - base
        random = network.run(x + size * step, depth) - base
        gradient = np.einsum("ni,nij->nj", readout, here)
        margin = np.abs(np.sum(readout * base, -1))
        out.append(
            Growth(
                depth=depth,
                random=_mean(_norm(random) / _norm(base) / size),
                worst=_mean(largest[:, 0] * _norm(x)[:, 0] / _norm(base)[:, 0]),
                attack=_mean(_norm(worst) / _norm(base) / size),
                flip=_mean(margin / (np.linalg.norm(gradient, axis=-1) * _norm(x)[:, 0])),
                flip_random=_mean(margin / (np.abs(np.sum(gradient * step, -1)))),
            )
        )
    return out


def _mean(values: np.ndarray) -> float:
    """Geometric mean."""
    return float(np.exp(np.log(values).mean()))


def _norm(x: np.ndarray) -> np.ndarray:
    return np.linalg.norm(x, axis=-1, keepdims=True)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * _chance(x)


def _slope(x: np.ndarray) -> np.ndarray:
    chance = _chance(x)
    return chance * (1.0 + 1.702 * x * (1.0 - chance))


def _chance(x: np.ndarray) -> np.ndarray:
    """The logistic function of 1.702 x."""
    return 0.5 + 0.5 * np.tanh(0.851 * x)
