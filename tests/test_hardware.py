"""Chips and systems: derived quantities, number formats, prices, and refusals of what nobody has published."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from ridgeline.catalog import BUILT_IN
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import (
    Domain,
    Price,
    format_bytes,
    formats,
    known,
    load_chip,
    load_medium,
    load_system,
    math_format,
)

CHIPS = BUILT_IN.names("chips")
SYSTEMS = BUILT_IN.names("systems")


def test_published_ridge_points() -> None:
    """The lecture's "300", in FLOP per bf16 element read: 295 for H100, 312 for GB200, 206 for H200."""
    assert load_chip("h100").value.ridge("bf16") == pytest.approx(295.2, abs=0.1)
    assert load_chip("gb200").value.ridge("bf16") == pytest.approx(312.5, abs=0.1)
    assert load_chip("h200").value.ridge("fp8") / 2 == pytest.approx(206.1, abs=0.1)


def test_lecture_preset_has_the_round_numbers_of_the_lecture() -> None:
    """Ridge 300 in every format, drain 20 ms, 72 chips, fast network 8 times the slow one, $2 per hour."""
    system = load_system("lecture:nvl72").value
    chip = system.chip
    assert chip.drain == pytest.approx(0.02)
    for name, math in (("bf16", "bf16"), ("fp8", "fp8"), ("fp4", "fp4")):
        element = {"bf16": 2, "fp8": 1, "fp4": 0.5}[name]
        assert chip.math_rate(math) * element / (2 * chip.hbm_bandwidth) == pytest.approx(300)
    assert system.default_chips == 72
    assert system.scale_up / system.scale_out == 8
    assert system.price().rate == pytest.approx(2 / 3600)


@pytest.mark.parametrize(
    ("chip", "weights", "activations", "math"),
    [
        ("h100", "bf16", "bf16", "bf16"),
        ("h100", "fp16", "fp16", "bf16"),
        ("h100", "fp8_block", "fp8", "fp8"),
        ("a100", "fp8", "fp8", "bf16"),  # no fp8 tensor cores: weights are widened, only memory gains
        ("h100", "int8", "int8", "int8"),
        ("h100", "int8", "bf16", "bf16"),
        ("h20", "int8", "int8", "bf16"),
        ("b200", "nvfp4", "nvfp4", "fp4"),
        ("h100", "mxfp4", "mxfp4", "bf16"),
        ("b200", "int4", "bf16", "bf16"),
    ],
)
def test_math_format(chip: str, weights: str, activations: str, math: str) -> None:
    assert math_format(weights, activations, load_chip(chip).value) == math


@pytest.mark.parametrize(
    ("name", "size"),
    [("bf16", 2), ("fp8", 1), ("fp8_block", 1 + 4 / 128**2), ("mxfp8", 33 / 32), ("nvfp4", 9 / 16), ("mxfp4", 17 / 32)],
)
def test_block_scales_are_counted(name: str, size: float) -> None:
    """A 4-bit format with a byte per 16 elements stores 4.5 bits, not 4."""
    assert format_bytes(name) == size


def test_unknown_format_has_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"did you mean .*nvfp4"):
        format_bytes("nvpf4")


@pytest.mark.parametrize("name", CHIPS)
def test_no_format_computes_on_a_missing_unit(name: str) -> None:
    """The math format is one that the chip has, or bf16."""
    chip = load_chip(name).value
    for weights in formats():
        math = math_format(weights, weights, chip)
        assert math == "bf16" or chip.math_rate(math) > 0


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        (lambda: load_chip("a100").value.math_rate("fp8"), ["a100-80", "fp8", "chips/a100-80.toml", "bf16, int8"]),
        (lambda: load_chip("a100").value.math_rate("fp3"), ["fp3"]),
        (lambda: load_system("rtx-4090").value.scale_out, ["rtx-4090", "network.bandwidth", "systems/rtx-4090.toml"]),
        (lambda: load_system("rubin-ultra").value.scale_up, ["rubin-ultra-nvl576", "domain.bandwidth"]),
        (lambda: known(load_chip("tpu-v4").value, "host_link"), ["tpu-v4", "host_link", "chips/tpu-v4.toml"]),
        (lambda: load_system("trn2").value.price(), ["trn2-ultraserver", "none", "$2/h"]),
        (lambda: load_system("h800").value.price("rented"), ["rented", "hgx-h800"]),
    ],
)
def test_unpublished_values_are_refused_by_name_and_file(refused, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        refused()
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_torus_and_switch_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="torus"):
        Domain(size=64, topology="torus")
    with pytest.raises(ValueError, match="switched"):
        Domain(size=64, dims=3)


def test_default_price_is_the_contract_price() -> None:
    system = load_system("h100").value
    assert system.price() == system.price("rented")
    assert {price.kind for price in system.prices} == {"rented", "neocloud", "owned", "on-demand"}
    assert all(isinstance(price, Price) and price.source and price.date for price in system.prices)


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_is_a_system(name: str) -> None:
    """`ridgeline plan MODEL h100` must mean the usual machine around that chip."""
    chip = load_chip(name).value
    assert load_system(name).value.chip == chip
    for alias in chip.aliases:
        assert load_system(alias).value.chip == chip


@pytest.mark.parametrize("name", SYSTEMS)
def test_systems_are_plausible(name: str) -> None:
    """Catches a unit slip (bits for bytes, both directions for one, GB for TB) in a data file."""
    system = load_system(name).value
    chip = system.chip
    assert 0.002e-3 < chip.drain < 1, "memory is read in 10 ms to half a second, SRAM in microseconds"
    assert system.domain.size >= 1
    assert 1 <= system.default_chips <= 144
    if system.domain.bandwidth:
        assert 16e9 < system.domain.bandwidth < chip.hbm_bandwidth
    if system.domain.bandwidth and system.network.bandwidth and system.domain.size > 8:
        assert system.network.bandwidth < system.domain.bandwidth
    assert system.domain.latency <= 1e-6
    assert hash(system) == hash(load_system(name).value), "laws cache by system"


# --- against the table of published facts ------------------------------------------------------------------------


def _entry(row_name: str) -> str:
    names = {"VR200-NVL72 (=NVL144 dies)": "vr200", "Rubin Ultra NVL576 (144 packages)": "rubin-ultra"}
    name = names.get(row_name, row_name)
    return name.removesuffix("-NVL72").lower().replace(" ", "-")


def _rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "facts" / "hardware.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_published_number_is_restated(shared: Path) -> None:
    """All numbers of the fact table, in SI."""
    on_cards = ("L40S", "RTX 4090", "RTX 5090", "H100-PCIe")  # domain 1 there: no NVLink; here: a PCIe server
    for row in _rows(shared):
        system = load_system(_entry(row["name"])).value
        chip = system.chip
        pairs = [
            ("mem_GB", chip.hbm_capacity, 1e9), ("mem_TBps", chip.hbm_bandwidth, 1e12),
            ("bf16_dense_tflops", chip.peak.bf16, 1e12), ("fp8_dense_tflops", chip.peak.fp8, 1e12),
            ("fp4_dense_tflops", chip.peak.fp4, 1e12), ("int8_dense_tops", chip.peak.int8, 1e12),
            ("scaleup_uni_GBps", system.domain.bandwidth, 1e9), ("scaleout_uni_GBps", system.network.bandwidth, 1e9),
            ("host_mem_GB_per_chip", chip.host_memory, 1e9),
            ("allin_kW" if row["allin_kW"] else "tdp_W", chip.power, 1e3 if row["allin_kW"] else 1),
        ]  # fmt: skip
        columns = {"rented": "3yr_rental", "neocloud": "neocloud_tco", "owned": "hyperscaler_tco"}
        columns["on-demand"] = "on_demand"
        rates = {price.kind: price.rate for price in system.prices}
        pairs += [(f"usd_hr_{column}", rates.get(kind), 1 / 3600) for kind, column in columns.items()]
        if row["name"] not in on_cards:
            pairs.append(("scaleup_domain", system.domain.size, 1))
        for column, value, scale in pairs:
            if row[column]:
                assert value == pytest.approx(float(row[column]) * scale, rel=1e-9), (row["name"], column)


def test_derived_columns_are_reproduced(shared: Path) -> None:
    """Ridge per format, tokens per weight read and drain, which the table derives on its own."""
    for row in _rows(shared):
        chip = load_system(_entry(row["name"])).value.chip
        assert chip.drain * 1e3 == pytest.approx(float(row["drain_ms"]), rel=0.005)
        for math, element in (("bf16", 2), ("fp8", 1), ("fp4", 0.5)):
            column = "ridge_bf16_flop_per_byte" if math == "bf16" else f"ridge_{math}"
            if row[column]:
                assert chip.ridge(math) == pytest.approx(float(row[column]), abs=0.06)
                assert chip.ridge(math) * element / 2 == pytest.approx(float(row[f"nstar_tokens_{math}"]), abs=0.06)


def test_storage_media_are_restated(shared: Path) -> None:
    """Capacity, bandwidth and drain of every storage device of the fact table appear among the media."""
    media = [load_medium(name).value for name in BUILT_IN.names("media")]
    with (shared / "facts" / "storage_tiers.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            want = [float(row[column]) * 1e9 for column in ("capacity_GB", "read_GBps", "write_GBps")]
            same = [m for m in media if [m.capacity, m.read, m.write] == pytest.approx(want)]
            assert len(same) == 1, row["device"]
            assert same[0].drain == pytest.approx(float(row["drain_s_read"]), rel=0.05)
            low = re.match(r"[\d.]+", row["usd_per_GB"])
            if low:
                assert same[0].usd_per_byte, row["device"]
                assert same[0].usd_per_byte * 1e9 >= float(low.group()) or same[0].kind == "HBM"
