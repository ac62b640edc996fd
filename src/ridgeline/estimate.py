"""What a step takes on a real engine: the floor's operations and messages with measured constants.

    t = host + sequence * sequences + layer * small + kernels * (work + attention * attended) + scores * scored
        + launches * fixed + quantise * narrow + messages * sent + staged + sync * meetings + streamed

`work`, `attended`, `fixed` and `narrow` are `efficiency.kernel_time` of every operation: what grows with its work, of
attention apart, since engines whose kernels nobody measured read caches worse than weights; the fixed part, for fp8 and
fp4 matrices that of a bf16 one; and what those have beyond it, with their passes over activations, of which engines
keep the share `quantise`, since the quantisation that is timed with single kernels is fused elsewhere. `scored` are the
scores of prompts, which engines without one kernel for attention write down and read `scores` times. `sent` is
`efficiency.link_time` of every message that the engine's own kernels send, `staged` of those through the host's memory,
which all engines leave to NCCL; `streamed` the bytes of norms and residuals, and of matrices that are written out in a
wider format. A step adds what single kernels do not show, by engine: `host` seconds per step and `sequence` seconds per
sequence that nothing hides, `layer` small kernels of each layer, which take `small` if there is one, and `sync` seconds
per message in which ranks wait for the last one.

Everything runs one after another, unless an engine lets two micro-batches take turns (`engines.OVERLAPPED`): then the
step is computed twice at half the size, and messages hide behind kernels. Knows no queue.
"""

from __future__ import annotations

from itertools import repeat
from math import exp

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.efficiency import (
    MATRICES_OF,
    generation,
    kernel_constants,
    kernel_work,
    link_constants,
    link_time,
    matrix_constants,
    provenance,
    small_kernel,
)
from ridgeline.engines import FITTED, LEVELS, EngineConstants, engine_constants, engines, place, spread
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
PROMPTS = {"prefill attention", "prefill latent"}
"""Those of them that compute the scores of prompts."""
SCORE = 8.0
"""Bytes that the score of a query and a key it may see takes where scores are written down: in 32 bits, and twice, for
as many that it may not see are computed with them."""
STREAMS = 8
"""Times that a layer's norms and residuals read or write its hidden vectors (two of each, in and out)."""
EXCHANGES, ONE_SIDED, NODE = ("dispatch", "combine"), "trtllm", 8
"""Messages between experts' ranks that an engine sends with kernels of its own, inside domains of more chips than a
node has: TensorRT-LLM writes into memory that an NVL72 shares. All else takes NCCL's constants: what DeepEP's authors
measured across nodes is nearer to these (-14 to +38%) than to DeepEP's inside a node (+23 to +54%)."""
LIBRARIES = {"FasterTransformer": "nccl", "LMDeploy": "nccl"}
"""Whose collectives an engine sends its messages with, where it has none of its own."""
ONE_RING = {"Transformers NeuronX"}
"""Engines whose collectives go round a torus in one ring: of each chip's links a pair, 1 / dims of its bandwidth."""
COPIED = {"Transformers NeuronX"}
"""Engines that copy keys and values to every query head where their heads cannot be divided among cores (GQA:
`REPLICATED_HEADS`, what its check_gqa_fallback falls back to)."""
EXPANDED = {("llama.cpp", "NVIDIA")}
"""Engines that write packed matrices out in 16 bits before they multiply prompts with them, by the chip's vendor: the
packed one is read, the wide one written, and read by the multiplication (ggml_cuda_op_mul_mat_cublas). That is a kernel
of 16 bits, and those that read packed matrices for a single vector have nothing in common with other engines'."""
UNEVEN = 2.0
"""Variance of the popularity of routed experts about its mean of 1, in the traffic of the measurements."""
WHOLE = {("vllm", "fp8", "hopper")}
"""Engine, format and generation whose kernel reads every expert, visited or not: per-tensor fp8 experts in vLLM take
the same time from 4 to 48 sequences (Qwen3-235B on H200, vLLM 0.12)."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step by what they are, and counts of sequences and messages: linear in an engine's constants."""

    work: Array
    attended: Array
    """The work of attention, which `work` leaves out."""
    scored: Array
    """Scores of prompts, written to HBM or read from it once."""
    fixed: Array
    narrow: Array
    sent: Array
    staged: Array
    """Messages through the host's memory."""
    meetings: Array
    """Messages, one after another."""
    streamed: Array
    small: Array
    """A small kernel (`efficiency.small_kernel`), once for each layer."""
    sequences: Array
    provenance: str
    prefill: bool
    """Whether the step computes prompts only."""
    mixed: bool = False
    """Whether it computes prompts and decodes."""

    def total(self, engine: EngineConstants) -> Array:
        """Seconds of the step with an engine's constants."""
        return sum(self.parts(engine).values())

    def parts(self, engine: EngineConstants) -> dict[str, Array]:
        """The same by what the time goes into; of messages, what does not hide behind kernels."""
        kernels = engine.work_factor(self.prefill, self.mixed) * (self.work + engine.attention * self.attended)
        kernels = kernels + engine.scores * self.scored + self.streamed
        launches = engine.launches * self.fixed + engine.quantise * self.narrow + engine.layer * self.small
        device, sent = kernels + launches, engine.messages * self.sent + self.staged + engine.sync * self.meetings
        return {
            "kernels": kernels,
            "launches": launches,
            "messages": sent - engine.overlap * namespace(device, sent).minimum(device, sent),
            "host": engine.host + engine.sequence * self.sequences,
        }

    def __mul__(self, count: Array) -> Terms:
        """The same step `count` times over, by one host."""
        names = ("work", "attended", "scored", "fixed", "narrow", "sent", "staged", "meetings", "streamed", "small")
        return msgspec.structs.replace(self, **{name: getattr(self, name) * count for name in names})


def terms(
    step: Step, model: Architecture, system: System, layout: Layout, engine: str, uneven: float = UNEVEN
) -> Terms:
    """What the operations and messages of a step take on `system` with the kernels of `engine`.

    `uneven` is the variance of experts' popularity; 0: routing is simulated, with all alike.
    All pipeline stages keep the pace of the longest, which has ceil(layers / pp) layers.
    """
    chip = system.chip
    work: Array = 0.0
    attended: Array = 0.0
    scored: Array = 0.0
    fixed: Array = 0.0
    narrow: Array = 0.0
    sent: Array = 0.0
    meetings: Array = 0.0
    layers: Array = 0.0
    expanded: Array = 0.0
    prompts = any(segment.prefill for segment in step.segments)
    expands = prompts and (engine, chip.vendor) in EXPANDED
    rings = max(system.domain.dims, 1) if engine in ONE_RING else 1
    resting: set[str] = set()
    heads = [[heads_held(kind, layout, chip, engine, new) for new in (False, True)] for kind, _ in model.kinds]
    for layer, held in zip(step.layers, (*heads, *repeat([1.0, 1.0], len(step.layers) - len(heads))), strict=True):
        for operation, time in layer.operations:
            if operation.family == "lookup":
                work = work + layer.count * time.memory
                continue
            family = KERNEL_OF.get(operation.family, operation.family)
            if family == "gemm":
                dense = (engine, chip.vendor) in EXPANDED
                constants = matrix_constants(chip, "bf16" if dense else operation.stored, engine)
            else:
                constants = kernel_constants(family, chip, operation.stored, engine)
            resting.add(provenance(constants, chip))
            math, memory, depth, busiest = time.math, time.memory, operation.depth, 1.0
            if operation.routing:
                read, busiest = routed(operation.routing, uneven)
                if (engine, operation.stored, generation(chip.name)) in WHOLE:
                    read = operation.routing.experts / (operation.routing.ranks * depth)
                math, memory, depth = math * busiest, memory * read, depth * read
            streamed = operation.activations * (busiest / chip.hbm_bandwidth)
            launches, wide = 0.0 if operation.joined else layer.count, constants.fixed
            if operation.family == "gemm" and (packed := format_bytes(operation.stored)) < 2:
                if expands:
                    memory = memory * (2.0 / packed)
                    expanded = expanded + layer.count * (1.0 + 2.0 / packed) * operation.weights / chip.hbm_bandwidth
                wide = min(matrix_constants(chip, "bf16").fixed, wide)
                narrow = narrow + (launches * (constants.fixed - wide) + layer.count * constants.passes * streamed)
                streamed = 0.0
            fixed = fixed + launches * wide
            seconds = layer.count * kernel_work(constants, math, memory, streamed, depth, operation.scores)
            if family in ATTENTION:
                new = step.prefill or family in PROMPTS
                attended = attended + held[new] * seconds
                if family in PROMPTS:
                    scored = scored + operation.scores * (held[new] * layer.count * SCORE / chip.hbm_bandwidth)
            else:
                work = work + seconds
        for (message, _), wire in zip(layer.messages, layer.wires, strict=True):
            if is_one(message.ranks):
                continue
            own = message.name in EXCHANGES and engine == ONE_SIDED and system.domain.size > NODE
            kind = message.name if own else message.kind
            constants = link_constants(kind, chip, LIBRARIES.get(engine, engine), system.domain.peer_access)
            sent = sent + layer.count * link_time(constants, wire * rings, message.ranks)
            meetings = meetings + layer.count * (wire > 0)
        if layer.operations:
            layers = layers + layer.count
    each = small_kernel(chip, MATRICES_OF)
    hidden = step.rank_tokens * (model.hidden * 2.0 / chip.hbm_bandwidth)
    depth = len(model.layers)
    longest = namespace(layout.pp).ceil(depth / layout.pp) * layout.pp / depth
    return Terms(
        work=work * longest,
        attended=attended * longest,
        scored=scored * longest,
        fixed=fixed * longest,
        narrow=narrow * longest,
        sent=sent * longest if system.domain.peer_access else 0.0 * sent,
        staged=0.0 * sent if system.domain.peer_access else sent * longest,
        meetings=meetings * longest,
        streamed=(STREAMS * layers * hidden + expanded) * longest,
        small=layers * each * longest,
        sequences=step.seqs / layout.dp,
        provenance=max(resting, key=LEVELS.index, default=LEVELS[0]),
        prefill=step.prefill,
        mixed=prompts and not step.prefill,
    )


def heads_held(layer: Layer, layout: Layout, chip: Chip, engine: str, prefill: bool) -> Array:
    """Heads on the fullest core of a chip, times its cores, over those that are counted for a chip of a single core.

    With c cores and h heads c ceil(h / (c tp)) / max(h / tp, 1): heads are padded or copied until every core has one.
    Prompts compute heads of queries; decodes read those of keys and values, or their copies (COPIED).
    """
    if chip.cores == 1:
        return 1.0
    mixer = next(iter(layer.mixers), None)
    queries, counted = getattr(mixer, "heads", 1), getattr(mixer, "kv_heads", 1)
    cores = chip.cores * layout.tp
    held = counted
    if prefill:
        held = counted = queries
    elif engine in COPIED:
        held = counted + (queries - counted) * (counted % cores > 0)
    each = counted / layout.tp
    xp = namespace(each)
    return chip.cores * xp.ceil(held / cores) / xp.maximum(each, 1.0 + 0.0 * each)


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


def level(found: Terms, engine: EngineConstants, chip: str) -> str:
    """What an estimate with these terms and constants rests on: one of LEVELS."""
    if found.provenance != LEVELS[0] and chip in engine.chips:
        return "measured steps"
    return found.provenance
