"""What a software stack for reinforcement learning adds to decode steps and FLOPs: a few constants, from the catalogue.

Knows no model and no chip.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ridgeline.catalog import BUILT_IN, Catalog, Entry
from ridgeline.units import BytesPerSecond, Seconds

Positive = Meta(gt=0)


class Framework(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of one stack."""

    name: str
    title: str
    slower: Annotated[float, Positive]
    """Decode steps over the serving engine's estimate."""
    per_token: Seconds
    """Added to each decode step."""
    all_reduce: Seconds
    """Added to each of two all-reduces per layer, for each doubling of the domains that a replica spans."""
    reached: Annotated[float, Positive]
    """Share of the bf16 peak that training's math reaches."""
    per_layer: Seconds
    """Added to each forward of a layer on one sequence; backward and recomputation count as three more."""
    refit: Annotated[BytesPerSecond, Positive]
    """Bytes of weights per second from training into the engines, moving the training state aside included."""
    refit_apart: Annotated[float, Meta(ge=0)]
    """Share of that time where training and engines have chips of their own."""
    fixed: Seconds
    """Of each step, for all else."""
    note: str = ""
    source: str = ""
    date: str = ""
    origin: str = ""


def load_framework(name: str, catalog: Catalog = BUILT_IN) -> Entry[Framework]:
    """A stack by name (UnknownNameError with the most similar)."""
    return catalog.read("rl", name, Framework)
