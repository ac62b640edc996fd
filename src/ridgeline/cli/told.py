"""An inference as text: before and after side by side, what is not known, contradictions, what-ifs, diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ridgeline.cli.table import NONE, copied, heading, plain, table
from ridgeline.pricing.closed import cache_from_step, fill_from_ratio, misfits
from ridgeline.pricing.infer import Posterior
from ridgeline.pricing.market import Market
from ridgeline.pricing.open_weights import Truth
from ridgeline.pricing.sheet import lines
from ridgeline.units import show

if TYPE_CHECKING:
    from rich.console import RenderableType

_NAMES = {
    "active": "active parameters", "total": "total parameters", "sparsity": "total over active",
    "cache": "cache per token", "B*": "balance batch B*", "L*": "balance context L*", "batch": "effective batch B",
    "B/B*": "B over B*", "markup": "input price over cost", "efficiency": "  efficiency",
    "utilisation": "  utilisation",
    "margin": "  price over its cost", "rent": "  rent over list",
}  # fmt: skip
_LECTURE = (("1 B per parameter, B far above B*", 1.0, 0.0), ("FP4, B far above B*", 0.5, 0.0),
            ("BF16, B far above B*", 2.0, 0.0), ("1 B, B = 3 B*", 1.0, 1 / 3), ("1 B, B = 2 B*", 1.0, 0.5),
            ("1 B, B = B*", 1.0, 1.0))  # fmt: skip
"""Readings of a step: bytes per parameter, and B*/B."""
_KB = "B/tok"


def told(found: Posterior, truth: Truth | None, market: Market, again: str) -> list[RenderableType]:
    """The whole answer; of a sheet that nothing explains only that."""
    sheet = found.sheet
    name = " of ".join(filter(None, (sheet.name, sheet.provider))) + (f", {sheet.date}" if sheet.date else "")
    asked = ", ".join(f"{line.name} {show(line.price, line.unit)}" for line in lines(sheet))
    head = [
        f"{name}: {asked}",
        f"beliefs learnt from {market.source}, {market.date} (--print-priors)",
        *_cautions(found, market),
    ]
    if found.unexplained:
        return [*head, copied(f"again: {again}")]
    return [
        *head,
        heading("Before and after the sheet: interval of 80%, and the middle"),
        _beliefs(found, truth),
        *_unknown(found),
        heading("Kind of model"),
        table(
            ["<", "before", "after"],
            [(name, f"{before:.0%}", f"{after:.0%}") for name, (before, after) in found.shares.items()],
        ),
        heading("Known in combination only: correlation in logs after the sheet"),
        table(
            ["<", "<", "correlation"],
            [(_label(one), _label(other), f"{value:+.2f}") for one, other, value in found.ridges],
        ),
        heading("What another seller of this model would ask"),
        table(
            ["<", "asked here", "middle", "80% interval"],
            [
                (key, mtok(getattr(sheet, key)), mtok(middle), f"{mtok(low)} to {mtok(high)}")
                for key, (low, middle, high) in found.predicted.items()
            ],
        ),
        *_steps(found),
        *_tried(market),
        *_what_if(found),
        "",
        f"{found.draws:,.0f} effective draws of {len(found.weights):,}, Pareto k {found.tail:.2f}",
        copied(f"again: {again}"),
    ]


def _cautions(found: Posterior, market: Market) -> list[RenderableType]:
    out: list[RenderableType] = []
    if market.dearest and found.sheet.output * 1e6 > market.dearest:
        out.append(
            f"caution: output is dearer than {show(market.dearest * 1e-6, 'USD/tok')}, as one family in ten was that "
            "this was learnt from; beyond, intervals hold too rarely (docs/prices.md)"
        )
    if found.unexplained:
        names = ", ".join(found.unexplained)
        out.append(f"no model in the prior explains its {names}: a mistaken unit, or not priced by cost")
    return out


def _beliefs(found: Posterior, truth: Truth | None) -> RenderableType:
    public = {"active": truth.active, "total": truth.total, "cache": truth.cache,
              "sparsity": truth.total / truth.active} if truth else {}  # fmt: skip
    heads = ["<", "before, 80%", "after", "80%", "nats", *([f"<{truth.model}"] if truth else [])]
    rows = []
    for name, belief in found.beliefs.items():
        last = belief.posterior if belief.identified else belief.prior
        row = [
            _label(name), _cells(belief.prior, belief.unit)[1], *_cells(last, belief.unit),
            f"{belief.nats:.2f}" if belief.identified else NONE,
        ]  # fmt: skip
        rows.append([*row, *([_short(public[name], belief.unit) if name in public else ""] if truth else [])])
    return table(heads, rows)


def _unknown(found: Posterior) -> list[RenderableType]:
    names = [_label(name).strip() for name, belief in found.beliefs.items() if not belief.identified]
    return ["", f"not identified, so that before is shown again: {', '.join(names)}"] if names else []


def _steps(found: Posterior) -> list[RenderableType]:
    base = found.sheet.output
    rows = [
        (show(step.above, "tok"), f"{step.output / base:.3g}x", f"{middle:.3g}x", f"{low:.3g}x to {high:.3g}x")
        for step, (low, middle, high) in zip(found.sheet.steps, found.rises, strict=True)
    ]
    if not rows:
        return []
    head = "Steps: how output would rise if it followed the cost of so long a context"
    return [heading(head), table(["above", "asked", "middle", "80% interval"], rows)]


def _tried(market: Market) -> list[RenderableType]:
    rows = [
        (_label(name), f"{each.coverage:.0%}", f"{each.width:.2f}", f"{each.gain:+.2f}")
        for name, each in market.tried.items()
        if "," not in name
    ]
    if not rows:
        return []
    families = next(iter(market.tried.values())).families
    heads = ["<", "in the\ninterval", "its width,\nfactors of 10", "nats over\nthe prior"]
    return [heading(f"How that did on {families} families of open-weight models, each left out"), table(heads, rows)]


def _what_if(found: Posterior) -> list[RenderableType]:
    """The lecture's readings of single lines."""
    sheet = found.sheet
    out: list[RenderableType] = [f"- {text}" for text in misfits(sheet)]
    if out:
        out = [heading("What one operating point cannot explain"), *out]
    if sheet.steps:
        at, active = sheet.steps[0].above, found.beliefs["active"].posterior[1]
        rows = [
            (text, show(cache_from_step(100e9, width, 300.0, at, fill), _KB),
             show(cache_from_step(active, width, 300.0, at, fill), _KB))
            for text, width, fill in _LECTURE
        ]  # fmt: skip
        heads = ["<if", "100e9\nactive", f"{_short(active, '1')}\nactive"]
        head = (
            f"What if the step at {show(at, 'tok')} were the balance of cache and math, r = 300: bytes read per token"
        )
        out += [heading(head), table(heads, rows), "", "a what-if: no held-out model confirms it"]
    elif fill_from_ratio(sheet.ratio) > 1:
        batch = f"B*/{fill_from_ratio(sheet.ratio):.3g}"
        out += [
            "",
            f"what if prefill were all math, decode all weights: output {sheet.ratio:.3g}x input is B = {batch}",
        ]
    return out


def _label(name: str) -> str:
    return _NAMES.get(name, name)


def _cells(belief: tuple[float, float, float], unit: str) -> tuple[str, str]:
    low, middle, high = belief
    return _short(middle, unit), span(low, high, unit)


def span(low: float, high: float, unit: str) -> str:
    """Both ends of an interval."""
    return f"{_short(low, unit)} to {_short(high, unit)}"


def _short(value: float, unit: str) -> str:
    """A parameter count as 36.6e9, else three digits with a unit."""
    if unit == "1":
        return f"{float(f'{value / 1e9:.3g}'):,.12g}e9" if value >= 1e8 else plain(float(f"{value:.3g}"))
    return show(value, unit)


def mtok(price: float) -> str:
    """A price per million tokens."""
    return show(price, "USD/tok")
