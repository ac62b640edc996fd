"""`model`: from the catalogue and from a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Runner


def test_document(run: Runner) -> None:
    """The keys that programs read, and the published numbers of DeepSeek-V3 (arXiv:2412.19437: 671B, 37B active)."""
    result = run("model deepseek-v3 --json").json
    assert result.keys() == {
        "name", "parameters", "active_parameters", "kv_bytes_per_token", "layers", "state_bytes", "dtypes",
        "max_context", "source",
    }  # fmt: skip
    assert result["parameters"] == pytest.approx(671e9, rel=0.01)
    assert result["active_parameters"] == pytest.approx(37e9, rel=0.02)
    every = 61 * 576 * 2  # layers, latent and its rotary part, bytes
    assert result["kv_bytes_per_token"] == {"stored": every, "growing": every, "windowed": 0, "read": every}
    assert [(layer["kind"], layer["count"]) for layer in result["layers"]] == [
        ("latent + dense", 3),
        ("latent + experts", 58),
    ]


def test_windows_are_told_apart(run: Runner) -> None:
    """Half of gpt-oss-20b's layers keep 128 tokens only: what grows is half of what a first token stores."""
    told = run("model gpt-oss-20b --json").json["kv_bytes_per_token"]
    assert told["growing"] == told["windowed"] == told["stored"] / 2 == told["read"] / 2
    assert run("model gpt-oss-20b --kv fp8 --json").json["kv_bytes_per_token"]["stored"] == told["stored"] / 2


def test_file(run: Runner, tmp_path: Path) -> None:
    """A stock config.json, here Llama-2-7B's dimensions (6,738,415,616 parameters, huggingface.co/meta-llama)."""
    config = {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 32000, "tie_word_embeddings": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert run(f"model {tmp_path}/config.json --json").json["parameters"] == 6_738_415_616
    assert run(f"plan {tmp_path}/config.json hgx-h100 --json").json["plans"]


@pytest.mark.parametrize(
    "name", ["deepseek-v3", "gemma-3-27b", "kimi-linear-48b-a3b", "jamba-v0.1", "lecture:deepseek"]
)
def test_text(run: Runner, name: str) -> None:
    """Every kind of mixer and feed-forward can be described."""
    out = run(f"model {name}").out
    assert "parameters" in out
    assert "stored per token" in out
    assert max(map(len, out.splitlines()[:10])) <= 110


def test_csv(run: Runner) -> None:
    assert run("model llama-3-8b --csv").out == (
        "kind,count,parameters,active_parameters\nattention + dense,32,218112000,218112000\n"
    )
