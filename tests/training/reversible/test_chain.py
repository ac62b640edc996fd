"""Chains that run backwards: gradients equal those of autograd, bytes equal the law, what is no function is caught.

Store-all through plain autograd is the oracle of everything here.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from ridgeline.errors import InputError
from ridgeline.training.rematerialisation import METHODS, activation_bytes
from ridgeline.training.reversible import (
    Block,
    Chain,
    Fixed,
    InversionError,
    SavedBytes,
    Shape,
    Transformer,
)
from ridgeline.training.reversible.transformer import Form, functions

SMALL = {"width": 32, "heads": 2, "batch": 2, "seq": 16}
AGAIN = METHODS[1:]


def run(
    method, *, form: Form = "revnet", dtype=torch.float64, layers=4, dropout=0.0, cast=None, compiled=False, **options
):
    """Gradients of streams and parameters as one vector, and bytes kept."""
    torch.manual_seed(1)
    shape = Shape(layers=layers, dropout=dropout, **SMALL)
    chain = Chain(functions(shape, form), method=method, **options).to(dtype)
    streams = [torch.randn(2, 16, 32, dtype=dtype, requires_grad=True) for _ in range(2)]
    weight = torch.randn(2, 16, 32, dtype=dtype)
    call = torch.compile(chain, backend="aot_eager") if compiled else chain
    with SavedBytes([*chain.parameters(), weight]) as saved:
        with torch.autocast("cpu", cast, enabled=cast is not None):
            older, newer = call(*streams)
        ((older + 2 * newer) * weight).sum().backward()
    assert saved.now == 0
    return torch.cat([p.grad.flatten().double() for p in [*streams, *chain.parameters()]]), saved.peak


def error(found, expected):
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("form", ["revnet", "lecture"])
@pytest.mark.parametrize("method", AGAIN)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_gradients_equal_those_of_storing_all(form, method, dtype, limit):
    expected, _ = run("none", form=form, dtype=dtype, layers=16)
    found, _ = run(method, form=form, dtype=dtype, layers=16)
    assert error(found, expected) < limit


@pytest.mark.parametrize("form", ["revnet", "lecture"])
@pytest.mark.parametrize("layers", [2, 8, 32])
def test_bytes_kept_are_the_law_to_the_byte(form, layers):
    """A and b are counted by hand in transformer.py; the hooks see the same bytes at every depth."""
    shape = Shape(layers=layers, **SMALL)
    b, attention, mlp = shape.boundary_bytes(), shape.attention_bytes(), shape.mlp_bytes()
    parts = [attention, mlp] * layers if form == "revnet" else [attention + mlp] * layers
    for method in ("none", "full", "reversible"):
        inside = sum(parts) / len(parts) if method == "none" else max(parts)
        _, kept = run(method, form=form, dtype=torch.float32, layers=layers)
        assert kept == activation_bytes(method, len(parts), inside, b)
    if form == "lecture":
        _, kept = run("sqrt", form=form, dtype=torch.float32, layers=layers, segment=2)
        assert kept == activation_bytes("sqrt", layers, attention + mlp, b, segment=2, streams=2)


def test_reversible_keeps_at_64_layers_what_it_keeps_at_2():
    """The lecture's claim: O(1) in layers for O(L); storing all grows 32-fold."""
    kept = {(m, n): run(m, dtype=torch.float32, layers=n)[1] for m in ("none", "reversible") for n in (2, 64)}
    assert kept["reversible", 64] == pytest.approx(kept["reversible", 2], rel=0.05)
    assert kept["none", 64] == pytest.approx(32 * kept["none", 2], rel=0.05)


def test_fixed_point_is_inverted_to_the_last_bit_at_128_layers():
    """As a cipher is: X + F - F modulo 2^32, whatever F is; floats of the same network come back inexact."""
    torch.manual_seed(0)
    chain = Chain(functions(Shape(layers=128, **SMALL), "lecture"), arithmetic=Fixed())
    inputs = [chain.arithmetic.enter(torch.randn(2, 16, 32)) for _ in range(2)]
    floats = [chain.arithmetic.leave(x, torch.float32) for x in inputs]
    outputs = chain.streams(*floats)
    assert not torch.equal(outputs[0], inputs[0])
    assert all(torch.equal(x, y) for x, y in zip(chain.inverse(*outputs), inputs, strict=True))
    chain.arithmetic = Chain([]).arithmetic
    assert not all(torch.equal(x, y) for x, y in zip(chain.inverse(*chain.streams(*floats)), floats, strict=True))


def test_fixed_point_wraps_around_and_still_comes_back():
    """Sums beyond 2^15 overflow 32 bits; the inverse overflows back."""
    chain = Chain([nn.Linear(8, 8) for _ in range(6)], arithmetic=Fixed())
    inputs = [chain.arithmetic.enter(torch.randn(4, 8) * 3e4) for _ in range(2)]
    found = chain.inverse(*chain.streams(*(chain.arithmetic.leave(x, torch.float32) for x in inputs)))
    again = [chain.arithmetic.enter(chain.arithmetic.leave(x, torch.float32)) for x in inputs]
    assert all(torch.equal(x, y) for x, y in zip(found, again, strict=True))


def test_gradients_of_fixed_point_are_those_of_rounding_in_autograd():
    """The derivative of rounding is 1; fp64 holds 32-bit integers exactly, so both give the same bits."""
    expected, _ = run("none", arithmetic=Fixed())
    found, _ = run("reversible", arithmetic=Fixed())
    assert torch.equal(found, expected)
    assert error(found, run("none")[0]) < 1e-3


@pytest.mark.parametrize("method", AGAIN)
def test_dropout_draws_the_same_numbers_again(method):
    """What is kept of all randomness is one seed, so memory stays flat."""
    expected, _ = run("none", dropout=0.2)
    found, _ = run(method, dropout=0.2)
    assert error(found, expected) < 1e-10
    assert error(found, run("none")[0]) > 0.1


def test_dropout_leaves_the_programs_own_random_numbers_alone():
    """All methods draw one number, the seed: what follows them is the same."""
    after = []
    for method in METHODS:
        run(method, dropout=0.2)
        after.append(float(torch.rand(())))
    assert len(set(after)) == 1


@pytest.mark.parametrize("method", AGAIN)
def test_autocast_is_the_same_in_both_runs(method):
    """Functions in bf16, streams in fp32: what rounding of the inputs moves is below bf16's own 0.4%."""
    expected, _ = run("none", dtype=torch.float32, cast=torch.bfloat16)
    found, _ = run(method, dtype=torch.float32, cast=torch.bfloat16)
    assert error(found, expected) < 4e-3
    assert error(found, run("none", dtype=torch.float32)[0]) > 1e-4


@pytest.mark.filterwarnings("ignore")  # of the compiler's own
def test_a_compiled_model_breaks_the_graph_at_the_chain_and_is_right():
    expected, kept = run("none")
    found, _ = run("reversible", compiled=True)
    assert error(found, expected) < 1e-10
    assert run("reversible", compiled=True)[1] < kept / 4


@pytest.mark.filterwarnings("ignore")
def test_functions_can_be_compiled_one_by_one():
    torch.manual_seed(0)
    chain = Chain([nn.Linear(8, 8) for _ in range(3)])
    x = torch.randn(4, 8, requires_grad=True)
    (expected,) = torch.autograd.grad(chain(x, x)[1].sum(), x)
    chain.compile_functions(backend="aot_eager")
    (found,) = torch.autograd.grad(chain(x, x)[1].sum(), x)
    assert error(found, expected) < 1e-6


def test_the_inverse_of_a_random_chain_is_its_input_and_error_grows_with_depth():
    errors = []
    for layers in (2, 16, 64):
        torch.manual_seed(0)
        chain = Chain(functions(Shape(layers=layers, **SMALL), "revnet"))
        x, y = torch.randn(2, 2, 16, 32)
        u, v = chain.inverse(*chain.streams(x, y))
        errors.append(error(torch.cat([u, v]).double(), torch.cat([x, y]).double()))
    assert errors[-1] < 1e-5
    assert all(a < b for a, b in pairwise(errors))


class Counter(nn.Module):
    """Not a function: every call gives another value."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class Noise(nn.Module):
    """Not a function: numbers from a generator that nobody replays."""

    def forward(self, x):
        return x + torch.rand(x.shape, generator=torch.Generator().manual_seed(torch.seed() % 2**31))


@pytest.mark.parametrize("arithmetic", [None, Fixed()])
@pytest.mark.parametrize("broken", [Counter, Noise])
def test_what_is_no_function_is_caught_and_the_error_is_named(broken, arithmetic):
    chain = Chain([nn.Linear(8, 8), broken(), nn.Linear(8, 8)], arithmetic=arithmetic)
    x = torch.randn(4, 8, requires_grad=True)
    with pytest.raises(InversionError, match=r"differs from what went in by \d.*of its size.*run again"):
        chain(x, x)[1].sum().backward()


def test_bf16_streams_are_refused_where_they_are_too_deep():
    """Errors of some per cent in what is rebuilt, worse in gradients; fp32 streams under autocast are the remedy."""
    with pytest.raises(InversionError, match="keep them in fp32"):
        run("reversible", dtype=torch.bfloat16, layers=64, tolerance=0.01)


def test_two_streams_in_one_tensor_are_its_halves():
    """RevNet's equations, written out."""
    f, g = nn.Linear(4, 4), nn.Linear(4, 4)
    x = torch.randn(3, 8)
    y1 = x[:, :4] + f(x[:, 4:])
    y2 = x[:, 4:] + g(y1)
    assert torch.allclose(Block(f, g)(x), torch.cat([y1, y2], dim=1))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Block(nn.Linear(4, 4), nn.Linear(4, 4))(torch.ones(2, 7)), "width 7: an even number.*use 8"),
        (lambda: Chain([])(torch.ones(2), torch.ones(3)), "streams.*same shape"),
        (lambda: Chain([], method="revers"), "did you mean reversible"),
        (lambda: Shape(width=65), "width 65.*4 heads divide.*use 72"),
        (lambda: Shape(layers=0), "layers 0"),
        (lambda: functions(Shape(), cast("Form", "plain")), "form 'plain'"),
        (lambda: run("full", arithmetic=Fixed()), "method 'full' with Fixed"),
    ],
)
def test_what_cannot_be_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()


def test_frozen_and_shared_parameters():
    """A function used twice gets the sum of both gradients, a frozen one none; one may have no parameters."""
    shared = nn.Linear(6, 6)
    frozen = nn.Linear(6, 6).requires_grad_(False)
    x = torch.randn(5, 6, requires_grad=True)
    found = {}
    for method in METHODS:
        chain = Chain([shared, frozen, nn.Tanh(), shared], method=method)
        found[method] = torch.autograd.grad(chain(x, 2 * x)[1].sum(), [x, *shared.parameters()])
    for method in AGAIN:
        for a, b in zip(found[method], found["none"], strict=True):
            assert torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_evaluation_keeps_nothing():
    model = Transformer(Shape(layers=4, **SMALL)).eval()
    with torch.no_grad(), SavedBytes() as saved:
        assert model(torch.zeros(2, 16, dtype=torch.long)).shape == (2, 16, 64)
    assert saved.peak == 0
