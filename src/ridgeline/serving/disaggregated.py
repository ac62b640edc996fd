"""Prefill and decode on separate pools: a closed network of two stations, mean latencies under constant concurrency.

n_p prefill workers share the prompts, each taking p seconds per prompt; n_d decode workers hold x sequences each, of
which a step of d(x) seconds advances all. C requests are kept open, so by Little's law the rate X of requests settles
where their time adds up:

    X = n_d x accepted / (osl d(x))             decode pool, x <= places
    C = X (ttft + osl d(x) / accepted)          the closed loop: solved for x
    ttft = alone + transfer + shared + queue + burst (C - 1) p / n_p
    shared = rho (1.5 S - alone)                            rho = X p / n_p < 1, S: a full prefill step
    queue = p / n_p * rho^(sqrt(2 (n_p + 1)) - 1) / (2 (1 - rho))
    transfer = cache bytes of the prompt on a prefill rank / bandwidth of its link

In a busy pool a prompt waits for half of the step that runs and shares its own. The queue is that of n_p servers with
equal service times and Poisson arrivals (Sakasegawa's approximation of M/D/n).
Whichever pool is slower sets the rate: before a full prefill pool the queue holds what decode does not, and ttft grows
with C; requests that find no place in a full decode pool wait before their first token too.

A search fills the pools instead of counting clients. A prefill worker then computes steps of S = q p seconds with q
prompts each; at a use rho a prompt waits for half of the step that runs, shares its own, and queues:

    ttft(rho) = alone + transfer + rho (S - alone) + rho S / 2 + rho p / (2 (1 - rho))

which grows with rho, so that a longest allowed TTFT is a most use of the pool: the root of a quadratic, `most_use`.
Knows no distribution: means only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ridgeline.arrays import Array, namespace

PLANNED = 0.9
"""Most use of a prefill pool that is planned for: at it a prompt waits 4.5 times its own share of the pool's time."""
ROUNDS = 50
"""Halvings of the interval in which the closed loop's solution lies."""


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
    step: Array,
    alone: Array,
    decode: Sequence[Array],
    batches: Sequence[Array],
    prefill_workers: Array,
    decode_workers: Array,
    places: Array,
    osl: Array,
    concurrency: Array,
    transfer: Array = 0.0,
    burst: Array = 0.0,
    accepted: Array = 1.0,
) -> Disaggregated:
    """Mean latencies of `concurrency` open requests on two pools.

    Parameters
    ----------
    prefill
        Seconds of a prefill worker per prompt in full steps; `step` those of such a step; `alone` those of a single
        prompt, with all that is spent outside the queue.
    decode
        Seconds of a decode step of one worker at each of the growing `batches`, between which it is a straight line.
    places
        Sequences that one decode worker holds.
    transfer
        Seconds to send the cache of one prompt.
    burst
        Share of all other prompts that come before a request's own, as in `serving.online`.
    """
    xp = namespace(prefill, decode[0], concurrency, places)
    share = prefill / prefill_workers
    shared = xp.maximum(1.5 * step - alone, 0.0 * (step - alone))
    power = xp.sqrt(2.0 * (prefill_workers + 1.0)) - 1.0
    least = alone + transfer + burst * share * xp.maximum(concurrency - 1.0, 0.0 * concurrency)
    most = xp.minimum(places + 0.0 * concurrency, concurrency / decode_workers + 0.0 * places)

    def rate_and_wait(x: Array) -> tuple[Array, Array, Array]:
        """Rate, seconds of decode per request, and seconds until the first token at x sequences per decode worker."""
        each = osl * _between(xp, x, batches, decode) / accepted
        rate = decode_workers * x / each
        rho = rate * share
        free = xp.maximum(1.0 - rho, 1e-9 + 0.0 * rho)
        busy = xp.minimum(rho, 1.0 + 0.0 * rho)
        return rate, each, least + busy * shared + share * busy**power / (2.0 * free)

    low, high = 0.0 * most, most + 0.0 * least
    for _ in range(ROUNDS):
        middle = 0.5 * (low + high)
        rate, each, wait = rate_and_wait(middle)
        more = concurrency > rate * (wait + each)
        low, high = xp.where(more, middle, low), xp.where(more, high, middle)
    rate, each, _ = rate_and_wait(high)
    return Disaggregated(
        request_rate=rate,
        ttft=xp.maximum(concurrency / rate - each, least + 0.0 * rate),
        tpot=each / osl,
        prefill_use=rate * share,
        decode_use=high / places,
    )


def _between(xp: Any, x: Array, at: Sequence[Array], values: Sequence[Array]) -> Array:
    """Value at x on the lines between points that grow; the first value below them, the last above."""
    out = values[0] + 0.0 * x
    for (left, right), (low, high) in zip(pairwise(at), pairwise(values), strict=True):
        inside = (x - left) / xp.maximum(right - left, 1e-12 + 0.0 * right)
        out = out + xp.minimum(xp.maximum(inside, 0.0 * inside), 1.0 + 0.0 * inside) * (high - low)
    return out


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
