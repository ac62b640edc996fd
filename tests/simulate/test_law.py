"""The step law is the estimate, within a per cent, for any kind of attention and layout."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.serving import point
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.law import affine


@pytest.mark.parametrize(
    ("model", "options", "bound"),
    [
        ("llama-3-8b", {}, 0.01),
        ("qwen3-32b", {"tp": 2}, 0.01),
        ("qwen3-30b-a3b", {"engine": "vllm"}, 0.01),
        ("gpt-oss-120b", {"engine": "vllm"}, 0.01),
        ("deepseek-v3", {"tp": 8}, 0.01),
        ("deepseek-v3", {"dp": 8, "ep": 8}, 0.01),
        ("deepseek-v3.2", {"tp": 8}, 0.01),  # picks 2048 entries: what the first chunk takes grows no more beyond
        ("llama-4-scout", {"tp": 8}, 0.01),  # attends to windows in three of four layers
        ("falcon-h1-34b", {}, 0.01),  # a recurrent state is read from the first cached token on
        ("deepseek-v2", {"tp": 8}, 0.01),  # absorbs or expands latents, by the length of a chunk
        ("llama-3-8b", {"verify": 4, "acceptance": 0.8}, 0.01),
    ],
)
def test_close_to_the_estimate(model: str, options: dict[str, Any], bound: float) -> None:
    """Largest deviation over random steps: decoding, prefill with and without a past, and both."""
    made = deployment(Scenario(model=model, system="hgx-h200", **options))
    assert 0 < made.law.deviation < bound
    assert made.law.median_deviation < 0.001


def test_decode_steps_are_those_of_the_step_command() -> None:
    """Any batch and context, to five digits: the table is exact in the batch, experts included."""
    scenario = Scenario(model="qwen3-30b-a3b", system="hgx-h100", chips=1, engine="vllm")
    law = deployment(scenario).law
    for batch, context in ((1, 100), (7, 5000), (64, 1234), (30, 3000)):
        step = point(msgspec.structs.replace(scenario, batch=batch, context=context))
        assert law.seconds(batch, batch * context, []) == pytest.approx(step.estimate.seconds, rel=1e-4)


def test_time_does_not_fall() -> None:
    """More sequences, contexts, tokens or past never make a step shorter."""
    law = deployment(Scenario(model="deepseek-v3", system="hgx-h200", tp=8)).law
    t = law.tables
    assert (np.diff(t.tokens[0]) >= 0).all()
    assert (np.diff(t.sequences) >= 0).all()
    assert (t.pieces[..., 2] >= 0).all()
    for n, contexts in ((1, 10), (30, 5000), (300, 10**6)):
        assert law.seconds(n, contexts, []) <= law.seconds(n, contexts * 2, []) * (1 + 1e-9)
        assert law.seconds(n, contexts, []) < law.seconds(n, contexts, [(64, 0)])
        assert law.seconds(n, contexts, [(64, 0)]) < law.seconds(n, contexts, [(64, 20_000)])


def test_affine_law() -> None:
    """Five constants do what they say."""
    law = affine(step=1e-2, token=1e-5, sequence=1e-4, context=1e-7, pair=1e-8)
    assert law.seconds(3, 600, []) == pytest.approx(1e-2 + 3e-5 + 3e-4 + 6e-5)
    assert law.seconds(0, 0, [(10, 5)]) == pytest.approx(1e-2 + 1e-4 + 1e-4 + 1e-8 * (10 * 5 + 55))
    assert law.seconds(3, 600, [(10, 5)]) == pytest.approx(1e-2 + 13e-5 + 4e-4 + 6e-5 + 1.05e-6)


def test_a_law_from_another_process_is_of_the_same_types() -> None:
    """Memory that processes share is read-only, and compiled code takes other types for other code."""
    law, parts = affine(step=1e-2, token=1e-5), list[pickle.PickleBuffer]()
    sent = pickle.dumps(law, protocol=5, buffer_callback=parts.append)
    came = pickle.loads(sent, buffers=[bytes(part.raw()) for part in parts])
    assert parts
    assert all(table.flags.writeable for table in came.tables)


@pytest.mark.parametrize("wrong", [{"step": -1.0}, {"token": float("nan")}, {}])
def test_a_law_must_take_time(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        affine(**wrong)


def test_what_does_not_fit_is_refused() -> None:
    """A model that leaves no room for a cache is refused by name, with the likely fix."""
    with pytest.raises(InputError, match=r"no room for a cache.*--tp"):
        deployment(Scenario(model="llama-3-70b", system="hgx-h100", chips=1))
    with pytest.raises(InputError, match="at most the 8 chips"):
        deployment(Scenario(model="llama-3-70b", system="hgx-h100", tp=16))
