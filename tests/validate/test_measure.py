"""Micro-benchmarks: the fit finds what made the times, files read back, the measured transformer is a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from ridgeline import Scenario
from ridgeline.catalog import BUILT_IN
from ridgeline.cli.app import main
from ridgeline.efficiency import KernelConstants, kernel_constants, kernel_time, provenance
from ridgeline.hardware import Chip, Peak, load_chip, load_system
from ridgeline.kernel import Kernel
from ridgeline.precision import resolve
from ridgeline.roofline import work_time
from ridgeline.serving import point
from ridgeline.validate.measure import Measurement
from ridgeline.validate.measure import device as devices
from ridgeline.validate.measure.block import Shape
from ridgeline.validate.measure.check import knee
from ridgeline.validate.measure.clock import Clock
from ridgeline.validate.measure.device import CHIPS, Device
from ridgeline.validate.measure.fit import fit
from ridgeline.validate.measure.kernels import fused
from ridgeline.validate.measure.measurement import chip_of
from ridgeline.validate.measure.reading import Reading, bare
from ridgeline.work import Operation, Segment, Shard, layer_operations

NO_TORCH = "PyTorch is not installed: the micro-benchmarks themselves are not tested"
SMALL = Shape(hidden=64, heads=4, kv_heads=2, head_dim=16, width=96)
CHIP = Chip(name="made-up", title="", vendor="", memory="", peak=Peak(bf16=1e12), hbm_capacity=64e9, hbm_bandwidth=50e9)
TRUE = Kernel(
    family="gemm", format="bf16", rows=1, error=0.0, fixed=2e-5, serial=0.0, passes=2.0, compute=0.8, bandwidth=0.6,
    overlap=0.7, softmax=0.0,
)  # fmt: skip


def device(**changes: Any) -> Device:
    made = Device(
        kind="cpu", title="Some CPU @ 3 GHz", chip="", count=1, threads=4, capacity=64e9, load=0.0, narrow=False,
        torch=SimpleNamespace(__version__="0"),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def read(operation: Operation, seconds: float) -> Reading:
    return Reading(operation=operation, shape={"n": 1.0}, seconds=seconds, low=seconds, high=seconds, samples=5)


def matrix(tokens: int, rows: int, cols: int) -> Operation:
    size, moved = 2.0 * rows * cols, 2.0 * tokens * (rows + cols)
    flop = 2.0 * tokens * rows * cols
    return Operation(name="q", family="gemm", math="bf16", flop=flop, weights=size, activations=moved, depth=rows)


def law(kernel: Kernel, operation: Operation) -> float:
    row = KernelConstants(place="any", engine="any", **msgspec.structs.asdict(kernel))
    time = work_time(operation, CHIP)
    return kernel_time(
        row, time.math, time.memory, operation.activations / CHIP.hbm_bandwidth, operation.depth, operation.scores
    )


def synthetic() -> list[Reading]:
    """Times by the law with 2% noise; every tenth was disturbed and took three times as long."""
    draw = np.random.default_rng(1)
    operations = [
        matrix(tokens, rows, cols)
        for tokens in (1, 4, 16, 32, 64, 256, 1024)
        for rows in (512, 1024, 4096)
        for cols in (512, 2048, 8192)
    ]
    disturbed = [3.0 if i % 10 == 0 else 1.0 for i in range(len(operations))]
    return [
        read(operation, law(TRUE, operation) * float(draw.lognormal(0, 0.02)) * much)
        for operation, much in zip(operations, disturbed, strict=True)
    ]


def measured() -> Measurement:
    readings = [read(bare("copy", memory=5e9), 0.1), read(bare("matmul", flop=1e12), 1.0), *synthetic()]
    entry = chip_of(device(), readings, "a test", "2026-01-01")
    entry = msgspec.structs.replace(entry, value=msgspec.structs.replace(entry.value, kernels=(TRUE,)))
    return Measurement(
        chip=entry, bandwidth=None, count=1, source="a test", date="2026-01-01", load=0.0, readings=tuple(readings)
    )


def write(found: Measurement, folder: Path) -> None:
    for path, text in found.files().items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)


def test_fit_finds_the_constants_that_made_the_times():
    """An oracle: times made by the law give back the law, although some of them were disturbed."""
    (found,) = fit(synthetic(), CHIP)
    assert (found.family, found.format, found.rows) == ("gemm", "bf16", 63)
    for name in ("fixed", "passes", "compute", "bandwidth", "overlap"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.1), name
    again = [law(found, reading.operation) / law(TRUE, reading.operation) for reading in synthetic()]
    assert again == pytest.approx([1.0] * len(again), rel=0.03)


def test_a_measured_chip_reads_back_and_is_used(tmp_path):
    """The file is what other commands see: same peaks and constants, their provenance, an estimate above the floor."""
    found = measured()
    write(found, tmp_path)
    catalog = BUILT_IN.under(tmp_path)
    name = "some-cpu-3-ghz-4-threads"
    entry = load_chip(name, catalog)
    assert (entry.value.peak.bf16, entry.value.hbm_bandwidth) == pytest.approx((1e12, 50e9), rel=1e-3)
    assert msgspec.structs.astuple(entry.value.kernels[0]) == pytest.approx(msgspec.structs.astuple(TRUE))
    assert load_system(name, catalog).value.domain.size == 1
    row = kernel_constants("gemm", entry.value, "bf16", "vllm")
    assert (row.fixed, provenance(row, entry.value)) == (pytest.approx(TRUE.fixed), "measured kernels")
    assert {said.source for said in entry.sources.values()} == {"a test"}
    result = point(Scenario(model="qwen3-0.6b", system=name, catalog=str(tmp_path)))
    assert result.step.floor > 0
    assert json.loads((tmp_path / "readings" / f"{name}.json").read_text())["machine"] == "Some CPU @ 3 GHz"


def test_a_gpu_whose_data_sheet_is_known_keeps_it(tmp_path):
    """A measured H200 is the catalogue's H200 with constants of its own: what was not measured falls back as before."""
    gpu = device(kind="cuda", chip="h200", count=8)
    entry = chip_of(gpu, [], "a test", "2026-01-01")
    entry = msgspec.structs.replace(entry, value=msgspec.structs.replace(entry.value, kernels=(TRUE,)))
    changed = {"chip": entry, "count": 8, "bandwidth": 350e9}
    write(msgspec.structs.replace(measured(), **changed), tmp_path)
    there = load_system("h200", BUILT_IN.under(tmp_path)).value
    sheet = load_chip("h200").value
    assert msgspec.structs.replace(there.chip, kernels=()) == sheet
    assert (there.domain.size, there.scale_up) == (8, 350e9)
    assert load_system("hgx-h200", BUILT_IN.under(tmp_path)).value.chip == there.chip
    assert kernel_constants("experts", there.chip, "bf16") == kernel_constants("experts", sheet, "bf16")


def test_every_recognised_gpu_is_in_the_catalogue():
    """A name in the list that no file has would fail on that GPU only."""
    for _, chip in CHIPS:
        assert load_chip(chip).value.name == chip


def test_no_reading_beats_the_peaks():
    """Shares of a peak are at most 1 only if the peak is the best of all readings."""
    found = measured()
    chip = found.chip.value
    assert all(work_time(reading.operation, chip).lower <= reading.seconds for reading in found.readings)


def test_fused_kernels_do_the_work_of_their_operations():
    """Query, key and value matrices are one kernel, and its work is theirs."""
    model = SMALL.architecture(1, 2)
    precision = resolve(model, CHIP)
    operations = layer_operations(model.layers[0], [Segment(seqs=3, past=5)], Shard(), precision)
    kernels = fused(operations)
    assert [kernel.name for kernel in kernels if kernel.family == "gemm"] == list(SMALL.matrices)
    for name in ("flop", "weights", "activations"):
        assert sum(getattr(op, name) for op in kernels) == sum(getattr(op, name) for op in operations)
    assert {k.name: k.weights for k in kernels if k.family == "gemm"} == {
        name: 2 * rows * cols for name, (rows, cols) in SMALL.matrices.items()
    }


def test_knee_of_a_roofline():
    """max(a, b B) has its knee at a / b; noise of 5% moves it little."""
    batches = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    seconds = [max(8.0, batch / 3) * noise for batch, noise in zip(batches, [1, 1.05, 0.95] * 3, strict=True)]
    assert knee(batches, seconds) == pytest.approx(24, rel=0.15)


def test_a_gpu_is_timed_by_replaying_a_graph():
    """Without a GPU at hand: a stand-in for PyTorch, whose graph of n calls takes n microseconds."""
    seen: list[int] = []
    graph = SimpleNamespace(replay=lambda: None)
    event = SimpleNamespace(record=lambda: None, synchronize=lambda: None, elapsed_time=lambda end: len(seen) * 1e-3)
    stream = SimpleNamespace(wait_stream=lambda other: None)

    def recording(made: Any) -> Any:
        seen.clear()
        return nullcontext()

    cuda = SimpleNamespace(
        synchronize=lambda: None, CUDAGraph=lambda: graph, Stream=lambda: stream, current_stream=lambda: stream,
        stream=lambda made: nullcontext(), graph=recording, Event=lambda enable_timing: event,
    )  # fmt: skip
    clock = Clock(device=device(kind="cuda", torch=SimpleNamespace(cuda=cuda)), budget=0.02)
    timing = clock.time(seen.append)
    assert timing.seconds == pytest.approx(1e-6)
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--device", "cuda"], "PyTorch"),
        (["--json", "--csv"], "one of them"),
    ],
)
def test_mistakes_are_one_line(arguments, words, capsys, monkeypatch, tmp_path):
    """Refusals name the mistake and leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    assert main(["measure", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not list(tmp_path.iterdir())


def test_without_pytorch_the_fix_is_named(capsys, monkeypatch):
    """The core installs without PyTorch."""

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(devices, "import_module", absent)
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    assert main(["measure"]) == 2
    assert "pip install 'ridgeline[torch]'" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_timed(capsys, monkeypatch, tmp_path):
    """Two minutes of measuring must not end in an error that was there from the start."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr("ridgeline.validate.measure.open_device", lambda kind: device())
    assert main(["measure", "-o", str(blocked)]) == 2
    assert "cannot be made" in capsys.readouterr().err
    assert blocked.read_text() == ""


# --- with PyTorch -----------------------------------------------------------------------------------------------------


@pytest.fixture
def torch(monkeypatch) -> Any:
    monkeypatch.setenv("OMP_PROC_BIND", "false")
    return pytest.importorskip("torch", reason=NO_TORCH)


def test_the_transformer_is_the_architecture_and_its_cache_works(torch):
    """What is measured is what is predicted: same parameters; and a token decoded from the cache gets the logits that
    it gets as the end of a prompt.
    """
    from ridgeline.validate.measure.transformer import Transformer

    cpu = device(torch=torch)
    torch.manual_seed(0)
    model = Transformer(cpu, SMALL, 2, 50, 32)
    matrices = sum(matrix.numel() for layer in model.layers for matrix in layer.values())
    vectors = (2 * 2 + 1) * SMALL.hidden
    held = matrices + vectors + model.embedding.numel() + model.head.numel()
    assert held == SMALL.architecture(2, 50).parameters
    with torch.inference_mode():
        tokens = model.tokens(1, 9).repeat(3)  # three equal prompts of nine tokens
        whole = model.step(tokens, model.cache(3, 9), 0)
        cache, prompts = model.cache(3, 9), tokens.view(3, 9)
        model.step(prompts[:, :8].reshape(-1), cache, 0)
        decoded = model.step(prompts[:, 8].reshape(-1), cache, 8)
    assert whole.shape == (3, 50)
    assert torch.nn.functional.cosine_similarity(whole.float(), decoded.float()).min() > 0.999


def test_all_reduce_between_processes(torch):
    """Two processes of this processor stand in for two GPUs."""
    from ridgeline.validate.measure.exchange import all_reduce_readings, bus_bandwidth

    readings = all_reduce_readings(device(torch=torch), 2, (1 << 12, 1 << 20))
    assert [reading.shape["bytes"] for reading in readings] == [1 << 12, 1 << 20]
    assert 0 < bus_bandwidth(readings[-1]) < 1e12


def test_this_machine_is_measured_and_predicts_a_transformer(torch, tmp_path):
    """The whole command, in its own process, since it binds threads to cores."""
    words = [sys.executable, "-m", "ridgeline", "measure", "--quick", "--check", "--json", "--device", "cpu"]
    environment = {name: text for name, text in os.environ.items() if name != "OMP_PROC_BIND"}
    run = subprocess.run([*words, "-o", "folder"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    document = json.loads(run.stdout)
    assert all((tmp_path / path).is_file() for path in document["files"])
    system = load_system(document["system"], BUILT_IN.under(tmp_path / "folder")).value
    assert {kernel.family for kernel in system.chip.kernels} == {"gemm", "prefill attention", "decode attention"}
    rows = document["check"]["rows"]
    assert all(row["floor_s"] < min(row["measured_s"], row["estimate_s"]) for row in rows)
    if os.getloadavg()[0] > 2 * (os.cpu_count() or 1):
        pytest.skip("more than twice as many programs as cores run here: the times of a step are theirs too")
    assert document["check"]["median_abs_error"] < 1.0  # other programs may run here; quiet machines reach 0.1
    assert document["check"]["knee_batch"] > 1
