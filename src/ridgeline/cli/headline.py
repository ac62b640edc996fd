"""What was asked, and how sure the answer is, in words: model, system, price, workload, formats; interval, source."""

from __future__ import annotations

from ridgeline.cli.table import counted, plain, shown
from ridgeline.estimate import Estimate
from ridgeline.precision import Precision
from ridgeline.scenario import Scenario
from ridgeline.serving.point import chip_price
from ridgeline.subject import Subject
from ridgeline.units import show

ESTIMATE = "estimate: measured constants; of held-out measurements 80% lie in the interval"
FLOOR = "floor: no machine can be faster"
_RESTS_ON = {
    "measured kernels": "from kernels measured on {chip}",
    "measured steps": "from steps of this engine measured on {chip}",
    "pooled": "from kernels of related chips, {chip} was not measured",
    "spec sheet only": "from the data sheet of {chip} and kernels of other chips",
}
"""What an estimate rests on, by its provenance."""


def headline(scenario: Scenario, found: Subject) -> list[str]:
    """Lines at the head of an answer."""
    model, formats = found.model, found.precision
    counts = f"{_billions(model.parameters)} parameters, {_billions(model.active_parameters)} active"
    return [
        f"{model.name} ({counts}) on {counted(found.chips, 'chip')} of {found.system.name}, {_price(scenario, found)}",
        f"{_workload(scenario)}; weights {_stored(formats)}, cache {formats.kv}",
        *([f"what if: {scenario.set}"] if scenario.set else []),
    ]


def _billions(count: float) -> str:
    return f"{count / 1e9:,.0f}e9" if count >= 1e12 else f"{count / 1e9:.3g}e9"


def expected(estimate: Estimate, chip: str) -> str:
    """An estimate with its interval, its floor, and what it rests on."""
    low, seconds, high, floor = (shown(t, "s") for t in (estimate.low, estimate.seconds, estimate.high, estimate.floor))
    return f"{seconds} ({low} to {high}; floor {floor}), {_RESTS_ON[estimate.provenance].format(chip=chip)}"


def _workload(scenario: Scenario) -> str:
    if scenario.phase == "decode" and scenario.context:
        return f"decode at a context of {plain(scenario.context)} tokens"
    cached = f" ({plain(scenario.prefix)} cached)" if scenario.prefix else ""
    return f"prompts of {plain(scenario.isl)} tokens{cached}, answers of {plain(scenario.osl)}"


def _stored(formats: Precision) -> str:
    """Formats of the weights, parts of one format together: "fp8 (embedding, head bf16)"."""
    parts: dict[str, list[str]] = {}
    for part, name in formats.stored.items():
        if part != "default":
            parts.setdefault(name, []).append(part)
    main = formats.stored["default"]
    others = [f"{', '.join(names)} {name}" for name, names in parts.items() if name != main]
    return f"{main} ({'; '.join(others)})" if others else main


def _price(scenario: Scenario, found: Subject) -> str:
    rate = chip_price(scenario, found)
    if rate is None:
        return "price not known (--price)"
    price = next((p for p in found.system.prices if p.rate == rate), None)
    kind = f", {price.kind} {price.date}" if price and not scenario.price.startswith("$") else ""
    return f"{show(rate, 'USD/s')} per chip{kind}"
