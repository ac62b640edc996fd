"""`ridgeline infer`: what a price sheet says of the model behind it, and how sure that is."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import copied, counted, shown, table
from ridgeline.cli.told import mtok, span, told
from ridgeline.cli.watch import WATCHER
from ridgeline.errors import InputError
from ridgeline.pricing import find
from ridgeline.pricing.closed import misfits
from ridgeline.pricing.infer import DRAWS, Inference, Posterior
from ridgeline.pricing.market import Market, load_market, market_text
from ridgeline.pricing.open_weights import Truth, truth_of
from ridgeline.pricing.recognise import recognise
from ridgeline.pricing.sheet import Sheet, lines
from ridgeline.pricing.spelling import read_modes, read_price, read_steps, read_writes
from ridgeline.units import parse

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

_SELDOM = 5.0
FIRST = 1 << 14
"""Draws of a first answer for who watches; each further one takes four times as many."""
_DRAWN = 300
"""Models of a posterior that `--json` prints."""
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
    truth = _truth(found)

    def asked_of(count: int) -> tuple[Inference, Posterior]:
        inference = Inference(market, count)
        return inference, inference.posterior(found, signs=not prices_only, whole=bool(sheet))

    def told_of(inference: Inference, posterior: Posterior) -> dict[str, Any]:
        return _document(posterior, truth, market, again) | {"drawn": _drawn(inference, posterior)}

    if watcher := WATCHER.get():
        count = FIRST
        while count < draws:
            with contextlib.suppress(InputError):  # too few draws: more may do
                few = asked_of(count)
                watcher(count / draws, partial(told_of, *few))
            count *= 4
    inference, posterior = asked_of(draws)
    if plot:
        from ridgeline.cli.belief import draw_belief

        draw_belief(inference, posterior, truth, plot, again)
    return Report(
        document=lambda: told_of(inference, posterior),
        rows=lambda: Rows.of(_records(posterior)),
        text=lambda: told(posterior, truth, market, again),
        code=1 if posterior.unexplained else 0,
    )


def _drawn(inference: Inference, found: Posterior) -> dict[str, list[float]]:
    return {name: [float(f"{x:.4g}") for x in values] for name, values in inference.drawn(found, _DRAWN).items()}


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
                row["name"], mtok(row["input_usd_per_tok"]), mtok(row["output_usd_per_tok"]),
                *(span(row[f"{key}_low"], row[f"{key}_high"], unit)
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
