"""JAX: the same laws give the same numbers, compiled; and its derivatives are those of finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import ridgeline.accelerator
from ridgeline import InputError, Scenario, elasticities
from ridgeline.serving import point
from ridgeline.serving.elasticity import SYSTEM, WORKLOAD, _get, _step
from ridgeline.subject import subject
from ridgeline.sweep import Grid, table

GRIDS = {
    "decode, layouts side by side": """
        model = "deepseek-v3"
        system = "gb200-nvl72"
        [axes]
        dp = [1, 8, 64]
        pp = [1, 2]
        ep = [1, 8]
        batch = [1, 7, 500]
        isl = [100, 4000, 100000]""",
    "prefill of a hybrid": """
        model = "qwen3-next-80b-a3b"
        system = "hgx-h100"
        phase = "prefill"
        tp = 4
        [axes]
        batch = [1, 4]
        cached = [0, 500]
        isl = [1000, 3000]""",
    "sliding windows, drafts": """
        model = "gemma-3-27b"
        system = "hgx-h100"
        tp = 2
        [axes]
        verify = [1, 3]
        accepted = [1, 2.5]
        context = [100, 50000]""",
}
POINTS = (
    Scenario(model="deepseek-v3", system="gb200-nvl72", dp=8, ep=8, batch=256, context="8k"),
    Scenario(model="llama-3-70b", system="hgx-h100", tp=8, batch=3, phase="prefill", cached=100),
    Scenario(model="qwen3-next-80b-a3b", system="hgx-h100", tp=4, pp=2, phase="mixed", batch=64, skew=0.5),
    Scenario(model="llama-3-8b", system="hgx-h100", tp=8, batch=2, context=100, engine="vllm"),
)


@pytest.fixture(scope="module")
def jax() -> Iterator[Any]:
    """JAX in 64 bits, left as it was found."""
    found = pytest.importorskip("jax")
    before = found.config.jax_enable_x64
    yield found
    found.config.update("jax_enable_x64", before)


@pytest.mark.parametrize("name", GRIDS)
def test_compiled_laws_give_the_same_numbers(jax: Any, name: str) -> None:
    """Every column of a sweep on a device against NumPy's, to rounding."""
    plain, compiled = (list(table(Grid.from_toml(f"{device}{GRIDS[name]}", "g"))) for device in ("", 'device = "cpu"'))
    assert sum(block["fits"].sum() for block in plain)
    for one, other in zip(plain, compiled, strict=True):
        for column, values in one.items():
            if values.dtype.kind == "f":
                np.testing.assert_allclose(other[column], values, rtol=1e-12)
            else:
                assert (other[column] == values).all()


@pytest.mark.parametrize("scenario", POINTS)
def test_elasticities_are_those_of_finite_differences(jax: Any, scenario: Scenario) -> None:
    """X / t (t(x (1 + h)) - t(x (1 - h))) / (2 h x) on plain numbers, for every input; what is left out has none."""
    found, exact = subject(scenario), elasticities(scenario)
    here = point(scenario)
    base = np.array(_step(scenario, found, {}))
    assert base == pytest.approx([here.step.floor, here.estimate.seconds], rel=1e-12)
    inputs = {name: float(getattr(scenario, name)) for name in WORKLOAD if getattr(scenario, name)}
    inputs |= {path: float(_get(found.system, path)) for path in SYSTEM if _get(found.system, path)}
    h = 1e-5
    for name, value in inputs.items():
        up, down = (np.array(_step(scenario, found, {name: value * (1 + sign * h)})) for sign in (1, -1))
        slopes = (up - down) / (2 * h) / base
        mine = (exact[name].floor, exact[name].estimate) if name in exact else (0.0, 0.0)
        assert mine == pytest.approx(slopes, abs=1e-6), name


def test_a_memory_bound_step_scales_with_the_bandwidth(jax: Any) -> None:
    """A long decode at batch 1: the floor falls by one percent for one percent more bandwidth, and by nothing else."""
    found = elasticities(Scenario(model="llama-3-8b", system="hgx-h100", context="100k"))
    assert found["chip.hbm_bandwidth"].floor == pytest.approx(-1)
    assert found["chip.peak.bf16"].floor == 0
    assert -1 < found["chip.hbm_bandwidth"].estimate < -0.5


def test_a_checked_scenario_stays_checked(jax: Any) -> None:
    """Tracing skips the checks of values that it does not know; values that are known are still refused."""
    with pytest.raises(InputError, match="more than 0"):
        replace(POINTS[0], batch=jax.numpy.zeros(3))


def test_without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(ridgeline.accelerator, "import_module", absent)
    with pytest.raises(InputError, match=r"ridgeline\[grad\]"):
        elasticities(POINTS[0])
    with pytest.raises(InputError, match=r"ridgeline\[grad\]"):
        table(Grid.from_toml('device = "gpu"' + GRIDS["sliding windows, drafts"], "g"))


def test_devices_that_are_not_there(jax: Any) -> None:
    """A word that is none, and a device that this machine lacks."""
    with pytest.raises(InputError, match="did you mean gpu"):
        ridgeline.accelerator.device("gpus")
    if "tpu" not in {each.platform for each in jax.devices()}:
        with pytest.raises(InputError, match="JAX sees none here, but"):
            ridgeline.accelerator.device("tpu")
