"""In which formats the parts of a checkpoint are stored, as its quantisation block says.

Embedding, router, head and small vectors keep the base dtype unless the block names them: quantisers convert linear
layers only, and leave out what their ignore list matches. A list that names layers one by one counts for a part if it
names most layers.

What this file does not know: bytes (precision.py). A part's dtype is one for all layers, an approximation for
checkpoints that mix formats from layer to layer.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ridgeline.model.keys import Keys
from ridgeline.model.spec import Dtype, Stored

_DTYPES: dict[str, Dtype] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "float": "fp32",
    "half": "fp16",
    "auto": "bf16",
}
_MODULES: dict[Stored, tuple[str, ...]] = {
    "attention": ("self_attn.q_proj", "self_attn.o_proj", "linear_attn.out_proj"),
    "indexer": ("self_attn.indexer.wq_b",),
    "ffn": ("mlp.down_proj", "feed_forward.down_proj"),
    "shared_expert": (
        "mlp.shared_experts.down_proj",
        "mlp.shared_expert.down_proj",
        "feed_forward.shared_expert.down_proj",
    ),
    "expert": ("mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2", "feed_forward.experts.0.down_proj"),
}
"""Names of modules that stand for a part, without the prefix of the layer."""
_MARKS: dict[str, Stored] = {
    "shared_expert": "shared_expert",
    "expert": "expert",
    "indexer": "indexer",
    "attn": "attention",
    "mlp": "ffn",
    "feed_forward": "ffn",
    "lm_head": "head",
    "mixer": "attention",
}
"""What in a module's name tells its part, the most telling first."""
_ALGORITHMS: dict[str, Dtype] = {"NVFP4": "nvfp4", "MXFP4": "mxfp4", "W4": "int4", "FP8": "fp8", "INT8": "int8"}
"""Marks in ModelOpt's names of algorithms, the narrowest first."""
_BITS: dict[int, Dtype] = {4: "int4", 8: "int8"}
_KEPT: tuple[Stored, ...] = ("embedding", "router", "head")


def dtypes(c: Keys, block: Keys, layers: int) -> dict[Stored, Dtype]:
    """Dtype per part; "default" for the rest.

    Parameters
    ----------
    c
        The config, for its base dtype (`dtype`, formerly `torch_dtype`).
    block
        Its `quantization_config` (or the content of `hf_quant_config.json`); empty if there is none.
    layers
        Number of layers, to tell lists that name most of them.

    Raises
    ------
    InputError
        For a quantisation method or dtype that is not known.
    """
    name = c.text("dtype", "torch_dtype", default="bfloat16").removeprefix("torch.")
    if name not in _DTYPES:
        raise c.error("torch_dtype", f"expected one of {', '.join(_DTYPES)}, got {name[:40]!r}")
    base = _DTYPES[name]
    experts = c.text("expert_dtype")
    if not block.config:
        return {"default": base}
    inner = block.child("quantization") if "quantization" in block.config else block
    mixed = (
        inner.text("quant_algo").upper() == "MIXED_PRECISION"
        and inner.text("quant_method", default="modelopt") == "modelopt"
    )
    found: dict[Stored, Dtype] = {"default": base} if mixed else _uniform(inner, base, layers)
    if experts == "fp4":
        found["expert"] = "mxfp4"
    found |= _named(inner.child("quantized_layers"))
    _, cache = inner.get("kv_cache_quant_algo", "kv_cache_scheme")
    if cache and ("fp8" in str(cache).lower() or (isinstance(cache, Mapping) and cache.get("num_bits") == 8)):
        found["kv"] = "fp8"
    return found


def _uniform(block: Keys, base: Dtype, layers: int) -> dict[Stored, Dtype]:
    """One format for all linear layers but those that the block leaves out."""
    ignored = _ignored(block.config)
    found: dict[Stored, Dtype] = {"default": _format(block)}
    for part in _KEPT:
        found[part] = base
    for part, names in _MODULES.items():
        # "mlp*" leaves out what stands beside the experts, not the experts themselves (Gemma 4)
        patterns = [text for text in ignored if "expert" in text] if part == "expert" else ignored
        if _mostly([_pattern(text) for text in patterns], names, layers):
            found[part] = base
    return found


def _named(quantized: Keys) -> dict[Stored, Dtype]:
    """ModelOpt's mixed precision: an algorithm per module, here that of the first module of a part."""
    found: dict[Stored, Dtype] = {}
    for name in quantized.config:
        part: Stored | None = next((part for mark, part in _MARKS.items() if mark in name), None)
        if part is not None and part not in found:
            found[part] = _algorithm(quantized.child(name))
    return found


def _algorithm(block: Keys) -> Dtype:
    """The format of a ModelOpt algorithm."""
    algorithm = block.text("quant_algo").upper()
    for mark, dtype in _ALGORITHMS.items():
        if mark in algorithm:
            return dtype
    _unknown(block, "quant_algo")


def _format(block: Keys) -> Dtype:
    """The format of the layers that are converted."""
    method = block.text("quant_method", default="modelopt").lower().replace("_", "-")
    if method in ("fp8", "fbgemm-fp8"):
        return "fp8"
    if method == "mxfp4":
        return "mxfp4"
    if method.startswith("modelopt") and block.text("quant_algo"):
        return _algorithm(block)
    if method in ("awq", "gptq", "auto-round", "autoround"):
        return _BITS.get(block.integer("bits", "w_bit", high=16)) or _unknown(block, "bits")
    if method == "bitsandbytes":
        return "int4" if block.flag("load_in_4bit", "_load_in_4bit") else "int8"
    if method in ("compressed-tensors", "quark", "modelopt"):
        return _grouped(block)
    _unknown(block, "quant_method")


def _grouped(block: Keys) -> Dtype:
    """compressed-tensors, Quark and ModelOpt: bits and type of the first group that gives them."""
    if "nvfp4" in (name := block.text("format").lower()):
        return "nvfp4"
    if "mxfp4" in name:
        return "mxfp4"
    groups = block.child("config_groups")
    weights = [groups.child(key).child("weights") for key in groups.config] or [
        block.child("global_quant_config").child("weight")
    ]
    for weight in weights:
        kind, bits = weight.text("type", "dtype"), weight.optional("num_bits")
        if "fp4" in kind or (kind == "float" and bits == 4):
            return "nvfp4" if weight.optional("group_size") == 16 else "mxfp4"
        if "fp8" in kind or (kind == "float" and bits == 8):
            return "fp8"
        if kind.startswith(("int", "uint")):
            return "int4" if "4" in kind or bits == 4 else "int8"
    _unknown(block, "config_groups")


def _unknown(block: Keys, key: str) -> NoReturn:
    raise block.error(key, f"is not a known quantisation, got {block.config.get(key)!r:.60}")


def _ignored(block: Mapping[str, Any]) -> list[str]:
    """Patterns of modules that are not converted, from whichever key holds them."""
    for key in (
        "modules_to_not_convert",
        "ignore",
        "exclude_modules",
        "ignored_layers",
        "exclude",
        "llm_int8_skip_modules",
    ):
        value = block.get(key)
        if isinstance(value, list):
            return [each for each in value if isinstance(each, str)]
    return []


def _pattern(text: str) -> Callable[[str], bool]:
    """Whether a module name is meant: a regular expression after `re:`, a wildcard, or a name or part of one."""
    if text.startswith("re:"):
        try:
            expression = re.compile(text[3:400])
        except re.error:
            return lambda _: False
        return lambda name: expression.match(name) is not None
    text = re.sub(r"^(model\.)?(language_model|backbone)\.(model\.)?", "model.", text)
    if "*" in text:
        return lambda name: fnmatch.fnmatch(name, text) or fnmatch.fnmatch(name, f"{text}.*")
    return lambda name: f".{text}." in f".{name}."


def _mostly(ignored: list[Callable[[str], bool]], names: tuple[str, ...], layers: int) -> bool:
    """Whether the patterns match a part in at least half of the layers."""
    hits = sum(any(match(f"model.layers.{i}.{name}") for match in ignored for name in names) for i in range(layers))
    return bool(ignored) and 2 * hits >= layers
