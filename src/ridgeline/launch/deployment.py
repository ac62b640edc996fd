"""What is to be started, as plain data: a model and its roles, each a number of like replicas. Knows no engine.

A deployment has one role that does everything, or one that computes prompts and one that decodes (xPyD).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ridgeline.errors import InputError
from ridgeline.layout import Layout
from ridgeline.model import Architecture
from ridgeline.precision import stored_formats
from ridgeline.serving.point import CHUNK, Point

Phase = Literal["both", "prefill", "decode"]
HUB = "https://huggingface.co/"


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of one layout that do the same."""

    phase: Phase = "both"
    replicas: int
    layout: Layout
    sequences: int
    """Sequences in flight in a replica."""
    tokens: int = CHUNK
    """Tokens of the largest step of an attention rank."""
    memory: float = 0.9
    """Share of a device's memory that the engine may fill."""
    static: float = 0.85
    """Share of it for weights and cache."""
    free: float = 0.85
    """Share for the cache of what the weights leave."""
    host: int = 8
    """Devices of one host."""
    vendor: str = "NVIDIA"
    """Who makes the chips."""


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A model as it is to be served."""

    model: str
    """Name on the Hugging Face hub, or folder of the checkpoint."""
    roles: tuple[Role, ...]
    length: int
    """Tokens of the longest request, prompt and output."""
    weights: str = ""
    """Format to which the engine is to convert the checkpoint; empty: as stored."""
    kv: str = "bf16"
    drafts: int = 0
    """Tokens per step that the model's own layers for multi-token prediction draft."""
    cached: float = 0.0
    """Share of a prompt that the plan takes from the cache."""

    @property
    def separate(self) -> bool:
        """Whether prefill and decode are roles of their own."""
        return len(self.roles) > 1


def deployed(
    decode: Point,
    prefill: Point | None = None,
    *,
    replicas: int = 0,
    prefill_replicas: int = 0,
    tokens: int = CHUNK,
    checkpoint: str = "",
    host: int = 0,
) -> Deployment:
    """The deployment of a point; with `prefill`, that of two pools, which may be of different systems.

    Parameters
    ----------
    replicas, prefill_replicas
        Copies of each; 0: as many as the chips make.
    tokens
        Tokens of the largest step of an attention rank.
    checkpoint
        Name or folder of the checkpoint, where the model's own is not the one to load.
    host
        Devices of one host; 0: the system's.

    Raises
    ------
    InputError
        For a model whose checkpoint is not known, or a draft without layers for it.
    """
    scenario, found = decode.scenario, decode.subject
    longest = int((scenario.context or scenario.isl) + scenario.osl)
    if 0 < found.model.max_context < longest:
        raise InputError(
            f"--emit for requests of {longest:,} tokens",
            f"{found.model.name} is made for at most {found.model.max_context:,}",
            "shorter --isl and --osl, or a model of a longer context",
        )
    drafts = int(scenario.verify) - 1
    if drafts and not found.model.mtp:
        raise InputError(f"--verify {scenario.verify}", f"{found.model.name} has no layers that draft", "--verify 1")
    if prefill is None:
        roles = (_role(decode, "both", replicas, tokens, host),)
    else:
        prompts = _role(prefill, "prefill", prefill_replicas, tokens, host)
        roles = (prompts, _role(decode, "decode", replicas, tokens, host))
    stored, asked = stored_formats(found.model)["default"], scenario.weights
    return Deployment(
        model=checkpoint or _checkpoint(found.model, scenario.model),
        roles=roles,
        length=longest,
        weights="" if checkpoint or asked in ("", stored) else asked,
        kv=found.precision.kv,
        drafts=drafts,
        cached=scenario.prefix / scenario.isl,
    )


def _role(point: Point, phase: Phase, replicas: int, tokens: int, host: int) -> Role:
    held, system = point.memory, point.subject.system
    after = held.capacity - held.weights - held.activations
    return Role(
        phase=phase,
        replicas=replicas or int(point.replicas),
        layout=point.scenario.layout,
        tokens=tokens,
        host=host or system.host or min(system.domain.size, 8),
        vendor=system.chip.vendor,
        sequences=-int(-point.scenario.batch // 1),
        memory=round(float(1 - held.reserve / held.capacity), 3),
        static=round(float(1 - (held.reserve + held.activations) / held.capacity), 3),
        free=round(float((after - held.reserve) / after), 3),
    )


def _checkpoint(model: Architecture, asked: str) -> str:
    """Name of a model on the hub, or the folder of its config.json."""
    if asked.endswith("config.json"):
        return asked.removesuffix("config.json").rstrip("/") or "."
    if model.source.startswith(HUB):
        return model.source.removeprefix(HUB)
    raise InputError(f"--emit for {model.name}", "its checkpoint is not known", "--checkpoint NAME or FOLDER")
