"""Hugging Face configs are read as the reference implementation reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.model import Architecture, kv
from ridgeline.model.architecture import Experts, LatentAttention
from ridgeline.model.config import from_config, read_config
from ridgeline.model.families import FAMILIES
from ridgeline.model.spec import build

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "reference_counts.json").read_text())
"""Small made-up configs and the parameters of the models that Hugging Face transformers 5 builds from them.

Counted on the meta device, input embeddings and head included. Fields are far from their defaults: biases, norms,
odd head sizes, tied and untied tables, shared experts, sharing across layers.
"""
LLAMA: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 100,
    "max_position_embeddings": 512,
}
DEEPSEEK = next(case["config"] for case in CASES if case["config"]["model_type"] == "deepseek_v3")
QWEN3_MOE = next(case["config"] for case in CASES if case["config"]["model_type"] == "qwen3_moe")


def read(config: dict[str, Any]) -> Architecture:
    return build(from_config(config, name="test", source="test.json"))


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case['config']['model_type']}" for i, case in enumerate(CASES)])
def test_parameters_equal_the_reference(case: dict[str, Any]) -> None:
    """Exact, so that no bias, norm or gate is forgotten: a config that nobody has seen must read right."""
    assert read(case["config"]).parameters == case["parameters"]


def test_reference_covers_the_families() -> None:
    """Families whose code is not in the reference: same body as one that is."""
    alone = {
        "MiniMaxM1",
        "MiniMaxText01",
        "deci",
        "nemotron-nas",
        "kimi_k2",
        "mimo",
        "minimax_m1",
        "minimax_text_01",
        "glm4v_moe_text",
    }
    vision = {"qwen2_vl", "qwen2_vl_text", "qwen2_5_vl", "qwen2_5_vl_text"}
    assert {case["config"]["model_type"] for case in CASES} == FAMILIES.keys() - alone - vision


def test_latent_and_its_cache() -> None:
    """Without `q_lora_rank` queries are projected in one step; the cache holds rank + rotary part, not heads."""
    model = read({**DEEPSEEK, "q_lora_rank": None})
    mixer = model.layers[0].mixers[0]
    assert isinstance(mixer, LatentAttention)
    assert [linear.name for linear in mixer.linears] == ["q", "kv_down", "out"]
    assert kv.per_token(model, 2.0).growing == len(model.layers) * (mixer.kv_rank + mixer.rope_dim) * 2


def test_text_tower() -> None:
    """Multimodal configs nest the language model; `tie_word_embeddings` and quantisation may stand outside."""
    tower = {**LLAMA, "model_type": "mistral", "head_dim": 16}
    outer = {"model_type": "some_vl", "text_config": tower, "tie_word_embeddings": True, "vision_config": {"depth": 3}}
    model = read(outer)
    assert model.tied
    assert model.parameters == read({**tower, "tie_word_embeddings": True}).parameters


def test_pruned_blocks() -> None:
    """Nemotron Super (DeciLM): each block has its own heads and width, or none; widths are multiples of 256."""
    full = {"attention": {"n_heads_in_group": 4}, "ffn": {"ffn_mult": 2.0}}
    bare = {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.0}}
    linear = {"attention": {"replace_with_linear": True}, "ffn": {"no_op": True}}
    config = {**LLAMA, "model_type": "nemotron-nas", "num_key_value_heads": None, "intermediate_size": None}
    model = read({**config, "block_configs": [full, bare, linear]})
    attention = 64 * 64 * 2 + 64 * 2 * 2 * 8
    assert model.parameters == 2 * 6400 + 64 + (attention + 3 * 64 * 256 + 128) + (3 * 64 * 256 + 64) + (64 * 64 + 64)
    assert kv.per_token(model, 2.0).growing == 2 * 2 * 8 * 2


def test_lightning_layers_by_remote_keys() -> None:
    """MiniMax-Text-01 and M1 mark softmax layers by 1 in `attn_type_list`; only they cache."""
    config = {**LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8}
    model = read({**config, "model_type": "minimax_m1", "attn_type_list": [0, 0, 1], "shared_intermediate_size": 0})
    assert [type(layer.mixers[0]).__name__ for layer in model.layers] == ["Recurrent", "Recurrent", "Attention"]
    assert kv.per_token(model, 2.0).growing == 2 * 2 * 8 * 2


def test_prediction_modules_are_apart() -> None:
    """Multi-token prediction is not part of the published parameter count."""
    with_mtp = read({**DEEPSEEK, "num_nextn_predict_layers": 1})
    assert with_mtp.parameters == read(DEEPSEEK).parameters
    assert with_mtp.mtp == with_mtp.layers[-1:]


def test_routing_groups() -> None:
    model = read({**DEEPSEEK, "n_group": 4, "topk_group": 2})
    experts = model.layers[-1].feedforwards[0]
    assert isinstance(experts, Experts)
    assert (experts.groups, experts.group_limit) == (4, 2)


def test_windows() -> None:
    """Qwen windows count only if switched on, from `max_window_layers` on; a Mistral window counts in all layers."""
    config = {**LLAMA, "sliding_window": 32, "head_dim": 8}
    qwen = {**config, "model_type": "qwen2", "max_window_layers": 1}
    assert kv.per_token(read(qwen), 2.0).windowed == 0
    token = 2 * 2 * 8 * 2
    assert kv.per_token(read({**qwen, "use_sliding_window": True}), 2.0).windowed == 2 * token
    assert kv.per_token(read({**config, "model_type": "mistral"}), 2.0).windowed == 3 * token


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
)
def test_a_missing_field_is_named(key: str) -> None:
    config = {name: value for name, value in LLAMA.items() if name != key}
    with pytest.raises(InputError, match=rf"test\.json: key `{key}`: is missing"):
        read(config)


@pytest.mark.parametrize(
    "key",
    [
        "kv_lora_rank",
        "n_routed_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
        "n_shared_experts",
        "first_k_dense_replace",
    ],
)
def test_a_missing_field_of_a_mixture_is_named(key: str) -> None:
    """Never a silent dense default."""
    with pytest.raises(InputError, match=rf"key `{key}`: is missing"):
        read({name: value for name, value in DEEPSEEK.items() if name != key})


def test_absent_key_value_heads() -> None:
    """In Llama's class an absent number means one per query head; in Qwen3-MoE's it does not."""
    absent = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    assert kv.per_token(read(absent), 2.0).growing == 3 * 2 * 8 * 8 * 2
    with pytest.raises(InputError, match="num_key_value_heads"):
        read({key: value for key, value in QWEN3_MOE.items() if key != "num_key_value_heads"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_local_experts", 8),
        ("n_routed_experts", 8),
        ("kv_lora_rank", 512),
        ("num_kv_shared_layers", 1),
        ("mamba_d_state", 16),
    ],
)
def test_a_foreign_field_is_refused(key: str, value: int) -> None:
    """A dense family with experts in its config is another model than we know."""
    with pytest.raises(InputError, match=f"key `{key}`: is not known"):
        read({**LLAMA, key: value})


def test_unknown_model_type() -> None:
    with pytest.raises(UnknownNameError, match=r"model_type 'lama'.*did you mean.*llama.*test\.json"):
        read({**LLAMA, "model_type": "lama"})
    with pytest.raises(InputError, match="model_type"):
        read({key: value for key, value in LLAMA.items() if key != "model_type"})


HUGE = 10**9
WRONG = ["64", True, -64, 0, 64.0, float("nan"), HUGE, 10**400, [64], {}]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"]
)
def test_a_wrong_value_is_named(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"key `{key}`") as caught:
        read({**LLAMA, key: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"torch_dtype": "int3"}, "torch_dtype"),
        ({"quantization_config": "fp8"}, "quantization_config"),
        ({"quantization_config": {"quant_method": "magic"}}, "quant_method"),
        ({"model_type": "mistral", "sliding_window": 8, "layer_types": ["full_attention"]}, "layer_types"),
        ({"model_type": "mistral", "sliding_window": 8, "layer_types": ["odd"] * 3}, "layer_types"),
    ],
)
def test_inconsistent_values_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        read({**LLAMA, **change})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"model_type": "llama", "hidden_si',
        b"[1, 2]",
        b"3",
        b"\x00\xff\xfe\x01",
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b" " * 9_000_000,
    ],
    ids=["empty", "truncated", "list", "number", "binary", "deep", "deep objects", "large"],
)
def test_hostile_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path)


def test_infinity_where_nobody_reads(tmp_path: Path) -> None:
    """Python writes Infinity into JSON; Nemotron's time-step limit has it."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, "time_step_limit": [0.0, float("inf")]}))
    assert build(read_config(path)).parameters == read(LLAMA).parameters
