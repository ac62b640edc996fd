"""Loss of models trained past their optimum: L = E + (a M^eta + b M^-eta) C^-eta, M = D / N, C = 6 N D.

The additive law with alpha = beta = 2 eta, written in what over-training changes. Source: Gadre et al. (2403.08540).
"""

from __future__ import annotations

import numpy as np

from ridgeline.arrays import Array
from ridgeline.training.scaling.law import Additive, Overtraining


def loss(law: Overtraining, compute: Array, ratio: Array) -> Array:
    """L of C FLOP at M tokens per parameter."""
    return law.E + (law.a * ratio**law.eta + law.b * ratio**-law.eta) * compute**-law.eta


def as_additive(law: Overtraining) -> Additive:
    """The same law in N and D: A = a 6^-eta, B = b 6^-eta, alpha = beta = 2 eta."""
    shared = {name: getattr(law, name) for name in ("name", "title", "origin", "note", "source", "date")}
    spans = {name: getattr(law, name) for name in ("parameters", "tokens", "ratio")}
    scale = 6.0**-law.eta
    return Additive(
        form="additive", E=law.E, A=law.a * scale, B=law.b * scale, alpha=2 * law.eta, beta=2 * law.eta,
        **shared, **spans,
    )  # fmt: skip


def best_ratio(law: Overtraining) -> float:
    """M of least loss at any compute: (b / a)^(1 / (2 eta))."""
    return float(np.exp(np.log(law.b / law.a) / (2 * law.eta)))
