"""Hand-worked numbers of Reiner Pope's lecture and of public reports, recomputed by the laws.

As the lecture says them, and with real models and chips; where both are given their difference is the point.
"""

from __future__ import annotations

import pytest

from ridgeline import Scenario, load_model, step
from ridgeline.hardware import load_chip, load_system
from ridgeline.model import kv
from ridgeline.precision import resolve
from ridgeline.roofline import balance_batch, ridge_tokens
from ridgeline.serving import balance


def number(name: str, **scenario: object) -> float:
    return step(Scenario.read(scenario)).numbers[name].value


@pytest.mark.parametrize(
    ("chip", "math", "stored", "expected"),
    [
        ("h100", "bf16", 2.0, 295),
        ("h100", "fp8", 1.0, 295),
        ("gb200", "fp4", 0.5, 312),
        ("gb200", "bf16", 2.0, 312),
        ("h200", "fp8", 1.0, 206),
        ("a100-80", "bf16", 2.0, 153),
        ("gb300", "fp4", 0.5, 469),
        ("mi300x", "bf16", 2.0, 247),
        ("tpu-v6e", "bf16", 2.0, 560),
    ],
)
def test_ridge_is_about_300_tokens_on_most_chips(chip: str, math: str, stored: float, expected: float) -> None:
    """The lecture's 300 is in tokens per read weight; it is not FLOP per byte."""
    found = load_chip(chip).value
    assert ridge_tokens(found.math_rate(math), found.hbm_bandwidth, stored) == pytest.approx(expected, abs=0.7)


def test_balance_batch_as_said_and_real() -> None:
    """300 x 8 = 2,400 with the lecture's 32 of 256 experts; 5,441 with the 671B and 37B of DeepSeek-V3."""
    assert balance_batch(300, 256, 32) == 2400
    assert balance_batch(300, 671e9, 37e9) == pytest.approx(5441, abs=1)


def test_balance_batch_counts_each_part_in_its_own_format() -> None:
    """On GB200 in fp8 with a bf16 head the real DeepSeek-V3 balances at 312 x 18.3 sequences, within 3%."""
    b = number("balance_batch", model="deepseek-v3", system="gb200-nvl72", dp=64, ep=64)
    assert b == pytest.approx(312.5 * 671.0 / 36.6, rel=0.03)


@pytest.mark.parametrize(
    ("model", "system", "layout", "expected"),
    [
        ("deepseek-v3", "gb200-nvl72", {"dp": 8, "ep": 8}, 1755),
        ("llama-3-70b", "gb200-nvl72", {"tp": 8}, 1380),
    ],
)
def test_context_at_which_cache_binds_is_short(model: str, system: str, layout: dict, expected: float) -> None:
    """L* of DeepSeek-V3 (MLA in bf16) and of Llama-3-70B is 1.4k to 1.8k tokens, a hundred times less than 200k."""
    context = number("balance_context_tok", model=model, system=system, batch=8, context="4k", **layout)
    assert context == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(("system", "chips", "expected"), [("gb200-nvl72", 72, 1.165e-3), ("hgx-h100", 8, 25.0e-3)])
def test_weight_read_floor_of_deepseek_v3(system: str, chips: int, expected: float) -> None:
    """All weights once with all chips: 1.16 ms on a rack of 72, 25 ms on eight H100."""
    model, host = load_model("deepseek-v3"), load_system(system).value
    assert balance(model, host, resolve(model, host.chip), chips).weight_read == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("chip", "milliseconds"), [("h100", 23.9), ("gb200", 23.25), ("h200", 29.4), ("vr200", 13.1), ("a100-80", 39.2)]
)
def test_drain_is_13_to_39_ms_not_20(chip: str, milliseconds: float) -> None:
    assert load_chip(chip).value.drain * 1e3 == pytest.approx(milliseconds, abs=0.05)


def test_math_of_2400_sequences_takes_half_a_millisecond() -> None:
    """2,400 x 37e9 multiply-adds on 72 GB200 in fp8: 0.49 ms, far below a 20 ms train."""
    result = step(Scenario(model="deepseek-v3", system="gb200-nvl72", dp=64, ep=64, batch=2400, context=1))
    flop = sum(result.step.work.flop.values()) * 64
    assert flop / (72 * 5e15) == pytest.approx(0.49e-3, rel=0.03)


def test_lecture_presets_give_the_lecture_numbers() -> None:
    """Ridge 300, drain 20 ms, 37B of 700B parameters, 1,667 bytes of cache per token."""
    scenario = Scenario(model="lecture:deepseek", system="lecture:nvl72", dp=64, ep=64, batch=2400, context="200k")
    numbers = step(scenario).numbers
    assert numbers["ridge_tokens"].value == pytest.approx(300)
    assert numbers["drain_s"].value == pytest.approx(0.020)
    assert numbers["parameters"].value == pytest.approx(700e9, rel=1e-3)
    assert numbers["active_parameters"].value == pytest.approx(37e9, rel=1e-3)
    assert numbers["kv_read_bytes_per_token"].value == pytest.approx(1667)
    assert numbers["balance_context_tok"].value == pytest.approx(37e9 / (300 * 1667), rel=0.01)
    assert load_model("lecture:frontier").active_parameters == pytest.approx(100e9, rel=2e-3)


def test_frontier_balances_at_200k_tokens() -> None:
    """The 200k price step read backwards: 100e9 / (300 x 200k) = 1,667 bytes, so its L* is 200k."""
    scenario = Scenario(model="lecture:frontier", system="lecture:nvl72", dp=64, ep=64, batch=64, context="8k")
    assert step(scenario).numbers["balance_context_tok"].value == pytest.approx(200e3, rel=0.01)


@pytest.mark.parametrize(
    ("model", "stored", "per_token"),
    [("deepseek-v3", "bf16", 70272), ("llama-3-70b", "bf16", 327680), ("gpt-oss-120b", "bf16", 36864 * 2)],
)
def test_published_cache_sizes(model: str, stored: str, per_token: int) -> None:
    """70,272 bytes (61 x 576 x 2), 327,680 (80 x 8 x 128 x 2 x 2); half of gpt-oss' layers keep a window only."""
    assert kv.per_token(load_model(model), 2.0).read == per_token


def test_attention_overtakes_the_weights_where_the_report_says() -> None:
    """L_q = N_active / A': 4.4k tokens for DeepSeek-V3 absorbed, 53k for Llama-3-70B."""
    deepseek = number("attention_context_tok", model="deepseek-v3", system="gb200-nvl72", dp=8, ep=8)
    llama = number("attention_context_tok", model="llama-3-70b", system="gb200-nvl72", tp=8)
    assert deepseek == pytest.approx(4.4e3, rel=0.03)
    assert llama == pytest.approx(53e3, rel=0.03)


def test_day_six_of_deepseek_at_the_roofline() -> None:
    """12.7k sequences with 4,989 tokens each on 144 H800 take 10.6 ms at the roofline; measured were 47.6 ms."""
    scenario = Scenario(model="deepseek-v3", system="hgx-h800", chips=128, dp=128, ep=128, batch=12700, context=4989)
    memory = step(scenario).step
    whole = memory.work.kv_read * 128 + 671e9
    assert whole / (144 * 3.43e12) == pytest.approx(10.6e-3, rel=0.03)


def test_all_to_all_against_math() -> None:
    """On GB200 in fp8 dispatch and combine take 0.71 of the math: 0.75 if every token went to 8 devices, 7.68 do."""
    scenario = Scenario(
        model="deepseek-v3", system="gb200-nvl72", dp=64, ep=64, batch=64 * 4000, context=1, memory_utilisation=1
    )
    result = step(scenario).step
    wire = sum(
        message.bytes * layer.count / 9e11
        for layer in result.layers
        for message, _ in layer.messages
        if message.kind == "all_to_all"
    )
    assert wire / result.time.math == pytest.approx(0.75 * 7.68 / 8 * 63 / 64, rel=0.03)
