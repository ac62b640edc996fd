"""The same numbers under the names that benchmark clients give them, in their units.

    here          vLLM bench serve         SGLang bench_serving    AIPerf, genai-perf
    ttft          ttft                     ttft                    time_to_first_token
    tpot          tpot                     tpot                    inter_token_latency (!)
    itl           itl                      itl                     inter_chunk_latency
    e2e           e2el                     e2e_latency             request_latency
    output_rate   output_throughput        output_throughput       output_token_throughput

AIPerf's inter-token latency is one value per request, which the others call TPOT; its list of gaps is called
inter-chunk latency. All measure at the client: network and tokenisation are in theirs and not in ours. Sources: vLLM
vllm/benchmarks/serve.py; SGLang python/sglang/bench_serving.py; AIPerf docs/metrics_reference.md, 2026.
"""

from __future__ import annotations

from typing import Any

from ridgeline.simulate.metrics import Metrics
from ridgeline.simulate.spread import Spread

CLIENTS = ("vllm", "sglang", "aiperf")
LATENCIES = {
    "ttft": ("ttft", "ttft", "time_to_first_token"),
    "tpot": ("tpot", "tpot", "inter_token_latency"),
    "itl": ("itl", "itl", "inter_chunk_latency"),
    "e2e": ("e2el", "e2e_latency", "request_latency"),
}
"""Of each latency here its name in each client; vLLM and SGLang put the statistic before it and the unit behind."""
NUMBERS = {
    "completed": ("completed", "completed", "request_count"),
    "failed": ("failed", "", "error_request_count"),
    "duration": ("duration", "duration", "benchmark_duration"),
    "input_tokens": ("total_input_tokens", "total_input_tokens", "total_isl"),
    "output_tokens": ("total_output_tokens", "total_output_tokens", "total_osl"),
    "request_rate": ("request_throughput", "request_throughput", "request_throughput"),
    "input_rate": ("", "input_throughput", ""),
    "output_rate": ("output_throughput", "output_throughput", "output_token_throughput"),
    "total_rate": ("total_token_throughput", "total_throughput", ""),
    "goodput": ("request_goodput", "", "goodput"),
    "concurrency": ("", "concurrency", ""),
}
"""Of each single number here its name in each client; empty: it has none. Seconds, tokens, and per second."""


def name(metric: str, client: str) -> str:
    """What a client calls a metric; empty if it does not give it.

    Examples
    --------
    >>> name("tpot", "aiperf")
    'inter_token_latency'
    """
    return (LATENCIES | NUMBERS)[metric][CLIENTS.index(client)]


def results(metrics: Metrics, client: str) -> dict[str, Any]:
    """A run's metrics as a client writes them: latencies in ms, all else in s, tokens, and per second.

    vLLM and SGLang: flat keys such as "p99_ttft_ms". AIPerf: an object per metric (unit, avg, min, max, p99).
    """
    i = CLIENTS.index(client)
    aiperf = client == "aiperf"
    found: dict[str, Any] = {}
    for mine, names in NUMBERS.items():
        if names[i]:
            value = getattr(metrics, mine)
            found[names[i]] = {"avg": value} if aiperf else value
    for mine, names in LATENCIES.items():
        spread: Spread = getattr(metrics, mine)
        if aiperf:
            found[names[i]] = {"unit": "ms", **_object(spread, 1e3)}
        else:
            values = {"mean": spread.mean, "std": spread.std, "max": spread.most, **spread.percentiles}
            values |= {"median": spread["p50"]} if "p50" in spread.percentiles else {}
            found |= {f"{key}_{names[i]}_ms": 1e3 * value for key, value in values.items()}
    if aiperf:
        found["output_token_throughput_per_user"] = {"unit": "tokens/sec/user", **_object(metrics.speed, 1.0)}
    return found


def _object(spread: Spread, scale: float) -> dict[str, float]:
    """A distribution as AIPerf writes it."""
    values = {"avg": spread.mean, "std": spread.std, "min": spread.least, "max": spread.most, **spread.percentiles}
    return {key: scale * value for key, value in values.items()}
