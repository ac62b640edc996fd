"""The additive law fitted to a table of runs, as Chinchilla's third approach did and Epoch did again.

    min  sum_i Huber_delta( ln L_hat(N_i, D_i) - ln L_i ),   ln L_hat = logsumexp(a - alpha ln N, b - beta ln D, e)

with A = exp a, B = exp b, E = exp e and delta = 1e-3: nearly absolute errors of logarithms. From a grid of starts
Levenberg's steps on re-weighted squares go to a minimum each; the lowest counts. Its interval is that of resampled
tables, each fitted from there. Source of method: Hoffmann et al. (2203.15556), Besiroglu et al. (2404.10102).
Knows no covariance of losses read off one picture.
"""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np

from ridgeline.errors import InputError

DELTA = 1e-3
STARTS = {"a": range(0, 26, 5), "b": range(0, 26, 5), "e": np.arange(-1, 1.5, 0.5), "alpha": np.arange(0, 2.5, 0.5)}
"""Epoch's grid; beta's values are alpha's."""
ROUNDS = ((300, 10), (20, 60), (1, 400))
"""Of the starts so many of the best go on after so many steps."""
_BLOCK = 250


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """Constants of the lowest minimum, and of resampled tables."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    huber: float
    """Sum at the minimum."""
    runs: int
    samples: np.ndarray
    """``float64[resamples, 5]``: E, ln A, ln B, alpha, beta."""

    @property
    def covariance(self) -> list[list[float]]:
        """Of E, ln A, ln B, alpha, beta; empty without resamples."""
        return np.cov(self.samples.T).tolist() if len(self.samples) > 1 else []

    @property
    def error(self) -> dict[str, float]:
        """Standard errors of E, A, B, alpha, beta; empty without resamples."""
        if len(self.samples) < 2:
            return {}
        e, a, b, alpha, beta = self.samples.T
        columns = {"E": e, "A": np.exp(a), "B": np.exp(b), "alpha": alpha, "beta": beta}
        return {name: float(column.std(ddof=1)) for name, column in columns.items()}


def fit(parameters: np.ndarray, tokens: np.ndarray, losses: np.ndarray, *, resamples: int = 0, seed: int = 0) -> Fit:
    """Fit a table.

    Parameters
    ----------
    parameters, tokens, losses
        N, D and L of each run, ``float64[runs]``.
    resamples
        Bootstrapped tables.
    seed
        Of the random numbers that choose them.

    Raises
    ------
    InputError
        For fewer than 10 runs, values that are not above 0, or runs that cannot tell the constants apart.
    """
    table = np.array([parameters, tokens, losses], float)
    if table.shape[1] < 10:
        raise InputError(f"{table.shape[1]} runs", "10 or more: five constants are fitted")
    if not (np.isfinite(table).all() and (table > 0).all()):
        raise InputError("parameters, tokens and losses", "finite numbers above 0")
    if resamples < 0:
        raise InputError(f"--bootstrap {resamples}", "0 or more")
    logs = np.log(table)
    if (np.ptp(logs, axis=1) < 1e-9).any():
        raise InputError("runs that all have the same parameters, tokens or loss", "runs of different sizes")
    middle = logs.mean(axis=1, keepdims=True) * np.array([[1.0], [1.0], [0.0]])
    columns = logs - middle  # centred: a and b then hardly depend on alpha and beta
    grid = np.array(list(product(STARTS["a"], STARTS["b"], STARTS["e"], STARTS["alpha"], STARTS["alpha"])), float)
    grid[:, 0] -= grid[:, 3] * middle[0, 0]
    grid[:, 1] -= grid[:, 4] * middle[1, 0]
    ends, values, once = grid, np.empty(0), np.ones((1, table.shape[1]))
    for kept, steps in ROUNDS:
        ends, values = _descend(ends, columns[:, None, :], once, steps)
        few = np.argsort(values)[:kept]
        ends, values = ends[few], values[few]
    best = ends[int(np.argmin(values))]
    samples = np.empty((0, 5))
    if resamples:
        counts = np.random.default_rng(seed).multinomial(
            table.shape[1], np.full(table.shape[1], 1 / table.shape[1]), resamples
        )
        again, _ = _descend(np.repeat(best[None], resamples, 0), columns[:, None, :], counts.astype(float), steps=200)
        samples = np.array([_constants(row, middle) for row in again])
    e, a, b, alpha, beta = _constants(best, middle)
    return Fit(
        E=e, A=float(np.exp(a)), B=float(np.exp(b)), alpha=alpha, beta=beta, huber=float(values.min()),
        runs=table.shape[1], samples=samples,
    )  # fmt: skip


def _constants(row: np.ndarray, middle: np.ndarray) -> tuple[float, float, float, float, float]:
    """E, ln A, ln B, alpha, beta of centred logarithms."""
    a, b, e, alpha, beta = row.tolist()
    return float(np.exp(e)), a + alpha * float(middle[0, 0]), b + beta * float(middle[1, 0]), alpha, beta


def _descend(start: np.ndarray, logs: np.ndarray, weight: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Minima from each start, in blocks, and the sums there."""
    weights = np.broadcast_to(weight, (len(start), weight.shape[1]))
    parts = [
        _levenberg(start[i : i + _BLOCK], logs, weights[i : i + _BLOCK], steps) for i in range(0, len(start), _BLOCK)
    ]
    return np.concatenate([x for x, _ in parts]), np.concatenate([value for _, value in parts])


def _levenberg(x: np.ndarray, logs: np.ndarray, weight: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Damped Gauss-Newton on weights of Huber's function, all starts at once."""
    damping = np.full(len(x), 1e-3)
    value, gradient, curvature = _linear(x, logs, weight)
    for _ in range(steps):
        scale = np.einsum("kii->ki", curvature)
        damped = curvature + np.einsum("ki,ij->kij", damping[:, None] * scale + 1e-12, np.eye(5))
        trial = x - np.linalg.solve(damped, gradient[..., None])[..., 0]
        after, slope, bend = _linear(trial, logs, weight)
        better = after < value
        damping = np.where(better, np.maximum(damping / 5, 1e-9), np.minimum(damping * 4, 1e9))
        x = np.where(better[:, None], trial, x)
        gradient = np.where(better[:, None], slope, gradient)
        curvature = np.where(better[:, None, None], bend, curvature)
        value = np.where(better, after, value)
    return x, value


def _linear(x: np.ndarray, logs: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Huber's sum of each row of constants, its gradient, and the curvature of the re-weighted squares."""
    a, b, e, alpha, beta = (column[:, None] for column in x.T)
    n, d, loss = logs
    terms = np.stack(np.broadcast_arrays(a - alpha * n, b - beta * d, e + 0 * n))
    top = terms.max(axis=0)
    shares = np.exp(terms - top)
    total = shares.sum(axis=0)
    residual = top + np.log(total) - loss
    shares /= total
    size = np.abs(residual)
    value = (weight * np.where(size <= DELTA, residual**2 / 2, DELTA * (size - DELTA / 2))).sum(1)
    slope = np.stack([shares[0], shares[1], shares[2], -n * shares[0], -d * shares[1]], axis=-1)
    pull = weight * np.clip(residual, -DELTA, DELTA)
    heft = weight * np.minimum(1.0, DELTA / np.maximum(size, 1e-300))
    gradient = np.einsum("kr,kri->ki", pull, slope)
    curvature = np.einsum("kr,kri,krj->kij", heft, slope, slope, optimize=True)
    return np.where(np.isfinite(value), value, np.inf), gradient, curvature
