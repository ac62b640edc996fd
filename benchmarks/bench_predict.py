"""How many rows of a points file are predicted a second: `make bench`. Target: 10,000 rows/s after load.

A row's cost depends on how many others share its model, chip, engine, formats and layout: `few` has 6 such groups, as a
sweep has, `many` 180 of about 25 rows, as a collection of measurements has.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ridgeline.validate.points import predict

MODELS = ("llama-3-8b", "llama-3-70b", "deepseek-v3", "gpt-oss-120b", "qwen3-32b", "qwen3-235b-a22b")
CHIPS = ("a100-80", "h100", "h200", "b200", "mi300x")
ENGINES = ("vLLM", "SGLang", "TensorRT-LLM")
METRICS = {"decode_step": "tpot_s", "prefill": "ttft_s", "static": "out_tok_s", "online": "tpot_s"}
ROWS = 4_500


def rows(groups: int) -> list[dict[str, str]]:
    """Rows dealt to so many groups."""
    rng = random.Random(1)
    every = [(m, c, e, tp) for m in MODELS for c in CHIPS for e in ENGINES for tp in (4, 8)]
    places = rng.sample(every, groups)
    made: list[dict[str, str]] = []
    for i in range(ROWS):
        model, chip, engine, tp = places[i % groups]
        mode = rng.choice(list(METRICS))
        made.append({
            "id": f"r{i}", "model": model, "chip": chip, "engine": engine, "weight_dtype": "bf16", "kv_dtype": "bf16",
            "mode": mode, "metric": METRICS[mode], "value": "1", "batch": str(16 * rng.randint(1, 12)),
            "isl": str(rng.randint(1, 4000)), "osl": str(rng.randint(1, 1000)), "context": "2000", "tp": str(tp),
            "chips": str(tp),
        })  # fmt: skip
    return made


@pytest.mark.parametrize("groups", [6, 180], ids=["few", "many"])
def test_rows_per_second(benchmark: Any, groups: int) -> None:
    """Whole calls, answers included."""
    asked = rows(groups)
    predict(asked[:groups])
    found = benchmark.pedantic(predict, (asked,), rounds=3)
    benchmark.extra_info["points_per_s"] = len(asked) / benchmark.stats["median"]
    assert sum(not each.refused for each in found) > 0.5 * len(asked)
