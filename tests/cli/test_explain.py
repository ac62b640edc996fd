"""`explain`: every number that is printed, and its formula gives its value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ridgeline.cli.explain import substituted
from ridgeline.serving import Given, Number

if TYPE_CHECKING:
    from .conftest import Runner

POINTS = (
    "deepseek-v3 gb200-nvl72 --dp 64 --ep 64 --batch 2400",
    "llama-3-70b hgx-h100 --tp 8 --batch 64 --context 8k",
    "qwen3-next-80b-a3b hgx-h100 --tp 4 --phase mixed --batch 8",
    "llama-3-8b hgx-h100 --phase prefill --batch 4",
)
NOT_NUMBERS = {"command", "model", "system", "chips", "phase", "layout", "batch", "replicas", "chips_used", "line"}
NOT_NUMBERS |= {"binding", "request_binding", "floor_s", "estimate_s", "interval_s", "provenance", "breakdown"}
"""Keys of a step that repeat what was asked, name a term, or belong to the step's three answers."""


@pytest.mark.parametrize("words", POINTS)
def test_every_printed_number(run: Runner, words: str) -> None:
    """All of a step's numbers are explained, and formula and inputs as printed evaluate to the value as printed."""
    printed = run(f"step {words} --json").json
    told = {each["number"]: each for each in run(f"explain {words} --json").json["numbers"]}
    assert told.keys() == printed.keys() - NOT_NUMBERS
    for name, each in told.items():
        inputs = {key: given["value"] for key, given in each["inputs"].items()}
        assert each["value"] == printed[name]
        assert eval(each["formula"], {"max": max}, inputs) == pytest.approx(each["value"], rel=1e-9, abs=1e-30)
        assert each["text"]
        for given in each["inputs"].values():
            if given["source"].startswith("see "):
                seen = told[given["source"].removeprefix("see ")]["value"]
                assert seen == pytest.approx(given["value"], rel=1e-12)


def test_values_from_the_catalogue_have_a_source(run: Runner) -> None:
    """Peaks, bandwidths and capacities say who says so."""
    words = f"explain {POINTS[0]} ridge_flop_per_byte drain_s usd_per_chip_s --json"
    inputs = [item for each in run(words).json["numbers"] for item in each["inputs"].items()]
    assert {name for name, _ in inputs} == {"peak", "bandwidth", "capacity", "price"}
    assert all("http" in given["source"] for _, given in inputs)


def test_text(run: Runner) -> None:
    """Formula, values with units, result; then, one level down, the numbers in it."""
    out = run(f"explain {POINTS[1]} tpot_s").out
    assert "tpot_s = batch * request_s / max(osl - 1, 1)" in out
    assert "request_s = max(request_math, request_memory, request_comms)" in out
    assert " = 64 * " in out
    assert " tok" in out


def test_list_of_names(run: Runner) -> None:
    out = run(f"explain {POINTS[1]}").out
    assert "tpot_s" in out
    assert "time per output token" in out


def test_substitution_replaces_whole_names() -> None:
    """`a` in `max(a, ab)` must not be replaced inside `max` or `ab`."""
    inputs = {"a": Given(1.0, "s"), "ab": Given(2.0, "s")}
    number = Number(name="n", value=2.0, unit="s", text="", formula="max(a, ab)", inputs=inputs)
    assert substituted(number) == "max(1 s, 2 s)"
