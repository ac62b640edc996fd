"""Collectives: what always holds on switched and torus domains, and against counting on small networks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.collectives import message_time
from ridgeline.hardware import load_system
from ridgeline.messages import Kind, Message

KINDS: tuple[Kind, ...] = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send")
kinds = st.sampled_from(KINDS)
systems = st.sampled_from(["hgx-h100", "gb200-nvl72", "tpu-v5p", "hgx-a100-80", "mi300x-8"])


def seconds(kind: Kind, system: str, ranks: float, size: float, far: float = 0.0, stride: int = 1) -> float:
    message = Message(name="m", kind=kind, ranks=ranks, stride=stride, bytes=size, far_bytes=far)
    return message_time(message, load_system(system).value)


@given(kind=kinds, system=systems, size=st.floats(0, 1e10))
def test_one_rank_sends_nothing(kind: Kind, system: str, size: float) -> None:
    assert seconds(kind, system, 1, size) == 0.0


@given(kind=kinds, system=systems, ranks=st.integers(2, 64), size=st.floats(1, 1e9), factor=st.floats(1, 10))
def test_time_grows_with_bytes(kind: Kind, system: str, ranks: int, size: float, factor: float) -> None:
    assert seconds(kind, system, ranks, size * factor) >= seconds(kind, system, ranks, size)


@given(system=systems, ranks=st.integers(2, 64), size=st.floats(1e3, 1e9))
def test_all_reduce_is_no_faster_than_its_half(system: str, ranks: int, size: float) -> None:
    """An all-reduce moves at least what a reduce-scatter moves."""
    assert seconds("all_reduce", system, ranks, size) >= seconds("reduce_scatter", system, ranks, size) * (1 - 1e-12)


def test_ring_all_reduce_without_reduction_in_the_switch() -> None:
    """A100 boxes: 2 (n-1)/n S/U plus two crossings; with reduction in the switch (H100) at most S/U."""
    a100, h100 = load_system("hgx-a100-80").value, load_system("hgx-h100").value
    wire = 2 * 7 / 8 * 1e9 / 300e9
    assert seconds("all_reduce", "hgx-a100-80", 8, 1e9) == pytest.approx(wire + 2 * a100.domain.latency)
    assert seconds("all_reduce", "hgx-h100", 8, 1e9) == pytest.approx(1e9 / 450e9 + 2 * h100.domain.latency)


def test_two_levels_are_as_slow_as_the_slower() -> None:
    """16 H100 in two boxes: 1/8 of the buffer crosses per chip at 50 GB/s, slower than the boxes' own 450 GB/s."""
    inside = 1e9 / 450e9
    outside = 2 * 1 / 2 * (1e9 / 8) / 50e9
    assert outside > inside
    assert seconds("all_reduce", "hgx-h100", 16, 1e9) == pytest.approx(outside, rel=0.01)


@pytest.mark.parametrize("side", [4, 8])
def test_all_to_all_on_a_torus_takes_the_average_way(side: int) -> None:
    """D a/4 links per byte on a torus of side a, counted over all pairs."""
    domain = load_system("tpu-v5p").value.domain
    assert domain.dims == 3
    ways = [
        sum(min(abs(a - b), side - abs(a - b)) for a, b in zip(x, (0, 0, 0), strict=True))
        for x in itertools.product(range(side), repeat=3)
    ]
    wire = 1e9 * float(np.mean(ways)) / (domain.bandwidth or 1.0)
    assert seconds("all_to_all", "tpu-v5p", side**3, 1e9) == pytest.approx(wire, rel=0.01)


def test_arrays_broadcast() -> None:
    ranks, size = np.array([1, 2, 8, 16]), np.array([1e6, 1e6, 1e6, 1e6])
    together = message_time(
        Message(name="m", kind="all_reduce", ranks=ranks, stride=1, bytes=size), load_system("hgx-h100").value
    )
    assert together.tolist() == pytest.approx([seconds("all_reduce", "hgx-h100", int(n), 1e6) for n in ranks])
