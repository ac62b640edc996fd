"""What a step takes on a real engine: the floor's operations and messages with measured constants.

    t = host + sequence * sequences + layer * layers + kernels * (work + attention * attended) + launches * fixed
        + quantise * narrow + messages * sent + staged + sync * meetings + streamed

`work`, `attended`, `fixed` and `narrow` are `efficiency.kernel_time` of every operation: what grows with its work, of
attention apart, since engines whose kernels nobody measured read caches worse than weights; the fixed part, for fp8 and
fp4 matrices that of a bf16 one; and what those have beyond it, with their passes over activations, of which engines
keep the share `quantise`, since the quantisation that is timed with single kernels is fused elsewhere. `sent` is
`efficiency.link_time` of every message that the engine's own kernels send, `staged` of those through the host's memory,
which all engines leave to NCCL; `streamed` the bytes of norms and residuals. A step adds what single kernels do not
show, by engine: `host` seconds per step and `sequence` seconds per sequence that nothing hides, `layer` seconds for the
small kernels of a layer, and `sync` seconds per message in which ranks wait for the last one.

Everything runs one after another, unless an engine lets two micro-batches take turns (`OVERLAPPED`): then the step is
computed twice at half the size, and messages hide behind kernels. Knows no queue.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from itertools import repeat
from math import exp

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.efficiency import (
    generation,
    kernel_constants,
    kernel_work,
    link_constants,
    link_time,
    provenance,
)
from ridgeline.errors import UnknownNameError
from ridgeline.hardware import Chip, System, format_bytes
from ridgeline.layout import Layout
from ridgeline.model import Architecture
from ridgeline.model.architecture import Layer
from ridgeline.timing import Step
from ridgeline.work import routed

KERNEL_OF = {"recurrence": "decode attention"}
"""Families without measurements of their own, and those whose kernels stand in for them."""
ATTENTION = {"prefill attention", "decode attention", "prefill latent", "decode latent"}
"""Families of kernels that read a cache."""
MATRICES_OF = "sglang"
"""Engine whose tables of matrices stand for all engines: they take such kernels from the same libraries, and these
tables time captured kernels only, where the others' of fp8 and fp4 have time of the host in them."""
STREAMS = 8
"""Times that a layer's norms and residuals read or write its hidden vectors (two of each, in and out)."""
OVERLAPPED = " overlapped"
"""Added to an engine's name where two micro-batches take turns, as in DeepSeek's own and large SGLang deployments."""
VERSION = " at "
"""Between a benchmark's name and the version of the engine that it ran."""
APART = "separate pools"
"""Stands for a source: clients of separate pools, whose own prefill meets no decodes."""
UNEVEN = 2.0
"""Variance of the popularity of routed experts about its mean of 1, in the traffic of the measurements."""
WHOLE = {("vllm", "fp8", "hopper")}
"""Engine, format and generation whose kernel reads every expert, visited or not: per-tensor fp8 experts in vLLM take
the same time from 4 to 48 sequences (Qwen3-235B on H200, vLLM 0.12)."""
FITTED = "fitted"
"""Key of the interval where constants were fitted to this model on this system by this engine."""
LEVELS = ("measured kernels", "measured steps", "pooled", "spec sheet only")
"""What an estimate rests on, best first."""


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How prompts reach the engine: constants of its front end and of the client that drives it."""

    frontend: float
    """Seconds per request outside the steps: HTTP, tokenising, scheduling."""
    per_request: float
    """Seconds more for each other open request."""
    first: float
    """Own prefill over that of a prompt alone: it shares its steps with decodes and other prompts."""
    burst: float
    """Share of the others' prefills that come before a request's own first token."""
    missing: float = 0.0
    """Places of the engine, 0 to 1, that no request gets: clients keep one more open than are let in."""


class EngineConstants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step of an engine adds to its kernels, fitted to whole steps."""

    engine: str
    generation: str = ""
    """Generation of chips (`efficiency.generation`) they are for; empty: all."""
    place: str = ""
    """Engine, model and system they are for, as `place` names them; empty: all."""
    rows: int
    """Measured numbers behind it."""
    chips: tuple[str, ...]
    """Chips they were measured on."""
    kernels: float
    """Factor on kernels' work; 1 for engines whose kernels were measured."""
    attention: float = 1.0
    """Further factor on that of attention; 1 likewise."""
    prefill: float
    """Further factor on it in prefill steps; 1 likewise."""
    launches: float
    quantise: float
    sync: float
    messages: float
    layer: float
    host: float
    sequence: float
    client: Client
    overlap: Array = 0.0
    """Share of messages that hides behind kernels: 1 if two micro-batches take turns."""

    def work_factor(self, prefill: bool) -> float:
        """Factor on kernels' work in a step."""
        return self.kernels * self.prefill if prefill else self.kernels


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step by what they are, and counts of sequences and layers: linear in an engine's constants."""

    work: Array
    attended: Array
    """The work of attention, which `work` leaves out."""
    fixed: Array
    narrow: Array
    sent: Array
    staged: Array
    """Messages through the host's memory."""
    meetings: Array
    """Messages, one after another."""
    streamed: Array
    layers: Array
    sequences: Array
    provenance: str
    prefill: bool
    """Whether the step computes prompts only."""

    def total(self, engine: EngineConstants) -> Array:
        """Seconds of the step with an engine's constants."""
        return sum(self.parts(engine).values())

    def parts(self, engine: EngineConstants) -> dict[str, Array]:
        """The same by what the time goes into; of messages, what does not hide behind kernels."""
        kernels = engine.work_factor(self.prefill) * (self.work + engine.attention * self.attended) + self.streamed
        launches = engine.launches * self.fixed + engine.quantise * self.narrow + engine.layer * self.layers
        device, sent = kernels + launches, engine.messages * self.sent + self.staged + engine.sync * self.meetings
        return {
            "kernels": kernels,
            "launches": launches,
            "messages": sent - engine.overlap * namespace(device, sent).minimum(device, sent),
            "host": engine.host + engine.sequence * self.sequences,
        }

    def __mul__(self, count: float) -> Terms:
        """The same step `count` times over, by one host."""
        names = ("work", "attended", "fixed", "narrow", "sent", "staged", "meetings", "streamed", "layers")
        return msgspec.structs.replace(self, **{name: getattr(self, name) * count for name in names})


def terms(step: Step, model: Architecture, system: System, layout: Layout, engine: str) -> Terms:
    """What the operations and messages of a step take on `system` with the kernels of `engine`.

    All pipeline stages keep the pace of the longest, which has ceil(layers / pp) layers.
    """
    chip = system.chip
    work: Array = 0.0
    attended: Array = 0.0
    fixed: Array = 0.0
    narrow: Array = 0.0
    sent: Array = 0.0
    meetings: Array = 0.0
    layers: Array = 0.0
    resting: set[str] = set()
    heads = [heads_held(kind, layout, chip) for kind, _ in model.kinds]
    for layer, held in zip(step.layers, (*heads, *repeat(1.0, len(step.layers) - len(heads))), strict=True):
        for operation, time in layer.operations:
            if operation.family == "lookup":
                work = work + layer.count * time.memory
                continue
            family = KERNEL_OF.get(operation.family, operation.family)
            whose = MATRICES_OF if operation.family == "gemm" else engine
            constants = kernel_constants(family, chip, operation.stored, whose)
            resting.add(provenance(constants, chip))
            math, memory, depth, busiest = time.math, time.memory, operation.depth, 1.0
            if operation.routing:
                read, busiest = routed(operation.routing, UNEVEN)
                if (engine, operation.stored, generation(chip.name)) in WHOLE:
                    read = operation.routing.experts / (operation.routing.ranks * depth)
                math, memory, depth = math * busiest, memory * read, depth * read
            streamed = operation.activations * (busiest / chip.hbm_bandwidth)
            launches, wide = 0.0 if operation.joined else layer.count, constants.fixed
            if operation.family == "gemm" and format_bytes(operation.stored) < 2:
                wide = min(kernel_constants("gemm", chip, "bf16", whose).fixed, wide)
                narrow = narrow + (launches * (constants.fixed - wide) + layer.count * constants.passes * streamed)
                streamed = 0.0
            fixed = fixed + launches * wide
            seconds = layer.count * kernel_work(constants, math, memory, streamed, depth, operation.scores)
            if family in ATTENTION:
                attended = attended + held * seconds
            else:
                work = work + seconds
        for (message, _), wire in zip(layer.messages, layer.wires, strict=True):
            if is_one(message.ranks):
                continue
            constants = link_constants(message.kind, chip, engine, system.domain.peer_access)
            sent = sent + layer.count * link_time(constants, wire, message.ranks)
            meetings = meetings + layer.count * (wire > 0)
        if layer.operations:
            layers = layers + layer.count
    hidden = step.rank_tokens * (model.hidden * 2.0 / chip.hbm_bandwidth)
    depth = len(model.layers)
    uneven = namespace(layout.pp).ceil(depth / layout.pp) * layout.pp / depth
    return Terms(
        work=work * uneven,
        attended=attended * uneven,
        fixed=fixed * uneven,
        narrow=narrow * uneven,
        sent=sent * uneven if system.domain.peer_access else 0.0 * sent,
        staged=0.0 * sent if system.domain.peer_access else sent * uneven,
        meetings=meetings * uneven,
        streamed=STREAMS * layers * hidden * uneven,
        layers=layers * uneven,
        sequences=step.seqs / layout.dp,
        provenance=max(resting, key=LEVELS.index, default=LEVELS[0]),
        prefill=step.prefill,
    )


def heads_held(layer: Layer, layout: Layout, chip: Chip) -> Array:
    """Key-value heads that the fullest core of a chip holds, over an even share of a chip of a single core.

    With c cores and h heads c ceil(h / (c tp)) / max(h / tp, 1): heads are padded or copied until every core has one.
    """
    if chip.cores == 1:
        return 1.0
    heads = next((getattr(mixer, "kv_heads", 1) for mixer in layer.mixers), 1)
    each = heads / layout.tp
    xp = namespace(each)
    return chip.cores * xp.ceil(each / chip.cores) / xp.maximum(each, 1.0 + 0.0 * each)


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a step takes on a real engine: `low` and `high` hold four of five measurements."""

    seconds: Array
    floor: Array
    log_low: float
    log_high: float
    """ln(measured / estimate) below and above which a tenth of held-out measurements lie."""
    provenance: str
    terms: Terms
    engine: EngineConstants

    @property
    def low(self) -> Array:
        """Lower bound, never below the floor."""
        return namespace(self.seconds, self.floor).maximum(self.seconds * exp(self.log_low), self.floor)

    @property
    def high(self) -> Array:
        """Upper bound."""
        return self.seconds * exp(self.log_high)


def estimate(step: Step, model: Architecture, system: System, layout: Layout, engine: str = "") -> Estimate:
    """Seconds of a step with the constants of an engine ("": of all engines together), never below its floor.

    The interval is that of held-out decode steps (prefills: of held-out prefills) at the same level of provenance.

    Raises
    ------
    UnknownNameError
        For an engine that has no constants.
    """
    known = [each.engine for each in engines().engines if each.engine != "any"]
    if engine and engine not in known:
        raise UnknownNameError("engine", engine[:60], known)
    found = terms(step, model, system, layout, engine or "any")
    here = place(engine, model.name, system.name)
    constants = engine_constants(engine or "any", system.chip.name, where=here)
    floor = step.floor
    xp = namespace(floor, found.work)
    seconds = xp.maximum(found.total(constants) + 0.0 * floor, floor + 0.0 * found.work)
    resting = level(found, constants, system.chip.name)
    known = here in engines().places
    metric = "prefill/ttft_s" if step.prefill else "decode_step/tpot_s"
    low, high = spread(metric, FITTED if known else resting, engine)
    return Estimate(
        seconds=seconds,
        floor=floor,
        log_low=low,
        log_high=high,
        provenance=resting,
        terms=found,
        engine=constants,
    )


def spread(metric: str, resting: str, engine: str) -> tuple[float, float]:
    """ln(measured / estimate) between which four of five held-out measurements of a metric lie, at a level (FITTED)."""
    table = engines().spread
    if own := table.get(f"{metric}, {engine}", {}).get(resting):
        return own
    by_level = table.get(metric) or table.get(metric.partition("/")[2]) or table["all"]
    return by_level.get(resting) or by_level[LEVELS[0] if resting == FITTED else "any"]


def place(engine: str, model: str, system: str) -> str:
    """How a model on a system by an engine is named in `Engines.places`."""
    return f"{engine}, {model}, {system}"


def level(found: Terms, engine: EngineConstants, chip: str) -> str:
    """What an estimate with these terms and constants rests on: one of LEVELS."""
    if found.provenance != LEVELS[0] and chip in engine.chips:
        return "measured steps"
    return found.provenance


class HeldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Error of predictions with constants fitted without the rows predicted."""

    n: int
    median_abs_error: float
    p90_abs_error: float
    bias: float


class Engines(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All fitted engines, and how far measurements lie from estimates."""

    source: str
    engines: tuple[EngineConstants, ...]
    places: tuple[str, ...]
    """Model, system and engine of all rows that constants were fitted to, as `place` names them."""
    clients: dict[str, Client]
    """How the clients of some benchmarks drive engines, by "engine, source of the measurement", the same with
    ", generation of chips", ", source", and "place, source"; by APART: how prompts reach separate pools."""
    held_out: dict[str, HeldOut]
    """By "mode/metric" and by "mode/metric, engine", each model on each system left out."""
    near: dict[str, HeldOut] = {}
    """The same, rows left out at random."""
    ablation: dict[str, tuple[float, float]] = {}
    """Median and 90th percentile of the error of the time per output token online, by what was left out of the law and
    the fit (`validate.ablation`)."""
    spread: dict[str, dict[str, tuple[float, float]]]
    """By metric or "metric, engine", and by level: ln(measured / estimate) below and above which a tenth of held-out
    measurements lie."""

    def constants(self, name: str, chip: str = "", source: str = "", where: str = "") -> EngineConstants:
        """Constants of an engine on chips like `chip`, else on all; of all engines ("any") if nobody measured it.

        `source` names a benchmark whose clients are known, or is APART; `where` a `place`, which may have its own.
        """
        found = {(engine.engine, engine.generation, engine.place): engine for engine in self.engines}
        base = name.removesuffix(OVERLAPPED)
        levels = [(who, alike, "") for who in (base, "any") for alike in (generation(chip), "")]
        benchmark = source.partition(VERSION)[0]
        known = [f"{base}, {source}, {generation(chip)}", f"{base}, {source}", f"{base}, {benchmark}", f", {benchmark}"]
        if where:
            levels, known = [(base, "", where), *levels], [f"{where}, {source}", *known]
        constants = next(found[each] for each in levels if each in found)
        client = next((self.clients[key] for key in known if key in self.clients), None)
        if client:
            constants = msgspec.structs.replace(constants, client=client)
        return constants if base == name else msgspec.structs.replace(constants, overlap=1.0)


@lru_cache(maxsize=1)
def engines() -> Engines:
    """The shipped constants of engines."""
    return msgspec.json.decode(files("ridgeline.catalog").joinpath("engines.json").read_bytes(), type=Engines)


@lru_cache(maxsize=4096)
def engine_constants(name: str, chip: str = "", source: str = "", where: str = "") -> EngineConstants:
    """`Engines.constants` of what is shipped."""
    return engines().constants(name, chip, source, where)
