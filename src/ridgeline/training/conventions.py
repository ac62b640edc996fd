"""FLOPs per token as each project counts them, so that one MFU can be turned into another.

With N parameters, N_m those that a token is multiplied with (active experts and the head; no embedding table, no
norms), and S = 6 sum over layers of seq * heads * (key + value size), the scores and values of a full square, forward
and backward (for plain attention: 12 L h seq):

    plain      6 N_a                     the rule of thumb, N_a with embedding
    megatron   6 N_m + S                 full square (Narayanan 2021, without its recomputation)
    hardware   8 N_m + 4/3 S - 2 V h     Narayanan 2021's own: layers recomputed in full
    nvidia     6 N_m + S / 2             Megatron-Bridge: causal half
    mosaicml   6 N_a + S                 LLM Foundry
    maxtext    6 N_m + S / 2             MaxText since July 2025, the full square before
    nanotron   6 N_m + S

A window or top-k bounds the square's rows. Utilisation = FLOPs per token * tokens per second and chip / peak. Knows no
layout.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace
from ridgeline.model import Architecture
from ridgeline.model.architecture import (
    Attention,
    CompressedAttention,
    Experts,
    LatentAttention,
    Mixer,
    Recurrent,
)

CONVENTIONS = ("plain", "megatron", "hardware", "nvidia", "mosaicml", "maxtext", "nanotron")


def flop_per_token(model: Architecture, seq: Array, convention: str) -> Array:
    """FLOPs that training spends on a token in a sequence of `seq` tokens, as a project counts them.

    Raises
    ------
    KeyError
        For a convention that is none of CONVENTIONS.

    Examples
    --------
    >>> from ridgeline import load_model
    >>> llama = load_model("llama-3-70b")
    >>> round(flop_per_token(llama, 8192, "nvidia") / 1e12, 4)  # Megatron-Bridge's 1,664 tok/s are 731 TFLOP/s: 0.449
    0.4492
    """
    matrices, table = multiplied(model), model.vocab * model.hidden
    square = square_flop(model, seq)
    return {
        "plain": 6.0 * (matrices + (0 if model.tied else table)),
        "megatron": 6.0 * matrices + square,
        "hardware": 8.0 * matrices - 2.0 * table + square * (4.0 / 3.0),
        "nvidia": 6.0 * matrices + 0.5 * square,
        "mosaicml": 6.0 * (matrices + (0 if model.tied else table)) + square,
        "maxtext": 6.0 * matrices + 0.5 * square,
        "nanotron": 6.0 * matrices + square,
    }[convention]


def multiplied(model: Architecture) -> float:
    """Parameters in matrices that a token is multiplied with: active experts and the head."""
    total = float(model.vocab * model.hidden)
    for layer, count in model.kinds:
        total += count * sum(linear.weights for linear in layer.matrices())
        for part in layer.feedforwards:
            if isinstance(part, Experts):
                total += count * part.active * part.matrices * part.hidden * part.width
    return total


def square_flop(model: Architecture, seq: Array) -> Array:
    """FLOPs per token of scores and values, forward and backward, each query meeting `seq` keys."""
    total: Array = 0.0
    for layer, count in model.kinds:
        for mixer in layer.mixers:
            total = total + count * _square(mixer, seq)
    return total


def _square(mixer: Mixer, seq: Array) -> Array:
    if isinstance(mixer, Recurrent):
        return 3.0 * mixer.flop_per_state * mixer.state + 0.0 * seq
    if isinstance(mixer, Attention):
        seen = _bounded(seq, mixer.window)
        return 6.0 * seen * mixer.heads * (mixer.head_dim + mixer.value_dim)
    topk = mixer.indexer.topk if mixer.indexer else 0
    if isinstance(mixer, LatentAttention):
        seen = _bounded(seq, 2 * topk)
        return 6.0 * seen * mixer.heads * (mixer.nope_dim + mixer.rope_dim + mixer.value_dim)
    assert isinstance(mixer, CompressedAttention)
    history = _bounded(seq / mixer.ratio, 2 * topk) if mixer.ratio else 0.0 * seq
    return 12.0 * (_bounded(seq, mixer.window) + history) * mixer.heads * mixer.head_dim


def _bounded(seq: Array, window: float) -> Array:
    return namespace(seq).minimum(seq, window + 0 * seq) if window else seq
