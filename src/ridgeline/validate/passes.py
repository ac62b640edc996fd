"""How engines take a static batch through the model: in which pieces, and how these follow each other.

    a prefill of m pieces through p stages      t = T (p + m - 1) / p      T: one piece through all layers
    decode steps, one after another             t = T max(m, p) / p
    a static batch                              prefill, then osl - 1 decode steps: prefill gives the first token

Pieces of decode steps follow each other without a gap once every stage has one; a prefill has to fill the pipeline.
    waves, where n of the batch B fit          t = osl (B / n + 1/2)      n at the mean context isl + osl / 2

An engine that admits what its cache holds at that moment, and preempts when it is full, keeps the cache full of
sequences of all ages; when the last have come in, it drains for one more lifetime, half full on average.

Pieces are whole sequences, or tokens of a prompt where an engine computes no more at a time. Knows no second.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np

from ridgeline.arrays import Array

TOKENS_AT_ONCE = {"llama.cpp": 512}
"""Tokens that an engine computes at a time (llama.cpp: `n_ubatch`, its default since it has one)."""
HALVED = {"FasterTransformer": 2048}
"""Tokens above which an engine with pipeline stages halves its pieces, which are else all sequences, or a p-th of them
where p divides them (FasterTransformer, getLocalBatchSize of nccl_utils.cc: 2,048 until 2021, 8,192 in 5.0, 1,024
since). The rows do not say which of the three they ran, and were published with 5.0: their times bend between 2,048 and
2,560 tokens, as the first bends them."""


class Pieces(msgspec.Struct, frozen=True, kw_only=True):
    """A pass in `count` equal pieces of `seqs` sequences with `new` tokens each, of which others have gone before."""

    seqs: np.ndarray
    new: np.ndarray
    past: np.ndarray
    """Tokens of the same prompts that are in the cache already, the mean over the pieces."""
    count: np.ndarray

    def filled(self, pp: Array) -> np.ndarray:
        """Times that one piece through all layers takes in a prefill: (p + m - 1) / p."""
        return (pp + self.count - 1.0) / pp

    def steady(self, pp: Array) -> np.ndarray:
        """The same between two tokens of a sequence, and the least in any order: max(m, p) / p."""
        return np.maximum(self.count, pp) / pp


def cut(engine: str, batch: np.ndarray, new: np.ndarray, pp: Array, online: np.ndarray) -> Pieces:
    """The pieces in which an engine takes `batch` sequences of `new` tokens through `pp` stages.

    Without another rule: as many as stages, at most one for each sequence. Where sequences come `online`, a step has
    one piece for each stage at any time, of which one is given.

    Examples
    --------
    >>> found = cut("any", np.array([6.0]), np.array([100.0]), 3, np.array([False]))
    >>> found.seqs.item(), found.count.item(), round(found.filled(3).item(), 2), found.steady(3).item()
    (2.0, 3.0, 1.67, 1.0)
    """
    stages = np.broadcast_to(pp, batch.shape)
    each, count = batch, np.minimum(stages, np.maximum(batch, 1.0))
    if most := HALVED.get(engine):
        cells = zip(batch.tolist(), new.tolist(), stages.tolist(), strict=True)
        count = np.array([batch / halved(batch, tokens, p, most) for batch, tokens, p in cells])
    parts = np.ones_like(new)
    if most := TOKENS_AT_ONCE.get(engine):
        parts = np.where(online, 1.0, np.ceil(new / most))
        count = np.maximum(np.ceil(batch * new / most), 1.0)
    each = batch / np.where(online, stages, count / parts)
    return Pieces(seqs=each, new=new / parts, past=(new - new / parts) / 2, count=np.where(online, 1.0, count))


@lru_cache(maxsize=4096)
def halved(batch: float, tokens: float, stages: float, most: float) -> float:
    """Sequences of a piece: a stage's share where it is whole, halved while they are even and beyond `most` tokens.

    Examples
    --------
    >>> halved(64.0, 20.0, 3.0, 2048.0), halved(128.0, 20.0, 3.0, 2048.0), halved(12.0, 20.0, 3.0, 2048.0)
    (64.0, 64.0, 4.0)
    >>> halved(128.0, 20.0, 1.0, 2048.0)  # no other stage waits
    128.0
    """
    if stages == 1:
        return batch
    each = batch / stages if batch % stages == 0 else batch
    while each * tokens > most and each % 2 == 0:
        each = each / 2
    return each


def waves(batch: np.ndarray, tokens: np.ndarray, isl: np.ndarray, osl: np.ndarray) -> np.ndarray:
    """Lifetimes of `osl` steps that `batch` sequences take in a cache of so many tokens: 1 if all fit to their end.

    Examples
    --------
    >>> row = (np.array([8.0, 64.0, 256.0]), np.array(91680.0), np.array(2048.0), np.array(2048.0))
    >>> [round(each, 2) for each in waves(*row).tolist()]  # a scheduler step by step: 1, 2.89, 9.17
    [1.0, 2.64, 9.08]
    """
    held = np.maximum(tokens / np.maximum(isl + osl / 2, 1.0), 1.0)
    return np.where(batch * (isl + osl) <= tokens, 1.0, batch / held + 0.5)
