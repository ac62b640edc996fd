"""`ridgeline catalog`: chips, systems, media, models, prices and price sheets, and who says their values."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ridgeline.catalog import BUILT_IN, Catalog, Provenance
from ridgeline.catalog.loader import KINDS
from ridgeline.cli.options import CatalogFolder, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import footnotes, shown, table
from ridgeline.errors import UnknownNameError
from ridgeline.hardware import load_chip, load_medium, load_system
from ridgeline.model import kv, load_model
from ridgeline.model.spec import run_lengths
from ridgeline.model.store import load_spec
from ridgeline.pricing.spelling import provider, sheets
from ridgeline.training.rl import load_framework
from ridgeline.training.scaling.law import entry as law_entry

Kind = Annotated[
    str, Parameter(help="chips, systems, media, models, prices, sheets, scaling or rl; without it, how many there are.")
]
Name = Annotated[str, Parameter(help="One entry: every value with its source.")]
Column = tuple[str, str, Callable[[Any], Any]]
"""Key of a column, unit of its values ("" for text), and how it is read off an entry."""

_CHIPS: tuple[Column, ...] = (
    ("name", "", lambda chip: chip.name),
    ("memory", "", lambda chip: chip.memory),
    ("capacity_bytes", "B", lambda chip: chip.hbm_capacity),
    ("bandwidth_bytes_per_s", "B/s", lambda chip: chip.hbm_bandwidth),
    ("bf16_flop_per_s", "FLOP/s", lambda chip: chip.peak.bf16),
    ("fp8_flop_per_s", "FLOP/s", lambda chip: chip.peak.fp8),
    ("fp4_flop_per_s", "FLOP/s", lambda chip: chip.peak.fp4),
    ("power_w", "W", lambda chip: chip.power),
    ("title", "", lambda chip: chip.title),
)
_SYSTEMS: tuple[Column, ...] = (
    ("name", "", lambda system: system.name),
    ("chip", "", lambda system: system.chip.name),
    ("domain_chips", "1", lambda system: system.domain.size),
    ("topology", "", lambda system: system.domain.topology),
    ("scale_up_bytes_per_s", "B/s", lambda system: system.domain.bandwidth),
    ("scale_out_bytes_per_s", "B/s", lambda system: system.network.bandwidth),
    ("usd_per_chip_s", "USD/s", lambda system: system.price().rate if system.prices else None),
    ("title", "", lambda system: system.title),
)
_MEDIA: tuple[Column, ...] = (
    ("name", "", lambda medium: medium.name),
    ("kind", "", lambda medium: medium.kind),
    ("capacity_bytes", "B", lambda medium: medium.capacity),
    ("read_bytes_per_s", "B/s", lambda medium: medium.read),
    ("write_bytes_per_s", "B/s", lambda medium: medium.write),
    ("usd_per_byte", "USD/B", lambda medium: medium.usd_per_byte),
    ("endurance_bytes", "B", lambda medium: medium.endurance),
    ("title", "", lambda medium: medium.title),
)
_MODELS: tuple[Column, ...] = (
    ("name", "", lambda model: model.name),
    ("parameters", "1", lambda model: model.parameters),
    ("active_parameters", "1", lambda model: model.active_parameters),
    ("kv_bytes_per_token", "B/tok", lambda model: kv.per_token(model, 2.0).stored),
    ("layers", "1", lambda model: len(model.layers)),
    ("format", "", lambda model: model.dtypes.get("default", "")),
    ("max_context_tok", "tok", lambda model: model.max_context or None),
)
_PRICES: tuple[Column, ...] = (
    ("system", "", lambda pair: pair[0]),
    ("kind", "", lambda pair: pair[1].kind),
    ("usd_per_chip_s", "USD/s", lambda pair: pair[1].rate),
    ("date", "", lambda pair: pair[1].date),
    ("source", "", lambda pair: BUILT_IN.citations(pair[1].source)),
)
_SHEETS: tuple[Column, ...] = (
    ("provider", "", lambda sheet: sheet.provider),
    ("name", "", lambda sheet: sheet.name),
    ("date", "", lambda sheet: sheet.date),
    ("input_usd_per_tok", "USD/tok", lambda sheet: sheet.input),
    ("output_usd_per_tok", "USD/tok", lambda sheet: sheet.output),
    ("cached_usd_per_tok", "USD/tok", lambda sheet: sheet.cached),
    ("model", "", lambda sheet: sheet.model),
    ("source", "", lambda sheet: BUILT_IN.citations(sheet.source)),
)
_SCALING: tuple[Column, ...] = (
    ("name", "", lambda law: law.name),
    ("form", "", lambda law: law.form),
    ("title", "", lambda law: law.title),
    ("date", "", lambda law: law.date),
    ("source", "", lambda law: BUILT_IN.citations(law.source)),
)
_STACKS: tuple[Column, ...] = (
    ("name", "", lambda stack: stack.name),
    ("title", "", lambda stack: stack.title),
    ("date", "", lambda stack: stack.date),
    ("source", "", lambda stack: BUILT_IN.citations(stack.source)),
)
_FACT: tuple[Column, ...] = tuple((key, "", itemgetter(key)) for key in ("value_of", "value", "source", "date", "note"))
_COLUMNS = {"chips": _CHIPS, "systems": _SYSTEMS, "media": _MEDIA, "models": _MODELS, "prices": _PRICES,
            "sheets": _SHEETS, "scaling": _SCALING, "rl": _STACKS}  # fmt: skip
_LOADS = {"chips": load_chip, "systems": load_system, "media": load_medium, "scaling": law_entry, "rl": load_framework}


@command()
def catalog(kind: Kind = "", name: Name = "", /, *, catalog: CatalogFolder = "") -> Report:
    """Chips, systems, media, models, prices, price sheets, scaling laws, RL stacks: each value with its source."""
    found = BUILT_IN.under(catalog) if catalog else BUILT_IN
    if not kind:
        counts = [{"kind": each, "entries": len(_entries(found, each))} for each in KINDS]
        rows = [(each["kind"], str(each["entries"])) for each in counts]
        return _report({"kinds": counts}, counts, lambda: [table(["<kind", "entries"], rows)])
    if kind not in KINDS:
        raise UnknownNameError("kind of entry", kind[:60], KINDS)
    columns = _COLUMNS[kind]
    if name and kind not in ("prices", "sheets"):
        columns, entries = _FACT, _facts(found, kind, name)
    else:
        entries = [{key: read(each) for key, _, read in columns} for each in _entries(found, kind, name)]
    head = {"kind": kind} | ({"name": name} if name else {})
    return _report(head | {"entries": entries}, entries, lambda: _text(columns, entries))


def _report(document: dict[str, Any], records: list[dict[str, Any]], text: Callable[[], list[Any]]) -> Report:
    flat = [{key: "; ".join(v) if isinstance(v, list) else v for key, v in each.items()} for each in records]
    return Report(document=lambda: {"command": "catalog"} | document, rows=lambda: Rows.of(flat), text=text)


def _text(columns: tuple[Column, ...], entries: list[dict[str, Any]]) -> list[Any]:
    """A table of entries; sources are footnotes."""
    marks, notes = footnotes(each.get("source", []) for each in entries)
    headings = [("" if unit else "<") + _heading(key) for key, unit, _ in columns]
    rows = [
        [mark if key == "source" else _cell(each[key], unit) for key, unit, _ in columns]
        for each, mark in zip(entries, marks, strict=True)
    ]
    return [table(headings, rows), *(["", *notes] if notes else [])]


def _entries(found: Catalog, kind: str, name: str = "") -> list[Any]:
    """All entries of a kind; prices and sheets also those of the one called `name`."""
    if kind == "models":
        return [load_model(each, found) for each in found.names("models")]
    if kind == "prices":
        systems = [load_system(each, found).value for each in ([name] if name else found.names("systems"))]
        return [(system.name, price) for system in systems for price in system.prices]
    if kind == "sheets":
        return list(provider(name, found).sheets) if name else sheets(found)
    load = _LOADS[kind]
    return [load(each, found).value for each in found.names(kind)]


def _facts(found: Catalog, kind: str, name: str) -> list[dict[str, Any]]:
    """Every value of an entry as it is written, with who says it."""
    if kind == "models":
        spec = load_spec(name, found)
        said = Provenance(source=spec.source, date=spec.date)
        published = Provenance(source=spec.published.source, note=spec.published.note) if spec.published else said
        leaves = _leaves(msgspec.to_builtins(spec))
        kept = [leaf for leaf in leaves if leaf[0] not in ("source", "date", "published.source", "published.note")]
        values = [(path, text, published if path.startswith("published.") else said) for path, text in kept]
    else:
        values = [(path, said.text, said) for path, said in _LOADS[kind](name, found).sources.items()]
    return [
        {"value_of": path, "value": text, "source": found.citations(by.source), "date": by.date, "note": by.note}
        for path, text, by in values
    ]


def _leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Dotted path and text of everything in nested tables."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}".lstrip("."))]
    return [(path, ", ".join(run_lengths(value)) if path in ("stack", "mtp") else str(value))]


def _heading(key: str) -> str:
    """A key without the unit that the cells show."""
    for unit in ("_bytes_per_s", "_flop_per_s", "_bytes", "_tok", "_w", "_s"):
        key = key.removesuffix(unit)
    return key.replace("_", " ")


def _cell(value: Any, unit: str) -> str:
    return shown(value, unit) if unit else str(value)
