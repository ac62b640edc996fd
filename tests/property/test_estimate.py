"""What always holds for an estimate, whatever the model, the chip, the layout and the engine."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ridgeline.engines import LEVELS, engines, place
from ridgeline.estimate import Estimate, estimate
from ridgeline.hardware import load_system
from ridgeline.layout import Layout
from ridgeline.model import load_model
from ridgeline.planner.space import layouts
from ridgeline.precision import resolve
from ridgeline.serving.point import faster
from ridgeline.timing import step
from ridgeline.work import Segment

MODELS = [
    "llama-3-70b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b", "qwen3-next-80b-a3b", "gemma-3-27b", "mixtral-8x7b",
    "nemotron-3-nano-30b-a3b",
]  # fmt: skip
SYSTEMS = ["hgx-h100", "gb200-nvl72", "tpu-v5p", "mi300x-8", "hgx-a100-80", "rtx-5090"]
ENGINES = ["", *dict.fromkeys(each.engine for each in engines().engines if each.engine != "any")]

Case = tuple[str, str, Layout, str]
"""Model, system, layout, engine."""


def run(case: Case, batch: object, tokens: object, *, prefill: bool = False, **formats: str) -> Estimate:
    model, system, layout, engine = load_model(case[0]), load_system(case[1]).value, *case[2:]
    new, past = (tokens, 0.0) if prefill else (1, tokens)
    segment = Segment(seqs=batch, new=new, past=past, prefill=prefill)
    made = step(model, system, layout, [segment], resolve(model, system.chip, **formats))
    return estimate(made, model, system, layout, engine)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A model, a system, a valid layout on up to 16 chips, and an engine."""
    model, system = draw(st.sampled_from(MODELS)), draw(st.sampled_from(SYSTEMS))
    space = layouts(load_model(model), min(16, load_system(system).value.domain.size))
    row = draw(st.integers(0, len(space.tp) - 1))
    layout = Layout(**{name: int(getattr(space, name)[row]) for name in space.__struct_fields__})
    return model, system, layout, draw(st.sampled_from(ENGINES))


batches = st.integers(1, 4096).map(float)
contexts = st.integers(1, 200_000).map(float)
prompts = st.integers(1, 64).map(float)
lengths = st.integers(1, 32_000).map(float)
factors = st.floats(1.0, 8.0)


def check(found: Estimate) -> None:
    assert found.floor <= found.low <= found.seconds <= found.high < math.inf
    assert found.provenance in LEVELS
    parts = found.terms.parts(found.engine)
    assert min(parts.values()) >= 0
    assert found.seconds == pytest.approx(max(sum(parts.values()), found.floor))


@given(case=cases(), batch=batches, context=contexts, count=prompts, length=lengths)
def test_floor_and_interval_hold_the_estimate(case: Case, batch: float, context: float, count: float, length: float):
    """No engine beats physics; an interval that does not hold its own estimate says nothing."""
    check(run(case, batch, context))
    check(run(case, count, length, prefill=True))


@given(case=cases(), batch=batches, context=contexts, factor=factors)
def test_decode_does_not_get_faster_with_more_to_do(case: Case, batch: float, context: float, factor: float) -> None:
    """Constants are monotone by construction; tables of other tools are not."""
    base = run(case, batch, context).seconds
    for more in (run(case, batch * factor, context), run(case, batch, context * factor)):
        assert more.seconds >= base * (1 - 1e-12)


@given(case=cases(), count=prompts, length=lengths, factor=factors)
def test_prefill_does_not_get_faster_with_more_to_do(case: Case, count: float, length: float, factor: float) -> None:
    base = run(case, count, length, prefill=True).seconds
    for more in (run(case, count * factor, length, prefill=True), run(case, count, length * factor, prefill=True)):
        assert more.seconds >= base * (1 - 1e-12)


@given(case=cases(), batch=batches, context=contexts, count=prompts, length=lengths)
def test_prompts_and_decodes_together_take_no_less(
    case: Case, batch: float, context: float, count: float, length: float
) -> None:
    """Whatever an engine's factor on prefills is, a step is not shortened by sequences that join it.

    But stages and ranks share out the tokens of all sequences evenly: with a decode more, a prompt alone is cut.
    """
    assume(case[2].pp == case[2].dp == 1)
    model, system, layout, engine = load_model(case[0]), load_system(case[1]).value, *case[2:]
    decodes, prompts = Segment(seqs=batch, new=1, past=context), Segment(seqs=count, new=length, past=0.0, prefill=True)
    one, other, both = (
        estimate(step(model, system, layout, each, resolve(model, system.chip)), model, system, layout, engine).seconds
        for each in ([decodes], [prompts], [decodes, prompts])
    )
    assert both >= max(one, other) * (1 - 1e-12)


@given(case=cases(), factor=factors, batch=batches, context=contexts)
def test_slower_engines_are_slower(case: Case, factor: float, batch: float, context: float) -> None:
    """Every constant of an engine costs time: none can be fitted to pay for another."""
    for found in (run(case, batch, context), run(case, batch, context, prefill=True)):
        for name in ("kernels", "scores", "launches", "quantise", "messages", "layer", "host", "sequence"):
            slower = msgspec.structs.replace(found.engine, **{name: factor * getattr(found.engine, name) + 1e-6})
            assert found.terms.total(slower) >= found.terms.total(found.engine)


@given(case=cases(), seed=st.integers(0, 2**31))
def test_many_points_are_the_same_call_as_one(case: Case, seed: int) -> None:
    """Arrays of batches and contexts give what a loop over numbers gives."""
    rng = np.random.default_rng(seed)
    batch, context = rng.integers(1, 3000, 6) * 1.0, rng.integers(0, 100_000, 6) * 1.0
    together = run(case, batch, context)
    for i in range(6):
        alone = run(case, float(batch[i]), float(context[i]))
        for name in ("floor", "low", "seconds", "high"):
            assert np.broadcast_to(getattr(together, name), 6)[i] == pytest.approx(getattr(alone, name))


def test_the_faster_of_two_estimates_keeps_its_parts() -> None:
    """At each point those of one of them, of prompts and of decodes."""
    few, many = (("llama-3-8b", "mi300x-8", Layout(tp=tp), "vllm") for tp in (1, 2))
    for prefill in (False, True):
        one, other = (run(case, np.array([1.0, 64.0]), 900.0, prefill=prefill) for case in (few, many))
        found = faster(one, other)
        assert sum(found.terms.parts(found.engine).values()) == pytest.approx(np.minimum(one.seconds, other.seconds))


def test_what_one_model_showed_on_one_system_is_told_of_no_other() -> None:
    """Its own constants there; elsewhere those of the engine, as if the place were not in the catalogue."""
    shipped = engines()
    placed = [each for each in shipped.engines if each.place]
    others = msgspec.structs.replace(shipped, engines=tuple(each for each in shipped.engines if not each.place))
    assert placed
    for own in placed:
        name, _, system = own.place.split(", ")
        chip = own.chips[0]
        assert shipped.constants(name, chip, where=own.place).place == own.place
        elsewhere = place(name, "another model", system)
        assert shipped.constants(name, chip, where=elsewhere) == others.constants(name, chip)
        assert shipped.constants(name, chip) == others.constants(name, chip, where=own.place)
