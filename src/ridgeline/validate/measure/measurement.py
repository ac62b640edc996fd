"""What a measured machine comes to: a chip with its constants, a system of it, and the readings, as catalogue files.

    peak = most FLOP per second of any reading        bandwidth = most bytes per second of any reading

unless the chip's data sheet is known, which then gives the peaks. Knows no law of its own.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from ridgeline.catalog import BUILT_IN, Entry, Provenance
from ridgeline.hardware import Chip, Domain, Peak, System, load_chip
from ridgeline.kernel import Kernel
from ridgeline.scenario import exact
from ridgeline.units import show
from ridgeline.validate.measure.clock import Clock
from ridgeline.validate.measure.device import Device
from ridgeline.validate.measure.exchange import all_reduce_readings, bus_bandwidth
from ridgeline.validate.measure.fit import fit
from ridgeline.validate.measure.kernels import kernel_readings, machine_readings
from ridgeline.validate.measure.reading import Reading
from ridgeline.validate.measure.store import Store

QUICK, FULL = (0.08, 12.0), (0.3, 80.0)
"""Seconds for one reading, and for all kernels."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as it was measured."""

    chip: Entry[Chip]
    bandwidth: float | None
    """Between devices, one way; None if there is one only."""
    count: int
    """Devices."""
    source: str
    date: str
    load: float
    """Processes of others that wanted each processor meanwhile: well above 0, times are too long."""
    readings: tuple[Reading, ...]

    @property
    def system(self) -> System:
        """All devices of the machine."""
        chip = self.chip.value
        domain = Domain(size=self.count, bandwidth=self.bandwidth)
        return System(name=chip.name, title=chip.title, chip=chip, domain=domain)

    def files(self) -> dict[str, str]:
        """Text of each file of a catalogue folder that has this machine, by path."""
        chip, name = self.chip.value, self.chip.value.name
        head = {"source": self.source, "date": self.date}
        system: dict[str, Any] = {"title": f"{self.count} x {chip.title}", "chip": name} | head
        domain: dict[str, Any] = {"size": self.count}
        if self.bandwidth is not None:
            domain["bandwidth"] = exact(self.bandwidth, "B/s")
        readings = {"machine": chip.title, "load": self.load, **head, "readings": self.readings}
        return {
            f"systems/{name}.toml": "\n".join([*_lines(system), "", "[domain]", *_lines(domain)]) + "\n",
            f"chips/{name}.toml": "\n".join(chip_lines(self.chip, head)) + "\n",
            f"readings/{name}.json": msgspec.json.format(msgspec.json.encode(readings), indent=1).decode() + "\n",
        }


def measure(device: Device, *, quick: bool = False, tell: Callable[[str], None] = lambda stage: None) -> Measurement:
    """Time the device's memory, matrices, attention, launches and links, and fit the constants of its kernels."""
    budget, seconds = QUICK if quick else FULL
    store = Store(device)
    tell("memory, launches and matrix products")
    with device.torch.inference_mode():
        readings = list(machine_readings(Clock(device=device, budget=4 * budget), store))
        rough = chip_of(device, readings, "", "").value
        tell("matrices and attention of transformer layers")
        readings += kernel_readings(Clock(device=device, budget=budget), store, rough, seconds)
    links: list[Reading] = []
    if device.count > 1:
        tell(f"all-reduce among {device.count} devices")
        links = all_reduce_readings(device, device.count)
    source, date = f"ridgeline {version('ridgeline')} measure, {device.software}", datetime.date.today().isoformat()
    chip = chip_of(device, readings, source, date)
    found = replace(chip, value=replace(chip.value, kernels=fit(readings, chip.value)))
    return Measurement(
        chip=found,
        bandwidth=max(map(bus_bandwidth, links), default=None),
        count=device.count,
        source=source,
        date=date,
        load=device.load,
        readings=(*readings, *links),
    )


def chip_of(device: Device, readings: Sequence[Reading], source: str, date: str) -> Entry[Chip]:
    """The chip by its data sheet where that is known, else by the best of the readings."""
    if device.chip:
        return load_chip(device.chip, BUILT_IN)
    rates: dict[str, float] = {}
    for reading in readings:
        math = reading.operation.math
        rates[math] = max(rates.get(math, 0.0), reading.operation.flop / reading.seconds)
    rates = {math: _digits(rate) for math, rate in rates.items()}
    bandwidth = _digits(max(reading.operation.memory / reading.seconds for reading in readings))
    chip = Chip(
        name=device.name,
        title=device.title,
        vendor="unknown",
        memory="unknown",
        peak=Peak(**rates),
        hbm_capacity=device.capacity,
        hbm_bandwidth=bandwidth,
    )
    values = {"hbm_capacity": (device.capacity, "B"), "hbm_bandwidth": (bandwidth, "B/s")}
    values |= {f"peak.{math}": (rate, "FLOP/s") for math, rate in rates.items()}
    best = "best that was measured, not a data sheet's peak"
    notes = {"hbm_capacity": "all memory of the machine"}
    sources = {
        path: Provenance(text=exact(value, unit), source=source, date=date, note=notes.get(path, best))
        for path, (value, unit) in values.items()
    }
    return Entry(value=chip, sources=sources)


def chip_lines(entry: Entry[Chip], head: dict[str, str]) -> Iterator[str]:
    """A chip's file: texts, values with their sources, and constants."""
    chip = entry.value
    texts = {name: getattr(chip, name) for name in ("title", "vendor", "announced", "memory")}
    yield from _lines({name: text for name, text in texts.items() if text} | head)
    if chip.aliases:
        yield f"aliases = {msgspec.json.encode(chip.aliases).decode()}"
    yield ""
    tables: dict[str, list[str]] = {}
    for path, said in entry.sources.items():
        table, _, key = path.rpartition(".")
        if not table.startswith("kernels"):
            parts = {"value": said.text, "source": said.source, "date": said.date, "note": said.note}
            inner = ", ".join(_lines({name: text for name, text in parts.items() if text and text != head.get(name)}))
            tables.setdefault(table, []).append(f"{key} = {{ {inner} }}")
    for table, lines in sorted(tables.items()):
        yield from (f"\n[{table}]", *lines) if table else lines
    for kernel in chip.kernels:
        yield from ("", "[[kernels]]", *_lines(_written(kernel)))


def _written(kernel: Kernel) -> dict[str, Any]:
    return {name: show(v, "s") if name in ("fixed", "serial", "softmax") else v for name, v in asdict(kernel).items()}


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in table.items()]


def _digits(value: float) -> float:
    """To four digits, and never below what was measured."""
    return float(f"{value * 1.0005:.4g}")
