"""Memory of a device: published formulas and readings, and what must hold of any layout."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline import load_model
from ridgeline.training.activations import boundary_bytes, layer_bytes
from ridgeline.training.framework import Allocation, frameworks
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.memory import PARTS, TrainingMemory, chance_of_running_out, normal_cdf, training_memory
from ridgeline.validate.training.shape import gpt

GPT3 = load_model("gpt-3-175b")


@pytest.mark.parametrize(
    ("tp", "sp", "fused", "expected"),
    [
        (1, True, False, 34 + 5 * 96 * 2048 / 12288),
        (8, False, False, 10 + 24 / 8 + 5 * 96 * 2048 / 12288 / 8),
        (8, True, False, (34 + 5 * 96 * 2048 / 12288) / 8),
        (8, True, True, 34 / 8),
    ],
)
def test_korthikanti_activations(tp: int, sp: bool, fused: bool, expected: float) -> None:
    """Bytes per token and hidden size of a layer of GPT-3: arXiv:2205.05198, equations 1, 2 and 4."""
    layout = TrainingLayout(tp=tp, sp=sp)
    found = layer_bytes(GPT3, layout, 2048, fused=fused, dropout=True) / (2048 * 12288)
    assert found == pytest.approx(expected, rel=1e-3)


PLAIN = Allocation(context=0, fixed=0, tp=0, activations=1, states=1, peak=0, gathered=0)
"""Tensors alone, without what allocators and libraries add."""


@pytest.mark.parametrize(
    ("hidden", "layers", "heads", "pp", "vp", "micro", "none", "selective"),
    [
        (6144, 48, 64, 1, 1, 4, 59.25, 9.5625),
        (12288, 96, 96, 8, 3, 1, 66.84375, 12.3515625),
        (20480, 105, 128, 35, 3, 1, 114.0234375, 23.076171875),
        (25600, 128, 160, 64, 1, 1, 131.25, 26.5625),
    ],
)
def test_korthikanti_figure_1(
    hidden: int, layers: int, heads: int, pp: int, vp: int, micro: int, none: float, selective: float
) -> None:
    """Activations in GiB on the first stage of four GPTs at tp 8 (arXiv:2205.05198, figure 1 as encoded in calculon's
    validation): nothing computed again, and selective recomputation with sequence parallelism.
    """
    model = gpt("gpt", hidden, layers, heads)
    for recompute, gibibytes in ((0, none), (1, selective)):
        layout = TrainingLayout(tp=8, pp=pp, vp=vp, micro_batch=micro, recompute=recompute, sp=recompute == 1)
        found = training_memory(
            model, layout, 2048, 4096, frameworks().habit("megatron"), PLAIN, dropout=True, fused=False
        )
        assert found.activations == pytest.approx(gibibytes * 2**30, rel=2e-3)


def memory(**degrees: Any) -> TrainingMemory:
    shipped = frameworks()
    layout = TrainingLayout(**degrees)
    model = load_model("qwen3-30b-a3b" if "ep" in degrees else "llama-3-70b")
    return training_memory(model, layout, 8192, 512, shipped.habit("megatron"), shipped.allocations("megatron"))


def used(**degrees: Any) -> float:
    return memory(**degrees).used


@given(
    st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.integers(0, 3),
    st.integers(0, 3), st.sampled_from([1, 2]),
)  # fmt: skip
def test_memory_falls_with_sharding(tp: int, pp: int, cp: int, zero: int, recompute: int, micro: int) -> None:
    """More ranks that share weights, states or tokens never make the fullest device fuller, buffers of tensor
    parallelism aside; nor does a higher level of ZeRO, but for the layers that level 3 gathers.
    """
    base = {"tp": tp, "pp": pp, "cp": cp, "dp": 8, "zero": zero, "recompute": recompute, "micro_batch": micro}
    here = used(**base)
    slack = 0.5e9 + 4.0 * 8192 * micro * 8192 * 2 / cp  # workspaces, and inputs that are whole on every rank
    assert used(**base | {"tp": 2 * tp}) <= here + slack
    assert used(**base | {"cp": 2 * cp}) <= here
    if zero:
        assert used(**base | {"dp": 16}) <= here
    if zero < 2:
        assert used(**base | {"zero": zero + 1}) <= here
    assert used(**base | {"micro_batch": 2 * micro}) > here
    for part in PARTS:
        assert getattr(memory(**base), part) >= 0
    assert sum(memory(**base).parts().values()) == pytest.approx(here)


def test_experts_are_dealt_out() -> None:
    assert used(ep=8, dp=8) < used(ep=2, dp=8) < used(ep=1, dp=8)


def test_reversible_layers_hold_nothing_per_layer() -> None:
    """Full recomputation keeps 2 s b h per layer, reversible layers only the last output: O(1) in depth."""
    full, reversible = (memory(recompute=r, zero=3, dp=64) for r in (2, 3))
    edge = boundary_bytes(load_model("llama-3-70b"), TrainingLayout(), 8192)
    gap = full.activations - reversible.activations
    assert gap == pytest.approx(frameworks().allocations("megatron").activations * 78 * edge, rel=1e-6)


def test_offloading_moves_bytes_to_the_host() -> None:
    here, away = memory(), memory(offload="optimizer")
    assert away.host == pytest.approx(70.55e9 * 12, rel=0.01)
    assert away.used < here.used


def test_normal_distribution_is_that_of_the_standard_library() -> None:
    import numpy as np

    z = np.linspace(-5, 5, 41)
    assert np.abs(normal_cdf(z) - [normal_cdf(float(x)) for x in z]).max() < 2e-5
    assert chance_of_running_out(80e9, 80e9, 0.1) == 0.5
