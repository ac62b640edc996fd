"""A place that can keep a key-value cache, rented by time: the system's own HBM, host memory, flash, disk.

    drain = capacity / read          [s]        rent of a bought device = price * capacity * overhead / life    [$/s]
    wear = price / endurance         [$/B]      shortest residence  = life * capacity / endurance               [s]

A tier that replaces its whole content more often than the shortest residence is worn out before its life is over. HBM
is not bought apart: its rent is that of the whole chip. Knows no model.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.errors import InputError
from ridgeline.hardware import Chip, Medium, known

LIFE = 5 * 365 * 86400.0
"""Seconds a bought device is written off over: the warranty that makers of drives state endurance for."""


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """One device that holds caches, in SI units."""

    name: str
    title: str
    capacity: float
    read: float
    """Bytes per second, of one device."""
    write: float
    rent: float
    """Dollars per device and second."""
    own: float = 1.0
    """Share of the rent that is the price of the device itself: 1 / overhead."""
    wear: float = 0.0
    """Dollars per written byte: the device's price over what may be written to it; 0 where nothing wears out."""
    residence: float = 0.0
    """Shortest mean time that bytes must stay so that the device lives as long as it is written off; 0: any."""
    path: float = math.inf
    """Bytes per second of the link between one chip and this tier; infinite for the chip's own memory."""

    @property
    def drain(self) -> float:
        """Seconds to read all of it once: capacity / read."""
        return self.capacity / self.read


def chip_tier(chip: Chip, rent: float) -> Tier:
    """The chip's own HBM at the whole chip's `rent`, $/s: what is held there displaces sequences that would decode."""
    return Tier(
        name="hbm", title=f"HBM of {chip.name}", capacity=chip.hbm_capacity, read=chip.hbm_bandwidth,
        write=chip.hbm_bandwidth, rent=rent,
    )  # fmt: skip


def medium_tier(
    medium: Medium, *, path: float = math.inf, usd_per_byte: float = 0.0, life: float = LIFE, overhead: float = 1.0
) -> Tier:
    """A bought device of the catalogue.

    Parameters
    ----------
    path
        Bytes per second of the link between one chip and the device.
    usd_per_byte
        Price; 0: the catalogue's.
    life
        Seconds over which the price is written off.
    overhead
        Cost of device with its share of server, power and network, over the device's price.

    Raises
    ------
    InputError
        If the catalogue has no price and none is given; for a life or an overhead that is no such thing.
    """
    if not 0 < life < math.inf:
        raise InputError(f"a life of {life:g} s", "a time above 0", 'such as "5 years"')
    if not 1 <= overhead < math.inf:
        raise InputError(f"an overhead of {overhead:g}", "the cost of a device in its server over its price, 1 or more")
    price = usd_per_byte or known(medium, "usd_per_byte")
    return Tier(
        name=medium.name,
        title=medium.title,
        capacity=medium.capacity,
        read=medium.read,
        write=medium.write,
        rent=price * medium.capacity * overhead / life,
        own=1.0 / overhead,
        wear=price * medium.capacity / medium.endurance if medium.endurance else 0.0,
        residence=life * medium.capacity / medium.endurance if medium.endurance else 0.0,
        path=path,
    )
