"""Which of the catalogue's models a name on a price list means: "accounts/fireworks/models/llama-v3p1-70b-instruct".

The name after the last slash is cut into words; a model is recognised if the words of its name stand in it and all
other words say nothing of the architecture (instruct, fp8, a date, the maker). Of several the longest name counts.
Anything else is not recognised: a wrong architecture is worse than none.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from ridgeline.catalog import BUILT_IN

_NEUTRAL = """
    instruct it chat hf base pt preview thinking reasoning fp8 fp4 nvfp4 bf16 fp16 int8 int4 awq gptq gguf mxfp mxfp4
    turbo maas latest us eu gov basic dynamic tee versatile instant 128k 32k 64k 4k 8k 32768 v0 v1 v2 v3 0 1 2 3 4 001
    002 meta openai qwen moonshotai moonshot minimax zai ai google nvidia deepseek databricks fw mistral mistralai
    cohere ai21 amazon snowflake bedrock azure cf bf 2402 2407 2411 2501 2507 2512 0324 0528 0711 0905 terminus exp
    hermes nous dolphin 17b 16e 128e a3b moe tput reference tuned instruction original vision vl text long open
"""
NEUTRAL = frozenset(_NEUTRAL.split())
"""Words that say nothing of the architecture."""
_LETTERS = re.compile(r"([a-z]{4,})(\d)")
_POINT = re.compile(r"(\d)p(\d)")


class _Listed(msgspec.Struct, frozen=True):
    models: dict[str, str]


def recognise(name: str) -> str:
    """The catalogue's model that a listed name means; "" if none is sure."""
    words = _words(name.rsplit("/", 1)[-1])
    best, length = "", 0
    for key, model in _known():
        size = len(key)
        for i in range(len(words) - size + 1):
            if size > length and words[i : i + size] == key and NEUTRAL.issuperset(words[:i] + words[i + size :]):
                best, length = model, size
    return best


@lru_cache(maxsize=1)
def _known() -> list[tuple[tuple[str, ...], str]]:
    """Names of models as words: the catalogue's own, and those sold under other names."""
    listed = BUILT_IN.read("", "listed", _Listed).value.models
    names = {name: name for name in BUILT_IN.names("models")} | BUILT_IN.aliases("models") | listed
    sold = {name: model for name, model in names.items() if not model.startswith("lecture") and name.count("-")}
    return [(_words(name), model) for name, model in sold.items()]


def _words(name: str) -> tuple[str, ...]:
    """llama-v3p1-70b, meta.llama3-1-70b and Llama 3.1 70B are the same words."""
    text = _POINT.sub(r"\1-\2", _LETTERS.sub(r"\1-\2", name.lower()))
    return tuple(part for part in re.split(r"[^a-z0-9]+", text) if part)
