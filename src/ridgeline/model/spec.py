"""Ridgeline's own model format: dimensions only, from which every matrix follows.

A model is a set of named *parts* (attention, recurrences, feed-forwards) and a *stack* that says which parts each layer
has, run-length coded: ``["latent+dense*3", "latent+experts*58"]``. An entry in parentheses has the weights of the same
entry seen earlier (Zamba 2). A model file is this format in TOML; a Hugging Face config is translated into it.

What this file does not know: key names of Hugging Face configs (config.py), where model files are (store.py).
"""

from __future__ import annotations

import re
import tomllib
from typing import Literal

import msgspec

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model.architecture import Architecture, Dense, Experts, Layer, Linear, Mixer
from ridgeline.model.attention import AttentionSpec, CompressedSpec, LatentSpec
from ridgeline.model.feedforward import DenseSpec, ExpertsSpec, MatricesSpec
from ridgeline.model.part import Count, Dimensions, Size
from ridgeline.model.recurrent import DeltaSpec, KdaSpec, LightningSpec, Mamba2Spec, MambaSpec, RglruSpec

PartSpec = (
    AttentionSpec
    | LatentSpec
    | CompressedSpec
    | LightningSpec
    | DeltaSpec
    | KdaSpec
    | Mamba2Spec
    | MambaSpec
    | RglruSpec
    | DenseSpec
    | ExpertsSpec
    | MatricesSpec
)
Dtype = Literal["fp32", "bf16", "fp16", "fp8", "int8", "mxfp4", "nvfp4", "int4"]
"""What a weight is stored in; 4-bit formats carry scales."""
Stored = Literal[
    "default", "attention", "indexer", "ffn", "shared_expert", "expert", "router", "embedding", "head", "kv"
]
"""A part of a model whose storage dtype may differ; kv: the cache."""

_ENTRY = re.compile(r"(?P<open>\()?(?P<names>[\w.-]+(?:\+[\w.-]+)*)(?(open)\))(?:\*(?P<times>[1-9]\d{0,3}))?")
_MOST_LAYERS = 10_000


class Published(Dimensions, frozen=True, kw_only=True):
    """What the makers say the model has, to be held against what the dimensions give."""

    parameters: float
    source: str
    active: float = 0
    note: str = ""


class Spec(Dimensions, frozen=True, kw_only=True):
    """A model in Ridgeline's format."""

    name: str
    aliases: tuple[str, ...] = ()
    model_type: str = ""
    hidden: Size
    vocab: Size
    tied: bool = False
    head_bias: bool = False
    norms: Count = 1
    """Vectors of hidden size after the last layer."""
    lookup: int = 0
    """Elements of further tables that are only looked up."""
    max_context: int = 0
    stack: tuple[str, ...]
    mtp: tuple[str, ...] = ()
    """Stack of the multi-token-prediction modules."""
    source: str = ""
    date: str = ""
    note: str = ""
    dtypes: dict[Stored, Dtype] = msgspec.field(default_factory=dict)
    published: Published | None = None
    parts: dict[str, PartSpec]


def _expand(spec: Spec, stack: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layers of a run-length coded stack; equal entries give the same object."""
    layers: list[Layer] = []
    seen: dict[tuple[str, bool], Layer] = {}
    for entry in stack:
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise InputError(
                f"{spec.name}: stack entry {entry!r}", "expected PART+PART*TIMES, such as 'latent+experts*58'"
            )
        key = match["names"], match["open"] is None
        if key not in seen:
            seen[key] = _layer(spec, key[0].split("+"), stored=key[1])
        layers += [seen[key]] * int(match["times"] or 1)
        if len(layers) > _MOST_LAYERS:
            raise InputError(f"{spec.name}: stack", f"more than {_MOST_LAYERS} layers")
    return tuple(layers)


def _layer(spec: Spec, names: list[str], *, stored: bool) -> Layer:
    mixers: list[Mixer] = []
    feedforwards: list[Dense | Experts] = []
    linears: list[Linear] = []
    small = 0
    for name in names:
        part = spec.parts.get(name)
        if part is None:
            raise UnknownNameError("part", name, spec.parts, fix=f"in the stack of {spec.name}")
        small += part.norms * spec.hidden
        if isinstance(part, MatricesSpec):
            linears += part.linears
            small += part.small
        elif isinstance(part, DenseSpec | ExpertsSpec):
            feedforwards.append(part.build(spec.hidden))
        else:
            mixers.append(part.build(spec.hidden))
    return Layer(
        mixers=tuple(mixers), feedforwards=tuple(feedforwards), linears=tuple(linears), small=small, stored=stored
    )


def build(spec: Spec) -> Architecture:
    """The architecture that a spec describes.

    Raises
    ------
    InputError
        A stack entry cannot be read.
    UnknownNameError
        A stack entry names a part that is not there.
    """
    layers = _expand(spec, spec.stack)
    if not layers:
        raise InputError(f"{spec.name}: stack", "expected at least one layer")
    mtp = _expand(spec, spec.mtp)
    merge = Linear(name="mtp_merge", rows=2 * spec.hidden, cols=spec.hidden, part="other")
    return Architecture(
        name=spec.name,
        hidden=spec.hidden,
        vocab=spec.vocab,
        layers=layers,
        tied=spec.tied,
        lookup=spec.lookup,
        small=spec.norms * spec.hidden,
        head_bias=spec.head_bias,
        mtp=mtp,
        mtp_linears=(merge,) if mtp else (),
        max_context=spec.max_context,
        dtypes={str(part): str(dtype) for part, dtype in spec.dtypes.items()},
        model_type=spec.model_type,
        note=spec.note,
        source=spec.source,
    )


def run_lengths(names: list[str]) -> tuple[str, ...]:
    """Neighbours that are equal, counted: ["a", "a", "b"] -> ("a*2", "b")."""
    runs: list[tuple[str, int]] = []
    for name in names:
        if runs and runs[-1][0] == name:
            runs[-1] = name, runs[-1][1] + 1
        else:
            runs.append((name, 1))
    return tuple(name if times == 1 else f"{name}*{times}" for name, times in runs)


def from_toml(text: str, *, where: str) -> Spec:
    """A spec from the text of a model file; `where` names the file in errors.

    Raises
    ------
    InputError
        Not TOML, a key that does not exist, a value out of range or of the wrong type.
    """
    try:
        return msgspec.convert(tomllib.loads(text), Spec)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(where, f"not TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise InputError(where, str(error)) from None


def to_toml(spec: Spec) -> str:
    """A spec as the text of a model file."""
    return "\n".join(_table(msgspec.to_builtins(spec), ())) + "\n"


def _table(table: dict[str, object], path: tuple[str, ...]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    if path and (plain or not table):
        lines = ["", f"[{'.'.join(path)}]", *lines]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table(value, (*path, key))
    return lines


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_value(each)}' for key, each in value.items())}}}"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value and "e" in f"{value:g}" else repr(value)
    return msgspec.json.encode(value).decode()
