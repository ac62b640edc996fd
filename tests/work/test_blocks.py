"""Block-sparse attention: the square root, counted query by query."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ridgeline.model import kv
from ridgeline.model.attention import AttentionSpec
from ridgeline.work import Segment


def _reads(x: float, picks: int) -> float:
    return min(x, 2 * math.sqrt(picks * x))


@pytest.mark.parametrize(("past", "new"), [(0, 1), (0, 50), (10, 300), (5000, 1), (5000, 700)])
def test_pairs_are_the_sum_over_queries(past: int, new: int) -> None:
    """As an integral it lies within the first and the last query of the sum; within 1% from 300 tokens on."""
    picks = 16
    each = [_reads(past + i, picks) for i in range(1, new + 1)]
    found = float(Segment(seqs=1, new=new, past=past).block_pairs(picks))
    assert sum(each) - each[-1] <= found <= sum(each)
    if past + new >= 300:
        assert found == pytest.approx(sum(each), rel=0.01)


def test_the_best_block_reads_twice_the_root() -> None:
    """L / s summaries and n picks of s tokens: least at s = sqrt(L / n), where both are sqrt(n L) (a scan over s)."""
    n, length = 16, 1_000_000
    size = np.arange(1, 100_000)
    assert (length / size + n * size).min() == pytest.approx(_reads(length, n), rel=1e-4)


def test_all_is_kept_and_little_is_read() -> None:
    """Sparse reading saves no memory: the cache is a dense one and its summaries (2 sqrt(n L) of L are read)."""
    from msgspec.structs import replace

    dense = AttentionSpec(heads=8, kv_heads=2, head_dim=64).build(512)
    block = replace(dense, blocks=16)
    for length in (10.0, 64.0, 1e4, 1e8):
        assert kv.stored(block, length, 2.0) >= kv.stored(dense, length, 2.0)
        assert kv.read(block, length, 2.0) == pytest.approx(_reads(length, 16) * 256 * 2)
    assert kv.read(block, 1e8, 2.0) / kv.read(block, 2e5, 2.0) == pytest.approx(math.sqrt(500))
