"""The model that a row of a table of training runs names: one of the catalogue, or a plain GPT of given dimensions.

    parameters of a GPT = 12 layers hidden^2 + vocab hidden

Rows that give a number of parameters only have the shape of a row of their source with the same name; else the hidden
size of the nearest row of their experiment, and the layers that then make the parameters, in multiples of the stages.
Knows no law.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from ridgeline.errors import InputError
from ridgeline.model import Architecture, load_model
from ridgeline.model.spec import build, from_toml

Row = Mapping[str, str]

NAMES = {
    "DeepSeekV3": "deepseek-v3", "DeepSeek-V3": "deepseek-v3", "DeepSeekV4 Flash": "deepseek-v4-flash",
    "Qwen3_30B_a3B": "qwen3-30b-a3b", "Qwen3_235B_a22B": "qwen3-235b-a22b", "LLAMA3.1_405B": "llama-3.1-405b",
    "LLAMA3_70B": "llama-3-70b", "LLAMA3_8B": "llama-3-8b", "LLAMA2-7B": "llama-2-7b", "LLAMA2-13B": "llama-2-13b",
    "LLAMA2-70B": "llama-2-70b", "LLAMA3-8B": "llama-3-8b", "LLAMA3-70B": "llama-3-70b", "Llama2-70B": "llama-2-70b",
    "Llama3-405B": "llama-3.1-405b", "Llama3.1-8B": "llama-3.1-8b", "Llama3.1-70B": "llama-3.1-70b",
    "Llama3.1-405B": "llama-3.1-405b", "llama3.1-405b": "llama-3.1-405b", "llama3.1-70b": "llama-3.1-70b",
    "Nemotron-340B": "nemotron-4-340b", "Nemotron-22B": "nemotron-3-22b",
    "Nemotron-8B": "nemotron-3-8b", "Mixtral-8x7B": "mixtral-8x7b", "Mixtral-8x22B": "mixtral-8x22b",
    "gemma4-26b": "gemma-4-26b-a4b", "gemma4-31b": "gemma-4-31b", "Moonlight-16B": "moonlight-16b-a3b",
    "Nemotron-3-Nano-30B-A3B": "nemotron-3-nano-30b-a3b", "GPT3-175B": "gpt-3-175b",
}  # fmt: skip
"""Names in tables of runs that no alias covers."""
GPTS = {
    "GPT3-5B": (4096, 24, 32), "GPT3-20B": (6144, 44, 48), "MT-NLG-530B": (20480, 105, 128),
    "GPT-530B": (20480, 105, 128),
    "Megatron-22B": (6144, 48, 64), "Megatron-1T": (25600, 128, 160), "GPT-175B": (12288, 96, 96),
    "GPT3-175B": (12288, 96, 96),
}  # fmt: skip
"""Hidden size, layers and heads of GPTs that papers name by size (arXiv:2104.04473, 2205.05198, 2201.11990, NeMo)."""
ULTRASCALE = {"1B": (16, 2048, 32, 8192, True), "3B": (28, 3072, 32, 8192, True), "8B": (32, 4096, 32, 14336, False)}
"""Layers, hidden size, heads, feed-forward width and tied embeddings of the Ultra-Scale Playbook's models."""
VOCAB = {"BLOOM": 250880, "MCORE": 131072}
"""Entries of the table where it is not Megatron's 51,200."""
_GPT = """
name = "{name}"
hidden = {hidden}
vocab = {vocab}
tied = true
norms = 2
lookup = {lookup}
stack = ["attention+dense*{layers}"]
[parts.attention]
type = "attention"
norms = 2
heads = {heads}
kv_heads = {heads}
head_dim = {head_dim}
qkv_bias = true
out_bias = true
[parts.dense]
type = "dense"
norms = 2
width = {width}
gated = false
bias = true
"""
_LLAMA = """
name = "{name}"
hidden = {hidden}
vocab = 131072
tied = {tied}
stack = ["attention+dense*{layers}"]
[parts.attention]
type = "attention"
heads = {heads}
kv_heads = {heads}
head_dim = {head_dim}
[parts.dense]
type = "dense"
width = {width}
"""


@lru_cache(maxsize=512)
def gpt(name: str, hidden: int, layers: int, heads: int, vocab: int = 51200, positions: int = 2048) -> Architecture:
    """A GPT with learned positions, biases and a tied head."""
    text = _GPT.format(
        name=name, hidden=hidden, vocab=vocab, layers=layers, heads=heads, head_dim=max(hidden // heads, 1),
        width=4 * hidden, lookup=positions * hidden,
    )  # fmt: skip
    return build(from_toml(text, where=name))


@lru_cache(maxsize=8)
def ultrascale(name: str) -> Architecture:
    """One of the Ultra-Scale Playbook's models (InputError)."""
    if name not in ULTRASCALE:
        raise InputError(f"model {name[:40]!r}", f"one of {', '.join(ULTRASCALE)}")
    layers, hidden, heads, width, tied = ULTRASCALE[name]
    text = _LLAMA.format(
        name=f"ultrascale-{name.lower()}", hidden=hidden, layers=layers, heads=heads, head_dim=hidden // heads,
        width=width, tied=str(tied).lower(),
    )  # fmt: skip
    return build(from_toml(text, where=name))


def architecture(row: Row, table: Sequence[Row]) -> Architecture:
    """The model of a row.

    Raises
    ------
    InputError
        For a model that is neither in the catalogue nor a GPT with enough dimensions.
    """
    name = re.sub(r"\s*\((?!w/ MTP).*\)", "", row["model"]).strip()
    base = name.removesuffix("(w/ MTP)").strip()
    source = row.get("source_id", "")
    heads = _heads(row)
    if base.startswith("MPT-"):
        return load_model(base.lower())
    if base in GPTS and source not in ("BLOOM", "TPUREC"):
        hidden, layers, usual = GPTS[base]
        return gpt(base, hidden, layers, heads or usual, VOCAB.get(source, 51200))
    if base.startswith("GPT-"):
        hidden, layers = _dimensions(row, table)
        return gpt(base, hidden, layers, heads or _usual(hidden), VOCAB.get(source, 51200))
    return load_model(NAMES.get(base, base.lower()))


def _heads(row: Row) -> int:
    found = re.search(r"heads (\d+)", row.get("notes", ""))
    return int(found[1]) if found else 0


def _usual(hidden: int) -> int:
    """Heads of 128, of 96 or of 64 values, whichever divides."""
    return next((hidden // size for size in (128, 96, 64, 100) if hidden % size == 0), 1)


def _dimensions(row: Row, table: Sequence[Row]) -> tuple[int, int]:
    """Hidden size and layers of a GPT, guessed from its parameters where the row lacks them."""
    hidden, layers = (int(float(row.get(name) or 0)) for name in ("hidden", "layers"))
    billions = float(row.get("params_b") or 0)
    vocab = VOCAB.get(row.get("source_id", ""), 51200)
    if hidden and layers and (not billions or _gpt_size(hidden, layers, vocab) < 1.5 * billions):
        return hidden, layers
    known = [each for each in table if _same(each, row, "source_id") and each.get("hidden") and each.get("layers")]
    if not billions or not known:
        raise InputError(f"model {row['model'][:40]!r}", "its hidden size and layers")
    named = [each for each in known if each["model"] == row["model"]]
    if not hidden and named:
        return int(named[0]["hidden"]), int(named[0]["layers"])
    if not hidden:
        beside = {each["model"] for each in table if _same(each, row, "source_id") and _section(each) == _section(row)}
        alike = [each for each in known if each["model"] in beside] or known
        hidden = int(min(alike, key=lambda each: abs(_size(each, vocab) - billions))["hidden"])
    stages = max(int(float(row.get("pp") or 1)), 1)
    depth = (billions * 1e9 - vocab * hidden) / (12.0 * hidden**2)
    return hidden, max(round(depth / stages), 1) * stages


def _size(row: Row, vocab: float) -> float:
    """Billions of parameters by dimensions: names of rows are at times slips."""
    return _gpt_size(float(row["hidden"]), float(row["layers"]), vocab)


def _same(one: Row, other: Row, column: str) -> bool:
    return one.get(column) == other.get(column)


def _section(row: Row) -> str:
    """The experiment that a row belongs to: the notes' first words."""
    return row.get("notes", "").partition(";")[0].partition(" too close")[0]


def _gpt_size(hidden: float, layers: float, vocab: float) -> float:
    return (12.0 * layers * hidden**2 + vocab * hidden) / 1e9
