"""What is expected of an engine's and of a client's constants before any row is seen, and how far they may lie off.

What each constant is stands in `engines.py`. Knows no row.
"""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """Least and greatest value of a constant, what is expected before any row is seen, and how far it may lie off."""

    low: float
    start: float
    high: float
    spread: float


UNMEASURED = {
    "kernels": Range(0.7, 1.0, 2.5, 0.5),
    "prefill": Range(0.4, 1.0, 4.0, 0.5),
    "attention": Range(0.7, 1.0, 8.0, 1.0),
}
"""Factors on kernels' work, for engines whose kernels nobody measured."""
SCORES = {"scores": Range(0.0, 10.0, 100.0, 10.0)}
WRITTEN = {"FasterTransformer", "Transformers NeuronX", "llama.cpp"}
"""Engines whose SCORES are fitted, 0 for all others: their code computes the attention of prompts kernel by kernel."""
STEPS = {
    "launches": Range(0.4, 0.9, 1.3, 0.15),
    "quantise": Range(0.0, 0.3, 1.0, 0.2),
    "sync": Range(0.0, 2e-6, 20e-6, 3e-6),
    "messages": Range(0.6, 1.0, 2.5, 0.12),
    "layer": Range(0.0, 6.0, 18.0, 2.5),
    "host": Range(0.0, 0.5e-3, 4e-3, 0.3e-3),
    "sequence": Range(0.0, 6e-6, 60e-6, 4e-6),
}
CLIENTS = {
    "frontend": Range(0.0, 0.02, 0.15, 0.02),
    "per_request": Range(0.0, 1e-3, 4e-3, 0.7e-3),
    "first": Range(1.0, 2.0, 4.0, 0.5),
    "burst": Range(0.0, 0.05, 0.6, 0.1),
    "launch": Range(0.0, 0.4e-3, 2e-3, 0.15e-3),
}
OF_PLACES = {"missing": Range(0.0, 0.0, 1.0, 0.3)}
"""What only a place's own clients show: 0 elsewhere."""
RANGES = UNMEASURED | SCORES | STEPS | CLIENTS | OF_PLACES
OWN = {
    "messages": Range(0.4, 1.0, 5.0, 0.5),
    "layer": Range(0.0, 6.0, 120.0, 6.0),
    "sequence": Range(0.0, 6e-6, 2e-3, 30e-6),
}
"""The ranges of steps that are wider for engines with kernels of their own."""
SEPARATE = {"frontend": 0.03, "per_request": 0.0, "first": 1.0, "burst": 0.05, "launch": 0.0, "missing": 0.0}
"""Clients of separate pools: the own prefill meets no decodes, and of ten rounds of requests the first comes together.
Only `frontend`, which includes the handshake of the pools, is fitted."""
LAUNCHED = Range(0.0, 120.0, 400.0, 120.0)
"""Small kernels of a layer where the host launches every kernel, which takes longer than they do."""
