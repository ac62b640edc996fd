"""`simulate` and `capacity`: what is printed, the keys that programs read, and what wrong input does."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ridgeline.cli import simulated
from ridgeline.cli.watch import WATCHER

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Runner

ASK = "simulate llama-3-8b hgx-h100 --chips 1 --rate 20 --requests 2k --isl 512 --osl 128"


def test_document(run: Runner) -> None:
    """Keys and units that programs rely on; percentiles are ordered, and tokens are counted."""
    found = run(f"{ASK} --slo ttft=1s,tpot=25ms --json").json
    assert found["requests"] == found["completed"] == 2000
    assert found["cpu_s"] > 0
    for name in ("ttft_s", "tpot_s", "itl_s", "e2e_s", "wait_s"):
        each = found[name]
        assert each.keys() >= {"mean", "p50", "p90", "p99", "max"}
        assert 0 < each["p50"] <= each["p90"] <= each["p99"] <= each["max"] < 10
    assert found["ttft_s"]["mean"] + 127 * found["tpot_s"]["mean"] == pytest.approx(found["e2e_s"]["mean"])
    assert found["itl_s"]["mean"] == pytest.approx(found["tpot_s"]["mean"])
    assert found["output_tokens_per_s"] * found["duration_s"] == pytest.approx(2000 * 128)
    assert sum(found["time_bound_by"].values()) == pytest.approx(1)
    assert (found["attained"], found["overloaded"], found["refused"]) == (1, False, 0)
    assert 0 < found["law_deviation"] < 0.01


def test_the_same_seed_gives_the_same_numbers(run: Runner) -> None:
    def numbers(more: str) -> dict[str, object]:
        return {name: value for name, value in run(f"{ASK} --json {more}").json.items() if name != "cpu_s"}

    assert numbers("") == numbers("--seed 0") | {"line": numbers("")["line"]}
    assert numbers("")["ttft_s"] != numbers("--seed 1")["ttft_s"]


def test_text(run: Runner) -> None:
    """The answer names the switches that change it, its error, and the line that asks again."""
    result = run(f"{ASK} --engine vllm --no-async-scheduling --slo ttft=30ms")
    assert (result.code, result.err) == (0, "")
    for words in (
        "vLLM v1 scheduler, synchronous, prefix cache, whole prompt reserved",
        "goodput:",
        "TTFT",
        "law: within",
    ):
        assert words in result.out
    again = result.out.splitlines()[-1].removeprefix("again: ")
    assert "--no-async-scheduling" in again
    assert run(again).out == result.out


def test_rows(run: Runner) -> None:
    """--csv has a line for each request, in their order."""
    rows = list(csv.DictReader(io.StringIO(run(f"{ASK} --csv").out)))
    assert len(rows) == 2000
    arrivals = [float(row["arrival_s"]) for row in rows]
    assert arrivals == sorted(arrivals)
    assert all(float(row["start_s"]) < float(row["first_token_s"]) < float(row["finish_s"]) for row in rows)


def test_overload_and_refusals_are_said(run: Runner) -> None:
    """A queue that grows without end, and requests larger than the cache, by number and size."""
    words = "--rate 80 --kv-blocks 100 --isl lognormal:mean=512,cv=2"
    result = run(f"simulate llama-3-8b hgx-h100 --chips 1 --requests 3000 {words}")
    assert "OVERLOADED" in result.out
    assert "refused: no room even alone, the first is request" in result.out
    found = run(f"simulate llama-3-8b hgx-h100 --chips 1 --requests 3000 {words} --json").json
    assert found["overloaded"]
    assert found["refused"] == 3000 - found["completed"] > 0
    assert len(found["refused_requests"]) == min(found["refused"], 20)


def test_sessions_and_closed_loops(run: Runner) -> None:
    """Turns follow each other, and a closed loop has as many open as it was told."""
    found = run(f"{ASK} --turns 4 --think '1 s' --json").json
    assert found["completed"] == 2000
    assert found["input_tokens_per_s"] > 1.5 * run(f"{ASK} --json").json["input_tokens_per_s"] * 0.5
    assert run(f"{ASK} --concurrency 8 --json").json["concurrency"] == pytest.approx(8, rel=0.01)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--requests 0", "--requests 0"),
        ("--requests ten", "--requests"),
        ("--rate 0", "--rate 0"),
        ("--isl lognormal:mean=0", "mean"),
        ("--isl nothing:mean=3", "distribution of --isl"),
        ("--slo speed=3", "objective in --slo"),
        ("--seed -1", "--seed -1"),
        ("--arrivals sometimes", "sometimes"),
        ("--block-size 0", "block_size 0"),
        ("--max-num-seqs 300 --max-num-batched-tokens 0.5", "--max-num-batched-tokens 0.5"),
        ("--tp 3", "tp=3"),
        ("--max-num-seqs 9k", "max_num_batched_tokens 8192: at least 9000"),
        ("--kv-blocks 3", "at most the 48 tokens that the cache holds"),
        ("--osl 100M --requests 3", "tokens that the cache holds"),
        ("--replicas 2", "--chips 2"),
    ],
)
def test_wrong_options(run: Runner, words: str, told: str) -> None:
    """One line, what was given and what was expected, exit code 2, nothing on standard output."""
    result = run(f"simulate llama-3-8b hgx-h100 --chips 1 {words}")
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert result.err.count("\n") == 1


def test_fleet(run: Runner) -> None:
    """Four replicas serve four times the rate much alike, and cost four times as much per second."""
    ask = "simulate llama-3-8b hgx-h100 --isl 512 --osl 128 --requests 4k"
    one = run(f"{ask} --rate 20 --json").json
    four = run(f"{ask} --rate 80 --replicas 4 --router round-robin --json").json
    assert (four["replicas"], four["chips"], four["completed"]) == (4, 4, 4000)
    assert four["ttft_s"]["mean"] == pytest.approx(one["ttft_s"]["mean"], rel=0.2)
    assert four["usd_per_token"] == pytest.approx(one["usd_per_token"], rel=0.1)
    rows = list(csv.DictReader(io.StringIO(run(f"{ask} --rate 80 --replicas 4 --csv").out)))
    assert {row["replica"] for row in rows} == set("0123")
    for words, told in (("--replicas 9", "--chips 9"), ("--replicas 2 --router best", "unknown router")):
        refused = run(f"{ask} {words}")
        assert (refused.code, refused.out) == (2, "")
        assert told in refused.err


def test_capacity(run: Runner) -> None:
    """The rate that was found keeps the objectives, one that is 1% higher does not; a looser level allows more."""
    ask = "capacity llama-3-8b hgx-h100 --chips 1 --requests 1500 --slo"
    tight, loose = (run(f"{ask} {slo} --json").json for slo in ("ttft=100ms,tpot=12ms", "ttft=1s,tpot=25ms"))
    assert tight["capacity_per_s"] < loose["capacity_per_s"]
    assert tight["attained"] >= 0.99 > tight["missed_attained"]
    assert tight["missed_at_per_s"] <= 1.01 * tight["capacity_per_s"]
    assert run(f"{ask} ttft=1us").code == 2
    assert run("capacity llama-3-8b hgx-h100 --chips 1").code == 2
    assert "requests/s: the most at which 0.99 of requests keep" in run(f"{ask} tpot=20ms").out


@pytest.mark.parametrize("place", ["read-only", "missing", "file"])
def test_a_cache_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    """Compiled code is a convenience: without a place for it the answer is the same (plain Python, to be quick)."""
    target = tmp_path / "cache"
    if place == "read-only":
        target.mkdir(mode=0o500)
    elif place == "file":
        target.write_text("not a folder")
    code = (
        "from ridgeline.simulate import engine\nfrom ridgeline.simulate.compiled import _folder, compiled\n"
        "import json\nprint(json.dumps([str(_folder('1')), callable(compiled(engine).advance)]))"
    )
    environment = {**os.environ, "RIDGELINE_CACHE": str(target), "RIDGELINE_PYTHON": "1"}
    printed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    folder, works = json.loads(printed)
    assert works
    assert folder == "None" or str(target) in folder
    assert (folder == "None") == (place == "file" or (place == "read-only" and os.geteuid() != 0))


SMALL = "simulate llama-3-8b hgx-h100 --chips 1 --engine vllm"


def test_tenants_have_metrics_of_their_own(run: Runner) -> None:
    """The better priority waits less; objectives are each tenant's own; the line asks the same again."""
    words = [
        "--requests", "600", "--kv-blocks", "4000", "--policy", "priority",
        "--tenant", "'chat: rate=12; isl=512; osl=100; priority=0; ttft=5s'",
        "--tenant", "'batch: rate=6; isl=6k; osl=300; priority=1; ttft=1ms'",
    ]  # fmt: skip
    found = run(f"{SMALL} {' '.join(words)} --json").json
    chat, batch = found["tenants"]["chat"], found["tenants"]["batch"]
    assert (chat["requests"], batch["requests"]) == (400, 200)
    assert chat["ttft_s"]["mean"] < 0.2 * batch["ttft_s"]["mean"]
    assert chat["preemptions"] == 0 < batch["preemptions"] == found["preemptions"]
    assert chat["attained"] > 0.9
    assert batch["attained"] == 0
    assert found["policy"] == "priority"
    result = run(f"{SMALL} {' '.join(words)}")
    assert "by priority" in result.out
    assert run(result.out.splitlines()[-1].removeprefix("again: ")).out == result.out


def test_drafts_are_drawn(run: Runner) -> None:
    """Four of five drafts accepted: nearly three tokens a step, drawn anew with another seed."""
    words = f"{SMALL} --rate 5 --requests 500 --verify 4 --acceptance 80%"
    found, other = run(f"{words} --json").json, run(f"{words} --seed 1 --json").json
    assert (found["drafts"], found["acceptance"], found["lookahead"]) == (3, [0.8], 3)
    assert found["itl_s"]["mean"] / found["tpot_s"]["mean"] == pytest.approx(1 + 0.8 + 0.64 + 0.512, rel=0.03)
    assert found["steps"] != other["steps"]
    assert 0 < found["law_deviation"] < 0.01
    assert "3 drafts accepted at 80% each" in " ".join(run(words).out.split())
    assert run(f"{words} --lookahead 0 --json").json["lookahead"] == 0


def test_tiers_are_read_from_the_catalogue(run: Runner) -> None:
    """Blocks that memory forgets come back from below; hits of each tier and their sizes are told."""
    words = f"{SMALL} --rate 8 --requests 600 --turns 6 --think 20s --isl 1k --osl 100 --kv-blocks 4000"
    tiers = "--kv-tier ddr5:capacity=20GB,mode=back --kv-tier nvme:ttl=1h,mode=back"
    found, bare = run(f"{words} {tiers} --json").json, run(f"{words} --json").json
    near, far = found["kv_tiers"]
    assert near["fetched_tok"] > 0
    assert near["capacity_tok"] == pytest.approx(20e9 / 131072, rel=1e-3)
    assert near["read_tok_per_s"] == pytest.approx(614.4e9 / 131072, rel=1e-3)
    assert (far["ttl_s"], far["write_through"]) == (3600, False)
    assert found["cached_tokens"] > 1.5 * bare["cached_tokens"]
    assert found["ttft_s"]["mean"] < bare["ttft_s"]["mean"]
    assert "kv_tiers" not in bare
    never = run(f"{words} {tiers} --kv-fetch never --json").json
    assert never["cached_tokens"] == bare["cached_tokens"]
    assert never["kv_tiers"][0]["written_tok"] > 0


def test_tiers_of_a_fleet_are_told_of_all_replicas(run: Runner) -> None:
    """Three replicas above a store of each, then of all: that finds what sessions wrote at the others."""
    words = (
        "simulate llama-3-8b hgx-h100 --engine vllm --rate 12 --requests 600 --turns 6 --think 20s --isl 1k --osl 100"
    )
    words += " --kv-blocks 4000 --replicas 3 --router least-loaded --kv-tier ddr5:capacity=1GB"
    words += " --kv-tier store:capacity=1TB,read=40GB/s,write=40GB/s"
    own, common = run(f"{words} --json").json, run(f"{words},shared=yes --json").json
    assert [tier["shared"] for tier in common["kv_tiers"]] == [False, True]
    assert own["kv_tiers"][0]["held_tok"] == 3 * own["kv_tiers"][0]["capacity_tok"]
    assert common["kv_tiers"][1]["hit"] > 1.4 * own["kv_tiers"][1]["hit"]
    assert common["cached_tokens"] > 1.4 * own["cached_tokens"]
    told = " ".join(run(f"{words},shared=yes").out.split())
    assert "ddr5 of each replica, store of all replicas together" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--tenant chat", "a name and options"),
        ("--tenant 'a: rate=1' --rate 3", "--rate beside --tenant"),
        ("--policy lifo", "unknown policy"),
        ("--policy priority", "requests with priorities"),
        ("--policy priority --scheduler sglang", "policy"),
        ("--verify 4", "--acceptance 80%"),
        ("--kv-tier s3:capacity=1TB", "capacity, read and write"),
        ("--kv-tier ddr5:mode=sideways", "unknown mode"),
        ("--kv-tier ddr5:shared=perhaps", "unknown shared"),
        ("--kv-tier ddr5:shared=yes --kv-tier nvme", "below all else"),
        ("--kv-tier ddr5 --stream", "KV tiers"),
        ("--kv-tier ddr5:size=1TB", "unknown option of KV tier"),
        ("--kv-tier ddr5 --kv-tier ddr5", "each once"),
        ("--kv-tier ddr5:capacity=1kB", "more capacity"),
        ("--kv-tier ddr5 --admit-first-chunk", "reserve_full_input"),
    ],
)
def test_wrong_batching_is_refused(run: Runner, words: str, told: str) -> None:
    result = run(f"{SMALL} --requests 100 {words}")
    assert result.code == 2
    assert told in result.err


def test_many_scenarios_in_one_call(run: Runner) -> None:
    """Each row is what its own command says; one replica stands for all that are equal."""
    words = f"{SMALL} --requests 100 --isl 200 --osl 20 --slo ttft=50ms"
    found = run(f"{words} --over rate=10,40 --over max_num_seqs=8,64 --over tp=1 --workers 1 --json").json["cases"]
    assert [(row["rate"], row["max_num_seqs"], row["tp"]) for row in found] == [
        (rate, seats, 1) for rate in (10, 40) for seats in ("8", "64")
    ]
    alone = run(f"{words} --rate 40 --max-num-seqs 8 --json").json
    assert found[2]["ttft_p99_s"] == alone["ttft_s"]["p99"]
    assert found[2]["attained"] == alone["attained"]
    assert "4 scenarios" in run(f"{words} --over rate=10:40:x2,100 --workers 1").out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--over rat=1,2", "did you mean rate"),
        ("--over rate", "NAME=VALUES"),
        ("--over seed=0.5", "whole numbers"),
        ("--over rate=1,2 --over rate=3", "each option once"),
        ("--over rate=1,2 --replications 3", "one of them"),
        ("--over rate=1,2 --trace x.csv", "one of them"),
        ("--over replicas=1,99", "at most the 1 chips"),
        ("--over seed=0:999999:+1", "at most 100,000"),
    ],
)
def test_what_cannot_vary_is_refused(run: Runner, words: str, expected: str) -> None:
    refused = run(f"{SMALL} {words}")
    assert refused.code == 2
    assert expected in refused.err


def test_watching_changes_nothing(run: Runner) -> None:
    """What is known by then grows to the answer, and looking at a run does not change it."""

    def asked() -> dict[str, object]:
        return {name: value for name, value in run(f"{ASK} --json").json.items() if name != "cpu_s"}

    seen: list[tuple[float, int]] = []
    token = WATCHER.set(lambda share, sofar: seen.append((share, sofar()["completed"])))
    try:
        watched = asked()
    finally:
        WATCHER.reset(token)
    assert watched == asked()
    assert [share for share, _ in seen] == [portion / 100 for portion in range(1, 100)]
    completed = [done for _, done in seen]
    assert completed == sorted(completed)
    assert 0 < completed[50] < completed[-1] <= 2000


def test_a_long_run_in_plain_python_says_how_to_compile_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer's 100,000 requests took 6 s without the extra, and nothing told of the half second with it."""
    monkeypatch.setattr(simulated, "find_spec", lambda name: None)
    assert "ridgeline[sim]" in str(simulated._uncompiled(6.2))
    assert simulated._uncompiled(0.5) == []
    monkeypatch.setattr(simulated, "find_spec", lambda name: name)
    assert simulated._uncompiled(6.2) == []
