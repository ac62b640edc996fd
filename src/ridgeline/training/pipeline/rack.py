"""How deep a pipeline pays on scale-up domains of other sizes: the fastest variant of each depth that fits.

For every domain size and number of stages the best of: weights divided in a stage's domain only or over all chips,
layers in chunks or not, activations kept (34 d bytes per token and layer with flash attention, arXiv 2205.05198) or
recomputed (2 d, and a third more math). See `sharding.py` for the laws. Knows no tensor or context parallelism.
"""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.hardware import System
from ridgeline.model import Architecture
from ridgeline.model.architecture import Experts
from ridgeline.training.pipeline.sharding import variant

KEPT, RECOMPUTED = 34.0, 2.0
"""Bytes of activations per token, layer and unit of width."""
FULL = 0.9
"""Share of the memory that may be used."""
STAGES = (1, 2, 4, 8, 16, 32)


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """The fastest variant with so many stages on domains of one size."""

    domain: int
    stages: int
    chunks: int
    everywhere: bool
    """Weights divided over all chips, not only over a stage's domain."""
    recompute: bool
    micro: float
    """Micro-batches of a step."""
    step: float
    math: float
    """Seconds at the rate that is reached, without recomputation."""
    bubble: float
    exposed: float
    """Seconds of gathers that math does not hide."""
    reduce: float
    held: float
    """Bytes per chip."""
    fits: bool
    best: bool
    """Whether no other depth on this domain is faster and fits."""


def depths(
    model: Architecture,
    system: System,
    *,
    chips: int,
    tokens: float,
    seq: int,
    reached: float,
    domains: tuple[int, ...],
) -> list[Depth]:
    """The fastest variant of each depth and domain size.

    Parameters
    ----------
    chips, tokens
        Of a step.
    seq
        Tokens of a sequence; a micro-batch has one on each chip of a stage.
    reached
        Share of the peak that the chips' math reaches.
    domains
        Sizes to ask for, with the links of `system`.

    Raises
    ------
    InputError
        For numbers out of range, or if no depth divides the chips.
    """
    if not 0 < reached <= 1:
        raise InputError(f"--reached {reached:g}", "a share above 0 and at most 1")
    routed = sum(
        part.count * part.expert_parameters
        for layer in model.layers if layer.stored
        for part in layer.feedforwards if isinstance(part, Experts)
    )  # fmt: skip
    layers = len(model.layers)
    rate = system.chip.math_rate("bf16") * reached
    usable = FULL * system.chip.usable
    out: list[Depth] = []
    for size in domains:
        rows: list[Depth] = []
        for p in STAGES:
            micro = tokens * p / (chips * seq)
            if chips % (p * size) or p > layers or micro < 1:
                continue
            options = list(
                product((False, True), (False, True), sorted({1, max(min(layers // p, 4), 1)} if p > 1 else {1}))
            )
            everywhere, recompute, chunks = (np.array(column) for column in zip(*options, strict=True))
            found = variant(
                stages=p, chunks=chunks, everywhere=everywhere, chips=chips, domain=size, tokens=tokens, per_chip=seq,
                parameters=model.parameters, shared=model.parameters - routed, active=model.active_parameters,
                activation=model.hidden * layers * np.where(recompute, RECOMPUTED, KEPT),
                rate=np.where(recompute, 0.75, 1.0) * rate, scale_up=system.scale_up, scale_out=system.scale_out,
            )  # fmt: skip
            fits = found.held <= usable
            i = int(np.argmin(np.where(fits, found.step, np.inf) if fits.any() else found.held))
            math = float(found.math[i])
            rows.append(
                Depth(
                    domain=size,
                    stages=p,
                    chunks=int(chunks[i]),
                    everywhere=bool(everywhere[i]),
                    recompute=bool(recompute[i]),
                    micro=micro,
                    step=float(found.step[i]),
                    math=math * (0.75 if recompute[i] else 1.0),
                    bubble=float(found.bubble[i]),
                    exposed=max(float(found.gather[i]) - math - float(found.bubble[i]), 0.0),
                    reduce=float(found.reduce[i]),
                    held=float(found.held[i]),
                    fits=bool(fits[i]),
                    best=False,
                )
            )
        if any(row.fits for row in rows):
            best = min((row for row in rows if row.fits), key=lambda row: (round(row.step, 9), row.stages))
            rows = [msgspec.structs.replace(row, best=row is best) for row in rows]
        out += rows
    if not out:
        raise InputError(
            f"--chips {chips} with {tokens:g} tokens per step",
            f"chips that a domain of {' or '.join(map(str, domains))} divides, and a sequence of {seq} tokens for each",
        )
    return out
