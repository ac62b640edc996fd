"""What engines do differently: counted in an estimate's terms, whatever the constants are."""

from __future__ import annotations

import pytest

from ridgeline.estimate import Terms, terms
from ridgeline.hardware import load_system
from ridgeline.layout import Layout
from ridgeline.model import load_model
from ridgeline.precision import resolve
from ridgeline.timing import step
from ridgeline.work import Segment


def counted(engine: str, system: str, tp: int = 1, new: float = 512.0, past: float = 0.0, **formats: str) -> Terms:
    """Terms of one prompt, or with one new token of one decode step, of Llama 3 8B."""
    model, place, layout = load_model("llama-3-8b"), load_system(system).value, Layout(tp=tp)
    segment = Segment(seqs=1.0, new=new, past=past, prefill=new > 1)
    made = step(model, place, layout, [segment], resolve(model, place.chip, **formats))
    return terms(made, model, place, layout, engine)


def test_scores_of_prompts() -> None:
    """32 layers of 32 heads, 512 * 513 / 2 pairs, 8 bytes each; a decode step has none."""
    found = counted("llama.cpp", "hgx-a100-80")
    chip = load_system("hgx-a100-80").value.chip
    assert found.scored == pytest.approx(32 * 32 * 512 * 513 / 2 * 8 / chip.hbm_bandwidth)
    assert counted("llama.cpp", "hgx-a100-80", new=1.0, past=512.0).scored == 0.0


def test_one_ring_round_a_torus() -> None:
    """Neuron sends over half the links of Trainium1's torus of two dimensions; messages of long prompts are bulk."""
    ring, torus = (counted(engine, "trn1-16", tp=16, new=8192.0).sent for engine in ("Transformers NeuronX", "any"))
    assert ring / torus == pytest.approx(2.0, rel=0.03)


def test_packed_matrices_of_llama_cpp_are_its_own() -> None:
    """TensorRT-LLM's kernels for 4-bit weights on A100 start late; llama.cpp has others on NVIDIA's chips."""
    own, other = (counted(engine, "hgx-a100-80", new=1.0, weights="int4") for engine in ("llama.cpp", "trtllm"))
    assert own.narrow < other.narrow
    assert own.work < other.work
