"""A number is its formula: everything printed evaluates to what the laws computed."""

from __future__ import annotations

import pytest

from ridgeline import Scenario, step

CASES = [
    Scenario(model="deepseek-v3", system="gb200-nvl72", dp=64, ep=64, batch=2400, context="4k"),
    Scenario(model="llama-3-70b", system="hgx-h100", tp=4, pp=2, batch=32, engine="vllm"),
    Scenario(model="qwen3-next-80b-a3b", system="hgx-h100", tp=4, phase="prefill", batch=8),
    Scenario(
        model="deepseek-v3",
        system="hgx-h800",
        chips=144,
        dp=144,
        ep=144,
        redundant=32,
        batch=12_700,
        context=4989,
        overlap="two-batch",
        price="$2/h",
    ),
    Scenario(model="llama-3-8b", system="hgx-h100", batch=8, isl=30_000, hit=0.5, chunk=4096),
]


@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.model)
def test_breakdown_sums_to_the_terms(scenario: Scenario) -> None:
    found = step(scenario)
    for term in ("math", "memory", "comms"):
        rows = [n.value for name, n in found.operations.items() if name.endswith(f"/{term}_s")]
        assert sum(rows) == pytest.approx(getattr(found.step.time, term))


@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.model)
def test_numbers_are_those_of_the_objects(scenario: Scenario) -> None:
    found = step(scenario)
    numbers, phase = found.numbers, scenario.phase
    assert numbers[f"{phase}_floor_s"].value == pytest.approx(found.step.floor)
    assert numbers[f"{phase}_estimate_s"].value == pytest.approx(found.estimate.seconds)
    assert numbers[f"{phase}_low_s"].value == pytest.approx(found.estimate.low)
    assert numbers["memory_used_bytes"].value == pytest.approx(found.memory.used)
    if found.serving is None or found.expected is None:
        return
    assert numbers["tpot_s"].value == pytest.approx(found.serving.tpot)
    assert numbers["tpot_estimate_s"].value == pytest.approx(found.expected.tpot)
    price = found.usd_per_chip_second or 0.0
    assert numbers["usd_per_request"].value == pytest.approx(found.serving.chip_seconds * price)
    assert numbers["usd_per_request_estimate"].value == pytest.approx(found.expected.chip_seconds * price)
