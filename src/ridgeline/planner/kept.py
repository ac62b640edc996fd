"""What every storage tier costs for one model's prompts, once it is known what computing them anew costs.

    hit price = fetch cost F     write premium for a guaranteed time t = store + occupy(t)     storage = hold, $/Mtok/h

The chip's own HBM is rented at the chip's price, other media at their purchase price over their life. While a chip
fetches over the link to its host it is paid for `stall` of the time; what it stores goes beside its work. A tier that
takes longer for a prompt than it may is never the cheapest. Knows no layout and no demand: tiers are full of what pays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from ridgeline.cache import (
    LIFE,
    Lifetime,
    Reuse,
    Tier,
    best_lifetime,
    break_even,
    chip_tier,
    hold_cost,
    medium_tier,
    move_cost,
    move_time,
    occupy_cost,
    spans,
)
from ridgeline.catalog import Catalog
from ridgeline.errors import InputError
from ridgeline.hardware import format_bytes, load_medium
from ridgeline.model.kv import total_stored
from ridgeline.subject import Subject
from ridgeline.units import parse

MEDIA = ("ddr5", "nvme", "qlc", "hdd")


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """Media beside the chip's HBM, and what they cost in use."""

    names: Sequence[str] = MEDIA
    """Names of the catalogue, each with a price where it has none or another: "cxl=$5/GB"."""
    life: float = LIFE
    """Seconds over which they are written off."""
    overhead: float = 1.0
    """Cost of a device with server, power and network over its price."""
    stall: float = 1.0
    """Share of a fetch over the link that the chip is paid for; 1 is the upper bound, 0 if all is overlapped."""
    devices: int = 1
    """Devices that a prompt is striped over, of each medium."""

    def __post_init__(self) -> None:
        if not 0 <= self.stall <= 1:
            raise InputError(f"--stall {self.stall:g}", "a share from 0 to 1")
        if self.devices < 1:
            raise InputError(f"--devices {self.devices}", "a whole number, 1 or more")


class Recompute(msgspec.Struct, frozen=True, kw_only=True):
    """Computing a prompt anew."""

    cost: float
    """$/tok."""
    seconds: float
    """Of the prompt alone, as estimated."""
    chips: int
    """That compute it together: their links to host memory work side by side."""
    layout: str = ""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One tier's costs of this model's tokens."""

    tier: Tier
    hold: float
    """$/tok/s."""
    store: float
    """$/tok: the device's time."""
    fetch: float
    """$/tok: the device's time and the waiting chip's; of HBM 0."""
    wear: float
    """$/tok, of a write: paid instead of the device's rent where that is less."""
    fetch_time: float
    """Seconds for the prompt."""
    break_even: float
    """Seconds up to which keeping costs less than recomputing."""
    reigns: tuple[tuple[float, float], ...]
    """Hold times, from and to, that cost least in this tier."""
    quick: bool
    """Whether a prompt is fetched within the time that it may take."""
    lifetime: Lifetime | None
    """The best time to live under the law of reuse that was given."""
    saved: float
    """Share of the cost without a cache that it saves; 0 without a law."""
    worn_out: float
    """Seconds until the full device is worn out at that time to live; infinite where it lasts or nothing wears."""

    def premium(self, seconds: float) -> float:
        """$/tok of a write that is kept for a guaranteed time: store + occupy."""
        return self.store + float(occupy_cost(self.hold, seconds, self.wear, self.tier.own))

    def cost(self, seconds: float) -> float:
        """$/tok of a token kept so long and used once."""
        return self.premium(seconds) + self.fetch


def bytes_per_token(found: Subject, context: float) -> float:
    """Bytes that a prompt of `context` tokens keeps, over its tokens.

    Raises
    ------
    InputError
        If the model keeps nothing.
    """
    size = float(total_stored(found.model, float(context), format_bytes(found.precision.kv))) / context
    if not size:
        raise InputError(f"{found.model.name}", "a model that keeps keys and values or a state")
    return size


def kept(
    found: Subject, rate: float, context: float, again: Recompute, media: Media, *,
    law: Reuse | None = None, most: float = 0.0, waiting: float = 0.0,
) -> tuple[Kept, ...]:  # fmt: skip
    """Every tier for prompts of `context` tokens.

    Parameters
    ----------
    rate
        $/s of a chip.
    most
        Longest time of a fetch, s; 0: any.
    waiting
        $/s of a chip that waits for a fetch; 0: `rate`.

    Raises
    ------
    InputError
        For an unknown or unpriced medium, one named twice, or a model that keeps nothing per token.
    """
    size = bytes_per_token(found, context)
    path, stall = found.system.chip.host_link or math.inf, media.stall
    tiers = [chip_tier(found.system.chip, rate), *(_medium(text, found.catalog, path, media) for text in media.names)]
    if len({tier.name for tier in tiers}) < len(tiers):
        raise InputError(f"--medium {','.join(media.names)}", "each medium once")
    hold = np.array([hold_cost(size, tier.capacity, tier.rent) for tier in tiers])
    wear = np.array([size * tier.wear for tier in tiers])
    own = np.array([tier.own for tier in tiers])
    store = np.array([0.0, *(move_cost(size, tier.write, tier.rent) for tier in tiers[1:])])
    fetch = np.array(
        [0.0, *(move_cost(size, t.read, t.rent) + stall * move_cost(size, t.path, waiting or rate) for t in tiers[1:])]
    )
    move = [0.0, *(move_time(size * context, media.devices * t.read, again.chips * t.path) for t in tiers[1:])]
    quick = np.flatnonzero([not most or t <= most for t in move])
    reigning = spans((store + fetch)[quick], hold[quick], again.cost, wear[quick], own[quick])
    out: list[Kept] = []
    for i, tier in enumerate(tiers):
        lifetime = None
        if law is not None:
            lifetime = best_lifetime(
                law, hold=hold[i], fetch=fetch[i], store=store[i], recompute=again.cost, wear=wear[i], own=own[i]
            )
        out.append(
            Kept(
                tier=tier,
                hold=float(hold[i]),
                store=float(store[i]),
                fetch=float(fetch[i]),
                wear=float(wear[i]),
                fetch_time=float(move[i]),
                break_even=float(break_even(again.cost, store[i] + fetch[i], hold[i], wear[i], own[i])),
                reigns=tuple((s.begin, s.end) for s in reigning if s.tier < len(quick) and quick[s.tier] == i),
                quick=i in quick,
                lifetime=lifetime,
                saved=1.0 - lifetime.cost / (law.returns * again.cost) if lifetime and law else 0.0,
                worn_out=_worn_out(tier, lifetime, law, media.life),
            )
        )
    return tuple(out)


def _medium(text: str, catalog: Catalog, path: float, media: Media) -> Tier:
    name, equals, price = text.partition("=")
    usd = parse(price, "USD/B", f"--medium {name}") if equals else 0.0
    if equals and not usd:
        raise InputError(f"--medium {text}", "a price above 0", f"such as {name}=$0.10/GB")
    value = load_medium(name, catalog).value
    return medium_tier(value, path=path, usd_per_byte=usd, life=media.life, overhead=media.overhead)


def _worn_out(tier: Tier, best: Lifetime | None, law: Reuse | None, life: float) -> float:
    """Seconds that a full device lasts when each write stays for `held` after each of its 1 / (1 - G) uses."""
    if best is None or law is None or not best.ttl or not tier.residence:
        return math.inf
    ends = 1.0 - best.hit * law.returns
    stays = best.held / ends if ends > 0 else math.inf
    return life * stays / tier.residence if stays < tier.residence * (1 - 1e-3) else math.inf
