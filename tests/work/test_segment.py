"""Pairs and entries of a segment against counting one by one: many tools take prefill as not causal."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.work import Segment

small = st.integers(0, 60)


@given(new=st.integers(1, 60), past=small, window=small)
def test_pairs_count_every_query_and_key_once(new: int, past: int, window: int) -> None:
    counted = sum(min(past + i, window or past + i) for i in range(1, new + 1))
    assert Segment(seqs=1, new=new, past=past).pairs(window) == counted


@given(past=st.lists(small, min_size=1, max_size=8), new=st.integers(1, 30), window=small)
def test_arrays_give_what_numbers_give(past: list[int], new: int, window: int) -> None:
    together = Segment(seqs=1, new=new, past=np.array(past, dtype=float))
    assert together.pairs(window).tolist() == [Segment(seqs=1, new=new, past=p).pairs(window) for p in past]
    assert together.entries(window).tolist() == [Segment(seqs=1, new=new, past=p).entries(window) for p in past]


@given(total=st.integers(2, 60), cut=st.integers(1, 59), window=small)
def test_a_prompt_in_two_chunks_has_the_pairs_of_the_whole(total: int, cut: int, window: int) -> None:
    cut = min(cut, total - 1)
    whole = Segment(seqs=1, new=total, past=0).pairs(window)
    first, second = Segment(seqs=1, new=cut, past=0), Segment(seqs=1, new=total - cut, past=cut)
    assert first.pairs(window) + second.pairs(window) == whole
