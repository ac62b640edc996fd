"""In which number formats a model's parts are stored, cached and computed.

bytes = elements * bytes per element (block scales included); the format of the multiplications follows from the
stored weight, the activations and what the chip has (`hardware.math_format`). Knows no FLOP and no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import get_args

import msgspec

from ridgeline.errors import UnknownNameError
from ridgeline.hardware import Chip, format_bytes, math_format
from ridgeline.model import Architecture
from ridgeline.model.architecture import Part

WIDE = {"embedding": "bf16", "head": "bf16", "router": "bf16", "other": "bf16"}
"""Parts that quantised checkpoints leave in bf16."""


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """Formats of one model on one chip. Per part: the stored format, its bytes per element, and the math format."""

    stored: dict[str, str]
    bytes: dict[str, float]
    math: dict[str, str]
    kv: str
    kv_bytes: float
    activations: str
    activation_bytes: float
    attention_math: str
    """Format of scores and values: that of the cache, as far as the chip computes in it."""
    score_cost: float
    """Time of a score's multiplication over that of a projection's: ratio of their peaks."""
    dispatch_bytes: float
    """Bytes per element of a token on its way to the experts: as narrow as they compute; it comes back in bf16."""

    def of(self, part: str) -> tuple[float, str]:
        """Bytes per element and math format of a part."""
        return self.bytes.get(part, self.bytes["default"]), self.math.get(part, self.math["default"])


def stored_formats(model: Architecture, weights: str = "") -> dict[str, str]:
    """Stored format per part: as published, or `weights` for everything a quantised checkpoint converts.

    `weights` may name parts: "nvfp4,attention=fp8" (UnknownNameError for a part that no model has).
    """
    if not weights:
        return {"default": "bf16"} | {part: name for part, name in model.dtypes.items() if part != "kv"}
    default, _, rest = weights.partition(",")
    formats = {"default": default} | ({} if format_bytes(default) >= 2 else WIDE)
    for item in filter(None, rest.split(",")):
        part, _, name = (text.strip() for text in item.partition("="))
        if part not in get_args(Part):
            raise UnknownNameError("part of a model", part[:60], get_args(Part), 'such as "nvfp4,attention=fp8"')
        formats[part] = name
    return formats


def resolve(model: Architecture, chip: Chip, weights: str = "", kv: str = "", activations: str = "") -> Precision:
    """Formats of `model` on `chip`; an empty option means as published; a cache of which nothing is published is bf16.

    `activations` empty: as narrow as the weights where the chip can compute so.

    Raises
    ------
    InputError
        For a format that is not in the catalogue.
    """
    cache = kv or model.dtypes.get("kv", "bf16")
    return _resolve(tuple(sorted(stored_formats(model, weights).items())), chip, cache, activations)


@lru_cache(maxsize=512)
def _resolve(stored: tuple[tuple[str, str], ...], chip: Chip, kv: str, activations: str) -> Precision:
    formats: Mapping[str, str] = dict(stored)
    experts = formats.get("expert", formats["default"])
    dispatch = math_format(experts, activations or experts, chip)
    return Precision(
        stored=dict(formats),
        bytes={part: format_bytes(name) for part, name in formats.items()},
        math={part: math_format(name, activations or name, chip) for part, name in formats.items()},
        kv=kv,
        kv_bytes=format_bytes(kv),
        activations=activations,
        activation_bytes=2.0,
        attention_math=math_format(kv, kv, chip),
        score_cost=_ratio(chip, formats.get("attention", formats["default"]), activations, math_format(kv, kv, chip)),
        dispatch_bytes={"bf16": 2.0, "fp4": format_bytes("nvfp4")}.get(dispatch, 1.0),
    )


def _ratio(chip: Chip, projection: str, activations: str, scores: str) -> float:
    """Peak of a projection's format over that of scores; 1 where one is not known."""
    fast = getattr(chip.peak, math_format(projection, activations or projection, chip))
    slow = getattr(chip.peak, scores)
    return fast / slow if fast and slow else 1.0
