"""Ridgeline's own model format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.catalog.loader import BUILT_IN
from ridgeline.errors import InputError
from ridgeline.model import load_model
from ridgeline.model.architecture import Experts
from ridgeline.model.spec import build, from_toml, run_lengths, to_toml
from ridgeline.model.store import load_spec

NAMES = BUILT_IN.names("models")
names = st.sampled_from(NAMES)
SMALL = """
name = "small"
hidden = 8
vocab = 10
stack = ["attention+dense*2", "(attention+dense)"]
[parts.attention]
type = "attention"
heads = 2
kv_heads = 1
head_dim = 4
[parts.dense]
type = "dense"
width = 16
"""


@pytest.mark.parametrize("name", NAMES)
def test_written_and_read_again(name: str) -> None:
    spec = load_spec(name)
    assert from_toml(to_toml(spec), where="again") == spec


@given(names)
def test_parameters_are_the_sum_of_matrices(name: str) -> None:
    """Matrices are the single source of FLOPs, bytes and counts: their elements and small vectors make up the total."""
    model = load_model(name)
    total = model.vocab * model.hidden * (1 if model.tied else 2) + model.small + model.lookup
    total += model.vocab if model.head_bias else 0
    for layer in filter(lambda layer: layer.stored, model.layers):
        total += layer.vectors
        for linear in layer.matrices():
            total += linear.copies * (linear.rows * linear.cols + (linear.cols if linear.bias else 0))
        for mixture in layer.feedforwards:
            if isinstance(mixture, Experts):
                biases = (mixture.matrices - 1) * mixture.width + mixture.hidden if mixture.bias else 0
                total += mixture.count * (mixture.matrices * mixture.hidden * mixture.width + biases)
    assert total == model.parameters


@given(names)
def test_equal_layers_are_one_kind(name: str) -> None:
    """A step is computed once per kind: layers must be hashable and equal when their dimensions are."""
    model = load_model(name)
    assert sum(count for _, count in model.kinds) == len(model.layers)
    assert len(model.kinds) <= 12 or name == "nemotron-super-49b"


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_run_lengths(letters: list[str]) -> None:
    runs = run_lengths(letters)
    assert [name for run in runs for name in [run.partition("*")[0]] * int(run.partition("*")[2] or 1)] == letters


def test_layers_in_parentheses_are_held_once() -> None:
    """They are computed and cached like any other, but their weights are those of the layer before."""
    model = build(from_toml(SMALL, where="small.toml"))
    layer = 2 * 64 + 64 + 3 * 128 + 2 * 8
    assert len(model.layers) == 3
    assert model.parameters == 2 * 80 + 8 + 2 * layer


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("width", "widht", "widht"),
        ("width = 16", "width = -1", "width|>= 1"),
        ("heads = 2", 'heads = "2"', "heads"),
        ('"dense"', '"dens"', "dens"),
        ("hidden = 8", "", "hidden"),
        ("hidden = 8", "hidden = 8\ncolour = 1", "colour"),
        ("attention+dense*2", "attention+dense*0", "stack entry"),
        ("attention+dense*2", "attention+dens*2", "dens"),
        ("attention+dense*2", "attention+dense*9999", "layers"),
        ("[parts.dense]", "[parts.dense", "TOML"),
    ],
)
def test_mistakes_are_named(old: str, new: str, says: str) -> None:
    text = SMALL.replace(old, new, 1)
    assert text != SMALL
    with pytest.raises(InputError, match=says):
        build(
            from_toml(
                text if "9999" not in new else text.replace('"(', '"attention+dense*9999", "('), where="small.toml"
            )
        )
