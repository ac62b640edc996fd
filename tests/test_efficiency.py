"""Kernel and message laws: bounds and monotony that any constants must keep, and the constants that are shipped."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.catalog import BUILT_IN
from ridgeline.efficiency import (
    ANY,
    KERNELS,
    LINKS,
    MATRICES_OF,
    constants,
    kernel_constants,
    kernel_time,
    link_constants,
    link_time,
    matrix_constants,
    provenance,
    small_kernel,
)
from ridgeline.errors import UnknownNameError
from ridgeline.hardware import formats, load_chip, load_system

SECONDS = st.floats(0.0, 10.0)
LARGER = st.floats(1.0, 100.0)
TABLE = constants()


@given(
    row=st.sampled_from(TABLE.kernels),
    math=SECONDS,
    memory=SECONDS,
    rest=st.tuples(SECONDS, st.floats(0, 1e6), st.floats(0, 1e12)),
)
def test_no_kernel_is_faster_than_the_roofline(row, math, memory, rest):
    """A property of the house: estimate >= floor, for every set of constants that is shipped."""
    assert kernel_time(row, math, memory, *rest) >= max(math, memory)


@given(row=st.sampled_from(TABLE.kernels), inputs=st.tuples(*[SECONDS] * 5), which=st.integers(0, 4), factor=LARGER)
def test_kernel_time_does_not_fall_when_work_grows(row, inputs, which, factor):
    """A property of the house: more FLOPs, bytes, activations, depth or scores never take less time."""
    more = [value * factor if i == which else value for i, value in enumerate(inputs)]
    assert kernel_time(row, *more) >= kernel_time(row, *inputs) * (1 - 1e-12)


@given(row=st.sampled_from(TABLE.links), wire=st.floats(1e-9, 1.0), ranks=st.integers(2, 512), factor=LARGER)
def test_messages_are_bounded_and_rise_with_bytes_and_ranks(row, wire, ranks, factor):
    """The switch of protocols must not make a longer message, or one among more ranks, shorter."""
    here = link_time(row, wire, ranks)
    assert wire <= here <= link_time(row, wire * factor, ranks) * (1 + 1e-12)
    assert here <= link_time(row, wire, 2 * ranks)
    assert link_time(row, 0.0, ranks) == 0.0


def test_arrays_and_numbers_agree():
    """One law for a point and for a sweep."""
    row = kernel_constants("gemm", load_chip("h100").value, "bf16", "vllm")
    math, memory = np.array([1e-6, 5e-6, 2e-4]), np.array([3e-6, 5e-6, 1e-6])
    together = kernel_time(row, math, memory, 1e-7, 4096.0)
    alone = [kernel_time(row, a, b, 1e-7, 4096.0) for a, b in zip(math.tolist(), memory.tolist(), strict=True)]
    assert together.tolist() == pytest.approx(alone)


@pytest.mark.parametrize("family", KERNELS)
def test_every_chip_and_format_has_constants(family):
    """A chip that nobody measured, and a format that has no kernels, get relatives' constants rather than a refusal."""
    for name in BUILT_IN.names("chips"):
        chip = load_chip(name).value
        for stored in formats():
            assert kernel_constants(family, chip, stored, "vllm").family == family


def test_fallback_goes_from_the_engine_to_the_chip_to_its_generation_to_all():
    """The documented order, one example of each step."""
    h100, h20, mi300x = (load_chip(name).value for name in ("h100", "h20", "mi300x"))
    found = [
        kernel_constants("gemm", h100, "bf16", "sglang"),
        kernel_constants("gemm", h100, "bf16", "lmdeploy"),
        kernel_constants("gemm", h20, "bf16", "sglang"),
        kernel_constants("gemm", mi300x, "bf16", "sglang"),
    ]
    assert [(row.place, row.engine) for row in found] == [
        ("h100", "sglang"),
        ("h100", ANY),
        ("hopper", "sglang"),
        (ANY, ANY),
    ]
    assert provenance(found[0], h100) == "measured kernels"
    assert provenance(found[2], h20) == "pooled"
    assert provenance(found[3], mi300x) == "spec sheet only"
    assert found[3].error > found[0].error


def test_a_format_that_the_chip_widens_uses_kernels_of_what_it_multiplies():
    """fp8 weights on A100 run bf16 multiplications: their efficiency refers to the bf16 peak."""
    a100 = load_chip("a100-80").value
    assert kernel_constants("gemm", a100, "fp8", "vllm").format == "bf16"
    assert kernel_constants("experts", load_chip("h200").value, "mxfp4", "vllm").format == "mxfp4@bf16"


def test_hopper_matrices_in_bf16_reach_what_is_published():
    """The best shape of a public benchmark (ml-engineering) reaches 794.5 TFLOP/s on H100; one token is all HBM."""
    row = kernel_constants("gemm", load_chip("h100").value, "bf16", "vllm")
    n = 8192
    math, memory, activations = 2 * n**3 / 989e12, 2 * n**2 / 3.35e12, 8 * n**2 / 3.35e12
    assert 0.85 * 794.5e12 < 2 * n**3 / kernel_time(row, math, memory, activations, n) < 1.03 * 794.5e12
    assert 0.75 < memory / kernel_time(row, math / n, memory, activations / n, n) < 0.95


def test_fp8_matrices_of_trtllm_have_their_own_math():
    """TensorRT-LLM takes cuBLASLt's, which hide math behind reading; the host's time in its table is not taken over."""
    h100 = load_chip("h100").value
    all_engines, own = (matrix_constants(h100, "fp8", engine) for engine in ("vllm", "trtllm"))
    assert all_engines == kernel_constants("gemm", h100, "fp8", MATRICES_OF)
    assert (own.fixed, own.bandwidth, own.passes) == (all_engines.fixed, all_engines.bandwidth, all_engines.passes)
    assert own.overlap > 2 * all_engines.overlap
    assert matrix_constants(h100, "bf16", "trtllm") == matrix_constants(h100, "bf16", "vllm")
    amd = load_chip("mi300x").value
    assert matrix_constants(amd, "fp8", "trtllm").compute <= 1


def test_a_small_kernel_is_not_as_long_as_an_outlier_s_matrices():
    """A100's matrices start 2.0 times as late as those of all chips, 1.2 times is what chips left out may need."""
    a100, h100 = (load_chip(name).value for name in ("a100-80", "h100"))
    pool = next(row for row in TABLE.kernels if (row.family, row.format, row.place) == ("gemm", "bf16", ANY))
    assert small_kernel(h100) == kernel_constants("gemm", h100, "bf16").fixed
    assert pool.fixed < small_kernel(a100) < 0.7 * kernel_constants("gemm", a100, "bf16").fixed


@pytest.mark.parametrize("kind", LINKS)
def test_every_collective_has_constants(kind):
    """So that a chip without measured links is predicted too."""
    assert link_constants(kind, load_chip("mi300x").value, "vllm").place == ANY


@pytest.mark.parametrize("kib", [16, 256, 1280, 20480])
def test_messages_through_the_host_take_what_is_published(kib):
    """LLMServingSim repeats a run of two RTX PRO 6000 to 1% with links of 16 GB/s and 20 us; we took no part of it."""
    system, size = load_system("rtx-pro-6000").value, kib * 1024.0
    assert not system.domain.peer_access
    constants = link_constants("all_reduce", system.chip, "vllm", peer_access=False)
    assert link_time(constants, size / system.scale_up, 2) == pytest.approx(20e-6 + size / 16e9, rel=0.15)


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("name", ["rtx-4090", "rtx-pro-6000"])
def test_the_way_through_the_host_is_the_longer_one(name, kind):
    """The cards of a system without peer access are never better off for it, from the size of one token on."""
    chip, wire = load_chip(name).value, np.geomspace(1e-7, 1e-2, 50)
    near, far = (link_constants(kind, chip, "vllm", peer_access=peers) for peers in (True, False))
    assert np.all(link_time(far, wire, 2) > link_time(near, wire, 2))


def test_unknown_names_are_refused():
    """Refuse, don't guess."""
    chip = load_chip("h100").value
    with pytest.raises(UnknownNameError, match="kernel family"):
        kernel_constants("gem", chip, "bf16")
    with pytest.raises(UnknownNameError, match="number format"):
        kernel_constants("gemm", chip, "bf61")
    with pytest.raises(UnknownNameError, match="collective"):
        link_constants("broadcast", chip)


@pytest.mark.skipif(
    "RIDGELINE_OPERATORS" not in os.environ,
    reason="fits again from kernel tables too large to ship, for minutes: name their folder in RIDGELINE_OPERATORS",
)
def test_shipped_constants_regenerate():
    """The file is what the fit gives, not what somebody typed: predictions of both agree."""
    pytest.importorskip("scipy")
    from ridgeline.validate.kernels import fit, log_errors
    from ridgeline.validate.readings import kernel_readings

    readings = [r for r in kernel_readings(Path(os.environ["RIDGELINE_OPERATORS"])) if r.family == "gemm"]
    again = {(row.format, row.place, row.engine): row for row in fit(readings).kernels}
    shipped = {(row.format, row.place, row.engine): row for row in TABLE.kernels if row.family == "gemm"}
    assert again.keys() == shipped.keys()
    for r in readings:
        key = (r.format, r.chip, r.engine if (r.format, r.chip, r.engine) in again else ANY)
        assert np.median(np.abs(log_errors(again[key], r) - log_errors(shipped[key], r))) < 0.02
