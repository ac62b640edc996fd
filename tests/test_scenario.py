"""One scenario, four spellings: each reads back what it printed; wrong input is one clear error."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import InputError, Scenario, step
from ridgeline.scenario import exact
from ridgeline.units import parse

scenarios = st.builds(
    Scenario,
    model=st.sampled_from(["deepseek-v3", "llama-3-70b", "lecture:deepseek"]),
    system=st.sampled_from(["gb200-nvl72", "hgx-h100"]),
    tp=st.sampled_from([1, 2, 8]),
    batch=st.integers(1, 10_000),
    context=st.integers(0, 1_000_000),
    weights=st.sampled_from(["", "fp8", "nvfp4,attention=bf16"]),
    tpot=st.floats(0, 10).map(lambda t: t if t > 1e-9 else 0.0),
    utilisation=st.floats(0.01, 1),
    price=st.sampled_from(["", "$2/h", "owned"]),
)


@given(scenario=scenarios)
def test_spellings_read_back(scenario: Scenario) -> None:
    assert Scenario.from_toml(scenario.to_toml()) == scenario
    assert Scenario.from_query(scenario.to_query()) == scenario
    assert eval(scenario.to_python(), {"Scenario": Scenario}) == scenario
    words = shlex.split(scenario.to_cli())[2:]
    options = dict(zip((w.removeprefix("--") for w in words[2::2]), words[3::2], strict=True))
    assert Scenario.read({"model": words[0], "system": words[1], **options}) == scenario


@given(value=st.floats(1e-9, 1e6), unit=st.sampled_from(["s", "USD/s", "B", "B/s"]))
def test_printed_quantities_are_exact(value: float, unit: str) -> None:
    assert parse(exact(value, unit), unit) == value


def test_texts_and_numbers_mean_the_same() -> None:
    assert Scenario(model="m", system="s", context="8k", tpot="20 ms") == Scenario(
        model="m", system="s", context=8000, tpot=0.02
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tpot": "20"}, "--tpot '20': no unit; expected a time such as 20 ms"),
        ({"tpot": "20 GB"}, "is a size in bytes; expected a time"),
        ({"batch": -1}, "--batch -1: negative"),
        ({"batch": "nan"}, "--batch"),
        ({"batch": 0}, "--batch 0: more than 0"),
        ({"context": "1e30"}, "too large to be meant"),
        ({"phase": "decoding"}, "did you mean decode?"),
        ({"utilisation": "140%"}, "a share above 0 and at most 1"),
        ({"contxt": "8k"}, "did you mean context?"),
        ({"weights": 8}, "weights = 8: text"),
    ],
)
def test_wrong_values_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        Scenario.read({"model": "llama-3-70b", "system": "hgx-h100", **fields})
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "lama-3-70b"}, "did you mean llama-3-70b"),
        ({"system": "h1000"}, "did you mean"),
        ({"tp": 7}, "tp=7: a divisor of llama-3-70b's attention heads, 64; try 4 or 8"),
        ({"ep": 2}, "ep=2: 1, since llama-3-70b has no experts"),
        ({"tp": 16}, "at most the 8 chips"),
        ({"tp": 2, "batch": 16}, "does not fit: 10"),
        ({"tp": 8, "batch": 100_000}, "at most batch"),
        ({"tp": 8, "weights": "fp7"}, "unknown number format 'fp7'"),
        ({"tp": 8, "price": "stolen"}, "stolen price of hgx-h100: known are rented"),
    ],
)
def test_impossible_scenarios_say_what_is_possible(fields: dict, message: str) -> None:
    with pytest.raises(InputError) as error:
        step(Scenario.read({"model": "llama-3-70b", "system": "hgx-h100", "context": "8k", **fields}))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_arrays_in_arrays_out() -> None:
    batch = np.arange(1, 200)
    together = step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=batch, context="8k"))
    assert together.serving is not None
    alone = step(Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=17, context="8k"))
    assert alone.serving is not None
    assert together.serving.tpot.shape == batch.shape
    assert together.serving.tpot[16] == pytest.approx(alone.serving.tpot)
    assert together.memory.fits[16]
    assert together.numbers["usd_per_output_token"].value[16] == pytest.approx(
        alone.numbers["usd_per_output_token"].value
    )
