"""The models that come with Ridgeline: their counts against what their makers publish."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from ridgeline.catalog.loader import BUILT_IN
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model import kv, load_model
from ridgeline.model.store import load_spec

NAMES = BUILT_IN.names("models")
OFF = {
    "gpt-20b": "20B is rounded: 44 layers of 6,144 give 20.26B",
    "gpt-89b": "89B is rounded: half the layers of GPT-3 give 87.6B",
    "kimi-k2": "1T is rounded: 61 layers of 384 experts give 1.026T",
    "kimi-k2.5": "as Kimi K2",
    "kimi-linear-48b-a3b": "48B is rounded: the dimensions give 49.1B",
    "deepseek-v4-pro": "1.6T is rounded: 1.573T",
    "qwen3-1.7b": "two digits: 1.72B",
    "llama-4-scout": "109B has the vision tower",
    "gemma-3n-e4b": "8B has the vision and audio towers",
    "nemotron-3-8b": "8B is rounded: FLOPs per token as published need 8.54B",
    "nemotron-3-22b": "22B is rounded: FLOPs per token as published need 21.3B",
    "nemotron-super-49b": "49.9B, cut to 49B",
}
"""Published counts that differ by more than 1%, and why."""


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_published_ones(name: str) -> None:
    """A catalogue entry is a claim about a model; its maker's count is the only independent check of its dimensions."""
    spec, model = load_spec(name), load_model(name)
    assert spec.published is not None
    assert spec.published.source
    error = model.parameters / spec.published.parameters - 1
    assert (abs(error) > 0.01) == (name in OFF), f"{model.parameters:.4g} against {spec.published.parameters:.4g}"
    assert 0 < model.active_parameters <= model.parameters


def test_there_are_enough() -> None:
    assert len(NAMES) >= 50


# Name, active parameters, and KV bytes per token in bf16: growing with the context, within a window.
# Worked by hand from the published configs: layers * 2 * kv_heads * head_dim * 2 bytes, latent: layers * (rank + rope)
# (arXiv:2412.19437, 2405.04434, 2508.10925, model cards on huggingface.co), + 1 byte per element of indexer keys.
HAND = [
    ("llama-3-70b", 69.5e9, 80 * 2 * 8 * 128 * 2, 0),
    ("llama-3.1-405b", 403.75e9, 126 * 2 * 8 * 128 * 2, 0),
    ("llama-2-7b", 6.61e9, 32 * 2 * 32 * 128 * 2, 0),
    ("mistral-7b", 7.11e9, 0, 32 * 2 * 8 * 128 * 2),
    ("mixtral-8x7b", 12.75e9, 32 * 2 * 8 * 128 * 2, 0),
    ("qwen3-235b-a22b", 21.57e9, 94 * 2 * 4 * 128 * 2, 0),
    ("qwen3-next-80b-a3b", 3.56e9, 12 * 2 * 2 * 256 * 2, 0),
    ("qwen3.5-397b-a17b", 16.33e9, 15 * 2 * 2 * 256 * 2, 0),
    ("deepseek-v2-lite", 2.45e9, 27 * (512 + 64) * 2, 0),
    ("deepseek-v3", 36.63e9, 61 * (512 + 64) * 2, 0),
    ("deepseek-v3.2", 37.48e9, 61 * ((512 + 64) * 2 + 128), 0),
    ("deepseek-v4-flash", 13.27e9, 21 * (512 * 2 + 128) / 4 + 20 * 512 * 2 / 128, 43 * 512 * 2),
    ("kimi-k2", 31.69e9, 61 * (512 + 64) * 2, 0),
    ("kimi-linear-48b-a3b", 3.12e9, 6 * (512 + 64) * 2, 0),
    ("glm-5", 40.83e9, 78 * ((512 + 64) * 2 + 128), 0),
    ("gpt-oss-120b", 5.13e9, 18 * 2 * 8 * 64 * 2, 18 * 2 * 8 * 64 * 2),
    ("gemma-3-27b", 27.01e9, 10 * 2 * 16 * 128 * 2, 52 * 2 * 16 * 128 * 2),
    ("gemma-4-26b-a4b", 3.82e9, 5 * 2 * 2 * 512 * 2, 25 * 2 * 8 * 256 * 2),
    ("gemma-3n-e4b", 4.49e9, 4 * 2 * 2 * 256 * 2, 16 * 2 * 2 * 256 * 2),
    ("llama-4-maverick", 16.15e9, 12 * 2 * 8 * 128 * 2, 36 * 2 * 8 * 128 * 2),
    ("nemotron-3-nano-30b-a3b", 3.23e9, 6 * 2 * 2 * 128 * 2, 0),
    ("nemotron-3-super-120b-a12b", 12.23e9, 8 * 2 * 2 * 128 * 2, 0),
    ("minimax-m2.5", 10.42e9, 62 * 2 * 8 * 128 * 2, 0),
    ("minimax-m1", 47.17e9, 10 * 2 * 8 * 128 * 2, 0),
    ("jamba-v0.1", 11.84e9, 4 * 2 * 8 * 128 * 2, 0),
    ("falcon-180b", 178.56e9, 80 * 2 * 8 * 64 * 2, 0),
    ("falcon-7b", 6.92e9, 32 * 2 * 1 * 64 * 2, 0),
]


@pytest.mark.parametrize(("name", "active", "growing", "windowed"), HAND)
def test_active_parameters_and_cache(name: str, active: float, growing: float, windowed: float) -> None:
    model = load_model(name)
    cache = kv.per_token(model, 2.0)
    assert model.active_parameters == pytest.approx(active, rel=2e-3)
    assert cache.growing == pytest.approx(growing, rel=1e-12)
    assert cache.windowed == pytest.approx(windowed, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [("nemotron-3-nano-30b-a3b", 48234496), ("nemotron-3-super-120b-a12b", 167772160), ("nemotron-h-56b", 905969664)],
)
def test_state_of_mamba_layers(name: str, bytes_: int) -> None:
    """Layers * heads * head_dim * state * 4 bytes: what a sequence keeps besides its cache."""
    assert kv.total_state(load_model(name), activation_bytes=0) == bytes_


def test_lecture_presets() -> None:
    """The blackboard's numbers: 37B of 700B and 100B active, 1667 bytes of KV per token at one byte per element."""
    deepseek, frontier = load_model("lecture:deepseek"), load_model("lecture:frontier")
    assert deepseek.parameters == pytest.approx(700e9, rel=1e-3)
    assert deepseek.active_parameters == pytest.approx(37e9, rel=1e-3)
    assert frontier.active_parameters == pytest.approx(100e9, rel=1e-3)
    for model in (deepseek, frontier):
        assert kv.per_token(model, 1.0).growing == kv.per_token(model, 1.0).read == 1667


@pytest.mark.parametrize("spelling", ["deepseek-ai/DeepSeek-V3", "DeepSeek-V3", "deepseek-v3", "deepseek-v3-0324"])
def test_spellings_of_a_name(spelling: str) -> None:
    assert load_model(spelling).name == "deepseek-v3"


def test_aliases_are_unique() -> None:
    """An alias that two files claim would load whichever comes first."""
    claims = Counter(chain.from_iterable((spec.name, *spec.aliases) for spec in map(load_spec, NAMES)))
    assert [name for name, times in claims.items() if times > 1] == []


def test_order_of_a_hybrid_stack_is_kept() -> None:
    """Nemotron-H starts Mamba, feed-forward, Mamba: grouping equal layers must not reorder them."""
    kinds = ["M" if layer.mixers else "-" for layer in load_model("nemotron-h-56b").layers[:8]]
    assert "".join(kinds) == "M-M-M-MM"


def test_a_users_model(tmp_path: Path) -> None:
    """One small file in a folder adds a model, and comes before a built-in one of the same name."""
    folder = tmp_path / "models"
    folder.mkdir()
    parts = (
        '[parts.a]\ntype = "attention"\nheads = 2\nkv_heads = 1\nhead_dim = 4\n[parts.d]\ntype = "dense"\nwidth = 16\n'
    )
    (folder / "deepseek-v3.toml").write_text(f'name = "mine"\nhidden = 8\nvocab = 10\nstack = ["a+d*3"]\n{parts}')
    catalog = BUILT_IN.under(tmp_path)
    assert load_model("deepseek-v3", catalog).name == "mine"
    assert load_model("kimi-k2", catalog).name == "kimi-k2"
    assert load_model(str(folder / "deepseek-v3.toml")).parameters == 2 * 80 + 8 + 3 * (2 * 64 + 64 + 3 * 128 + 2 * 8)


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        load_model("deepseek-v33")


@pytest.mark.parametrize("name", ["no/such/config.json", "nothing.toml"])
def test_missing_file(name: str) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_model(name)
