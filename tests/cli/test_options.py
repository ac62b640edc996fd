"""Options are Scenario's fields: none is missing, and a printed line reads back to the same scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ridgeline import Scenario
from ridgeline.cli.options import GROUPS, PLAN, SEARCHED, STEP

if TYPE_CHECKING:
    from .conftest import Runner


def test_every_field_is_an_option_of_one_group() -> None:
    """A field that is added to Scenario must be given a heading."""
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(set(Scenario.__struct_fields__) - {"model", "system"})
    assert set(STEP) | {*GROUPS["Limits"], *GROUPS["Search"]} == set(grouped) == set(PLAN) | set(SEARCHED)


@pytest.mark.parametrize("command", ["step", "plan"])
def test_every_option_is_explained(run: Runner, command: str) -> None:
    """The help of each option is its field's docstring."""
    lines = run(f"{command} --help").out.splitlines()
    options = [line for line in lines if line.startswith("│ --")]
    assert all(len(line.strip("│ ").split(maxsplit=2)) == 3 for line in options)


def test_lines_reproduce(run: Runner) -> None:
    """Odd values of every option survive being printed and read."""
    scenario = Scenario(
        model="deepseek-v3", system="gb200-nvl72", chips=36, tp=2, pp=2, dp=8, ep=16, batch=100.5,
        context="12.345 ktok", isl=3000, osl=77, cached="1Ki", verify=3, accepted=2.2, chunk="4k",
        set="chip.hbm_bandwidth=1.5x,domain.size=144",
        weights="nvfp4,attention=fp8", kv="fp8", activations="bf16", engine="sglang", skew=0.7, memory_utilisation=0.85,
        utilisation=0.123456789, price="$1.99/h",
    )  # fmt: skip
    line = run(f"{scenario.to_cli()} --json").json["line"]
    assert line == scenario.to_cli()
    assert run(f"{line} --json").json == run(f"{scenario.to_cli()} --json").json


def test_user_catalogue(run: Runner, tmp_path) -> None:
    """A system of one's own is one small file, and stays in the printed line."""
    (tmp_path / "systems").mkdir()
    text = 'title = "Mine"\nchip = "h200"\nsource = "https://example.org"\ndate = "2026-01"\n[domain]\nsize = 1\n'
    (tmp_path / "systems/mine.toml").write_text(text)
    result = run(f"plan llama-3-8b mine --catalog {tmp_path} --json").json
    assert result["system"] == "mine"
    assert f"--catalog {tmp_path}" in result["line"]
    assert f"--catalog {tmp_path}" in result["plans"][0]["line"]
    assert any(
        "example.org" in each["citation"]
        for each in run(f"cite llama-3-8b mine --catalog {tmp_path} --json").json["sources"]
    )
