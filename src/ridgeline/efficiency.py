"""What a kernel and a message take on a real device, from the seconds they take at peak rates and a few constants.

    kernel    t = fixed + serial depth + passes activations + max(math, memory) + (1 - overlap) min(math, memory)
              math = flop / (compute F) + softmax scores            memory = bytes / (bandwidth W)
    message   t = fixed + hop (ranks - 1) + min( wire / eager , switch + wire / bulk )

F and W are dense datasheet peaks, `wire` is the message's bytes over the link's peak, without latency. Every term is
one physical effect: `fixed` launch, prologue and drain; `serial` the loop that one thread block runs alone (over the
inner dimension of a matrix, over cached tokens, over experts); `passes` how often inputs and outputs cross HBM
(quantising, permuting); `softmax` one exponential; `overlap` how much of the smaller of math and memory the larger
hides; `eager` and `bulk` the low-latency and the full-bandwidth protocol of a collective. No term falls when FLOPs,
bytes, depth or ranks grow and shares are at most 1, so t rises with the work and is never below max(math, memory) at
peak, nor below `wire`.

One kernel each: query, key and value projections together; output projection; gate and up together; down; the head;
attention with its rotation and cache write; all routed experts of a layer (routing, both matrices, activation, sum).
`depth` of a matrix: its inner dimension on the device; of attention: the tokens that a query sees (at most its window);
of experts: distinct experts read. `scores`: query-key pairs times heads on the device.

Unknown here: host time between kernels, clocks under power limits, contention of messages with kernels.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from math import exp
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ridgeline.arrays import Array, namespace
from ridgeline.errors import UnknownNameError
from ridgeline.hardware import Chip, formats, math_format

Provenance = Literal["measured kernels", "pooled", "spec sheet only"]
Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[float, Meta(ge=0)]

KERNELS = ("gemm", "prefill attention", "decode attention", "prefill latent", "decode latent", "experts")
LINKS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "dispatch", "combine")
ANY = "any"
"""Stands for all engines, or for all chips."""
HOST = "host"
"""Format of messages between chips without peer access: NCCL writes them to the host's memory and reads them there."""
MATRICES_OF = "sglang"
"""Engine whose tables of matrices stand for all engines: they take such kernels from the same libraries, and these
tables time captured kernels only, where the others' of fp8 and fp4 have time of the host in them."""
OWN_MATH = {("trtllm", "fp8")}
"""Engines and formats whose matrices another library multiplies: cuBLASLt's take the same with 257 rows as with 256 on
Hopper, where CUTLASS's take twice as long (and 1.6 times with 1025 instead of 1024)."""
MEASURED_AS = {"bf16": ("bf16",), "fp8": ("fp8", "bf16"), "int8": ("fp8", "bf16"), "fp4": ("nvfp4", "fp8", "bf16")}
"""Stored formats whose kernels stand for others that are multiplied in the same format, nearest first."""


class Row(msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """What constants were fitted to: `place` is a chip, a generation of chips or ANY; `engine` may be ANY.

    `rows` measured times; `error`: 80% of |ln(measured / law)| are below it, for a pool on chips that were left out.
    """

    family: str
    format: str
    place: str
    engine: str
    rows: int
    error: Count


class KernelConstants(Row, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Constants of a family of kernels; seconds, shares of a peak, and numbers of passes over HBM."""

    fixed: Count
    serial: Count
    passes: Count
    compute: Share
    bandwidth: Share
    overlap: Annotated[float, Meta(ge=0, le=1)]
    softmax: Count


class LinkConstants(Row, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True):
    """Constants of a collective inside one scale-up domain; seconds and shares of the peak bandwidth."""

    fixed: Count
    hop: Count
    eager: Share
    switch: Count
    bulk: Share


class Constants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that was fitted, where from, and which chips are alike."""

    source: str
    notice: str
    generations: dict[str, tuple[str, ...]]
    kernels: tuple[KernelConstants, ...]
    links: tuple[LinkConstants, ...]


def kernel_time(
    constants: KernelConstants,
    math: Array,
    memory: Array,
    activations: Array = 0.0,
    depth: Array = 0.0,
    scores: Array = 0.0,
) -> Array:
    """Seconds of one kernel; numbers or arrays.

    Parameters
    ----------
    math, memory
        Seconds at peak rates: flop / F, and bytes of weights and cache / W.
    activations
        Seconds in which the inputs and outputs cross HBM once at peak: bytes / W.
    depth, scores
        As in the module's text.

    Examples
    --------
    >>> h100 = KernelConstants(family="gemm", format="bf16", place="h100", engine="any", rows=1, error=0.1, fixed=3e-6,
    ...     serial=0.0, passes=0.5, compute=0.8, bandwidth=0.9, overlap=0.75, softmax=0.0)
    >>> round(kernel_time(h100, math=100e-6, memory=9e-6) * 1e6, 1)  # 3 + 125 + 10 / 4
    130.5
    """
    return constants.fixed + kernel_work(constants, math, memory, activations, depth, scores)


def kernel_work(
    constants: KernelConstants, math: Array, memory: Array, activations: Array, depth: Array, scores: Array
) -> Array:
    """The part of `kernel_time` that grows with the work: all but `fixed`."""
    math = math * (1.0 / constants.compute) + constants.softmax * scores
    memory = memory * (1.0 / constants.bandwidth)
    visible = math + memory - constants.overlap * namespace(math, memory).minimum(math, memory)
    return visible + constants.serial * depth + constants.passes * activations


def link_time(constants: LinkConstants, wire: Array, ranks: Array) -> Array:
    """Seconds of one message among `ranks` ranks that takes `wire` seconds at peak bandwidth; 0 if it sends nothing.

    A low-latency dispatch sends a token once per expert, not once per rank: its wire time is that of topk copies.
    """
    xp = namespace(wire, ranks)
    sent = xp.minimum(wire * (1.0 / constants.eager), constants.switch + wire * (1.0 / constants.bulk))
    return (constants.fixed + constants.hop * (ranks - 1) + sent) * (wire > 0)


@lru_cache(maxsize=4096)
def kernel_constants(family: str, chip: Chip, stored: str, engine: str = ANY) -> KernelConstants:
    """Constants of a kernel that reads weights (attention: a cache) of the format `stored`.

    The chip's own if its file has some; else the first that was fitted of: this engine on this chip; all engines on
    this chip; this engine, then all engines, on chips of its generation; and only then, in the same order, those of
    formats that are multiplied alike (`MEASURED_AS`); at last those of all chips.

    Raises
    ------
    UnknownNameError
        For a family or a number format that does not exist.
    """
    if family not in KERNELS:
        raise UnknownNameError("kernel family", family, KERNELS)
    numbers, own = _formats(stored, chip), {(row.family, row.format): row for row in chip.kernels}
    for number in numbers:
        if (family, number) in own:
            return KernelConstants(place=chip.name, engine=ANY, **msgspec.structs.asdict(own[family, number]))
    for number in numbers:
        for place, who in _places(chip.name, engine):
            if place != ANY and (found := _kernels().get((family, number, place, who))):
                return found
    for number in numbers:
        if found := _kernels().get((family, number, ANY, ANY)):
            return found
    raise AssertionError(f"no constants of {family} for any chip")


@lru_cache(maxsize=256)
def small_kernel(chip: Chip, engine: str = ANY) -> float:
    """Seconds of a kernel with next to no work: the fixed part of a bf16 matrix, at most e^error that of all chips.

    Beyond what kernels of chips that were left out may take, it is of matrices alone: on A100 it is 5.7 us where all
    chips together have 2.9, but whole steps there do not show longer small kernels, nor do tables of attention.
    A chip with a file of its own measurements keeps its own.
    """
    found, pool = kernel_constants("gemm", chip, "bf16", engine).fixed, _kernels()["gemm", "bf16", ANY, ANY]
    return found if chip.kernels else min(found, pool.fixed * exp(pool.error))


@lru_cache(maxsize=4096)
def matrix_constants(chip: Chip, stored: str, engine: str = ANY) -> KernelConstants:
    """Constants of a matrix in an engine: those of MATRICES_OF, with the engine's own math where it is in OWN_MATH."""
    found = kernel_constants("gemm", chip, stored, MATRICES_OF)
    if (engine, stored) not in OWN_MATH:
        return found
    own = kernel_constants("gemm", chip, stored, engine)
    if (own.engine, own.format) != (engine, found.format):
        return found
    return msgspec.structs.replace(found, compute=own.compute, overlap=own.overlap)


@lru_cache(maxsize=4096)
def link_constants(kind: str, chip: Chip, engine: str = ANY, peer_access: bool = True) -> LinkConstants:
    """Constants of a collective, found as those of a kernel are (UnknownNameError); "send" counts as all_to_all.

    Without peer access all engines leave all collectives to NCCL. Of these an all-reduce was measured through the
    host's memory, on PCIe 5.0; the others take its latency and its share of the link.
    """
    kind = "all_to_all" if kind == "send" else kind
    if kind not in LINKS:
        raise UnknownNameError("collective", kind, LINKS)
    if not peer_access:
        return _links()["all_reduce", HOST, ANY, ANY]
    return next(found for place in _places(chip.name, engine) if (found := _links().get((kind, "", *place))))


def provenance(constants: Row, chip: Chip) -> Provenance:
    """What constants rest on when they are used for `chip`."""
    if constants.place == chip.name:
        return "measured kernels"
    return "pooled" if chip.vendor == "NVIDIA" else "spec sheet only"


def kernel_format(stored: str, chip: Chip) -> str:
    """Name of kernels by format: "fp8", or "mxfp4@bf16" where the chip multiplies in a wider format than it could."""
    math = math_format(stored, stored, chip)
    return stored if math == formats()[stored].math else f"{stored}@{math}"


@lru_cache(maxsize=1)
def constants() -> Constants:
    """All fitted constants, as shipped."""
    return msgspec.json.decode(files("ridgeline.catalog").joinpath("constants.json").read_bytes(), type=Constants)


@lru_cache(maxsize=1)
def _kernels() -> dict[tuple[str, str, str, str], KernelConstants]:
    return {(row.family, row.format, row.place, row.engine): row for row in constants().kernels}


@lru_cache(maxsize=1)
def _links() -> dict[tuple[str, str, str, str], LinkConstants]:
    return {(row.family, row.format, row.place, row.engine): row for row in constants().links}


@lru_cache(maxsize=256)
def generation(chip: str) -> str:
    """The generation of a chip by its name; empty for one that is like no other."""
    return next((name for name, chips in constants().generations.items() if chip in chips), "")


@lru_cache(maxsize=256)
def _places(chip: str, engine: str) -> tuple[tuple[str, str], ...]:
    alike = [place for place in (chip, generation(chip)) if place]
    return (*((place, who) for place in alike for who in (engine, ANY)), (ANY, ANY))


def _formats(stored: str, chip: Chip) -> tuple[str, ...]:
    if stored not in formats():
        raise UnknownNameError("number format", stored, formats())
    return kernel_format(stored, chip), *MEASURED_AS[math_format(stored, stored, chip)]
