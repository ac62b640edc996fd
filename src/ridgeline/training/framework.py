"""What training frameworks do differently: bytes per parameter, what selective recomputation keeps, and constants that
were fitted to whole steps.

Few and physical: a factor on kernels (backward passes run unlike forward ones), the share of each kind of message that
nothing hides, seconds of the host per layer, fixed seconds per step, and for memory the bytes that the allocator holds
beyond the tensors. They are fitted by framework and generation of chips with those of the framework, and of all
frameworks, as priors (`ridgeline calibrate`). Knows no law.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib.resources import files
from typing import Annotated

import msgspec
from msgspec import Meta

from ridgeline.efficiency import generation
from ridgeline.errors import UnknownNameError

Count = Annotated[float, Meta(ge=0)]
ANY = "any"
"""Stands for all frameworks, or all chips."""
STATED = f"time, {ANY}, full settings"
"""Key of held-out errors of runs whose tables give all settings."""
NEWEST = 2026 + 7 / 12
"""Release of the newest software that was measured, in years."""
ANNOUNCED = {"ampere": 2020.4, "hopper": 2022.2, "blackwell": 2024.2}
"""When a generation of chips was announced, in years."""
MATURES = 1.0
"""Years in which what software loses on new chips falls to 1 / e: a guess. Between 2021.3 and 2022.4 Megatron's steps
of GPTs of 530B and 1T on A100 fell by 9 to 10% (arXiv:2104.04473, table 1; 2205.05198, table 5); the fit takes 2%."""


def youth(chip: str, age: float) -> float:
    """exp(-years / MATURES), years from the announcement of a chip's generation to software `age` years before NEWEST.

    0 for a chip of a generation that is not in ANNOUNCED: taken as mature.
    """
    born = ANNOUNCED.get(generation(chip))
    return 0.0 if born is None else math.exp(-max(NEWEST - age - born, 0.0) / MATURES)


class Habits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a framework does, from its documentation."""

    gradients: Count
    """Bytes of a parameter's gradient while a step accumulates it."""
    states: Count
    """Bytes per parameter that the optimizer keeps: master weight, two moments."""
    weights: Count
    """Bytes of the weight that kernels read."""
    sent: Count
    """Bytes per gradient that are sent between ranks."""
    selective_keeps: Count
    """Share of a layer's activations left under selective recomputation, scores apart."""
    selective_repeats: Count
    """Share of the layer's matrices that it computes again; the core of attention always."""
    logits: Count
    """Bytes per logit while the loss is computed."""
    accumulates: bool
    """Whether gradients are sent once per step; else, without ZeRO, after every micro-batch of a pipeline."""
    balanced: bool
    """Whether embedding and head count as layers when stages are filled."""
    source: str


class Factors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of a step and of its memory, fitted."""

    gemm: Count
    """Seconds of matrices in all passes over those of forward kernels measured alone."""
    attention: Count
    """The same of attention in the forward pass."""
    attention_backward: Count
    """Backward over forward, of attention."""
    experts: Count
    streams: Count
    """Passes of norms, residuals and activation functions over HBM, over the fewest."""
    tp: Count
    """Messages of tensor parallelism that nothing hides, over their time alone; likewise the next three."""
    tp_far: Count
    """The same where tensor ranks lie in several scale-up domains."""
    sync: Count
    """Seconds of a layer's messages of tensor parallelism beyond their bytes, per pass: ranks wait for the last."""
    tp_hop: Count
    """Seconds of a layer's messages for each further domain that they cross, per pass."""
    cp: Count
    ep: Count
    dp: Count
    pp: Count
    host: Count
    """Seconds in which the host starts one layer of a micro-batch, forward and backward, on one device."""
    host_experts: Count
    """Seconds more for a layer of experts, whose tokens the host must count before it can start their matrices."""
    host_each: Count
    """Seconds more for each expert on the device, whose matrices it starts one by one."""
    meeting: Count
    """Seconds more for a layer's messages of tensor parallelism."""
    stalled: Count
    """Seconds more per tensor rank in a pipeline (nanotron's ranks wait for each other's hosts there)."""
    handover: Count
    """Seconds per micro-batch, chunk and stage boundary of a pipeline beyond its bytes."""
    step: Count
    """Seconds of a step outside micro-batches: optimizer's host work, logging, data."""
    uneven: Count
    """Variance of the experts' popularity."""
    youth: Count
    """Part by which a step is longer on chips that were announced today: software for them matures (`youth`)."""
    aging_experts: Count
    """Part by which experts, their messages and their host took longer with software one year older than NEWEST."""


class Allocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of memory, fitted."""

    context: Count
    """Bytes of the driver's context and of libraries that the framework's own allocator does not count."""
    fixed: Count
    """Bytes of buffers that its allocator counts."""
    tp: Count
    """Bytes more of workspaces where tensors are divided."""
    activations: Count
    """Held for activations over what must be kept."""
    states: Count
    """Held for weights, gradients and optimizer over what must be kept."""
    peak: Count
    """Activations of one layer that live at once in its backward pass, over those it keeps."""
    gathered: Count
    """Layers' inputs and their gradients that are whole on every tensor rank at once."""


class Fitted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of a framework on a generation of chips; ANY stands for all."""

    framework: str
    generation: str
    rows: int
    factors: Factors


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ln(measured / estimate) of a tenth and nine tenths of held-out measurements, and the number of them."""

    low: float
    high: float
    n: int


class HeldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Errors of predictions with constants that were fitted without the row's group."""

    n: int
    median_abs_error: float
    p90_abs_error: float
    coverage80: float


class Frameworks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that was fitted, and what it was fitted to."""

    source: str
    habits: dict[str, Habits]
    fitted: tuple[Fitted, ...]
    allocation: dict[str, Allocation]
    spread: dict[str, Spread]
    """By "time, framework" and "memory, framework", and for ANY framework."""
    held_out: dict[str, HeldOut]

    def habit(self, name: str) -> Habits:
        """What a framework does (UnknownNameError)."""
        if name not in self.habits:
            raise UnknownNameError("training framework", name, self.habits)
        return self.habits[name]

    def factors(self, name: str, chip: str) -> Factors:
        """Constants of a framework on chips like `chip`; else of the framework, else of all frameworks."""
        found = {(each.framework, each.generation): each.factors for each in self.fitted}
        places = ((name, generation(chip)), (name, ANY), (ANY, generation(chip)), (ANY, ANY))
        return next(found[place] for place in places if place in found)

    def allocations(self, name: str) -> Allocation:
        """Constants of memory of a framework, else of all."""
        return self.allocation.get(name) or self.allocation[ANY]

    def spread_of(self, what: str, name: str) -> Spread:
        """How far measurements lie from estimates of `what`: time or memory."""
        return self.spread.get(f"{what}, {name}") or self.spread[f"{what}, {ANY}"]

    def rests_on(self, name: str, chip: str) -> str:
        """What an estimate rests on, in words."""
        places = {(each.framework, each.generation) for each in self.fitted}
        if (name, generation(chip)) in places:
            return f"steps of {name} measured on chips like {chip}"
        if (name, ANY) in places:
            return f"steps of {name} on other chips; {chip} was not measured"
        return f"steps of other frameworks than {name}"


@lru_cache(maxsize=1)
def frameworks() -> Frameworks:
    """The shipped constants."""
    text = files("ridgeline.catalog").joinpath("training.json").read_bytes()
    return msgspec.json.decode(text, type=Frameworks)
