"""One deployment at any layouts and batches: its steps, memory, speed and what it takes; numbers or arrays.

A prefill step carries `chunk` tokens on every rank of every stage, which is the throughput case. The floor of the time
to first token is a single prompt alone; its estimate adds the engine's front end and the wait of prompts that arrive
together. Chips that replicas leave over are paid for. Knows no search.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.engines import OVERLAPPED, engine_constants
from ridgeline.errors import InputError
from ridgeline.estimate import Estimate, Terms, estimate, terms
from ridgeline.layout import Layout
from ridgeline.memory import DeviceMemory, device_memory
from ridgeline.roofline import Time
from ridgeline.scenario import TWO_BATCH, Scenario
from ridgeline.serving.number import Numbers, positive
from ridgeline.serving.numbers import (
    estimate_numbers,
    expected_numbers,
    memory_numbers,
    model_numbers,
    serving_numbers,
    step_numbers,
)
from ridgeline.serving.operations import operation_numbers
from ridgeline.serving.request import Serving, first_token, serve
from ridgeline.subject import Subject, subject
from ridgeline.timing import Step
from ridgeline.timing import step as make_step
from ridgeline.units import parse, show
from ridgeline.work import Segment

CHUNK = 8192
"""Tokens per rank in the largest step where nothing else is said: vLLM's default max_num_batched_tokens."""


class Point(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A scenario evaluated in full."""

    scenario: Scenario
    subject: Subject
    step: Step
    """The step of the scenario's phase."""
    prefill: Step | None
    """The throughput prefill behind `serving`; None where only decode is looked at."""
    serving: Serving | None
    """None for a step that is not decode."""
    memory: DeviceMemory
    usd_per_chip_second: float | None
    """None if no price is known."""
    estimate: Estimate
    """What `step` takes on a real engine."""
    prefill_estimate: Estimate | None = None
    expected: Serving | None = None
    """`serving` with estimates in place of floors."""

    @property
    def replicas(self) -> Array:
        """Replicas that the chips make."""
        return self.subject.chips // self.scenario.layout.chips

    @property
    def operations(self) -> Numbers:
        """The step's breakdown: seconds of each operation and message, with formula, inputs and sources."""
        return operation_numbers(self.subject, self.step)

    @property
    def expectations(self) -> Numbers:
        """Of the numbers, speed and cost by estimate; none for a step that is not decode."""
        if self.expected is None:
            return {}
        return expected_numbers(self.subject, self.scenario, self.expected, self.estimate, self.usd_per_chip_second)

    @property
    def numbers(self) -> Numbers:
        """Every number of this point with formula, inputs and sources."""
        found, scenario = self.subject, self.scenario
        out = step_numbers(found, self.step, f"{scenario.phase}_") | estimate_numbers(
            self.estimate, f"{scenario.phase}_"
        )
        if self.prefill is not None:
            out |= step_numbers(found, self.prefill, "prefill_")
        if self.prefill_estimate is not None:
            out |= estimate_numbers(self.prefill_estimate, "prefill_")
        if self.serving is not None:
            out |= serving_numbers(found, scenario, self.serving, self.step, self.usd_per_chip_second)
        return out | self.expectations | memory_numbers(found, self.memory, scenario) | model_numbers(found)


def point(scenario: Scenario) -> Point:
    """Evaluate one scenario: a step with full breakdown, memory, and for decode speed and cost.

    Quantities of the scenario may be arrays; the results then are, and memory's `fits` tells which points are possible.

    Raises
    ------
    InputError
        For unknown names, a layout that does not divide the model or needs more chips than there are, and (scalars) a
        point that does not fit in memory: by how much, and what would.
    """
    found = subject(scenario)
    evaluator = Evaluator(scenario, found)
    layout = scenario.layout
    _check_chips(scenario, found)
    if scenario.phase == "decode":
        return evaluator.point(layout, scenario.batch)
    held = evaluator.memory(layout, scenario.batch)
    _check_fit(scenario, found, held)
    main = make_step(found.model, found.system, layout, scenario.segments, found.precision, skew=scenario.skew)
    return Point(
        scenario=scenario,
        subject=found,
        step=main,
        prefill=None,
        serving=None,
        memory=held,
        usd_per_chip_second=None,
        estimate=evaluator.estimate(main, layout),
    )


class Evaluator:
    """Decode, prefill and memory of one scenario's subject at any layouts and batches."""

    def __init__(self, scenario: Scenario, found: Subject) -> None:
        self.scenario, self.found = scenario, found
        self.chunk = scenario.chunk if positive(scenario.chunk) else CHUNK
        self.decode_only = not isinstance(scenario.context, (int, float)) or bool(scenario.context)

    def decode(self, layout: Layout, batch: Array) -> Step:
        """A decode step of `batch` sequences."""
        s = self.scenario
        segment = Segment(seqs=batch, new=s.verify, past=s.decode_context, sampled=s.verify)
        return self._step(layout, segment, drafts=s.verify - 1)

    def prompts(self, layout: Layout) -> Array:
        """Prompts that a full prefill step advances by, in whole prompts: a chunk of tokens on every rank and stage."""
        s = self.scenario
        return layout.dp * layout.pp * layout.cp * (self.chunk / (s.isl - s.prefix))

    def prefill(self, layout: Layout) -> Step:
        """A full prefill step; of prompts longer than a chunk (per context rank) it computes the piece in the middle.

        Attention grows linearly with what is cached, so the middle piece takes the mean of all.
        """
        prompts, ranks = self.prompts(layout), layout.dp * layout.pp
        return self._prompts(layout, namespace(prompts, ranks).maximum(prompts, 1.0 * ranks + 0.0 * prompts))

    def alone(self, layout: Layout) -> tuple[Step, Array]:
        """A prefill step of one prompt alone, and how often it runs: pieces follow each other through the stages."""
        first = self._prompts(layout, 1)
        pieces = (self.scenario.isl - self.scenario.prefix) / first.tokens
        return first, 1.0 + (pieces - 1.0) / layout.pp

    def _prompts(self, layout: Layout, prompts: Array) -> Step:
        s = self.scenario
        new, most = s.isl - s.prefix, layout.cp * self.chunk
        piece = namespace(new, most).minimum(new + 0 * most, most + 0 * new)
        return self._step(layout, Segment(seqs=prompts, new=piece, past=s.prefix + (new - piece) / 2, prefill=True))

    def memory(self, layout: Layout, batch: Array) -> DeviceMemory:
        """Memory of the fullest device with `batch` sequences in the replica.

        Without a given context sequences are at all stages of their lives, and one alone may be at its end.
        """
        s, f = self.scenario, self.found
        each = batch / layout.dp
        ahead = s.osl / 2 / namespace(each).maximum(each, 1.0 + 0.0 * each)
        return device_memory(
            f.model,
            layout,
            f.precision,
            capacity=f.system.chip.usable,
            seqs=batch,
            context=s.decode_context if self.decode_only else s.decode_context + ahead,
            chunk=self.chunk,
            utilisation=s.memory_utilisation,
            drafts=positive(s.verify - 1),
        )

    def estimate(self, step: Step, layout: Layout) -> Estimate:
        """What a step takes on the scenario's engine, in one batch or in two that take turns, whichever is faster."""
        f, s = self.found, self.scenario
        whole = estimate(step, f.model, f.system, layout, s.engine)
        return whole if s.overlap != TWO_BATCH else faster(whole, self._turns(step, layout))

    def _turns(self, step: Step, layout: Layout) -> Estimate:
        """The step as two of half the size, of which one sends while the other computes; rounded up to one sequence."""
        f, s = self.found, self.scenario
        halves = [
            msgspec.structs.replace(each, seqs=namespace(each.seqs).maximum(each.seqs / 2, 1.0 + 0.0 * each.seqs))
            for each in step.segments
        ]
        half = make_step(f.model, f.system, layout, halves, f.precision, skew=s.skew, drafts=step.drafts)
        parts = terms(half, f.model, f.system, layout, s.engine or "any") * 2
        constants = engine_constants(f"{s.engine or 'any'}{OVERLAPPED}", f.system.chip.name)
        whole = estimate(half, f.model, f.system, layout, s.engine)
        seconds = namespace(step.floor, parts.work).maximum(parts.total(constants), step.floor + 0.0 * parts.work)
        return msgspec.structs.replace(whole, seconds=seconds, floor=step.floor, terms=parts, engine=constants)

    def serve(self, layout: Layout, batch: Array, decode: Time, prefill: Time, alone: Time) -> Serving:
        """Speed and chip-seconds of replicas of `layout` from their steps."""
        s = self.scenario
        return serve(
            decode=decode,
            prefill=prefill,
            prefill_alone=alone,
            prompts=self.prompts(layout),
            batch=batch,
            isl=s.isl,
            gaps=namespace(s.osl).maximum(s.osl - 1, 1 + 0 * s.osl),
            accepted=s.gained,
            chips=self.found.chips / (self.found.chips // layout.chips),
            utilisation=s.utilisation,
        )

    def expect(self, layout: Layout, batch: Array, decode: Time, prefill: Time, alone: Time) -> Serving:
        """The same from estimates; the first token is that of a prompt that comes at random, front end included."""
        out, s = self.serve(layout, batch, decode, prefill, alone), self.scenario
        if self.decode_only:
            return msgspec.structs.replace(out, ttft=0.0 * out.ttft)
        frontend = engine_constants(s.engine or "any", self.found.system.chip.name).client.frontend
        pieces = (s.isl - s.prefix) / (layout.cp * self.chunk)
        first = first_token(
            out,
            decode=decode.lower,
            prompts=self.prompts(layout),
            pieces=namespace(pieces).maximum(pieces, 1.0 + 0.0 * pieces),
            batch=batch,
            gaps=namespace(s.osl).maximum(s.osl - 1, 1 + 0 * s.osl),
            accepted=s.gained,
        )
        return msgspec.structs.replace(out, ttft=frontend + first.seconds, first=first)

    def point(self, layout: Layout, batch: Array) -> Point:
        """A decode deployment with all its parts."""
        degrees = {name: getattr(layout, name) for name in layout.__struct_fields__}
        scenario = msgspec.structs.replace(self.scenario, batch=batch, **degrees)
        held = self.memory(layout, batch)
        _check_fit(scenario, self.found, held)
        decode = self.decode(layout, batch)
        prefill = None if self.decode_only else self.prefill(layout)
        alone, times = (None, 1.0) if self.decode_only else self.alone(layout)
        expected = self.estimate(decode, layout)
        behind = self.estimate(prefill, layout) if prefill else None
        first = self.estimate(alone, layout) if alone else None
        return Point(
            scenario=scenario,
            subject=self.found,
            step=decode,
            prefill=prefill,
            serving=self.serve(
                layout, batch, decode.time, prefill.time if prefill else Time(), alone.time * times if alone else Time()
            ),
            memory=held,
            usd_per_chip_second=chip_price(scenario, self.found),
            estimate=expected,
            prefill_estimate=behind,
            expected=self.expect(layout, batch, as_time(expected), as_time(behind), as_time(first) * times),
        )

    def _step(self, layout: Layout, segment: Segment, drafts: Array = 0) -> Step:
        f = self.found
        return make_step(f.model, f.system, layout, [segment], f.precision, skew=self.scenario.skew, drafts=drafts)


def faster(one: Estimate, other: Estimate) -> Estimate:
    """At each point the estimate that takes less time, with its terms."""
    xp = namespace(one.seconds, other.seconds)
    second = other.seconds < one.seconds

    def choose(a: Array, b: Array) -> Array:
        return xp.where(second, b + 0.0 * one.seconds, a + 0.0 * one.seconds)

    names = [name for name in Terms.__struct_fields__ if name not in ("provenance", "prefill", "mixed")]
    parts = {name: choose(getattr(one.terms, name), getattr(other.terms, name)) for name in names}
    return msgspec.structs.replace(
        one,
        seconds=choose(one.seconds, other.seconds),
        terms=msgspec.structs.replace(one.terms, **parts),
        engine=msgspec.structs.replace(one.engine, overlap=choose(one.engine.overlap, other.engine.overlap)),
    )


def as_time(estimate: Estimate | None) -> Time:
    """An estimate as a time that nothing hides; no time at all for None."""
    return Time() if estimate is None else Time(overhead=estimate.seconds)


def chip_price(scenario: Scenario, found: Subject) -> float | None:
    """Dollars per chip and second: as given ("$2/h"), or the system's price of the kind that is named; None if unknown.

    Raises
    ------
    InputError
        For a price that cannot be read, or a named kind that the system does not have.
    """
    given = scenario.price
    if given.startswith("$") or given[:1].isdigit():
        price = parse(given, "USD/s", "--price")
        if not price:
            raise InputError(f"--price {given}", "more than $0", "leave it out to plan by chip-seconds")
        return price
    return found.system.price(given).rate if given or found.system.prices else None


def _check_chips(scenario: Scenario, found: Subject) -> None:
    needed = scenario.layout.chips
    if isinstance(needed, int) and needed > found.chips:
        raise InputError(
            f"a layout of {needed} chips ({scenario.layout})",
            f"at most the {found.chips} chips of {found.system.name}",
            f"smaller degrees, or --chips {needed}",
        )


def _check_fit(scenario: Scenario, found: Subject, held: DeviceMemory) -> None:
    """Refuse a single point that does not fit; of many, `fits` tells."""
    if not isinstance(held.used, float) or held.used <= held.capacity:
        return
    room = held.most_sequences * scenario.dp
    parts = f"weights {show(held.weights, 'B')}, cache {show(held.cache, 'B')}, reserve {show(held.reserve, 'B')}"
    raise InputError(
        f"{found.model.name} with batch {scenario.batch} on {found.system.name} ({scenario.layout})",
        f"does not fit: {show(held.used, 'B')} of {show(held.capacity, 'B')} per chip ({parts})",
        f"at most batch {int(room)} fits"
        if room >= 1
        else "more chips per replica; `ridgeline plan` finds layouts that fit",
    )
