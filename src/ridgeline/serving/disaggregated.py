"""Prefill and decode on separate pools: rates matched, the cache sent over, mean latencies under constant concurrency.

n_p prefill workers take p seconds per prompt, n_d decode workers advance B_d sequences each in d seconds. The slower
pool sets the rate X of requests; by Little's law C = X (ttft + osl tpot), so what does not fit into the pools waits:

    X <= n_p / p                    prefill                 X <= n_d B_d accepted / (osl d)         decode
    tpot = d / accepted             ttft = p_alone + transfer + queue
    transfer = cache bytes of the prompt / (bandwidth per prefill worker)
    queue = rho p / (2 (1 - rho)),  rho = X p / n_p < 1                     M/D/1 in front of each prefill worker

A search fills the pools instead of counting clients. A prefill worker then computes steps of S = q p seconds with q
prompts each; at a use rho a prompt waits for half of the step that runs, shares its own, and queues:

    ttft(rho) = alone + transfer + rho (S - alone) + rho S / 2 + rho p / (2 (1 - rho))

which grows with rho, so that a longest allowed TTFT is a most use of the pool: the root of a quadratic, `most_use`.
Knows no distribution: means only.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace

PLANNED = 0.9
"""Most use of a prefill pool that is planned for: at it a prompt waits 4.5 times its own share of the pool's time."""
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


def first_token(*, alone: Array, step: Array, per_prompt: Array, use: Array) -> Array:
    """Mean seconds from a prompt's arrival at a prefill pool of a given use to its first token; transfer not included.

    `alone`: the prompt's prefill alone; `step`: a full prefill step; `per_prompt`: seconds of a worker per prompt.
    """
    return alone + use * (1.5 * step - alone) + use * per_prompt / (2.0 * (1.0 - use))


def most_use(*, alone: Array, step: Array, per_prompt: Array, limit: Array) -> Array:
    """Largest use (at most PLANNED) of a prefill pool whose `first_token` keeps `limit` seconds; 0 if none does.

    With a = 1.5 S - alone and s = limit - alone: a rho^2 - (a + p / 2 + s) rho + s = 0, the smaller root.

    Examples
    --------
    >>> use = most_use(alone=0.2, step=0.5, per_prompt=0.01, limit=0.6)
    >>> round(use, 3), round(first_token(alone=0.2, step=0.5, per_prompt=0.01, use=use), 6)
    (0.705, 0.6)
    """
    xp = namespace(alone, step, per_prompt, limit)
    slack = xp.maximum(limit - alone, 0.0 * (limit - alone))
    a = 1.5 * step - alone
    b = a + per_prompt / 2.0 + slack
    root = 2.0 * slack / (b + xp.sqrt(xp.maximum(b * b - 4.0 * a * slack, 0.0 * b)))
    return xp.minimum(root, PLANNED + 0.0 * root)
