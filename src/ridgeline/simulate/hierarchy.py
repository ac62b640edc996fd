"""KV tiers below HBM as a simulation is given them, in seconds and blocks, and what it used of them.

`tiers.py` says what happens. Knows no medium: `deployment.py` takes tiers from the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate import tiers as lower
from ridgeline.simulate.law import FAR
from ridgeline.simulate.pool import Cache

FETCHES = {"sooner": lower.SOONER, "always": lower.ALWAYS, "never": lower.NEVER}
"""What is fetched of the blocks that lie below: what makes a request ready sooner than computing, all, or nothing."""


class KvTier(msgspec.Struct, frozen=True, kw_only=True):
    """A place that keeps blocks of the prefix cache beside a replica.

    Raises
    ------
    InputError
        For no block, and times that are none.
    """

    name: str
    blocks: int
    """Most that it holds."""
    read: float
    """Seconds per block."""
    write: float
    """Seconds per block."""
    latency: float = 0.0
    """Seconds before a transfer begins."""
    ttl: float = float("inf")
    """Seconds for which it keeps a block after its last use."""
    write_through: bool = True
    """It gets a block as soon as the level above has it; else when that gives it up (write-back)."""

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise InputError(f"{self.blocks} blocks in {self.name}", "1 or more", "more capacity, or no such tier")
        for name in ("read", "write", "latency", "ttl"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)} of {self.name}", "seconds, from 0")


class TierUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation used of a tier, in blocks."""

    name: str
    fetched: int
    written: int
    held: int
    """At the end."""


def tiered(cache: Cache, tiers: Sequence[KvTier], path: float, fetch: str, tick: float, requests: int) -> Cache:
    """A pool's cache with tiers below; `path`: seconds per block on the link into the chip."""

    def ticks(seconds: float) -> int:
        return FAR if seconds / tick >= FAR / 4 else round(seconds / tick)

    count, known = len(tiers), int(cache.ids.max(initial=-1)) + 1
    table = np.zeros((count, lower.PLACES), np.int64)
    for row, tier in zip(table, tiers, strict=True):
        row[[lower.CAPACITY, lower.READ, lower.WRITE]] = tier.blocks, ticks(tier.read), ticks(tier.write)
        row[[lower.LATENCY, lower.TTL, lower.THROUGH]] = ticks(tier.latency), ticks(tier.ttl), tier.write_through
    table[:, [lower.OLDEST, lower.YOUNGEST]] = -1
    chip = np.zeros(lower.CHIP, np.int64)
    chip[[lower.PATH, lower.POLICY, lower.NEXT]] = ticks(path), FETCHES[fetch], FAR
    waits = np.zeros((2, requests), np.int64)
    waits[lower.UNTIL] = -1
    below = lower.Lower(
        used=np.full((count, known), -1),
        ready=np.zeros((count, known), np.int64),
        near=np.full((count, known, 2), -1),
        tiers=table,
        chip=chip,
        fetch=waits,
        each=np.zeros(count, np.int64),
    )
    return cache._replace(lower=below)


def uses(cache: Cache, tiers: Sequence[KvTier]) -> tuple[TierUse, ...]:
    """What was used of each tier."""
    return tuple(
        TierUse(
            name=tier.name,
            fetched=int(row[lower.FETCHED]),
            written=int(row[lower.WRITTEN]),
            held=int(row[lower.USED]),
        )
        for tier, row in zip(tiers, cache.lower.tiers, strict=True)
    )
