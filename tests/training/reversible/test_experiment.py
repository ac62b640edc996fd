"""The experiment holds what was promised of the last chapter, in its quick size."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("torch")

from ridgeline.cli.app import main
from ridgeline.errors import InputError
from ridgeline.training.rematerialisation import METHODS
from ridgeline.training.reversible.experiment import DEEPEST, Experiment, experiment


@pytest.fixture(scope="module")
def found() -> Experiment:
    return experiment(quick=True, device="cpu")


def test_bytes_are_the_law(found: Experiment) -> None:
    """To the byte but for checkpoints whose last segment is not full: at most 5% less there."""
    for each in found.kept:
        assert each.measured <= each.law
        assert each.measured == pytest.approx(each.law, rel=0.05 if each.method == "sqrt" else 1e-12)


def test_memory_of_rebuilding_does_not_grow_with_depth(found: Experiment) -> None:
    kept = {(each.method, each.layers): each.measured for each in found.kept}
    assert kept["reversible", 64] == pytest.approx(kept["reversible", 2], rel=0.05)
    assert kept["none", 64] == pytest.approx(32 * kept["none", 2], rel=0.05)


def test_gradients_are_those_of_storing_all(found: Experiment) -> None:
    limits = {"fp64": 1e-10, "fp32": 1e-4, "bf16": 0.05}
    for each in found.gradients:
        assert each.error <= limits[each.format]


def test_only_fixed_point_comes_back_exactly(found: Experiment) -> None:
    errors = {(each.format, each.layers): each.error for each in found.inversions}
    assert all(error == 0 for (form, _), error in errors.items() if form == "fixed")
    assert 0 < errors["fp64", DEEPEST] < errors["fp32", DEEPEST] < errors["bf16", DEEPEST]
    assert errors["fp32", 64] > errors["fp32", 2]


def test_training_with_rebuilt_activations_is_training(found: Experiment) -> None:
    """The same losses as with stored ones, to rounding; and they fall."""
    curves = {each.network: each.losses for each in found.curves}
    assert curves["rebuilt"] == pytest.approx(curves["stored"], rel=1e-3)
    assert curves["rebuilt"][-1] < 0.85 * curves["rebuilt"][0]
    assert curves["ordinary"][-1] == pytest.approx(curves["rebuilt"][-1], rel=0.1)


def test_the_work_is_a_third_more(found: Experiment) -> None:
    """FLOPs counted product by product, not taken from the law; what seconds say is printed, and not a test."""
    assert {each.method: each.flop_ratio for each in found.costs} == pytest.approx(
        {method: 1.0 if method == "none" else 4 / 3 for method in METHODS}
    )
    assert all(each.flop_ratio == pytest.approx(each.law) for each in found.costs)
    assert all(each.seconds > 0 for each in found.costs)


def test_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, found: Experiment) -> None:
    monkeypatch.setattr("ridgeline.training.reversible.experiment.experiment", lambda **_: found)
    assert main(["reversible", "--quick"]) == 0
    assert "modulo 2^32" in capsys.readouterr().out
    assert main(["reversible", "--quick", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {each["method"] for each in document["kept"]} == set(METHODS)


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's allocator raises a plain RuntimeError; any other one is a fault of ours and stays one."""

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 99 bytes")

    monkeypatch.setattr("ridgeline.training.reversible.experiment._chain", full)
    with pytest.raises(InputError, match="256 layers of width 128"):
        experiment(width=128, depth=256, device="cpu")

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr("ridgeline.training.reversible.experiment._chain", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        experiment(device="cpu")


def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for words, said in (
        (["--device", "abacus"], "cpu"),
        (["--width", "63"], "even"),
        (["--depth", "1"], "two streams"),
        (["--plot", "there/is/no/folder.svg"], "folder"),
        (["--plot", "letters.doc"], ".svg"),
    ):
        assert main(["reversible", *words]) == 2
        assert said in capsys.readouterr().err
    for name in [name for name in sys.modules if name.startswith("ridgeline.training.reversible")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["reversible", "--quick"]) == 2
    assert "pip install 'ridgeline[torch]'" in capsys.readouterr().err
