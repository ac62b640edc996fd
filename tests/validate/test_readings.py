"""Tables of kernels: what is taken from them, on a table whose law is known."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from ridgeline.hardware import load_chip
from ridgeline.validate.kernels import fit
from ridgeline.validate.readings import CACHE, kernel_readings

SHAPES = """
    select 'bfloat16' as kv_cache_dtype, batch_size, 1 << exponent as step, 32 as num_heads, 8 as num_key_value_heads,
        128 as head_dim, 0 as window_size
    from unnest([1, 2, 4, 8, 16, 32, 64, 128, 256, 512]) as b(batch_size), range(6, 14) as e(exponent)
"""
"""Grouped-query attention of 10 batches at 8 lengths; a token's keys and values take 4096 bytes."""


def test_keys_that_stay_in_the_chips_cache_do_not_make_hbm_fast(tmp_path: Path) -> None:
    """A mistake of the past: decode attention on RTX PRO 6000 was 10% too fast, as its table is from a warm cache."""
    chip, share = load_chip("rtx-pro-6000").value, 0.8
    file = tmp_path / "rtx_pro_6000_server__attention__vllm__1.0.0__generation_attention_perf.parquet"
    size = "batch_size * (step + 1) * 4096"
    pace = f"case when {size} < {CACHE[chip.name]} then 2.5 else {share} end * {chip.hbm_bandwidth}"
    table = f"select *, 1e3 * (8e-6 + {size} / ({pace})) as latency from ({SHAPES})"
    duckdb.sql(f"copy ({table}) to '{file}' (format parquet)")
    readings = list(kernel_readings(tmp_path))
    assert [(each.family, each.chip, each.engine) for each in readings] == [("decode attention", chip.name, "vllm")]
    memory, seconds = readings[0].inputs[1], readings[0].seconds
    assert 20 <= len(seconds) < 80
    assert (memory < seconds).all()  # none is faster than HBM
    assert fit(readings).kernels[-1].bandwidth == pytest.approx(share, rel=0.05)
