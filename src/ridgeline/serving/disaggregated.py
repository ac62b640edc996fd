"""Prefill and decode on separate pools: rates matched, the cache sent over, mean latencies under constant concurrency.

n_p prefill workers take p seconds per prompt, n_d decode workers advance B_d sequences each in d seconds. The slower
pool sets the rate X of requests; by Little's law C = X (ttft + osl tpot), so what does not fit into the pools waits:

    X <= n_p / p                    prefill                 X <= n_d B_d accepted / (osl d)         decode
    tpot = d / accepted             ttft = p_alone + transfer + queue
    transfer = cache bytes of the prompt / (bandwidth per prefill worker)
    queue = rho p / (2 (1 - rho)),  rho = X p / n_p < 1                     M/D/1 in front of each prefill worker

Knows no distribution: means only.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace

BUSIEST = 0.98
"""Utilisation of the prefill pool above which the queue is what the concurrency leaves over, not the formula's pole."""


class Disaggregated(msgspec.Struct, frozen=True, kw_only=True):
    """Mean latencies and rates of a pair of pools; numbers or arrays."""

    request_rate: Array
    """Requests per second of the whole deployment."""
    ttft: Array
    tpot: Array
    prefill_use: Array
    """Share of the time in which prefill workers are busy."""
    decode_use: Array
    """Share of the decode workers' places that are taken."""


def disaggregated(
    *,
    prefill: Array,
    alone: Array,
    decode: Array,
    prefill_workers: Array,
    decode_workers: Array,
    places: Array,
    osl: Array,
    concurrency: Array,
    transfer: Array = 0.0,
    accepted: Array = 1.0,
) -> Disaggregated:
    """Mean latencies of `concurrency` open requests on two pools.

    Parameters
    ----------
    prefill
        Seconds of a prefill worker per prompt in full steps; `alone` those of a single prompt.
    decode
        Seconds of a decode step of a worker with the sequences it holds.
    places
        Sequences that one decode worker holds.
    transfer
        Seconds to send the cache of one prompt.
    """
    xp = namespace(prefill, decode, concurrency, places)
    tpot = decode / accepted
    by_prefill = prefill_workers / prefill
    by_decode = decode_workers * places / (osl * tpot)
    least = alone + transfer
    by_clients = concurrency / (least + osl * tpot)
    rate = xp.minimum(xp.minimum(by_prefill + 0.0 * by_decode, by_decode + 0.0 * by_prefill), by_clients)
    use = rate / by_prefill
    queue = xp.minimum(use, BUSIEST) * prefill / (2.0 * (1.0 - xp.minimum(use, BUSIEST)))
    left_over = xp.maximum(concurrency / rate - osl * tpot - least, 0.0 * rate)
    return Disaggregated(
        request_rate=rate,
        ttft=least + xp.where(use < BUSIEST, queue + 0.0 * left_over, xp.maximum(left_over, queue)),
        tpot=tpot,
        prefill_use=use,
        decode_use=rate * osl * tpot / (decode_workers * places),
    )
