"""A training step: what must hold of any layout, published runs that were fitted in no constant of their own, and the
search against brute force.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.layout import Divisors
from ridgeline.training.goodput import goodput, young_daly
from ridgeline.training.layout import Job, TrainingLayout, valid
from ridgeline.training.question import TrainingQuestion, asked
from ridgeline.training.run import TrainingRun, train
from ridgeline.training.search import evaluate, search
from ridgeline.training.space import layouts, one
from ridgeline.training.stages import deal


def question(**fields: object) -> TrainingQuestion:
    return TrainingQuestion.read({"model": "llama-3-70b", "system": "hgx-h100", "chips": 64, "batch": 128} | fields)


def run(layout: TrainingLayout, **fields: object) -> TrainingRun:
    return train(asked(question(**fields)).setting, layout)


DEGREES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "tp": st.sampled_from([1, 2, 4, 8, 16]),
        "pp": st.sampled_from([1, 2, 4, 8]),
        "cp": st.sampled_from([1, 2, 4]),
        "dp": st.sampled_from([1, 2, 8]),
        "zero": st.integers(0, 3),
        "recompute": st.integers(0, 3),
        "micro_batch": st.sampled_from([1, 2, 4]),
    }
)


@settings(max_examples=40, deadline=None)
@given(
    DEGREES,
    st.sampled_from(["llama-3-70b", "qwen3-30b-a3b", "deepseek-v3"]),
    st.sampled_from(["hgx-h100", "gb200-nvl72"]),
)
def test_estimate_is_above_the_floor_and_parts_add_up(degrees: dict[str, Any], model: str, system: str) -> None:
    """The floor is a promise: no machine is faster. The parts are what a reader sums."""
    found = run(TrainingLayout(**degrees), model=model, system=system)
    assert found.floor.lower <= found.seconds * (1 + 1e-12)
    assert found.floor.lower <= found.low <= found.seconds * 1.5
    assert found.low <= found.high
    assert sum(found.time.parts.values()) == pytest.approx(found.seconds)
    assert all(seconds >= 0 for seconds in found.time.parts.values())


@settings(max_examples=40, deadline=None)
@given(DEGREES)
def test_time_grows_with_sequence_batch_and_recomputation(degrees: dict[str, Any]) -> None:
    layout = TrainingLayout(**degrees)
    here = run(layout).seconds
    assert run(layout, seq=8192).seconds > here
    assert run(layout, batch=256).seconds > here
    if layout.recompute < 2:
        assert run(msgspec.structs.replace(layout, recompute=2)).seconds >= here
    assert run(layout, set="chip.peak.bf16=2x").seconds <= here


def test_arrays_give_what_numbers_give() -> None:
    """One call on a thousand layouts is a thousand calls on one."""
    found = asked(question(model="qwen3-30b-a3b", chips=32, dtype="fp8"))
    space = layouts(found)
    seconds, memory, _ = evaluate(found, space)
    for place in np.random.default_rng(1).integers(0, len(seconds), 40):
        lone = train(found.setting, one(space, int(place)))
        assert seconds[place] == pytest.approx(lone.seconds, rel=1e-9)
        assert memory[place] == pytest.approx(lone.memory.used, rel=1e-9)


def test_search_is_brute_force() -> None:
    """The best is the fastest of all that fit, and no layout of the front is both slower and larger than another."""
    q = question(model="llama-3-8b", chips=8, batch=64)
    result = search(q)
    found = asked(q)
    space = layouts(found)
    assert bool(valid(space, Divisors.of(found.model), Job(batch=64, seq=4096, chips=8)).all())
    every = [train(found.setting, one(space, i)) for i in range(len(space.tp))]
    fits = [each for each in every if each.out_of_memory <= q.overflow]
    assert result.best[0].seconds == pytest.approx(min(each.seconds for each in fits))
    times, sizes = [s for _, s, _ in result.front], [m for _, _, m in result.front]
    assert times == sorted(times)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("fields", "layout", "rate", "source"),
    [
        (
            {"model": "llama-3.1-405b", "chips": 1024, "batch": 1536, "seq": 8192, "dtype": "fp8"},
            {"tp": 8, "pp": 8, "vp": 8, "cp": 2, "dp": 8}, 326, "H100",
        ),
        (
            {"model": "llama-3-70b", "chips": 64, "batch": 256, "seq": 8192, "dtype": "fp8"},
            {"tp": 4, "pp": 8, "vp": 5, "dp": 2}, 1664, "H100",
        ),
        (
            {"model": "llama-3.1-405b", "system": "gb200-nvl72", "chips": 256, "batch": 1536, "seq": 8192,
             "dtype": "fp8"},
            {"tp": 4, "pp": 16, "vp": 4, "dp": 4}, 843, "GB200",
        ),
        (
            {"model": "deepseek-v3", "system": "gb200-nvl72", "chips": 256, "batch": 4096, "dtype": "mxfp8"},
            {"pp": 4, "vp": 4, "ep": 64, "dp": 64}, 4912, "GB200",
        ),
    ],
)  # fmt: skip
def test_published_runs(fields: dict[str, object], layout: dict[str, Any], rate: float, source: str) -> None:
    """Within 15% of the tokens per second and chip that NVIDIA publishes for its own layouts (Megatron-Bridge's
    performance summaries of releases 26.06 and 26.08); most are within 5%.
    """
    assert run(TrainingLayout(**layout), **fields).rate == pytest.approx(rate, rel=0.15), source


def test_nvidias_layout_of_70b_is_found() -> None:
    """TP4 PP4 CP2 in five chunks on 64 H100 is NVIDIA's choice in fp8; the best is at most a few per cent faster."""
    best = search(question(seq=8192, batch=128, dtype="fp8")).best[0].seconds
    theirs = run(TrainingLayout(tp=4, pp=4, vp=5, cp=2, dp=2), seq=8192, batch=128, dtype="fp8")
    assert best <= theirs.seconds <= 1.08 * best


def test_uneven_stages() -> None:
    """Llama 3's 126 layers in 16 stages: one layer fewer on the first and on the last (arXiv:2407.21783, s3.3.2)."""
    stages = deal(126, 16, 1, False, 1.0)
    assert (stages.first, stages.middle, stages.last) == (7, 8, 7)
    assert deal(126, 16, 8, False, 1.0).last == 7
    whole = deal(32, 4, 1, True, 2.5)
    assert whole.first + 2 * whole.middle + whole.last == 32
    assert whole.last < whole.middle


def test_young_daly() -> None:
    """The interval minimises lost time: neighbours lose more. Young's root is the first order."""
    checkpoint, mtbf = 60.0, 3 * 3600.0

    def lost(tau: float) -> float:
        return checkpoint / tau + tau / 2 / mtbf

    tau = young_daly(checkpoint, mtbf)
    assert lost(tau) <= min(lost(0.7 * tau), lost(1.5 * tau))
    assert tau == pytest.approx((2 * checkpoint * mtbf) ** 0.5, rel=0.1)


def test_llama3_failures() -> None:
    """419 unexpected interruptions in 54 days on 16,384 chips, over 90% of the time effective (arXiv:2407.21783)."""
    good = goodput(16384, 405e9 * 14)
    assert 54 * 86400 / good.mtbf == pytest.approx(419, rel=0.03)
    assert 0.9 < good.share < 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tokens": "0"}, "at least 1"),
        ({"chips": "0"}, "at least 1"),
        ({"seq": "0"}, "at least 1"),
        ({"tp": "3"}, "attention heads"),
        ({"tp": "8", "pp": "100"}, "at most the 80 layers"),
        ({"tp": "8", "dp": "3"}, "64 chips"),
        ({"tp": "8", "pp": "2", "batch": "127"}, "multiple of dp"),
        ({"tp": "8", "vp": "2"}, "1 without a pipeline"),
        ({"tp": "8", "ep": "2"}, "no experts"),
        ({"tp": "8", "zero": "4"}, "known names"),
        ({"dtype": "fp4"}, "known names"),
        ({"dtype": "nvfp4"}, "multiplies in"),
        ({"framework": "megaton"}, "did you mean megatron"),
        ({"chips": "8", "system": "hgx-a100-40"}, "more memory"),
        ({"batch": "7", "chips": "83"}, "some layout"),
    ],
)
def test_bad_input_is_refused_by_name(fields: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        search(question(**fields))
