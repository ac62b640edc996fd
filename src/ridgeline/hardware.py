"""What a model runs on: chips, the fast domain they share, the network between domains, prices, and storage media.

    ridge = peak / hbm_bandwidth  [FLOP/B]          drain = hbm_capacity / hbm_bandwidth  [s]

Rates are dense peaks; bandwidths are per chip and one way. A value that nobody has published is None, and `known`
refuses to compute with it. What this file does not know: models, and how long anything takes.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from ridgeline.arrays import Array
from ridgeline.catalog import BUILT_IN, Catalog, Entry
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.kernel import Kernel
from ridgeline.units import Bytes, BytesPerSecond, FlopPerSecond, Seconds, UsdPerByte, UsdPerSecond, Watts

Positive = Meta(gt=0)
MathFormat = Literal["bf16", "fp8", "fp4", "int8"]
"""Number format of multiplications. fp16 runs at the rate of bf16."""


class Peak(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Dense matrix multiplication rate by math format, FLOP/s (2 per multiply-add); None: the chip has no such unit."""

    bf16: Annotated[FlopPerSecond, Positive] | None = None
    fp8: Annotated[FlopPerSecond, Positive] | None = None
    fp4: Annotated[FlopPerSecond, Positive] | None = None
    int8: Annotated[FlopPerSecond, Positive] | None = None


class Chip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One accelerator package as software sees it: its arithmetic, its memory, its link to the host."""

    name: str
    """Key in the catalogue."""
    title: str
    vendor: str
    announced: str = ""
    memory: str
    """Kind of memory: "HBM3e", "GDDR7", ..."""
    peak: Peak
    hbm_capacity: Annotated[Bytes, Positive]
    hbm_bandwidth: Annotated[BytesPerSecond, Positive]
    hbm_visible: Annotated[Bytes, Positive] | None = None
    """Memory that software sees; None: `hbm_capacity`. Where makers write GB for 2^30 bytes it is the larger one."""
    power: Annotated[Watts, Positive] | None = None
    """All-in (with the chip's share of its server) where published, else the board's limit; the entry's note says."""
    host_link: Annotated[BytesPerSecond, Positive] | None = None
    """To the host's memory, one way."""
    cores: Annotated[int, Positive] = 1
    """Parts of the chip among which tensor parallelism divides a layer; a head is never divided."""
    host_memory: Annotated[Bytes, Positive] | None = None
    """The chip's share of the host's memory."""
    kernels: tuple[Kernel, ...] = ()
    """What its kernels reach, where it was measured; empty: what is known of its relatives."""
    aliases: tuple[str, ...] = ()
    origin: str = ""
    """File that says so."""

    @property
    def usable(self) -> Bytes:
        """Memory that software can fill: `hbm_visible` where it is known, else `hbm_capacity`."""
        return self.hbm_visible or self.hbm_capacity

    @property
    def drain(self) -> Seconds:
        """Time to read the whole memory once: hbm_capacity / hbm_bandwidth."""
        return self.hbm_capacity / self.hbm_bandwidth

    def math_rate(self, math: str) -> float:
        """Peak dense FLOP/s in a `MathFormat`.

        Raises
        ------
        InputError
            If the chip does not multiply in this format, or nobody has published how fast.
        """
        rate = getattr(self.peak, math) if math in Peak.__struct_fields__ else None
        if rate is None:
            has = [f for f in Peak.__struct_fields__ if getattr(self.peak, f) is not None]
            given = f"{self.name} with {math} arithmetic"
            raise InputError(given, f"{self.origin} gives no such rate", f"it has {', '.join(has) or 'none'}")
        return rate

    def ridge(self, math: str) -> float:
        """FLOP per byte at which multiplying takes as long as reading memory: math_rate / hbm_bandwidth."""
        return self.math_rate(math) / self.hbm_bandwidth


class Domain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scale-up domain: chips that reach each other at full speed (switched) or over neighbours (torus)."""

    size: Annotated[int, Meta(ge=1)]
    """Chips (packages, not dies)."""
    bandwidth: Annotated[BytesPerSecond, Positive] | None = None
    """Per chip, one way, all links together."""
    topology: Literal["switched", "torus"] = "switched"
    dims: Annotated[int, Meta(ge=0, le=3)] = 0
    """Dimensions of the torus, each with a link in both directions; 0 if switched."""
    latency: Seconds = 0.0
    """Of one hop (torus) or of one crossing of the switch; 0 if unknown, which a lower bound may use."""
    in_network_reduction: bool = False
    """Whether the switch adds what passes through it, so that an all-reduce sends each byte once."""
    peer_access: bool = True
    """Whether a chip reads another's memory; if not, messages pass through the host's, over the same links."""

    def __post_init__(self) -> None:
        if (self.topology == "torus") != (self.dims > 0):
            raise ValueError(f"a torus has 1 to 3 dims and a switched domain 0, not {self.topology} {self.dims}")


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The scale-out network between domains."""

    bandwidth: Annotated[BytesPerSecond, Positive] | None = None
    """Per chip, one way."""
    latency: Seconds = 0.0
    """Of one message between domains; 0 if unknown, which a lower bound may use."""


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one chip with its share of the system costs per second."""

    kind: Literal["owned", "neocloud", "rented", "on-demand"]
    """Total cost of ownership of a hyperscaler or of a smaller cloud; a three-year contract; by the hour."""
    rate: Annotated[UsdPerSecond, Positive]
    date: str
    source: str


PRICE_ORDER = ("rented", "on-demand", "neocloud", "owned")
"""Which price is meant where none is named: the first of these that is known."""


class System(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Chips of one kind with the networks between them and their prices."""

    name: str
    title: str
    chip: Annotated[Chip, "chips"]
    domain: Domain
    network: Network = Network()
    chips: Annotated[int, Meta(ge=0)] = 0
    """Chips used where the user does not say; 0: the whole domain."""
    host: Annotated[int, Meta(ge=0)] = 0
    """Chips of one host, which one process of an engine starts on; 0: the whole domain, but at most 8."""
    prices: tuple[Price, ...] = ()
    aliases: tuple[str, ...] = ()
    origin: str = ""

    @property
    def default_chips(self) -> int:
        """Chips used where the user does not say."""
        return self.chips or self.domain.size

    @property
    def scale_up(self) -> float:
        """Bandwidth inside the domain, bytes/s per chip and direction (InputError if not known)."""
        return known(self, "domain.bandwidth")

    @property
    def scale_out(self) -> float:
        """Bandwidth between domains, bytes/s per chip and direction (InputError if not known)."""
        return known(self, "network.bandwidth")

    def reaches(self, chips: Array) -> Array:
        """Whether all networks that a replica of so many chips uses have a known bandwidth."""
        inside = self.domain.bandwidth is not None
        across = self.network.bandwidth is not None
        return (chips <= 1) | (inside & (across | (chips <= self.domain.size)))

    def price(self, kind: str = "") -> Price:
        """The price of a kind, or without a kind the first that is known of `PRICE_ORDER`.

        Raises
        ------
        InputError
            If no such price is known.
        """
        prices = {price.kind: price for price in self.prices}
        for name in [kind] if kind else PRICE_ORDER:
            if name in prices:
                return prices[name]
        raise InputError(
            f"{kind or 'any'} price of {self.name}",
            f"known are {', '.join(prices) or 'none'}",
            f'give one such as "$2/h", or put it in prices/{self.name}.toml of a catalogue of your own',
        )


class PriceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of the system with the name of the file."""

    prices: tuple[Price, ...]
    origin: str = ""


class Medium(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device that can hold a key-value cache: memory, flash or disk."""

    name: str
    title: str
    kind: Literal["HBM", "DDR", "LPDDR", "CXL", "NVMe TLC", "NVMe QLC", "HDD"]
    capacity: Annotated[Bytes, Positive]
    read: Annotated[BytesPerSecond, Positive]
    write: Annotated[BytesPerSecond, Positive]
    usd_per_byte: Annotated[UsdPerByte, Positive] | None = None
    """Middle of the published range; the entry's note has the range."""
    endurance: Annotated[Bytes, Positive] | None = None
    """Bytes that may be written in its life."""
    aliases: tuple[str, ...] = ()
    origin: str = ""

    @property
    def drain(self) -> Seconds:
        """Time to read all of it once: capacity / read."""
        return self.capacity / self.read


def known(owner: Chip | System | Medium, field: str) -> float:
    """The value of an optional field, by its dotted name.

    Raises
    ------
    InputError
        If it is None: names owner, field and file.
    """
    value = attrgetter(field)(owner)
    if value is None:
        fix = "add it in a catalogue of your own (--catalog DIR)"
        raise InputError(f"{owner.name} has no {field}", f"{owner.origin} does not give one", fix)
    return value


# --- number formats ---------------------------------------------------------------------------------------------------


class Format(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How numbers are stored: bytes per element with the share of its block scales, and the narrowest format of
    multiplication that such numbers fit.
    """

    bytes: Annotated[float, Positive]
    math: MathFormat


@lru_cache(maxsize=1)
def formats() -> dict[str, Format]:
    """All storage formats by name."""
    return BUILT_IN.read("", "dtypes", dict[str, Format]).value


def _format(name: str) -> Format:
    if name not in formats():
        raise UnknownNameError("number format", name, formats())
    return formats()[name]


def format_bytes(name: str) -> float:
    """Bytes per element of a storage format, block scales included: "nvfp4" is 0.5625 (UnknownNameError)."""
    return _format(name).bytes


def math_format(weights: str, activations: str, chip: Chip) -> MathFormat:
    """The format in which `weights` and `activations` are multiplied on `chip`, assuming the fastest known kernels.

    The wider of the two, if the chip has it; int8 only if both are. All else, and int4 weights always, is widened to
    bf16 on the way into the multiplier: then only memory gains from the narrow format.
    """
    pair = {_format(weights).math, _format(activations).math}
    math: MathFormat = "bf16"
    for narrow in ("int8", "fp8", "fp4"):
        if pair <= {narrow, "fp4"} and narrow in pair:
            math = narrow
    return math if getattr(chip.peak, math) is not None else "bf16"


# --- from the catalogue -----------------------------------------------------------------------------------------------


def load_chip(name: str, catalog: Catalog = BUILT_IN) -> Entry[Chip]:
    """The chip of this name or alias, with the sources of its values (UnknownNameError, InputError)."""
    return catalog.read("chips", name, Chip)


def load_medium(name: str, catalog: Catalog = BUILT_IN) -> Entry[Medium]:
    """The storage medium of this name or alias, with the sources of its values (UnknownNameError, InputError)."""
    return catalog.read("media", name, Medium)


def load_system(name: str, catalog: Catalog = BUILT_IN) -> Entry[System]:
    """The system of this name or alias, with the sources of its values (UnknownNameError, InputError).

    A price in `prices/NAME.toml` takes the place of the system's own of that kind.
    """
    entry = catalog.read("systems", name, System)
    own = entry.value
    if own.name not in catalog.names("prices"):
        return entry
    extra = catalog.read("prices", own.name, PriceList)
    prices = {price.kind: price for price in (*own.prices, *extra.value.prices)}
    sources = {f"{extra.value.origin}: {key}": provenance for key, provenance in extra.sources.items()}
    return Entry(value=replace(own, prices=tuple(prices.values())), sources=entry.sources | sources)
