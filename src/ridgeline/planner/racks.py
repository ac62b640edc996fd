"""Beyond one rack: experts over several scale-up domains, domains of other sizes, pipelines of racks, less memory.

    all-to-all over R domains     a share (R - 1) / R of the tokens' copies crosses the slower network
    pipeline of P racks           weights per chip fall as 1 / P; P micro-batches keep all racks busy, so each chip
    holds the
                                  caches of as many sequences as before:  c = N b_w / (E P) + b L k / E
    token through P racks         the same math and reads as through one, and P hops more

Decode alone, as estimated. A rack here is one scale-up domain of the system. Knows no cable, weight or power of racks.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.layout import Layout
from ridgeline.planner.replicas import DECODE_CHUNK, Replicas, replicas
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator, Point, point
from ridgeline.subject import subject
from ridgeline.units import show

RACKS = (1, 2, 4, 8)
DOMAINS = (8, 72, 144, 576)
FLEET = 144
"""Chips over which domains of up to this size are compared; larger ones are compared on one domain."""
CAPACITIES = (1.0, 0.5, 0.25)
HOP = 2e-3
"""Seconds of a hop between racks in the lecture."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Decode with the experts of each layer over so many racks, at the batch that is cheapest within the TPOT."""

    racks: int
    layout: str
    batch: int
    tpot: float
    off_rack: float
    """Share of the ranks that are in other racks."""
    exchange: float
    """Estimated seconds of messages in a step."""
    floor: float
    """Seconds of dispatch and combine at peak bandwidth."""
    rate: float
    """Output tokens per second and chip."""


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """The best decode on domains of another size."""

    domain: int
    chips: int
    layout: str
    batch: int
    tpot: float
    fastest: float
    """Lowest TPOT of any layout."""
    weight_read: float
    """Seconds in which one domain reads all weights."""
    rate: float


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """One rack's layout repeated as a pipeline of so many racks."""

    racks: int
    batch: int
    weights: float
    """Bytes per chip."""
    cache: float
    unused: float
    """Share of the memory that neither holds."""
    tpot: float
    hop: float
    """Seconds of all hops between racks, of it."""
    slow_hop: float
    """TPOT with hops of HOP seconds."""
    rate: float


class Smaller(msgspec.Struct, frozen=True, kw_only=True):
    """The largest batch and its rate with a share of the memory, over so many racks."""

    capacity: float
    racks: int
    batch: int
    """Sequences of one rack's chips; 0 if not even one fits."""
    tpot: float
    rate: float


class Racks(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to the questions beyond one rack; parts that a model or system cannot have are empty."""

    scenario: Scenario
    rack: int
    spread: tuple[Spread, ...]
    domains: tuple[Sized, ...]
    stages: tuple[Stages, ...]
    capacities: tuple[Smaller, ...]


def racks(scenario: Scenario) -> Racks:
    """Decode of a scenario beyond one scale-up domain, within its TPOT.

    Raises
    ------
    InputError
        If the network between domains is not known, or the model has no place on one domain within the TPOT.
    """
    half = msgspec.structs.replace(scenario, context=scenario.decode_context, chunk=DECODE_CHUNK, chips=0)
    found = subject(half)
    size = found.system.domain.size
    _ = found.system.scale_out  # refuses a network that is not known
    base = _cheapest(_decode(half, size, _flat), half)
    if base is None:
        raise InputError(
            f"{found.model.name} on one domain of {size} chips of {found.system.name}",
            "no layout without stages fits" + (f" within {show(half.tpot, 's')}" if half.tpot else ""),
            "a larger domain, such as --set domain.size=72, or a longer --tpot",
        )
    return Racks(
        scenario=half,
        rack=size,
        spread=_spread(half, size),
        domains=_domains(half),
        stages=tuple(_stage(half, base, p) for p in RACKS if p <= len(found.model.layers)),
        capacities=_capacities(half, base),
    )


def _decode(scenario: Scenario, chips: int, only: Callable[[Layout], np.ndarray] | None = None) -> Replicas:
    found = subject(msgspec.structs.replace(scenario, chips=chips))
    return replicas(msgspec.structs.replace(scenario, chips=chips), found, (DECODE_CHUNK,), only)


def _cheapest(own: Replicas, scenario: Scenario) -> Point | None:
    """The cheapest decode within the TPOT, at the largest batch that keeps it."""
    longest = (float(scenario.tpot) or np.inf) * scenario.gained
    can = np.flatnonzero(own.seconds <= longest)
    if not len(can):
        return None
    paid = own.found.chips / (own.found.chips // own.space.chips)
    best = can[np.argmin(paid[own.index[can]] * own.seconds[can] / own.batch[can])]
    row, low = own.index[best : best + 1], own.batch[best : best + 1]
    high = np.maximum(own.batch[own.index == row[0]].max(keepdims=True), low)
    while (low < high).all():
        middle = np.ceil((low + high) / 2)
        ok = own.decode(row, middle) <= longest
        low, high = np.where(ok, middle, low), np.where(ok, high, middle - 1)
    degrees = {name: int(getattr(own.space, name)[row[0]]) for name in Layout.__struct_fields__}
    return point(msgspec.structs.replace(own.scenario, batch=int(low[0]), **degrees))


def _flat(space: Layout) -> np.ndarray:
    """Layouts without stages and without divided contexts."""
    return (space.pp == 1) & (space.cp == 1)


def _rate(made: Point) -> float:
    assert made.expected is not None
    return float(made.expected.output_rate_per_chip)


def _tpot(made: Point) -> float:
    assert made.expected is not None
    return float(made.expected.tpot)


def _spread(scenario: Scenario, size: int) -> tuple[Spread, ...]:
    """The experts over 1, 2, 4, 8 domains, all of them in use by one replica without stages."""
    out: list[Spread] = []
    for count in RACKS:
        others = size * (count - 1)  # chips of all domains but the last, in which some must be used too

        def whole(space: Layout, others: int = others) -> np.ndarray:
            return _flat(space) & (space.chips > others) & (space.ep > others)

        made = _cheapest(_decode(scenario, size * count, whole), scenario)
        if made is None or made.scenario.layout.ep == 1:
            continue
        layers = made.step.layers
        exchange = sum(
            float(seconds) * layer.count
            for layer in layers
            for message, seconds in layer.messages
            if message.name in ("dispatch", "combine")
        )
        out.append(
            Spread(
                racks=count,
                layout=str(made.scenario.layout),
                batch=int(made.scenario.batch),
                tpot=_tpot(made),
                off_rack=1.0 - 1.0 / count,
                exchange=float(made.estimate.terms.parts(made.estimate.engine)["messages"]),
                floor=exchange,
                rate=_rate(made),
            )
        )
    return tuple(out)


def _domains(scenario: Scenario) -> tuple[Sized, ...]:
    out: list[Sized] = []
    for size in DOMAINS:
        chips = max(size, FLEET)
        text = ",".join([*(part for part in scenario.set.split(",") if part and "domain.size" not in part)])
        changed = msgspec.structs.replace(scenario, set=",".join(filter(None, (text, f"domain.size={size}"))))
        own = _decode(changed, chips)
        made = _cheapest(own, changed)
        if made is None:
            continue
        weights = made.numbers["weight_bytes"].value / made.subject.system.chip.hbm_bandwidth
        out.append(
            Sized(
                domain=size,
                chips=chips,
                layout=str(made.scenario.layout),
                batch=int(made.scenario.batch),
                tpot=_tpot(made),
                fastest=float(own.seconds.min()) / scenario.gained,
                weight_read=weights / size,
                rate=_rate(made),
            )
        )
    return tuple(out)


def _piped(scenario: Scenario, base: Point, count: int, per_rack: float, set: str = "") -> Point:
    """The base's layout as a pipeline of racks with a micro-batch of `per_rack` sequences in each."""
    text = ",".join(filter(None, (scenario.set, set)))
    layout = base.scenario.layout
    degrees = {name: getattr(layout, name) for name in Layout.__struct_fields__} | {"pp": count}
    chips = int(layout.chips) * count
    return point(msgspec.structs.replace(scenario, set=text, chips=chips, batch=per_rack * count, **degrees))


def _stage(scenario: Scenario, base: Point, count: int) -> Stages:
    """As many sequences in each rack as the base has in its one: a micro-batch, so that each step reads as often."""
    made = _piped(scenario, base, count, int(base.scenario.batch))
    hops = sum(float(layer.time.comms) * float(layer.count) for layer in made.step.layers if layer.name == "pipeline")
    tpot, held = _tpot(made), made.memory
    return Stages(
        racks=count,
        batch=int(made.scenario.batch),
        weights=float(held.weights),
        cache=float(held.cache),
        unused=1.0 - float(held.weights + held.cache) / float(held.capacity),
        tpot=tpot,
        hop=hops,
        slow_hop=tpot + (count if count > 1 else 0) * HOP / float(scenario.gained),
        rate=_rate(made),
    )


def _capacities(scenario: Scenario, base: Point) -> tuple[Smaller, ...]:
    """The same layout with less memory, filled, as one rack and as pipelines."""
    out: list[Smaller] = []
    layout = base.scenario.layout
    for share in CAPACITIES:
        for count in RACKS[:3]:
            text = "" if share == 1 else f"chip.hbm_capacity={share:g}x"
            changed = msgspec.structs.replace(scenario, set=",".join(filter(None, (scenario.set, text))))
            degrees = {name: getattr(layout, name) for name in Layout.__struct_fields__} | {"pp": count}
            held = Evaluator(changed, subject(changed)).memory(Layout(**degrees), 1.0)
            most = float(held.most_sequences) * float(layout.dp)
            per_rack = int(most // count)
            longest = float(scenario.tpot) or np.inf
            low, high = 0, per_rack
            while low < high:  # the largest within the TPOT
                middle = (low + high + 1) // 2
                ok = _tpot(_piped(scenario, base, count, middle, text)) <= longest
                low, high = (middle, high) if ok else (low, middle - 1)
            if not low:
                out.append(Smaller(capacity=share, racks=count, batch=0, tpot=float("nan"), rate=0.0))
                continue
            made = _piped(scenario, base, count, low, text)
            out.append(Smaller(capacity=share, racks=count, batch=low, tpot=_tpot(made), rate=_rate(made)))
    return tuple(out)
