"""What always holds for a step, whatever the model, the chip and the layout."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ridgeline.arrays import Array
from ridgeline.hardware import System, load_system
from ridgeline.layout import Layout, shard
from ridgeline.memory import device_memory
from ridgeline.model import Architecture, kv, load_model
from ridgeline.planner.space import layouts
from ridgeline.precision import resolve
from ridgeline.scenario import Scenario
from ridgeline.serving import point
from ridgeline.timing import Step, step
from ridgeline.work import Segment, Shard, Work, embedding_operations, layer_operations

MODELS = [
    "llama-3-70b",
    "deepseek-v3",
    "deepseek-v3.2",
    "deepseek-v4-flash",
    "gpt-oss-120b",
    "qwen3-next-80b-a3b",
    "gemma-3-27b",
    "mixtral-8x7b",
    "nemotron-3-nano-30b-a3b",
    "llama-4-maverick",
]
SYSTEMS = ["hgx-h100", "gb200-nvl72", "tpu-v5p", "mi300x-8"]

models = st.sampled_from(MODELS)
systems = st.sampled_from(SYSTEMS)


def run(model: Architecture, system: System, layout: Layout, batch: Array, context: Array, **formats: str) -> Step:
    precision = resolve(model, system.chip, **formats)
    return step(model, system, layout, [Segment(seqs=batch, new=1, past=context)], precision)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Architecture, System, Layout, float, float]:
    """A model, a system, a valid layout on up to 16 chips, a batch and a context."""
    model, system = load_model(draw(models)), load_system(draw(systems)).value
    space = layouts(model, min(16, system.domain.size))
    row = draw(st.integers(0, len(space.tp) - 1))
    layout = Layout(**{name: int(getattr(space, name)[row]) for name in space.__struct_fields__})
    return model, system, layout, float(draw(st.integers(1, 4096))), float(draw(st.integers(0, 200_000)))


@given(case=cases())
def test_parts_sum_to_the_total_and_the_floor_is_the_longest(case: tuple) -> None:
    model, system, layout, batch, context = case
    result = run(model, system, layout, batch, context)
    for term in ("math", "memory", "comms"):
        parts = sum(layer.count * getattr(layer.time, term) for layer in result.layers)
        assert parts == pytest.approx(getattr(result.time, term))
        assert getattr(result.time, term) <= result.floor
    assert result.floor <= result.serial_layers * (1 + 1e-12) <= result.time.upper * (1 + 1e-9)


@given(case=cases(), factor=st.floats(1.0, 8.0))
def test_time_does_not_fall_when_there_is_more_to_do(case: tuple, factor: float) -> None:
    """Nearest-neighbour tables of other tools get faster as the context grows; a law must not."""
    model, system, layout, batch, context = case
    base = run(model, system, layout, batch, context)
    for more in (
        run(model, system, layout, batch * factor, context),
        run(model, system, layout, batch, context * factor),
    ):
        for term in ("math", "memory", "comms"):
            assert getattr(more.time, term) >= getattr(base.time, term) * (1 - 1e-12)


@given(case=cases())
def test_wider_numbers_are_not_faster(case: tuple) -> None:
    """Table noise makes fp8 slower than bf16 elsewhere; at peak rates it cannot be."""
    model, system, layout, batch, context = case
    narrow = run(model, system, layout, batch, context, weights="fp8", kv="fp8")
    wide = run(model, system, layout, batch, context, weights="bf16", kv="bf16")
    assert narrow.floor <= wide.floor * (1 + 1e-12)


@given(case=cases(), factor=st.floats(1.0, 4.0), field=st.sampled_from(["hbm_bandwidth", "peak"]))
def test_time_does_not_rise_with_a_faster_chip(case: tuple, factor: float, field: str) -> None:
    model, system, layout, batch, context = case
    chip = system.chip
    if field == "peak":
        peak = {name: rate and rate * factor for name, rate in msgspec.structs.asdict(chip.peak).items()}
        faster = msgspec.structs.replace(chip, peak=msgspec.structs.replace(chip.peak, **peak))
    else:
        faster = msgspec.structs.replace(chip, hbm_bandwidth=chip.hbm_bandwidth * factor)
    better = msgspec.structs.replace(system, chip=faster)
    assert run(model, better, layout, batch, context).floor <= run(model, system, layout, batch, context).floor


@given(name=st.sampled_from([n for n in MODELS if n != "deepseek-v4-flash"]))
def test_operations_read_every_weight_once(name: str) -> None:
    """Bytes of all operations of a step that touches every expert are the model's matrices, each once."""
    model = load_model(name)
    precision = resolve(model, load_system("hgx-h100").value.chip, weights="bf16")
    work = whole_work(model, Segment(seqs=1e9, new=1, past=0.0), precision)
    vectors = sum(layer.vectors + sum(m.cols * m.copies for m in layer.matrices() if m.bias) for layer in model.layers)
    head = model.parameters - model.lookup - model.small - vectors - (0 if model.tied else model.vocab * model.hidden)
    assert work.weights / 2 == pytest.approx(head, rel=2e-3)


@given(name=models, context=st.integers(1, 300_000))
def test_cache_read_equals_an_independent_formula(name: str, context: int) -> None:
    """Against `model.kv`, which counts from dimensions and knows no operation: a peer charges the cache twice."""
    model = load_model(name)
    precision = resolve(model, load_system("hgx-h100").value.chip)
    work = whole_work(model, Segment(seqs=1.0, new=1, past=float(context)), precision)
    assert work.kv_read == pytest.approx(kv.total_read(model, float(context), precision.kv_bytes))


@pytest.mark.parametrize("name", ["mixtral-8x7b", "llama-3-8b"])
def test_context_ranks_share_one_prompt(name: str) -> None:
    """Its tokens, before experts too: a floor with all of them on every rank would not be one."""
    model = load_model(name)
    precision = resolve(model, load_system("hgx-h100").value.chip)
    prompt = Segment(seqs=1.0, new=32768.0, past=0.0, prefill=True)
    whole = whole_work(model, prompt, precision)
    one = whole_work(model, prompt, precision, shard(Layout(cp=4), 1.0, prompt.tokens))
    assert one.total_flop * 4 == pytest.approx(whole.total_flop, rel=1e-3)


@given(name=models, tp=st.sampled_from([1, 2, 4, 8]), batch=st.integers(8, 4096))
def test_shares_of_all_ranks_make_the_whole(name: str, tp: int, batch: int) -> None:
    """FLOPs of tp ranks sum to at least the whole model's, and to exactly that for what is not replicated."""
    model = load_model(name)
    precision = resolve(model, load_system("hgx-h100").value.chip)
    segment = Segment(seqs=float(batch), new=1, past=1000.0)
    whole = whole_work(model, segment, precision)
    one = whole_work(model, segment, precision, shard(Layout(tp=tp, ep=1), float(batch), float(batch)))
    assert one.total_flop * tp >= whole.total_flop * (1 - 1e-9)
    assert one.weights * tp >= whole.weights * (1 - 1e-9)
    if not any(m.split in ("none", "kv") for layer in model.layers for m in layer.matrices()):
        assert one.total_flop * tp == pytest.approx(whole.total_flop)


def whole_work(model: Architecture, segment: Segment, precision, share: Shard | None = None) -> Work:
    """Work of all layers and the head, without the embedding's look-ups."""
    share = share or Shard()
    total = Work.of(op for op in embedding_operations(model, [segment], share, precision) if op.family != "lookup")
    for layer, count in model.kinds:
        total = total + Work.of(layer_operations(layer, [segment], share, precision)) * count
    return total


@settings(max_examples=20)
@given(name=models, system=systems, seed=st.integers(0, 2**31))
def test_a_million_points_are_the_same_call_as_one(name: str, system: str, seed: int) -> None:
    """Arrays of layouts, batches and contexts give what a loop over numbers gives."""
    model, host, rng = load_model(name), load_system(system).value, np.random.default_rng(seed)
    space = layouts(model, min(16, host.domain.size))
    rows = rng.integers(0, len(space.tp), 12)
    layout = Layout(**{name: getattr(space, name)[rows] for name in space.__struct_fields__})
    batch, context = rng.integers(1, 3000, 12) * 1.0, rng.integers(0, 100_000, 12) * 1.0
    together = run(model, host, layout, batch, context)
    precision = resolve(model, host.chip)
    held = device_memory(model, layout, precision, capacity=host.chip.hbm_capacity, seqs=batch, context=context)
    for i in range(12):
        one = Layout(**{name: int(getattr(layout, name)[i]) for name in layout.__struct_fields__})
        alone = run(model, host, one, float(batch[i]), float(context[i]))
        for term in ("math", "memory", "comms", "lower", "upper", "binding"):
            assert np.broadcast_to(getattr(together.time, term), 12)[i] == pytest.approx(getattr(alone.time, term))
        single = device_memory(
            model, one, precision, capacity=host.chip.hbm_capacity, seqs=float(batch[i]), context=float(context[i])
        )
        assert np.broadcast_to(held.used, 12)[i] == pytest.approx(single.used)


def test_messages_need_a_neighbour_to_be_near() -> None:
    """In domains of one chip everything is far; a peer's mistake and once ours: near bytes over no bandwidth at all."""
    model, host = load_model("mixtral-8x7b"), load_system("dgx-spark").value
    result = run(model, host, Layout(dp=2, ep=1), 8.0, 1000.0, weights="nvfp4")
    assert result.time.comms < 1.0


@pytest.mark.parametrize("field", ["isl", "osl", "cached", "verify", "context", "batch", "accepted"])
@pytest.mark.parametrize("name", ["llama-3-70b", "deepseek-v3"])
def test_every_quantity_may_be_an_array(name: str, field: str) -> None:
    """Arrays of lengths once failed in what is sent and in latent attention."""
    values = {"isl": [64, 4096], "osl": [2, 512], "cached": [0, 900], "verify": [2, 4], "context": [10, 9000]}
    values |= {"batch": [1, 64], "accepted": [1, 1.5]}
    base = {"model": name, "system": "gb200-nvl72", "tp": 8, "isl": 4096, "osl": 128, "verify": 2}
    base |= {"ep": 8} if name == "deepseek-v3" else {}
    together = point(Scenario.read(base | {field: np.array(values[field])}))
    for i, value in enumerate(values[field]):
        alone = point(Scenario.read(base | {field: value}))
        for key in ("decode_floor_s", "decode_estimate_s", "memory_used_bytes", "usd_per_output_token"):
            assert np.broadcast_to(together.numbers[key].value, 2)[i] == pytest.approx(alone.numbers[key].value), key


def test_skewed_routing_is_never_faster() -> None:
    """The step follows the busiest rank; fewer distinct experts elsewhere do not help it."""
    model, host = load_model("deepseek-v3"), load_system("gb200-nvl72").value
    precision = resolve(model, host.chip)
    times = [
        step(model, host, Layout(dp=32, ep=32), [Segment(seqs=4096.0, new=1, past=100.0)], precision, skew=skew).time
        for skew in (0.0, 0.5, 1.0)
    ]
    assert times[0].math < times[1].math < times[2].math
    assert times[0].comms < times[1].comms < times[2].comms


def test_the_fullest_stage_counts_its_own_layers() -> None:
    """Global layers of Gemma 3 keep the whole context: a stage of one of them holds all of it, whatever the mean is."""
    model, host = load_model("gemma-3-27b"), load_system("hgx-h100").value
    held = device_memory(
        model, Layout(pp=62), resolve(model, host.chip), capacity=80e9, seqs=1.0, context=131072.0
    ).cache_per_sequence
    assert held == pytest.approx(131072 * 16 * 128 * 2 * 2)


def test_context_parallelism_divides_no_recurrent_state() -> None:
    model, host = load_model("falcon-h1-34b"), load_system("hgx-h100").value
    one, eight = (
        device_memory(model, Layout(cp=cp), resolve(model, host.chip), capacity=80e9, seqs=1.0, context=100.0)
        for cp in (1, 8)
    )
    state = kv.total_state(model)
    assert eight.cache_per_sequence >= state
    assert eight.cache_per_sequence - state == pytest.approx((one.cache_per_sequence - state) / 8)
