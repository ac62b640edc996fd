"""`ridgeline prices`: price sheets side by side, the ratios that they are built of, and how these moved."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.options import OUTPUT, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, counted, heading, shown, table
from ridgeline.errors import InputError
from ridgeline.pricing import find
from ridgeline.pricing.history import FIRST_PARTY, Day, Ratio, days, distinct, ratios, steps
from ridgeline.pricing.sheet import Sheet
from ridgeline.pricing.spelling import sheets as catalogued
from ridgeline.units import show

if TYPE_CHECKING:
    from rich.console import RenderableType

Files = Annotated[
    list[str] | None,
    Parameter(
        help="A .json in litellm's format, a .csv of dated prices, a .toml; also DATE=FILE. None: the catalogue."
    ),
]
Like = Annotated[str, Parameter(help="Only sheets with this in their name; several parted by commas.")]
Provider = Annotated[str, Parameter(help="Only these providers; several parted by commas.")]
Own = Annotated[bool, Parameter(help="Only providers that sell their own models.")]
List = Annotated[bool, Parameter(name="--list", help="List the sheets, also where they are more than 40.")]
PlotFile = Annotated[str, Parameter(name="--plot", help="Draw them to this .svg or .png.", group=OUTPUT)]

FEW = 40
"""Sheets that are listed without being asked for."""
_REASONS = 5


@command()
def prices(
    files: Files = None,
    /,
    *,
    like: Like = "",
    provider: Provider = "",
    own: Own = False,
    list: List = False,
    plot: PlotFile = "",
) -> Report:
    """Price sheets side by side: what output, hits, long context and modes cost over input, and how that moved."""
    asked = [*(files or []), *(["--like", like] if like else []), *(["--provider", provider] if provider else [])]
    again = shlex.join(["ridgeline", "prices", *asked, *(["--own"] if own else []), *(["--list"] if list else [])])
    every, refused = _read(files or [])
    chosen = [sheet for sheet in every if _wanted(sheet, _parts(like), _parts(provider), own=own)]
    if not chosen:
        names = sorted({sheet.provider for sheet in every if sheet.provider})
        fix = f"providers: {', '.join(names)[:300]}"
        raise InputError(again.removeprefix("ridgeline "), "no sheet is left", fix)
    kinds = distinct(chosen)
    made, over = ratios(kinds), days(chosen)
    if plot:
        from ridgeline.cli.ratios import draw_ratios

        draw_ratios(kinds, over, plot, again)

    def text() -> list[RenderableType]:
        return [
            f"{counted(len(chosen), 'sheet')} of {counted(len({s.provider for s in chosen}), 'provider')}, "
            f"{len(kinds):,} with different prices",
            *_refused(refused),
            *(_listed(chosen) if list or len(chosen) <= FEW else []),
            *_ratios(made),
            *_steps(kinds),
            *_days(over),
            "",
            copied(f"again: {again}"),
        ]

    return Report(
        document=lambda: {
            "command": "prices",
            "sheets": len(chosen),
            "distinct": len(kinds),
            "refused": refused,
            "ratios": {name: asdict(ratio) for name, ratio in made.items()},
            "steps": [
                {"above_tok": above, "input": first, "output": second, "sheets": count}
                for (above, first, second), count in steps(kinds).most_common()
            ],
            "days": [_day(day) for day in over],
            "line": again,
        },
        rows=lambda: Rows.of([_record(sheet) for sheet in chosen]),
        text=text,
    )


def _read(files: list[str]) -> tuple[list[Sheet], list[str]]:
    """Sheets of files, or the catalogue's, and why others are none."""
    if not files:
        return catalogued(), []
    sheets: list[Sheet] = []
    refused: list[str] = []
    for file in files:
        date, equals, path = file.partition("=")
        found, why = find.every(path if equals else file, date if equals else "")
        sheets += found
        refused += why
    return sheets, refused


def _parts(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(",") if part.strip()]


def _wanted(sheet: Sheet, names: list[str], providers: list[str], *, own: bool) -> bool:
    named = not names or any(name in sheet.name.lower() for name in names)
    sold = not providers or sheet.provider.lower() in providers
    return named and sold and (not own or sheet.provider in FIRST_PARTY)


def _record(sheet: Sheet) -> dict[str, Any]:
    step = sheet.steps[0] if sheet.steps else None
    return {
        "provider": sheet.provider, "name": sheet.name, "date": sheet.date, "input_usd_per_tok": sheet.input,
        "output_usd_per_tok": sheet.output, "cached_usd_per_tok": sheet.cached, "output_over_input": sheet.ratio,
        "context_tok": sheet.context or None, "step_above_tok": step and step.above,
        "step_input_usd_per_tok": step and step.input, "step_output_usd_per_tok": step and step.output,
    } | {f"{mode.name}_output_usd_per_tok": mode.output for mode in sheet.modes}  # fmt: skip


def _day(day: Day) -> dict[str, Any]:
    return {
        "date": day.date, "sheets": day.sheets, "output_over_input": day.output, "cached_over_input": day.cached,
        "with_step": day.stepped, "input_usd_per_tok": day.input_price, "output_usd_per_tok": day.output_price,
    }  # fmt: skip


def _refused(refused: list[str]) -> list[RenderableType]:
    if not refused:
        return []
    more = [f"and {len(refused) - _REASONS:,} more"] if len(refused) > _REASONS else []
    return ["", *(f"left out: {reason}" for reason in refused[:_REASONS]), *more]


def _listed(sheets: list[Sheet]) -> list[RenderableType]:
    heads = ["<model", "<date", "input", "output", "output\n/ input", "hit\n/ input", "<step: above,\ninput, output",
             "<modes:\noutput"]  # fmt: skip
    return [heading("Sheets"), table(heads, [_cells(sheet) for sheet in sheets])]


def _cells(sheet: Sheet) -> list[str]:
    step = sheet.steps[0] if sheet.steps else None
    long = f"{step.above / 1e3:.4g}k {step.input / sheet.input:.3g}x {step.output / sheet.output:.3g}x" if step else ""
    modes = ", ".join(f"{mode.name} {mode.output / sheet.output:.3g}x" for mode in sheet.modes)
    hit = f"{sheet.cached / sheet.input:.3g}" if sheet.cached is not None else NONE
    name = "/".join(filter(None, (sheet.provider, sheet.name)))
    return [name, sheet.date, _mtok(sheet.input), _mtok(sheet.output), f"{sheet.ratio:.3g}", hit, long, modes]


def _ratios(made: dict[str, Ratio]) -> list[RenderableType]:
    rows = [
        (name, f"{each.sheets:,}", *(f"{value:.3g}" for value in each.quantiles), f"{each.mode:.3g}")
        for name, each in made.items()
    ]
    heads = ["<ratio", "sheets", "10%", "25%", "median", "75%", "90%", "most\ncommon"]
    return [heading("Ratios over sheets with different prices"), table(heads, rows)]


def _steps(kinds: list[Sheet]) -> list[RenderableType]:
    found = steps(kinds).most_common(8)
    if not found:
        return []
    rows = [
        (shown(above, "tok"), f"{first:.3g}x", f"{second:.3g}x", f"{count:,}")
        for (above, first, second), count in found
    ]
    return [heading("Context steps, the most common"), table(["above", "input", "output", "sheets"], rows)]


def _days(over: list[Day]) -> list[RenderableType]:
    if len(over) < 2:
        return []
    rows = [
        (
            day.date, f"{day.sheets:,}", f"{day.output:.3g}", NONE if day.cached is None else f"{day.cached:.3g}",
            f"{day.stepped:,}", _mtok(day.input_price), _mtok(day.output_price),
        )
        for day in over
    ]  # fmt: skip
    heads = ["<date", "sheets", "output\n/ input", "cached\n/ input", "with a\nstep", "input", "output"]
    return [heading("By date: medians"), table(heads, rows)]


def _mtok(price: float) -> str:
    return show(price, "USD/tok").removesuffix("/Mtok")
