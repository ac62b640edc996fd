"""`plan --emit`: a script in place of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Runner

PLAN = "plan llama-3-70b hgx-h100 --chips 8 --tpot 30ms"


def test_script_of_the_best_plan(run: Runner) -> None:
    """What is printed is the plan that the table puts first, and reads back."""
    best = run(f"{PLAN} --json").json["plans"][0]["layout"]
    result = run(f"{PLAN} --emit vllm")
    assert result.code == 0
    assert f"--tensor-parallel-size {best['tp']} " in result.out
    assert f"--pipeline-parallel-size {best['pp']} " in result.out
    assert (
        result.out.splitlines()[-1]
        == "# again: ridgeline plan llama-3-70b hgx-h100 --chips 8 --tpot '30 ms' --emit vllm"
    )
    assert run(f"{PLAN} --emit vllm --json").json["script"] in result.out


def test_another_plan(run: Runner) -> None:
    """A refusal names a plan of the list that the engine can start, and that one is printed."""
    words = "plan deepseek-v3 hgx-h200 --chips 16 --top 32"
    plans = run(f"{words} --json").json["plans"]
    mixed = next(i for i, each in enumerate(plans, 1) if each["layout"]["tp"] > 1 and each["layout"]["dp"] > 1)
    copies = next(i for i, each in enumerate(plans, 1) if each["layout"]["redundant"])
    assert "redundant experts" in run(f"{words} --emit trtllm --emit-plan {copies}").err
    assert "num_redundant_experts" in run(f"{words} --emit vllm --emit-plan {copies}").out
    refused = run(f"{words} --emit trtllm --emit-plan {mixed}")
    assert refused.code == 2
    assert "--emit-plan" in refused.err.rpartition(";")[2]
    number = refused.err.split()[-1]
    assert run(f"{words} --emit trtllm --emit-plan {number}").code == 0
    assert run(f"{words} --emit trtllm --emit-plan 33").code == 2
