"""Bytes a sequence keeps and bytes a step reads, against the table of kv.py worked anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.catalog.loader import BUILT_IN
from ridgeline.model import kv, load_model
from ridgeline.model.architecture import Attention, Recurrent

names = st.sampled_from(BUILT_IN.names("models"))


@given(names, st.integers(1, 1_000_000), st.integers(1, 1_000_000))
def test_more_context_never_keeps_less(name: str, context: int, more: int) -> None:
    model = load_model(name)
    assert kv.total_stored(model, context + more, 2.0) >= kv.total_stored(model, context, 2.0)
    assert kv.total_read(model, context + more, 2.0) >= kv.total_read(model, context, 2.0)


@given(names, st.integers(1, 10**7))
def test_no_more_is_read_than_kept_unless_shared(name: str, context: int) -> None:
    """Only layers that reuse another layer's keys and values read what they do not keep (Gemma 3n)."""
    for layer, _ in load_model(name).kinds:
        for mixer in layer.mixers:
            if not (isinstance(mixer, Attention) and mixer.shares_kv):
                assert kv.read(mixer, context, 2.0) <= kv.stored(mixer, context, 2.0)


@given(names)
def test_arrays_equal_numbers(name: str) -> None:
    model, contexts = load_model(name), np.array([1.0, 100.0, 5e3, 2e5])
    for law in (kv.total_stored, kv.total_read):
        assert law(model, contexts, 2.0) == pytest.approx([law(model, float(each), 2.0) for each in contexts])


@given(names, st.integers(1, 64))
def test_per_token_sums_to_a_short_context(name: str, context: int) -> None:
    """Below every window a context keeps tokens * (growing + windowed) + states."""
    model = load_model(name)
    cache = kv.per_token(model, 1.0)
    whole = kv.total_stored(model, float(context), 1.0)
    assert whole == pytest.approx(context * cache.stored + kv.total_state(model))


def test_long_contexts() -> None:
    """DeepSeek V3.2 reads its top 2048 and all indexer keys; a gpt-oss window keeps 128 tokens; a state stays."""
    sparse = load_model("deepseek-v3.2").layers[0].mixers[0]
    assert kv.read(sparse, 100_000, 1.0) == 2048 * 576 + 100_000 * 128
    window = load_model("gpt-oss-120b").layers[0].mixers[0]
    assert kv.stored(window, 100_000, 2.0) == 128 * 2 * 8 * 64 * 2
    state = load_model("nemotron-h-56b").layers[0].mixers[0]
    assert isinstance(state, Recurrent)
    assert kv.stored(state, 10, 1.0) == kv.stored(state, 1_000_000, 1.0) == 256 * 64 * 256 * 4 + state.conv_state * 2
