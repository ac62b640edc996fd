"""Ciphers against their published vectors, and what they and networks do with a small change."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.cli.app import main
from ridgeline.training.ciphers import diffusion, feistel, speck, substitution
from ridgeline.training.ciphers.network import Network, Shape, growth

WORD = st.integers(0, 0xFFFF)


def test_speck_is_the_published_one() -> None:
    """The vector of eprint 2013/404: key 1918 1110 0908 0100 takes 6574 694c to a868 42f2."""
    block = np.array([0x6574694C], dtype=np.uint32)
    keys = speck.round_keys()
    assert speck.encrypt(block, keys).tolist() == [0xA86842F2]
    assert speck.decrypt(speck.encrypt(block, keys), keys).tolist() == block.tolist()


@given(st.lists(WORD, max_size=70), WORD, WORD)
def test_a_feistel_network_is_undone_whatever_its_functions_are(keys: list[int], x: int, y: int) -> None:
    rounds = feistel.mixing_rounds(keys)
    assert feistel.back(rounds, *feistel.forward(rounds, x, y)) == (x, y)


def test_its_function_cannot_be_inverted() -> None:
    """Two values go to one: the construction needs no inverse, which is its point."""
    (f,) = feistel.mixing_rounds([1])
    assert len(np.unique(f(np.arange(1 << 16)))) < 1 << 16


@pytest.mark.parametrize(("rounds", "flips"), [(1, 4.1), (2, 9.5), (4, 16.0), (6, 16.2), (22, 15.8)])
def test_avalanche_of_speck(rounds: int, flips: float) -> None:
    """Mean flipped bits of 32 by rounds, within what other keys and blocks give."""
    keys = speck.round_keys(rounds=rounds)
    table = diffusion.avalanche(lambda x: speck.encrypt(x, keys), 32)
    assert table.sum(1).mean() == pytest.approx(flips, rel=0.06)


def test_the_strict_criterion_holds_from_a_few_rounds_on() -> None:
    """1,024 blocks know a chance to about 0.016; the largest of 1,024 cells is within 0.08 of 1/2."""
    keys = speck.round_keys()
    assert diffusion.deviation(diffusion.avalanche(lambda x: speck.encrypt(x, keys[:1]), 32)) == 0.5
    assert diffusion.deviation(diffusion.avalanche(lambda x: speck.encrypt(x, keys), 32)) < 0.08


def test_difference_table_of_the_box() -> None:
    """Rows sum to the inputs; the largest cell off the corner is Heys' 8 of 16."""
    table = substitution.differences()
    assert (table.sum(1) == 16).all()
    assert table[0, 0] == 16
    assert table[1:].max() == 8


@pytest.mark.parametrize("rounds", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_differential_attack_finds_the_key(rounds: int, seed: int) -> None:
    """Nibbles of the last key from the likeliest difference, as in Heys' tutorial."""
    keys = [int(key) for key in np.random.default_rng(seed).integers(0, 1 << 16, rounds + 1)]
    best = diffusion.best_difference(lambda x: substitution.encrypt(x, keys[: rounds - 1]), 16, 1 << 16)
    guess, mask = substitution.recovered(keys, best.given, best.found, pairs=1 << 14)
    assert mask
    assert guess == substitution.before_last(keys) & mask


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_the_jacobian_is_the_derivative(residual: bool, norm: bool) -> None:
    """Against central differences, in every direction."""
    network, x = Network(Shape(width=8, residual=residual, norm=norm), 3), np.linspace(-1, 1, 8)
    exact = network.jacobians(x, [3])[3]
    each = np.eye(8) * 1e-6
    measured = np.stack([(network.run(x + d, 3) - network.run(x - d, 3)) / 2e-6 for d in each], axis=1)
    assert measured == pytest.approx(exact, rel=1e-5, abs=1e-7)


def test_residual_and_norm_keep_a_change_small() -> None:
    """Random weights, 64 layers: with both a change stays as it was; with the norm alone it grows several times."""
    (both,), (alone,) = (growth(Shape(residual=residual), [64]) for residual in (True, False))
    assert 0.5 < both.random < 1.5
    assert alone.random > 3
    assert alone.worst > 5 * both.worst
    assert both.attack == pytest.approx(both.worst, rel=0.05)
    assert both.flip_random > 3 * both.flip


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cipher", "--json", "--seed", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["cipher"] for each in found["ciphers"]} == {"Feistel", "SPECK32/64", "substitution"}
    assert all(each["recovered"] for each in found["attacks"])
    assert main(["cipher", "--seed", "-1"]) == 2
