"""In which formats the parts of published checkpoints are stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ridgeline.model.config import from_config, read_config

MODEL: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 96,
    "vocab_size": 100,
    "torch_dtype": "bfloat16",
}
KEPT = {"embedding": "bf16", "router": "bf16", "head": "bf16"}


def dtypes(block: dict[str, Any]) -> dict[str, str]:
    config = {**MODEL, "quantization_config": block}
    return {str(part): str(dtype) for part, dtype in from_config(config, name="t", source="t.json").dtypes.items()}


def test_plain() -> None:
    assert dict(from_config(MODEL, name="t", source="t.json").dtypes) == {"default": "bf16"}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "fbgemm_fp8"}, "fp8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quantization": {"quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4"),
    ],
)
def test_methods(block: dict[str, Any], expected: str) -> None:
    assert dtypes(block) == {"default": expected, **KEPT}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"num_bits": 4, "type": "int", "group_size": 32}, "int4"),
        ({"num_bits": 8, "type": "float"}, "fp8"),
        ({"num_bits": 8, "type": "int"}, "int8"),
        ({"num_bits": 4, "type": "float", "group_size": 16}, "nvfp4"),
    ],
)
def test_compressed_tensors(weights: dict[str, Any], expected: str) -> None:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    assert dtypes({"quant_method": "compressed-tensors", "config_groups": groups})["default"] == expected


@pytest.mark.parametrize(
    "ignore",
    [
        {"ignore": ["re:.*self_attn.*"]},
        {"modules_to_not_convert": ["model.layers.*.self_attn"]},
        {"exclude_modules": ["model.layers.*.self_attn*"]},
        {"ignore": [f"language_model.model.layers.{i}.self_attn.{m}_proj" for i in range(4) for m in "qkvo"]},
    ],
)
def test_what_is_left_out(ignore: dict[str, Any]) -> None:
    """Kimi K2.5, gpt-oss and NVFP4 checkpoints keep attention in bf16, each saying so in its own way."""
    found = dtypes({"quant_method": "fp8", **ignore})
    assert found["attention"] == "bf16"
    assert "ffn" not in found
    assert "expert" not in found


def test_single_layers_left_out_do_not_count() -> None:
    assert "ffn" not in dtypes({"quant_method": "fp8", "ignore": ["model.layers.0.mlp.down_proj"]})


def test_experts_of_deepseek_v4() -> None:
    """`expert_dtype` overrides the block for routed experts."""
    config = {**MODEL, "quantization_config": {"quant_method": "fp8"}, "expert_dtype": "fp4"}
    assert from_config(config, name="t", source="t.json").dtypes["expert"] == "mxfp4"


def test_mixed_precision() -> None:
    """ModelOpt names an algorithm per module; what it does not name stays in bf16."""
    layers = {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.mlp.experts": {"quant_algo": "W4A16_NVFP4"},
        "model.layers.0.mlp.shared_expert.up_proj": {"quant_algo": "W4A16_NVFP4"},
    }
    found = dtypes({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers})
    assert found == {"default": "bf16", "attention": "fp8", "expert": "nvfp4", "shared_expert": "nvfp4"}


def test_what_stands_beside_experts() -> None:
    """Gemma 4 leaves out the dense `mlp` of each layer, not the experts beside it."""
    found = dtypes({"quant_algo": "NVFP4", "ignore": [f"model.language_model.layers.{i}.mlp*" for i in range(4)]})
    assert found["ffn"] == "bf16"
    assert "expert" not in found


def test_cache_format() -> None:
    assert dtypes({"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}})["kv"] == "fp8"


def test_block_beside_the_config(tmp_path: Path) -> None:
    """ModelOpt writes `hf_quant_config.json` next to an unchanged config."""
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    assert read_config(tmp_path / "config.json").dtypes["default"] == "nvfp4"
