"""Reading a Hugging Face `config.json`: a file or a dict to a :class:`~ridgeline.model.spec.Spec`.

What a file may be: at most 8 MB, nested at most 64 deep, a JSON object. `NaN` and `Infinity`, which Python writes into
JSON, are tolerated where nobody reads them. Multimodal configs are read by their text tower.

What this file does not know: the families (families/), Ridgeline's own format (spec.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model.families import FAMILIES, Body
from ridgeline.model.families.body import Parts, hidden_size
from ridgeline.model.feedforward import MatricesSpec
from ridgeline.model.keys import Keys
from ridgeline.model.quantization import dtypes
from ridgeline.model.spec import PartSpec, Spec, run_lengths

MOST_BYTES = 8_000_000
MOST_DEPTH = 64
_TOWERS = ("text_config", "llm_config", "language_config", "thinker_config")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises
    ------
    InputError
        Not a readable file, too large, not JSON, nested too deeply, not an object.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(where, f"cannot be read ({error.strerror or type(error).__name__})") from None
    return parse_json(content, where)


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in the content of a file; errors as :func:`read_json`."""
    if len(content) > MOST_BYTES:
        raise InputError(where, f"is larger than {MOST_BYTES // 10**6} MB, not a model's config")
    if _depth(content) > MOST_DEPTH:
        raise InputError(where, f"is nested more than {MOST_DEPTH} levels deep, not a model's config")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(where, f"is not JSON ({reason})", "is the file complete?") from None
    if not isinstance(value, dict):
        raise InputError(where, f"expected a JSON object, got {type(value).__name__}")
    return value


def _depth(content: bytes) -> int:
    """Upper bound of the nesting: brackets in strings count too."""
    depth = deepest = 0
    for byte in content:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def read_config(path: Path, *, name: str = "") -> Spec:
    """The model a `config.json` describes; a `hf_quant_config.json` beside it counts as its quantisation block.

    Raises
    ------
    InputError, UnknownNameError
        As :func:`read_json` and :func:`from_config`.
    """
    config = read_json(path)
    beside = path.with_name("hf_quant_config.json")
    if not config.get("quantization_config") and beside.is_file():
        config = {**config, "quantization_config": read_json(beside)}
    title = config.get("_name_or_path")
    stem = path.parent.name if path.stem == "config" else path.stem
    return from_config(
        config, name=name or stem or (title if isinstance(title, str) else "") or "model", source=str(path)
    )


def from_config(config: Mapping[str, Any], *, name: str, source: str) -> Spec:
    """The model that a Hugging Face config describes.

    Parameters
    ----------
    config
        The parsed `config.json`.
    name
        What to call the model.
    source
        Where the config comes from, named in errors.

    Raises
    ------
    UnknownNameError
        For a `model_type` that no family reads.
    InputError
        For a key that is missing, of the wrong type, out of bounds, or not known and arithmetic.
    """
    outer, tower, model_type = _tower(config, source)
    family = FAMILIES.get(model_type)
    if family is None:
        raise UnknownNameError("model_type", model_type[:60], FAMILIES, fix=f"in {source}")
    c = Keys(tower.config, tower.where, {"model_type": model_type, **family.defaults})
    body = family.read(c)
    tied = c.flag("tie_word_embeddings", default=outer.flag("tie_word_embeddings", default=family.tied))
    block = outer.child("quantization_config")
    if not block.config:
        block = c.child("quantization_config")
    c.finish(model_type)
    parts, layers, mtp = _named(body)
    return Spec(
        name=name,
        model_type=model_type,
        hidden=hidden_size(c),
        vocab=c.integer("vocab_size"),
        tied=tied,
        head_bias=body.head_bias,
        norms=body.norms,
        lookup=body.lookup,
        max_context=c.integer(
            "max_position_embeddings", "n_positions", "max_seq_len", "model_max_length", default=0, low=0, high=10**12
        ),
        stack=layers,
        mtp=mtp,
        source=source,
        dtypes=dtypes(c if _has_dtype(c) else outer, block, len(body.layers)),
        parts=parts,
    )


def _has_dtype(c: Keys) -> bool:
    return c.get("dtype", "torch_dtype")[1] is not None


def _tower(config: Mapping[str, Any], source: str) -> tuple[Keys, Keys, str]:
    """The outermost keys, those of the text tower, and its model type."""
    outer = tower = Keys(config, source)
    model_type = tower.text("model_type")
    while True:
        name = next((each for each in _TOWERS if isinstance(tower.config.get(each), Mapping)), None)
        if name is None or ("hidden_size" in tower.config and model_type in FAMILIES):
            break
        tower = tower.child(name)
        inner = tower.text("model_type")
        model_type = inner or (f"{model_type}_text" if f"{model_type}_text" in FAMILIES else model_type)
    if not model_type:
        raise tower.error("model_type", "is missing", "expected the family of the model, such as llama")
    if model_type not in FAMILIES and f"{model_type}_text" in FAMILIES:
        model_type = f"{model_type}_text"
    return outer, tower, model_type


def _named(body: Body) -> tuple[dict[str, PartSpec], tuple[str, ...], tuple[str, ...]]:
    """Parts by name, and the stacks that refer to them."""
    names: dict[PartSpec, str] = {}
    taken: dict[str, int] = {}

    def entry(layer: Parts) -> str:
        for part in layer:
            if part not in names:
                base = _base_name(part)
                taken[base] = taken.get(base, 0) + 1
                names[part] = base if taken[base] == 1 else f"{base}-{taken[base]}"
        return "+".join(names[part] for part in layer)

    layers = [f"({entry(layer)})" if i in body.reused else entry(layer) for i, layer in enumerate(body.layers)]
    mtp = [entry(layer) for layer in body.mtp]
    return {name: part for part, name in names.items()}, run_lengths(layers), run_lengths(mtp)


def _base_name(part: PartSpec) -> str:
    if isinstance(part, MatricesSpec):
        return part.linears[0].name.split("_")[0]
    kind = str(part.__struct_config__.tag)
    if kind == "attention" and getattr(part, "shares_kv", False):
        kind = "shared-kv"
    if getattr(part, "window", 0) and kind != "compressed":
        kind = f"{kind}-chunked" if getattr(part, "chunked", False) else f"{kind}-windowed"
    return kind
