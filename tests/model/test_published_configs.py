"""Published configs beside the repository, where they are at hand: counts and cache against their index."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ridgeline.model import kv
from ridgeline.model.config import read_config
from ridgeline.model.spec import build

NOT_ALL_GATES = {
    "Qwen--Qwen3-Next-80B-A3B": "the index leaves out the output gates of its attention (arXiv:2505.06708)"
}
KEEPS_CHUNKS = {"meta-llama--Llama-4-Maverick-17B-128E-Instruct": "three of four layers keep one chunk of 8192 tokens"}
INCOMPLETE = {"DeepseekV2Config": "class defaults without a number of active experts"}


def test_index(shared: Path) -> None:
    folder = shared / "facts" / "models"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert rows
    for name, _, layers, _, total, active, _, _, _, growing, windowed, *_ in rows:
        path = next(
            each for each in (folder / f"{name}.json", folder / "reconstructed" / f"{name}.json") if each.exists()
        )
        model = build(read_config(path))
        if not total:
            continue
        assert len([layer for layer in model.layers if layer.mixers or layer.feedforwards]) == int(layers), name
        assert model.parameters / 1e9 == pytest.approx(float(total), rel=3e-3, abs=0.006), name
        if name not in NOT_ALL_GATES:
            assert model.active_parameters / 1e9 == pytest.approx(float(active), rel=4e-3, abs=0.006), name
        cache = kv.per_token(model, 2.0)
        if name in KEEPS_CHUNKS:
            assert cache.stored == float(growing)
        else:
            assert (cache.growing, cache.windowed) == (float(growing), float(windowed)), name


def test_class_defaults_are_readable(shared: Path) -> None:
    for path in sorted((shared / "facts" / "models" / "transformers_defaults").glob("*.json")):
        if path.stem not in INCOMPLETE:
            assert build(read_config(path)).parameters > 0
