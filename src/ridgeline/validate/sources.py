"""Measurements that come in columns of their own, as rows of points; what cannot be one is refused with the reason.

    silicon_ttft_ms, silicon_tpot_ms    deployments with separate pools, as NVIDIA AIConfigurator's silicon sample has
                                        them: milliseconds, one row per run -> a row for each number, in SI units
    op, latency_s                       single collectives (bytes_per_rank) and kernels (m, n, k): modes of their own
    notes                               "offered 4 req/s, ... 500 requests" -> columns `rate` and `requests`
    metric_name, actual                 latencies of vLLM under loads that the file does not tell: refused

Knows no law.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

Row = dict[str, str]

NUMBERS = {
    "silicon_ttft_ms": ("ttft", "ttft_s", 1e-3),
    "silicon_tpot_ms": ("tpot", "tpot_s", 1e-3),
    "out_tok_s": ("out", "out_tok_s", 1.0),
    "total_tok_s": ("total", "total_tok_s", 1.0),
}
"""Columns of numbers measured on separate pools: suffix of the id, metric, and seconds (or tokens/s) in one."""
DEGREES = {"num_workers": "workers", "tp_size": "tp", "pp_size": "pp", "attention_dp_size": "dp", "moe_ep_size": "ep"}
"""Its names of what a worker of each pool is like."""
OFFERED = re.compile(r"offered ([\d.]+|INF) req/s.*?(\d+) requests")
AT_ONCE = "1e9"
"""Requests per second that are as good as all at once."""
INCOMPLETE = "layout_complete=0: the layout of the workers, or their number, is not known"
NO_CLIENTS = "concurrency: missing, and no decode_batch_size to work it out from"


def points(columns: Sequence[str], rows: Sequence[Row]) -> list[Row]:
    """Rows of points; those of a file that has them are left as they are."""
    if "silicon_ttft_ms" in columns or "silicon_tpot_ms" in columns:
        return [point for row in rows for point in _pools(row)]
    if "op" in columns and "latency_s" in columns:
        return [_single(row, "collective" if "bytes_per_rank" in columns else "kernel") for row in rows]
    if "metric_name" in columns and "actual" in columns:
        return [_untold(row) for row in rows]
    return [_offered(row) if "offered" in row.get("notes", "") else row for row in rows]


def _offered(row: Row) -> Row:
    """A row of a run whose notes tell its arrivals."""
    found = OFFERED.search(row["notes"])
    if not found or row.get("rate"):
        return row
    rate, requests = found.groups()
    return row | {"rate": AT_ONCE if rate == "INF" else rate, "requests": row.get("requests") or requests}


def _pools(row: Mapping[str, str]) -> Iterator[Row]:
    """A row for each number that was measured of a deployment with separate pools."""
    kept = ("source", "source_ref", "date", "model", "has_config", "chip", "weight_dtype", "kv_dtype", "isl", "osl")
    base = {name: row.get(name, "") for name in (*kept, "mtp", "grade", "notes", "split", "layout_complete")}
    base |= {"engine": row.get("backend", ""), "engine_version": row.get("backend_version", "")}
    base |= {"mode": "disaggregated", "batch": row.get("concurrency", ""), "batch_kind": "concurrency"}
    for pool in ("prefill_", "decode_"):
        for theirs, ours in DEGREES.items():
            text = row.get(pool + theirs, "").strip()
            base[pool + ours] = "" if text == "0" else text
    base["chips"] = row.get("chips", "")
    if not base["batch"]:
        base["batch"] = _concurrency(row)
    base["refused"] = INCOMPLETE if row.get("layout_complete") == "0" else "" if base["batch"] else NO_CLIENTS
    for column, (suffix, metric, unit) in NUMBERS.items():
        if text := row.get(column, "").strip():
            yield base | {"id": f"{row.get('id', '')}:{suffix}", "metric": metric, "value": _scaled(text, unit)}


def _concurrency(row: Mapping[str, str]) -> str:
    """Open requests of the deployment: sequences per decode rank, times ranks and workers; blank if not known."""
    product = 1.0
    for name in ("decode_batch_size", "decode_num_workers", "decode_attention_dp_size"):
        try:
            product *= float(row.get(name, ""))
        except ValueError:
            return ""
    return f"{product:g}"


def _scaled(text: str, unit: float) -> str:
    """A number in SI units; what is none stays, to be refused by name."""
    try:
        return repr(float(text) * unit)
    except ValueError:
        return text


def _single(row: Row, mode: str) -> Row:
    """One collective or kernel; where only a rate was published, its time follows from the work."""
    out = row | {"model": "", "mode": mode, "metric": "latency_s", "mtp": "0", "engine": row.get("library", "").strip()}
    out |= {"weight_dtype": row.get("dtype", ""), "bytes": row.get("bytes_per_rank", ""), "value": row["latency_s"]}
    if not out["value"] and mode == "kernel":
        try:
            work = 2.0 * float(row["m"]) * float(row["n"]) * float(row["k"]) * float(row.get("groups") or 1)
            out["value"] = repr(work / float(row["flop_per_s"]))
        except (KeyError, ValueError, ZeroDivisionError):
            out["value"] = ""
    if not out["value"]:
        out["refused"] = "latency_s: missing, and nothing to work it out from"
    return out


def _untold(row: Row) -> Row:
    """A latency whose request rate and lengths are in no column."""
    name = f"{row.get('exp_id', '')}/{row.get('workload', '')}/{row.get('stage_index', '')}:{row['metric_name']}"
    reason = f"workload {row.get('workload', '')!r}: its request rate and lengths are not in the file"
    kept = {"id": name, "model": row.get("model", ""), "chip": row.get("hardware", ""), "engine": "vLLM"}
    return kept | {
        "mode": "online",
        "metric": row["metric_name"],
        "value": row["actual"],
        "mtp": "0",
        "refused": reason,
    }
