"""KV tiers below HBM as a simulation is given them, in seconds and blocks, and what it used of them.

`tiers.py` says what happens. Knows no medium: `deployment.py` takes tiers from the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate import tiers as lower
from ridgeline.simulate.pool import Cache
from ridgeline.simulate.ticks import FAR

FETCHES = {"sooner": lower.SOONER, "always": lower.ALWAYS, "never": lower.NEVER}
"""What is fetched of the blocks that lie below: what makes a request ready sooner than computing, all, or nothing."""


class KvTier(msgspec.Struct, frozen=True, kw_only=True):
    """A place that keeps blocks of the prefix cache beside a replica, or beside all.

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
    shared: bool = False
    """All replicas have this one together; else each has one for itself."""

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise InputError(f"{self.blocks} blocks in {self.name}", "1 or more", "more capacity, or no such tier")
        for name in ("read", "write", "latency", "ttl"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} {getattr(self, name)} of {self.name}", "seconds, from 0")


class TierUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a simulation used of a tier, in blocks of all replicas."""

    name: str
    fetched: int
    written: int
    held: int
    """At the end."""


def tiered(
    cache: Cache, tiers: Sequence[KvTier], path: float, fetch: str, tick: float, requests: int, replicas: int = 1
) -> Cache:
    """A pool's cache with tiers below, of each replica; `path`: seconds per block on the link into the chip."""

    def ticks(seconds: float) -> int:
        return FAR if seconds / tick >= FAR / 4 else round(seconds / tick)

    known, rows = int(cache.ids.max(initial=-1)) + 1, rows_of(tiers, replicas)
    count = int(rows.max()) + 1
    table = np.zeros((count, lower.PLACES), np.int64)
    for at, tier in zip(rows.T, tiers, strict=True):
        places = [lower.CAPACITY, lower.READ, lower.WRITE, lower.LATENCY, lower.TTL, lower.THROUGH, lower.SHARED]
        times = ticks(tier.read), ticks(tier.write), ticks(tier.latency), ticks(tier.ttl)
        table[at[:, None], places] = tier.blocks, *times, tier.write_through, tier.shared
    chip = np.zeros((replicas, lower.CHIP), np.int64)
    chip[:, [lower.PATH, lower.POLICY, lower.NEXT]] = ticks(path), FETCHES[fetch], FAR
    waits = np.zeros((2, requests), np.int64)
    waits[lower.UNTIL] = -1
    below = lower.Lower(
        used=np.zeros((count, known), np.int64),
        ready=np.zeros((count, known), np.int64),
        near=np.zeros((count, known, 2), np.int64),
        tiers=table,
        rows=rows,
        chip=chip,
        fetch=waits,
        each=np.zeros(len(tiers), np.int64),
    )
    return cache._replace(lower=below)


def rows_of(tiers: Sequence[KvTier], replicas: int) -> np.ndarray:
    """Where the tiers of each replica stand: a row for each that is its own, then one for each that all share."""
    own = sum(not tier.shared for tier in tiers)
    rows = np.arange(replicas)[:, None] * own + np.arange(len(tiers))
    rows[:, own:] = replicas * own + np.arange(len(tiers) - own)
    return rows


def uses(cache: Cache, tiers: Sequence[KvTier]) -> tuple[TierUse, ...]:
    """What all replicas used of each tier."""
    totals = [cache.lower.tiers[np.unique(at)].sum(axis=0) for at in cache.lower.rows.T]
    return tuple(
        TierUse(
            name=tier.name,
            fetched=int(total[lower.FETCHED]),
            written=int(total[lower.WRITTEN]),
            held=int(total[lower.USED]),
        )
        for tier, total in zip(tiers, totals, strict=True)
    )
