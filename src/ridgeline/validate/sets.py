"""The sets of rows that the scoreboard reports, one line to each; speculation that is on or not recorded is set apart.

    end to end = ttft + (osl - 1) tpot, of the two numbers of one run

Knows no prediction's making.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from ridgeline.validate.heldout import OTHERS, PREFILL_STATIC
from ridgeline.validate.points import Prediction

Held = tuple[Mapping[str, str], Prediction, float]
"""A row, what was predicted for it, and what was measured."""
END_TO_END = "end to end"
SETS = {
    "online TPOT": "online/tpot_s",
    "online TTFT, vLLM": "online/ttft_s, vllm",
    "online TTFT, other engines": OTHERS,
    END_TO_END: "",
    "KV-limited throughput": "online/out_tok_s",
    "throughput at a given concurrency": "",
    "decode step": "decode_step/tpot_s",
    "prefill and static batches": PREFILL_STATIC,
    "separate pools, TPOT": "disaggregated/tpot_s",
    "separate pools, TTFT": "disaggregated/ttft_s",
    "separate pools, throughput": "disaggregated/out_tok_s",
    "single collectives": "",
    "single kernels": "",
}
"""Sets in the order of the scoreboard; where there is one, the key of `Engines.held_out` of the same rows."""
_APART = {"0": "", "1": "; speculation on", "unknown": "; speculation not recorded"}


def set_of(row: Mapping[str, str]) -> str:
    """The set that a row belongs to."""
    mode, metric = row.get("mode", ""), row.get("metric", "")
    if mode == "disaggregated":
        name = "separate pools, " + {"tpot_s": "TPOT", "ttft_s": "TTFT"}.get(metric, "throughput")
    elif mode in ("collective", "kernel"):
        name = f"single {mode}s"
    elif mode in ("prefill", "static"):
        name = "prefill and static batches"
    elif mode == "decode_step":
        name = "decode step"
    elif metric == "tpot_s":
        name = "online TPOT"
    elif metric == "ttft_s":
        name = f"online TTFT, {'vLLM' if row.get('engine') == 'vLLM' else 'other engines'}"
    else:
        name = "KV-limited throughput" if not row.get("batch") else "throughput at a given concurrency"
    return name + _apart(row)


def rank(name: str) -> tuple[int, int]:
    """Order of sets: those without speculation first, then as in SETS."""
    base, apart, _ = name.partition(";")
    return len(apart), list(SETS).index(base)


def end_to_end(held: Iterable[Held]) -> dict[str, list[Held]]:
    """Runs of which both latencies are known, as one prediction each, by set; ids are those up to the last colon."""
    runs: dict[str, dict[str, Held]] = {}
    for item in held:
        row, prediction, _ = item
        run, colon, _ = row.get("id", "").rpartition(":")
        if colon and row["mode"] == "online" and prediction.metric in ("ttft_s", "tpot_s"):
            runs.setdefault(run, {})[prediction.metric] = item
    out: dict[str, list[Held]] = {}
    for pair in runs.values():
        if len(pair) == 2:
            (row, first, ttft), (_, token, tpot) = pair["ttft_s"], pair["tpot_s"]
            tokens = float(row["osl"]) - 1.0
            sums = {name: getattr(first, name) + tokens * getattr(token, name) for name in _ANSWERS}
            whole = msgspec.structs.replace(first, metric="e2e_s", **sums)
            out.setdefault(END_TO_END + _apart(row), []).append((row, whole, ttft + tokens * tpot))
    return out


_ANSWERS = ("floor", "low", "estimate", "high")


def _apart(row: Mapping[str, str]) -> str:
    return _APART.get(row.get("mtp") or "unknown", _APART["unknown"])
