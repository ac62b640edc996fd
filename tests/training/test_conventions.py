"""FLOPs per token, against pairs of tokens per second and FLOP/s that projects print for the same run.

A convention that is off by an attention term or an embedding is off by 2 to 30%, which is the size of what separates
good layouts from bad ones; the quotient of two published numbers has none of our assumptions in it.
"""

from __future__ import annotations

import pytest

from ridgeline import load_model
from ridgeline.training.conventions import flop_per_token, multiplied, square_flop

PAIRS = [
    # model, seq, convention, TFLOP/s, tok/s: NVIDIA Megatron-Bridge docs/performance-summary.md
    ("llama-3-70b", 8192, "nvidia", 731.0, 1638.0),  # median of the published pairs: 0.4492e12
    ("llama-3.1-405b", 8192, "nvidia", 822.0, 326.0),
    ("qwen3-30b-a3b", 4096, "nvidia", 937.0, 40706.0),
    # NVIDIA NeMo 24.07 docs/source/performance/performance_summary.md
    ("llama-3-8b", 8192, "megatron", 711.0, 12273.0),
    ("llama-2-7b", 4096, "megatron", 780.0, 16934.0),
    ("llama-2-70b", 4096, "megatron", 768.0, 1728.0),
    # AI-Hypercomputer tpu-recipes training/ironwood
    ("deepseek-v3", 4096, "maxtext", 607.53, 2425.75),
    ("llama-3.1-70b", 8192, "maxtext", 1207.05, 2686.98),
    ("qwen3-235b-a22b", 4096, "maxtext", 629.79, 4245.89),
    # MosaicML LLM Foundry scripts/train/benchmarking
    ("mpt-7b", 2048, "mosaicml", 459.0, 10643.0),
]


@pytest.mark.parametrize(("model", "seq", "convention", "teraflops", "rate"), PAIRS)
def test_published_pairs(model: str, seq: int, convention: str, teraflops: float, rate: float) -> None:
    assert flop_per_token(load_model(model), seq, convention) == pytest.approx(teraflops * 1e12 / rate, rel=0.008)


def test_narayanan_with_recomputation() -> None:
    """96 s l h^2 (1 + s / 6h + V / 16 l h) per token of arXiv:2104.04473 eq. 3, for GPT-3 with its table of 50,257."""
    model, s, layers, h = load_model("gpt-3-175b"), 2048, 96, 12288
    expected = 96 * layers * h**2 * (1 + s / (6 * h) + model.vocab / (16 * layers * h))
    assert flop_per_token(model, s, "hardware") == pytest.approx(expected, rel=1e-3)


def test_plain_attention_is_twelve_layers_hidden_seq() -> None:
    model = load_model("gpt-3-175b")
    assert square_flop(model, 2048) == 12 * 96 * 12288 * 2048
    assert multiplied(model) == pytest.approx(12 * 96 * 12288**2 + model.vocab * 12288)
