"""Sheets of models whose architecture is public: the sample from which the market is learnt, and on which it is tried.

Families, not rows, are counted: models of one size and shape (V3, R1 and V3.2) are one, and a price that several
sellers of a family have counts once. Knows no fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.catalog import BUILT_IN
from ridgeline.model import Architecture, kv, load_model
from ridgeline.model.architecture import Attention, CompressedAttention, LatentAttention, Recurrent
from ridgeline.pricing.recognise import recognise
from ridgeline.pricing.sheet import Sheet

Floats = NDArray[np.float64]
CONTEXT = 8000.0
"""Tokens of context at which the cache per token is counted; windows and states make it fall with context."""
_BF16 = 2.0
_TOTAL, _ACTIVE = 0.02, 0.04
"""How far apart the parameters of one family may lie."""


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What is public of a model."""

    model: str
    family: str = ""
    """Set in a sample."""
    active: float
    total: float
    cache: float
    """Bytes per token that a sequence of 8k tokens keeps, in bf16, states of recurrences included."""
    kind: str

    @property
    def experts(self) -> bool:
        """Whether it is a mixture of experts."""
        return self.total > 2.0 * self.active


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Sheets with the truth behind each."""

    sheets: list[Sheet]
    truths: list[Truth]

    def __len__(self) -> int:
        return len(self.sheets)

    @property
    def families(self) -> list[str]:
        """Names of the families, sorted."""
        return sorted({truth.family for truth in self.truths})

    @property
    def weights(self) -> Floats:
        """Weight of each sheet: those of a family add up to one."""
        names = [truth.family for truth in self.truths]
        return np.array([1.0 / names.count(name) for name in names])

    def where(self, keep: Iterable[bool]) -> Sample:
        """The sheets for which `keep` is true."""
        chosen = list(keep)
        return Sample(
            sheets=[sheet for sheet, yes in zip(self.sheets, chosen, strict=True) if yes],
            truths=[truth for truth, yes in zip(self.truths, chosen, strict=True) if yes],
        )


def sample(sheets: Sequence[Sheet]) -> Sample:
    """Those sheets of which the model is known, each price of a family once."""
    seen: set[tuple[str, float, float]] = set()
    kept: list[Sheet] = []
    truths: list[Truth] = []
    for sheet in sheets:
        model = sheet.model or recognise(sheet.name)
        if not model:
            continue
        truth = msgspec.structs.replace(truth_of(model), family=families()[BUILT_IN.find("models", model).stem])
        key = (truth.family, round(sheet.input * 1e6, 6), round(sheet.output * 1e6, 6))
        if key not in seen:
            seen.add(key)
            kept.append(sheet)
            truths.append(truth)
    return Sample(sheets=kept, truths=truths)


@lru_cache(maxsize=1024)
def truth_of(model: str) -> Truth:
    """What is public of a model of the catalogue."""
    found = load_model(model)
    stored = float(kv.total_stored(found, CONTEXT, _BF16)) / CONTEXT
    return Truth(
        model=found.name, active=float(found.active_parameters), total=float(found.parameters), cache=stored,
        kind=kind(found),
    )  # fmt: skip


def kind(model: Architecture) -> str:
    """The kind of its attention: latent, mixed (windows, recurrences or selections in some layers), or full."""
    mixers = [mixer for layer in model.layers for mixer in layer.mixers]
    if any(isinstance(mixer, LatentAttention | CompressedAttention) for mixer in mixers):
        return "latent"
    windowed = any(isinstance(mixer, Attention) and 0 < mixer.window < CONTEXT for mixer in mixers)
    return "mixed" if windowed or any(isinstance(mixer, Recurrent) for mixer in mixers) else "full"


@lru_cache(maxsize=1)
def families() -> dict[str, str]:
    """The family of each model of the catalogue: the first model of its size and width."""
    heads: list[Architecture] = []
    out: dict[str, str] = {}
    for name in BUILT_IN.names("models"):
        if name.startswith("lecture"):
            continue
        model = load_model(name)
        head = next((each for each in heads if _alike(model, each)), None)
        if head is None:
            heads.append(model)
        out[name] = head.name if head else model.name
    return out


def _alike(one: Architecture, other: Architecture) -> bool:
    return (
        one.hidden == other.hidden
        and abs(one.parameters / other.parameters - 1) < _TOTAL
        and abs(one.active_parameters / other.active_parameters - 1) < _ACTIVE
    )
