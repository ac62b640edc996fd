"""Bulk prediction: the same numbers as one step at a time, one answer to a row, whatever the row."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline import Scenario, step
from ridgeline.engines import LEVELS, engines
from ridgeline.estimate import heads_held
from ridgeline.hardware import load_system
from ridgeline.layout import Layout
from ridgeline.model import load_model
from ridgeline.roofline import TERMS
from ridgeline.validate.points import Prediction, predict
from ridgeline.validate.row import METRICS, MODES, read_points

Row = dict[str, str]
PLACES = (
    ("llama-3-70b", "h100", "vLLM", "fp8", "fp8", {"tp": "4", "chips": "4"}),
    ("llama-3-70b", "h100", "vLLM", "fp8", "fp8", {"tp": "8", "chips": "8"}),
    ("deepseek-v3", "gb200", "SGLang", "fp8", "bf16", {"dp": "16", "ep": "16", "chips": "16"}),
    ("deepseek-v3", "h200", "TensorRT-LLM", "fp8", "fp8", {"tp": "8", "ep": "8", "chips": "8"}),
    ("gpt-oss-120b", "b200", "vLLM", "mxfp4", "bf16", {"tp": "2", "chips": "2"}),
    ("llama-3-8b", "tpu-v6e", "vLLM TPU", "bf16", "bf16", {"tp": "4", "chips": "4"}),
)
"""Model, chip, engine, formats and layout."""
NEURON = "Transformers NeuronX"
ONE_POOL = tuple(mode for mode in MODES if mode != "disaggregated")
ENGINE = {"vLLM": "vllm", "SGLang": "sglang", "TensorRT-LLM": "trtllm"}
ENGINE |= {each.engine: each.engine for each in engines().engines if each.engine != "any"}
"""Engines that have constants, by the name of a row."""


def made(count: int, seed: int = 0, modes: tuple[str, ...] = ("decode_step", "prefill")) -> list[Row]:
    """Random rows of PLACES that are in order."""
    rng = random.Random(seed)
    rows: list[Row] = []
    for i in range(count):
        model, chip, engine, weights, kv, layout = rng.choice(PLACES)
        mode = rng.choice(modes)
        metric = {"decode_step": "tpot_s", "prefill": "ttft_s", "static": "out_tok_s", "online": "tpot_s"}[mode]
        row = {"id": f"r{i}", "model": model, "chip": chip, "engine": engine, "weight_dtype": weights, "kv_dtype": kv}
        row |= {"mode": mode, "metric": metric, "value": "1", "batch": str(rng.randint(1, 12) * 16), **layout}
        rows.append(row | {"isl": str(rng.randint(1, 4000)), "osl": str(rng.randint(1, 1000)), "context": "2000"})
    return rows


def alone(row: Mapping[str, str]) -> Prediction:
    """The same by the scalar way."""
    degrees: dict[str, Any] = {name: int(row[name]) for name in ("tp", "dp", "ep", "chips") if name in row}
    decode = row["mode"] == "decode_step"
    point = step(
        Scenario(
            model=row["model"], system=row["chip"], weights=row["weight_dtype"], kv=row["kv_dtype"],
            engine=ENGINE.get(row["engine"], ""), batch=int(row["batch"]), phase="decode" if decode else "prefill",
            context=float(row["context"]) if decode else 0, isl=int(row["isl"]), memory_utilisation=1.0, **degrees,
        )
    )  # fmt: skip
    e = point.estimate
    return Prediction(
        id=row["id"], metric=row["metric"], floor=point.step.floor, low=e.low, estimate=e.seconds, high=e.high,
        binding=TERMS[int(point.step.time.binding)], provenance=e.provenance,
    )  # fmt: skip


def test_a_row_is_a_step() -> None:
    """Bulk and scalar are two ways to the same numbers, in whatever order the rows come."""
    for row, found in zip(rows := made(60), predict(rows), strict=True):
        one = alone(row)
        for name in ("floor", "low", "estimate", "high"):
            assert getattr(found, name) == pytest.approx(getattr(one, name), rel=1e-9), row
        assert msgspec.structs.replace(one, floor=0, low=0, estimate=0, high=0) == msgspec.structs.replace(
            found, floor=0, low=0, estimate=0, high=0
        )


def test_order_and_company_do_not_matter() -> None:
    """A row's prediction is the same alone, shuffled, and beside rows that are refused."""
    rows = made(40, 1, ONE_POOL)
    whole = {found.id: found for found in predict(rows)}
    shuffled = [*rows, {"id": "bad", "model": "nobody"}, {}]
    random.Random(0).shuffle(shuffled)
    for row, found in zip(shuffled, predict(shuffled), strict=True):
        if row.get("id", "bad") == "bad":
            assert found.refused
        else:
            assert found.refused == ""
            assert found.estimate == pytest.approx(whole[found.id].estimate, rel=1e-12)


def test_every_refusal_is_one_row() -> None:
    """What is wrong with a row is said in it, and stops no other."""
    good = made(1)[0]
    changes = {
        "unknown model": {"model": "GPT-21B"},
        "unknown system": {"chip": "Cray-1"},
        "unknown number format": {"weight_dtype": "fp12"},
        "batch": {"batch": "nan"},
        "isl 'long'": {"isl": "long"},
        "ep=3": {"model": "deepseek-v3", "chip": "h200", "ep": "3", "tp": "8", "chips": "8", "weight_dtype": "fp8"},
        "mode": {"mode": ""},
    }
    rows = [good | change for change in changes.values()]
    found = predict([*rows, good])
    assert all(told in each.refused for told, each in zip(changes, found, strict=False)), [p.refused for p in found]
    assert all(math.isnan(each.estimate) for each in found[:-1])
    assert (found[-1].refused, found[-1].estimate > 0) == ("", True)


words = st.sampled_from(["", "0", "1", "3", "8", "1e11", "-1", "nan", "x", "1,000", " 64 ", "0.5"])
names = {
    "model": ["llama-3-8b", "deepseek-v3", "nemotron-3-nano-30b-a3b", "nobody", ""],
    "chip": ["h100", "GB200-NVL72", "tpu-v5e", "m2-ultra", "", "x"],
    "engine": ["vLLM", "llama.cpp", "", "x"],
    "weight_dtype": ["bf16", "nvfp4", "int4", "", "x"],
    "kv_dtype": ["fp8", ""],
    "mode": [*MODES, "x"],
    "metric": [*METRICS, "x"],
}
given_rows = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in names.items()},
    optional=dict.fromkeys(("tp", "pp", "dp", "ep", "cp", "chips", "isl", "osl", "context", "batch", "value"), words),
)


@settings(max_examples=150)
@given(rows=st.lists(given_rows, max_size=6))
def test_any_row_has_an_answer(rows: list[Row]) -> None:
    """Numbers in order, or a reason; never an exception, a NaN without a reason, or a rate below its own interval."""
    for row, found in zip(rows, predict(rows), strict=True):
        if found.refused:
            assert math.isnan(found.estimate)
            continue
        assert 0 < found.low <= found.estimate <= found.high < math.inf, row
        if row["metric"].endswith("tok_s"):
            assert found.estimate <= found.floor * (1 + 1e-12)
        else:
            assert found.estimate >= found.floor * (1 - 1e-12)
        assert found.binding in TERMS
        assert found.provenance in LEVELS


def test_measured_rows(shared: Path) -> None:
    """Each row of the development data gets numbers or a reason; no row of a known model and chip gets none."""
    rows = read_points(shared / "measured" / "points_dev.csv")
    found = predict(rows)
    assert [each.id for each in found] == [row["id"] for row in rows]
    public = [each for row, each in zip(rows, found, strict=True) if row["has_config"] == row["has_chip"] == "1"]
    assert np.mean([each.refused == "" for each in public]) > 0.995


def test_what_engines_keep_of_memory() -> None:
    """Where memory fills, the time to first token is waiting: it hangs on what vLLM leaves to the cache, and in what
    format it keeps it.
    """
    row = {
        "model": "llama-3-70b",
        "chip": "h100",
        "engine": "vLLM",
        "weight_dtype": "fp8",
        "mode": "online",
        "metric": "ttft_s",
        "chips": "2",
        "isl": "8192",
        "osl": "1024",
        "batch": "64",
    }
    (silent, wide, narrow) = predict([row | {"kv_dtype": kv} for kv in ("", "bf16", "fp8")])
    assert silent.estimate == wide.estimate > 2 * narrow.estimate


def test_heads_of_a_core() -> None:
    """A NeuronCore holds whole heads: 8 of keys on the 24 cores of 12 chips are three copies, and read as such.

    Neuron's own engine copies them to each of 64 query heads, three a core, of which prompts compute 72.
    """
    chip, layer = load_system("inf2-12").value.chip, load_model("llama-3-70b").layers[0]
    single = msgspec.structs.replace(chip, cores=1)
    assert [heads_held(layer, Layout(tp=tp), chip, "vllm", False) for tp in (1, 4, 12)] == [1.0, 1.0, 2.0]
    assert [heads_held(layer, Layout(tp=tp), chip, NEURON, False) for tp in (1, 4, 12)] == [1.0, 1.0, 6.0]
    assert [heads_held(layer, Layout(tp=tp), chip, NEURON, True) for tp in (1, 4, 12)] == [1.0, 1.0, 1.125]
    assert heads_held(layer, Layout(tp=12), single, NEURON, False) == 1.0


def test_layouts_that_a_benchmark_tells_elsewhere() -> None:
    """TensorRT-LLM's overview of 1.0 counts GPUs as TP; its options for models with experts spread attention."""
    row = {"model": "qwen3-235b-a22b", "chip": "h200", "chips": "8", "engine": "TensorRT-LLM", "weight_dtype": "fp8"}
    row |= {"mode": "online", "metric": "out_tok_s", "isl": "1000", "osl": "1000"}
    told = row | {"source": "TRT-LLM perf-overview (v1.0)"}
    by_count, by_layout = predict([told | {"tp": "8"}, told | {"tp": "1", "dp": "8", "ep": "8"}])
    assert by_count == by_layout
    dense = told | {"model": "llama-3.1-70b"}
    assert predict([dense | {"tp": "8"}]) != predict([dense | {"tp": "1", "dp": "8"}])


def test_attention_ranks_wait_for_each_other_only_where_they_share_experts() -> None:
    """Replicas of a dense model side by side lose nothing: eight with all requests are as fast as eight times one."""
    row = {"model": "llama-3.1-8b", "chip": "h200", "engine": "vLLM", "weight_dtype": "fp8", "mode": "online"}
    row |= {"metric": "tpot_s", "isl": "1024", "osl": "256"}
    many, one = predict([row | {"dp": "8", "batch": "512"}, row | {"dp": "1", "batch": "64"}])
    assert many.estimate == pytest.approx(one.estimate, rel=0.1)


def test_prompts_that_a_benchmark_gathers() -> None:
    """InferenceX let TensorRT-LLM wait for prompts at one length below TP 8: up to 20 decode steps."""
    row = {"model": "llama-3.1-70b", "chip": "b200", "engine": "TensorRT-LLM", "weight_dtype": "fp8", "tp": "4"}
    row |= {"mode": "online", "isl": "1024", "osl": "1024", "batch": "16", "source": "InferenceX"}
    first, between, longer = predict(
        [row | {"metric": "ttft_s"}, row | {"metric": "tpot_s"}, row | {"metric": "ttft_s", "osl": "1025"}]
    )
    assert 10 * between.estimate < first.estimate - longer.estimate < 20 * between.estimate


def test_lengths_that_a_client_draws() -> None:
    """InferenceX's requests have nine tenths of the named lengths in the mean, in one pool and in two."""
    row = {"model": "llama-3-70b", "chip": "h200", "engine": "SGLang", "weight_dtype": "fp8", "batch": "64"}
    one = row | {"mode": "online", "metric": "tpot_s", "tp": "4", "chips": "4"}
    two = row | {"mode": "disaggregated", "metric": "tpot_s", "prefill_tp": "4", "decode_tp": "4", "chips": "8"}
    for each in (one, two):
        drawn = {"source": "InferenceX (2026)", "isl": "8000", "osl": "1000"}
        named = {"source": "somebody", "isl": "7200", "osl": "900"}
        here, there = (predict([each | lengths])[0] for lengths in (drawn, named))
        assert not here.refused
        assert here.floor == pytest.approx(there.floor)


def test_deepseek_s_own_profile_with_balanced_routing() -> None:
    """Published for DeepSeek-V3 on H800 with routing made even and two micro-batches in turn: each within 10%.

    With the popularity of real experts the same steps take a third longer.
    """
    row = {"model": "deepseek-v3", "chip": "h800", "engine": "DeepSeek in-house", "weight_dtype": "fp8_block"}
    prefill = row | {"mode": "prefill", "metric": "in_tok_s", "batch": "128", "isl": "4096", "dp": "32", "ep": "32"}
    decode = row | {"mode": "decode_step", "metric": "out_tok_s", "batch": "16384", "dp": "128", "ep": "128"}
    rows = [
        prefill | {"chips": "32", "value": "250852"},
        decode | {"chips": "128", "context": "4096", "value": "297568"},
    ]
    overlapped = "two micro-batches overlapped"
    even, real = (predict([each | {"notes": n + overlapped} for each in rows]) for n in ("balanced routing; ", ""))
    for published, here, there in zip(rows, even, real, strict=True):
        assert here.estimate == pytest.approx(float(published["value"]), rel=0.1)
        assert there.estimate < 0.8 * here.estimate


def test_steps_without_a_batch_are_full_ones() -> None:
    """A decode step holds what memory does, and prompts come as an engine schedules them; nobody beats these bounds."""
    row = {"model": "llama-3-70b", "chip": "h200", "engine": "vLLM", "weight_dtype": "fp8", "tp": "4", "chips": "4"}
    decode = row | {"mode": "decode_step", "metric": "out_tok_s", "context": "2000", "batch_kind": "kv_limit"}
    prefill = row | {"mode": "prefill", "metric": "in_tok_s", "isl": "2048", "batch_kind": "saturated"}
    whole = prefill | {"metric": "total_tok_s", "osl": "1"}
    numbered = prefill | {"batch": "4"}, decode | {"batch": "64"}, decode | {"batch": "4096"}
    found = predict([decode, prefill, whole, *numbered])
    full, prompts, counted, four, few, many = found
    assert not any(each.refused for each in found)
    assert prompts.estimate == pytest.approx(four.estimate)
    assert counted.estimate == pytest.approx(prompts.estimate * 2049 / 2048)
    assert few.estimate < full.estimate < full.floor
    assert max(few.floor, four.floor) <= max(full.floor, prompts.floor)
    assert many.floor == pytest.approx(full.floor, rel=0.6)
