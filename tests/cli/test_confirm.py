"""`plan --simulate`: planned and simulated side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

PLAN = "plan llama-3-8b hgx-h100 --chips 1 --isl 1k --osl 64 --tpot 12ms --top 2 --simulate"


def test_each_plan_is_simulated(run: Runner) -> None:
    found = run(f"{PLAN} --json").json
    assert found["line"].endswith("--simulate")
    for each in found["plans"]:
        simulated = each["simulated"]
        assert simulated["attained"] == 1.0
        assert abs(simulated["requests_per_s"] / each["deployment"]["requests_per_s"] - 1) < 0.2
    assert "so many requests always open" in run(PLAN).out


def test_what_has_no_prompt_is_refused(run: Runner) -> None:
    refused = run("plan llama-3-8b hgx-h100 --context 8k --simulate")
    assert refused.code == 2
    assert "--isl and --osl" in refused.err
