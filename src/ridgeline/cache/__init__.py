"""Where to keep keys and values between two uses, for how long, and what that costs: tiers, reuse, times to live."""

from ridgeline.cache.cost import (
    Span,
    break_even,
    cheapest,
    device_share,
    drain_match,
    hold_cost,
    move_cost,
    move_time,
    occupy_cost,
    spans,
)
from ridgeline.cache.lifetime import Lifetime, best_lifetime, ttl_cost
from ridgeline.cache.premium import implied_bytes, premium_line, read_premiums
from ridgeline.cache.reuse import Reuse, reuse, trace_reuse
from ridgeline.cache.tier import LIFE, Tier, chip_tier, medium_tier

__all__ = [
    "LIFE",
    "Lifetime",
    "Reuse",
    "Span",
    "Tier",
    "best_lifetime",
    "break_even",
    "cheapest",
    "chip_tier",
    "device_share",
    "drain_match",
    "hold_cost",
    "implied_bytes",
    "medium_tier",
    "move_cost",
    "move_time",
    "occupy_cost",
    "premium_line",
    "read_premiums",
    "reuse",
    "spans",
    "trace_reuse",
    "ttl_cost",
]
