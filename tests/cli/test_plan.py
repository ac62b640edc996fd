"""`plan`: what it prints, and that its lines lead to the same numbers."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

MAIN = "plan deepseek-v3 gb200-nvl72"


def test_document(run: Runner) -> None:
    """The keys that programs read."""
    result = run(f"{MAIN} --json").json
    names = "command model system chips evaluated layouts objective limits plans front line"
    assert result.keys() == set(names.split())
    assert result["evaluated"] > 100_000
    assert (result["command"], result["model"], result["chips"], result["line"]) == (
        "plan", "deepseek-v3", 72, f"ridgeline {MAIN}",
    )  # fmt: skip
    assert len(result["plans"]) == 5
    best = result["plans"][0]
    assert best["layout"].keys() == {"tp", "pp", "dp", "ep", "cp", "redundant"}
    assert best["why"] == ""
    assert all(each["why"] for each in result["plans"][1:])
    interval = best["interval_s"]
    assert interval["low_s"] <= best["estimate_s"] <= interval["high_s"]
    assert (interval["level"], best["provenance"]) == (0.8, "measured kernels")
    assert best["floor_s"] <= best["estimate_s"] == pytest.approx(best["decode_estimate_s"])
    for name in ("tpot_s", "output_tokens_per_s_per_chip", "usd_per_output_token", "memory_used_bytes"):
        assert best[name] > 0
    found = best["deployment"]
    assert found["tpot_interval_s"]["low_s"] <= found["tpot_s"] <= found["tpot_interval_s"]["high_s"]
    assert (found["mode"], found["chips"], found["prefill"]["layout"]["cp"]) == ("disaggregated", 72, 1)
    assert best["chips_used"] <= result["chips"]
    assert best["binding"] in ("math", "memory", "comms")


@pytest.mark.parametrize(
    "words", [MAIN, f"{MAIN} --tpot 20ms --chips 64 --price owned", "plan mixtral-8x7b hgx-h200 --context 8k"]
)
def test_each_plan_is_a_step(run: Runner, words: str) -> None:
    """The line of a plan prints the plan's own numbers, to the last digit."""
    for plan in run(f"{words} --json").json["plans"]:
        step = run(f"{plan['line']} --json").json
        numbers = {name: value for name, value in plan.items() if name not in ("why", "deployment")}
        assert {name: step[name] for name in numbers} == numbers
        if prefill := plan["deployment"].get("prefill"):
            assert run(f"{prefill['line']} --json").json["prefill_estimate_s"] == prefill["prefill_estimate_s"]


def test_front_is_a_front(run: Runner) -> None:
    """Along it speed is paid for: faster is dearer; the best plan costs as little as its cheap end, but for a tie."""
    result = run(f"{MAIN} --json").json
    front = result["front"]
    assert all(a["tpot_estimate_s"] < b["tpot_estimate_s"] for a, b in pairwise(front))
    assert all(a["chip_s_per_request_estimate"] > b["chip_s_per_request_estimate"] for a, b in pairwise(front))
    cost = result["plans"][0]["deployment"]["chip_s_per_request"]
    assert cost <= 1.01 * front[-1]["chip_s_per_request_estimate"]


def test_limits_are_kept(run: Runner) -> None:
    """Limits are on what engines take, not on the floor."""
    for plan in run(f"{MAIN} --tpot 20ms --ttft 1s --json").json["plans"]:
        assert plan["tpot_s"] <= plan["tpot_estimate_s"] <= 0.02
        found = plan["deployment"]
        assert found["tpot_s"] == pytest.approx(plan["tpot_estimate_s"])
        assert found["ttft_s"] <= 1 + 1e-9


def test_text(run: Runner) -> None:
    """Deterministic, no wider than the terminal but for lines to copy, and last the lines that lead on."""
    out = run(MAIN).out
    assert out == run(MAIN).out
    lines = out.splitlines()
    copied = ("prefill: ", "in full: ", "again: ")
    assert max(len(line) for line in lines if not line.startswith(copied)) <= 110
    assert lines[-1] == f"again:   ridgeline {MAIN}"
    assert lines[-2].startswith("in full: ridgeline step deepseek-v3 gb200-nvl72 --")
    assert lines[-3].startswith("prefill: ridgeline step deepseek-v3 gb200-nvl72 --chips")
    assert lines[-4] == "floor: no machine can be faster"
    assert lines[-5].startswith("estimate: ")
    for words in ("Best of", "Why the others lose", "(floor)", "TTFT", "B*", "L*", "HBM drain", "tok/s of a user"):
        assert words in out
    for words in ("kernels", "launches", "messages", "host", "from kernels measured on gb200"):
        assert words in out


def test_text_without_price(run: Runner) -> None:
    """Where no price is known, cost is counted in chip-seconds and nothing is made up."""
    out = run("plan llama-3-8b tpu-v5e").out
    assert "price not known" in out
    assert "chip-seconds per million tokens" in out
    assert "$/Mtok" not in out


def test_csv(run: Runner) -> None:
    """One row to a plan, with the numbers of --json."""
    rows = list(csv.DictReader(io.StringIO(run(f"{MAIN} --top 2 --csv").out)))
    plans = run(f"{MAIN} --top 2 --json").json["plans"]
    assert [float(row["tpot_estimate_s"]) for row in rows] == [plan["tpot_estimate_s"] for plan in plans]
    assert [int(row["dp"]) for row in rows] == [plan["layout"]["dp"] for plan in plans]
    assert [row["line"] for row in rows] == [plan["line"] for plan in plans]
