"""Published numbers about pipelines: the ultra-scale playbook's figure, DualPipe's table, BLOOM's runs, what NVIDIA
found best, and the lecture's part on pipelines.
"""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.hardware import load_system
from ridgeline.model import load_model
from ridgeline.training.pipeline import (
    bubble,
    held_per_chip,
    idle_decode,
    idle_share,
    inside_over_between,
    token_time,
)
from ridgeline.training.pipeline.compared import Pass, run
from ridgeline.training.pipeline.rack import depths


@pytest.mark.parametrize(("m", "v", "published"), [(1, 1, 7.0), (8, 1, 0.875), (32, 1, 0.21875), (32, 8, 0.02734)])
def test_playbook_bubble_sizes(m: int, v: int, published: float) -> None:
    """(p - 1) / (v m) of 8 devices, as the figure of Hugging Face's ultra-scale playbook has it."""
    assert bubble("interleaved", 8, 1 / 3, 1 / 3, 1 / 3, v) / m == pytest.approx(published, abs=1e-5)


def test_dualpipe_table() -> None:
    """README of deepseek-ai/DualPipe: 1F1B, ZB1P and DualPipe with 8 ranks and 20 micro-batches at F = B = W."""
    found = {name: run(name, 8, 20, 1, Pass(forward=1, gradient=1, weight=1)) for name in ("1f1b", "zb-h1", "dualpipe")}
    assert [round(each.idle) for each in found.values()] == [7 * 3, 7 * (3 - 2), 3 * (3 + 2 - 3)]
    assert [max(each.flight) for each in found.values()] == [8, 8, 9]


def test_bloom_global_batch_sweep() -> None:
    """BLOOM 182B, TP4 PP12 DP8, micro-batches of 2: 35.77, 59.65, 83.11 and 107.12 s (bigscience chronicles).

    (m + p - 1) t + c, with c from its network: 4 bytes of gradient and 2 of weight per parameter of a device over
    8 replicas (ZeRO-1) at 6.25 GB/s (four 100 Gb/s links for 8 GPUs). Only t is fitted.
    """
    micro = np.array([512, 1024, 1536, 2048]) / (8 * 2)
    measured = np.array([35.77, 59.65, 83.11, 107.12])
    once = 182e9 / 48 * 6 * 7 / 8 / 6.25e9
    passes = np.array([run("1f1b", 12, int(m), 1, Pass(forward=1, gradient=1, weight=1)).step / 3 for m in micro])
    t = ((measured - once) @ passes) / (passes @ passes)
    assert passes.tolist() == (micro + 11).tolist()
    assert passes * t + once == pytest.approx(measured, rel=0.03)


@pytest.mark.parametrize(
    ("model", "system", "domain", "stages"),
    [
        ("deepseek-v3", "hgx-h100", 8, {8, 16}),
        ("deepseek-v3", "gb200-nvl72", 8, {8, 16}),
        ("deepseek-v3", "gb200-nvl72", 72, {1, 2, 4}),
        ("gpt-oss-120b", "gb200-nvl72", 72, {1}),
    ],
)
def test_a_rack_replaces_the_pipeline(model: str, system: str, domain: int, stages: set[int]) -> None:
    """NVIDIA's fastest published configurations: DeepSeek-V3 with 8 to 16 stages on boxes of 8, at most 4 in a rack."""
    found = depths(
        load_model(model), load_system(system).value, chips=2304, tokens=64e6, seq=4096, reached=0.4, domains=(domain,)
    )
    assert next(each.stages for each in found if each.best) in stages


def test_stages_are_no_bottleneck_with_eight_experts() -> None:
    """Lecture: (1/8) x activated experts x layers per stage x 2 >= 1."""
    assert [inside_over_between(8, 1, k, 1) for k in (4, 8, 32)] == [1.0, 2.0, 8.0]


def test_lecture_bubbles() -> None:
    """Four racks, one batch at a time: three quarters idle; (P - 1) / (m + P - 1) in training."""
    assert idle_decode(1.0, 4.0) == 0.75
    assert idle_decode(4.0, 4.0) == 0
    shares = [idle_share(bubble("gpipe", 4, 1, 1, 1), 3 * m) for m in (4, 8, 16, 32)]
    assert shares == pytest.approx([3 / 7, 3 / 11, 3 / 19, 3 / 35])


def test_caches_do_not_fall_with_stages() -> None:
    """1T parameters in fp8, 64 chips, 2,400 sequences of 100k tokens at 1,667 B: 15.6 GB of weights fall, 6.25 stay."""
    weights, cache = held_per_chip(1e12, 2400 * 1e5 * 1667.0, 64, np.array([1, 2, 4, 8]))
    assert weights / 1e9 == pytest.approx([15.6, 7.8, 3.9, 1.95], abs=0.05)
    assert cache / 1e9 == pytest.approx([6.25] * 4, abs=0.01)


def test_hops_of_milliseconds_and_of_microseconds() -> None:
    """Four hops of 2.5 ms make 30 ms of a 20 ms token; the bytes of a hop alone are 5.4 us."""
    assert token_time(20e-3, 4, 2.5e-3) == pytest.approx(30e-3)
    assert token_time(20e-3, 1, 2.5e-3) == 20e-3
    assert pytest.approx(5.4e-6, abs=0.05e-6) == 2400 * 7168 * 1.0 / (64 * 50e9)
