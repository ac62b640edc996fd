"""`ridgeline model`: what a model is made of, from the catalogue or from a Hugging Face config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from ridgeline.catalog import BUILT_IN
from ridgeline.cli.options import CatalogFolder, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import heading, plain, shown, table
from ridgeline.hardware import format_bytes
from ridgeline.model import Architecture, kv, load_model
from ridgeline.model.architecture import FeedForward, Mixer
from ridgeline.timing import layer_name

if TYPE_CHECKING:
    from rich.console import RenderableType

Name = Annotated[str, Parameter(help="Name in the catalogue, or path of a config.json or of a model's TOML file.")]
CacheFormat = Annotated[str, Parameter(name="--kv", help="Format of the cache; bf16 if not given.", group="Formats")]


@command()
def model(name: Name, /, *, cache: CacheFormat = "bf16", catalog: CatalogFolder = "") -> Report:
    """What a model is made of: parameters, caches, layers."""
    found = load_model(name, BUILT_IN.under(catalog) if catalog else BUILT_IN)
    width = format_bytes(cache)
    return Report(
        document=lambda: _document(found, width),
        rows=lambda: Rows.of(_layers(found)),
        text=lambda: _text(found, cache, width),
    )


def _document(found: Architecture, width: float) -> dict[str, Any]:
    per_token = kv.per_token(found, width)
    return {
        "name": found.name,
        "parameters": found.parameters,
        "active_parameters": found.active_parameters,
        "kv_bytes_per_token": {
            "stored": per_token.stored,
            "growing": per_token.growing,
            "windowed": per_token.windowed,
            "read": per_token.read,
        },
        "layers": _layers(found),
        "state_bytes": kv.total_state(found),
        "dtypes": found.dtypes,
        "max_context": found.max_context,
        "source": found.source,
    }


def _layers(found: Architecture) -> list[dict[str, Any]]:
    """Kinds of layers in order of first appearance; parameters are those of one layer."""
    return [
        {
            "kind": layer_name(layer),
            "count": count,
            "parameters": layer.parameters,
            "active_parameters": layer.active_parameters,
        }
        for layer, count in found.kinds
    ]


def _text(found: Architecture, cache: str, width: float) -> list[RenderableType]:
    per_token = kv.per_token(found, width)
    facts = [
        ("parameters", plain(found.parameters), "embedding, layers and head"),
        ("active parameters", plain(found.active_parameters), "that one token is multiplied with"),
        ("stored per token", shown(per_token.stored, "B/tok"), f"cache in {cache}, of which"),
        ("growing", shown(per_token.growing, "B/tok"), "in layers that keep the whole context"),
        ("windowed", shown(per_token.windowed, "B/tok"), "in layers with a window, until it is full"),
        ("read per token", shown(per_token.read, "B/tok"), "of the cache, by a decode step at a short context"),
        ("state", shown(kv.total_state(found), "B"), "of recurrent layers, for each sequence"),
        ("longest context", shown(found.max_context, "tok") if found.max_context else "-", "as published"),
        ("hidden size", plain(found.hidden), f"vocabulary of {plain(found.vocab)}{', tied' if found.tied else ''}"),
    ]
    if found.mtp:
        extra = sum(layer.parameters for layer in found.mtp) + sum(linear.parameters for linear in found.mtp_linears)
        facts.append(("drafting modules", plain(len(found.mtp)), f"of {plain(extra)} parameters, not counted above"))
    formats = ", ".join(f"{part} {name}" for part, name in found.dtypes.items())
    kinds = zip(_layers(found), found.kinds, strict=True)
    return [
        f"{found.name} ({found.model_type or 'no model_type'})",
        table(["<", "", "<"], facts),
        heading("Layers"),
        table(
            ["count", "<kind", "parameters each", "active", "<made of"],
            [
                (
                    str(row["count"]),
                    row["kind"],
                    plain(row["parameters"]),
                    plain(row["active_parameters"]),
                    "\n".join(_dimensions(part) for part in (*layer.mixers, *layer.feedforwards)),
                )
                for row, (layer, _) in kinds
            ],
        ),
        "",
        f"formats: {formats or 'not published'}",
        *([f"note: {found.note}"] if found.note else []),
        f"source: {found.source or 'the file'}",
    ]


def _dimensions(part: Mixer | FeedForward) -> str:
    """The sizes that a part is made from: "heads 128, kv_rank 512, ..."."""
    sizes = msgspec.structs.asdict(part)
    words = [f"{name} {value}" for name, value in sizes.items() if type(value) is int and value and name != "small"]
    indexer = sizes.get("indexer")
    words += [f"indexer top {indexer.topk}"] if indexer else []
    return ", ".join(words)
