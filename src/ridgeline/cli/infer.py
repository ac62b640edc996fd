"""`ridgeline infer`: what a price sheet says of the model behind it, and how sure that is."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, counted, heading, plain, shown, table
from ridgeline.errors import InputError
from ridgeline.pricing import find
from ridgeline.pricing.closed import cache_from_step, fill_from_ratio, misfits
from ridgeline.pricing.infer import DRAWS, Inference, Posterior
from ridgeline.pricing.market import Market, load_market, market_text
from ridgeline.pricing.open_weights import Truth, truth_of
from ridgeline.pricing.recognise import recognise
from ridgeline.pricing.sheet import Sheet, lines
from ridgeline.pricing.spelling import read_modes, read_price, read_steps, read_writes
from ridgeline.units import parse, show

if TYPE_CHECKING:
    from rich.console import RenderableType


def _option(text: str, group: str = "Sheet") -> Parameter:
    return Parameter(help=text, group=group)


SheetName = Annotated[
    str, _option("A name in the catalogue, a .toml, a .json in litellm's format or a .csv of prices.")
]
ModelName = Annotated[str, _option("Which model of the file.")]
Input = Annotated[str, _option("Price of input, $ per million tokens.")]
Output = Annotated[str, _option("Price of output.")]
Cached = Annotated[str, _option("Price of cached input.")]
Above = Annotated[str, _option("Prices of long requests \\[such as 200k:4/18].")]
Writes = Annotated[str, _option("Prices of cache writes \\[such as 5min:6.25,1h:10].")]
Modes = Annotated[str, _option("Prices of modes \\[such as batch:1/6].")]
Context = Annotated[str, _option("Longest input \\[such as 1M].")]
Priors = Annotated[str, _option("File of beliefs in place of the built-in ones.", "Beliefs")]
PrintPriors = Annotated[bool, _option("Print the built-in beliefs, to be edited.", "Beliefs")]
PricesOnly = Annotated[
    bool, _option("Leave out what else a sheet shows: longest input, whether hits are sold.", "Beliefs")
]
Draws = Annotated[int, _option(f"Models drawn \\[{DRAWS:,}].", "Beliefs")]
All = Annotated[bool, _option("Every text model of the file, a row each.")]
PlotFile = Annotated[str, Parameter(name="--plot", help="Draw before and after to this .svg or .png.", group=OUTPUT)]

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
_SELDOM = 5.0
_KB = "B/tok"


@command()
def infer(
    sheet: SheetName = "",
    model: ModelName = "",
    /,
    *,
    input: Input = "",
    output: Output = "",
    cached: Cached = "",
    above: Above = "",
    write: Writes = "",
    mode: Modes = "",
    context: Context = "",
    all: All = False,
    priors: Priors = "",
    print_priors: PrintPriors = False,
    prices_only: PricesOnly = False,
    draws: Draws = DRAWS,
    plot: PlotFile = "",
) -> Report:
    """What a price sheet says of the model behind it: parameters, cache, batch, margin, before and after the sheet.

    Give a sheet by name or file, or its prices: infer --input 2 --output 12 --cached 0.2 --above 200k:4/18.
    """
    if print_priors:
        text = market_text()
        return Report(document=lambda: {"priors": text}, rows=lambda: Rows(["priors"], [[text]]), text=lambda: [text])
    if not 1000 <= draws <= 1 << 22:
        raise InputError(f"--draws {draws}", f"1,000 to {1 << 22:,}")
    flags = {"input": input, "output": output, "cached": cached, "above": above, "write": write, "mode": mode,
             "context": context}  # fmt: skip
    given = {name: value for name, value in flags.items() if value}
    words = [word for word in (sheet, model) if word]
    asked = [*words, *(word for name, value in given.items() for word in (f"--{name}", value))]
    asked += [*(["--all"] if all else []), *(["--priors", priors] if priors else [])]
    asked += [*(["--prices-only"] if prices_only else []), *(["--draws", str(draws)] if draws != DRAWS else [])]
    again = shlex.join(["ridgeline", "infer", *asked])
    if sheet and given:
        raise InputError(f"{sheet} with --{' --'.join(given)}", "a sheet by name or by prices, not both")
    market = load_market(priors)
    if all:
        if not sheet or model or plot:
            raise InputError("--all", "a file, without a model and without --plot")
        return _every(sheet, market, draws, signs=not prices_only, again=again)
    found = find.one(sheet, model) if sheet else _flags(given)
    inference = Inference(market, draws)
    posterior, truth = inference.posterior(found, signs=not prices_only, whole=bool(sheet)), _truth(found)
    if plot:
        from ridgeline.cli.belief import draw_belief

        draw_belief(inference, posterior, truth, plot, again)
    return Report(
        document=lambda: _document(posterior, truth, market, again),
        rows=lambda: Rows.of(_records(posterior)),
        text=lambda: _text(posterior, truth, market, again),
        code=1 if posterior.unexplained else 0,
    )


def _flags(given: dict[str, str]) -> Sheet:
    """A sheet from prices on the command line."""
    for name in ("input", "output"):
        if name not in given:
            fix = "give a sheet, or --input 2 --output 12 in $ per million tokens"
            raise InputError("infer", f"no {name} price", fix)
    return Sheet(
        name="sheet",
        input=read_price(given["input"], "--input"),
        output=read_price(given["output"], "--output"),
        cached=read_price(given["cached"], "--cached") if "cached" in given else None,
        steps=read_steps(given.get("above", "")),
        writes=read_writes(given.get("write", "")),
        modes=read_modes(given.get("mode", "")),
        context=parse(given["context"], "tok", "--context") if "context" in given else 0.0,
    )


def _truth(sheet: Sheet) -> Truth | None:
    name = sheet.model or recognise(sheet.name)
    return truth_of(name) if name else None


def _every(file: str, market: Market, draws: int, *, signs: bool, again: str) -> Report:
    """A row for each sheet of a file."""
    sheets, refused = find.every(file)
    inference = Inference(market, draws)
    records: list[dict[str, Any]] = []
    for sheet in _progress(sheets):
        try:
            records.append(_row(inference.posterior(sheet, signs=signs)))
        except InputError as error:
            refused.append(str(error))
    heads = ["<sheet", "input", "output", "active\nparameters", "total\nparameters", "cache\nper token"]

    def text() -> list[RenderableType]:
        rows = [
            (
                row["name"], _mtok(row["input_usd_per_tok"]), _mtok(row["output_usd_per_tok"]),
                *(_span(row[f"{key}_low"], row[f"{key}_high"], unit)
                  for key, unit in (("active", "1"), ("total", "1"), ("cache_bytes_per_tok", _KB))),
            )
            for row in records
        ]  # fmt: skip
        said = [f"refused: {reason}" for reason in refused[:10]]
        more = [f"and {len(refused) - 10:,} more"] if len(refused) > 10 else []
        return [table(heads, rows), "", *said, *more, "intervals of 80%", copied(f"again: {again}")]

    return Report(
        document=lambda: {"command": "infer", "sheets": records, "refused": refused, "line": again},
        rows=lambda: Rows.of(records),
        text=text,
        code=0 if records else 1,
    )


def _progress(sheets: list[Sheet]) -> Iterator[Sheet]:
    """The sheets one by one, with a line now and then on standard error."""
    start = last = time.monotonic()
    for done, sheet in enumerate(sheets):
        yield sheet
        now = time.monotonic()
        if now - last > _SELDOM:
            last, left = now, (now - start) / (done + 1) * (len(sheets) - done - 1)
            print(f"{done + 1:,} of {counted(len(sheets), 'sheet')}, {shown(left, 's', 2)} left", file=sys.stderr)


def _row(found: Posterior) -> dict[str, Any]:
    sheet = found.sheet
    row: dict[str, Any] = {
        "name": sheet.name, "provider": sheet.provider, "date": sheet.date, "input_usd_per_tok": sheet.input,
        "output_usd_per_tok": sheet.output,
    }  # fmt: skip
    for name, key in (("active", "active"), ("total", "total"), ("cache", "cache_bytes_per_tok")):
        low, middle, high = found.beliefs[name].posterior
        row |= {f"{key}_low": low, f"{key}_middle": middle, f"{key}_high": high}
    return row | {"unexplained": "; ".join(found.unexplained), "effective_draws": found.draws, "pareto_k": found.tail}


def _records(found: Posterior) -> list[dict[str, Any]]:
    ends = ("low", "middle", "high")
    return [
        {"quantity": name, "unit": belief.unit, "identified": belief.identified, "nats": belief.nats}
        | {f"prior_{end}": value for end, value in zip(ends, belief.prior, strict=True)}
        | {f"posterior_{end}": value for end, value in zip(ends, belief.posterior, strict=True)}
        for name, belief in found.beliefs.items()
    ]


def _document(found: Posterior, truth: Truth | None, market: Market, again: str) -> dict[str, Any]:
    return {
        "command": "infer",
        "sheet": {line.name: line.price for line in lines(found.sheet)},
        "name": found.sheet.name,
        "beliefs": {record.pop("quantity"): record for record in _records(found)},
        "shares": {name: {"prior": before, "posterior": after} for name, (before, after) in found.shares.items()},
        "ridges": [{"of": [one, other], "correlation": value} for one, other, value in found.ridges],
        "another_seller_usd_per_tok": found.predicted,
        "step_rises": found.rises,
        "surprise": found.surprise,
        "unexplained": found.unexplained,
        "misfits": misfits(found.sheet),
        "effective_draws": found.draws,
        "pareto_k": found.tail,
        "public": asdict(truth) if truth else None,
        "priors": {"source": market.source, "date": market.date},
        "line": again,
    }


def _text(found: Posterior, truth: Truth | None, market: Market, again: str) -> list[RenderableType]:
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
                (key, _mtok(getattr(sheet, key)), _mtok(middle), f"{_mtok(low)} to {_mtok(high)}")
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
    return _short(middle, unit), _span(low, high, unit)


def _span(low: float, high: float, unit: str) -> str:
    return f"{_short(low, unit)} to {_short(high, unit)}"


def _short(value: float, unit: str) -> str:
    """A parameter count as 36.6e9, else three digits with a unit."""
    if unit == "1":
        return f"{float(f'{value / 1e9:.3g}'):,.12g}e9" if value >= 1e8 else plain(float(f"{value:.3g}"))
    return show(value, unit)


def _mtok(price: float) -> str:
    return show(price, "USD/tok")
