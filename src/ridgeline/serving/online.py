"""Online serving in the mean: time to first token and per output token from concurrency, without a simulation.

C requests are kept open by the clients; B = min(C, what memory holds) of them are in the engine. While one request
gets its osl tokens, the engine does for it osl / accepted decode steps of d seconds, and one prefill (p seconds of
the replica in full prefill steps) for each of the others. Of these prefills the share `burst` comes before the
request's own first token, because prompts arrive together or go first, and the rest between its tokens:

    tpot = d / accepted + (1 - burst) (B - 1) p / osl
    ttft = frontend + per_request (C - 1) + first * alone + burst (B - 1) p + waiting
    waiting = (C - B) (p + osl d / (accepted B))                       for a place, beyond what memory holds

`first` is the own prefill over that of a prompt alone: it shares its steps with decodes and other prompts. What enters
one time leaves the other: ttft + osl * tpot does not depend on `burst`. With 1/2 all prompts come together; if clients
send n requests one after another and only the first come together, it is 1 / (2 n).

A run of N requests on B places ends with a round that is not full. Requests of one length that begin together end
together; a prefill at a time keeps them apart. With s = B p / (B p + osl d) and x = N / B = whole + part,

    rounds = s x + (1 - s) (whole + (1 + part) / 2 if part)             rate = x / rounds * steady rate

since half of a decode step's time, roughly, does not shrink with the batch. Knows no distribution: means only.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.estimate import Client

MANY = 1e6
"""Rounds of requests of a run without end."""


class Online(msgspec.Struct, frozen=True, kw_only=True):
    """Mean latencies and rates of a replica under a constant number of open requests; numbers or arrays."""

    ttft: Array
    tpot: Array
    e2e: Array
    """ttft + (osl - 1) tpot."""
    request_rate: Array
    """Requests finished per second."""
    batch: Array
    """Requests in the engine."""


def online(
    *,
    decode: Array,
    prefill: Array,
    alone: Array,
    concurrency: Array,
    capacity: Array,
    osl: Array,
    client: Client,
    accepted: Array = 1.0,
    requests: Array = math.inf,
) -> Online:
    """Mean latencies of `concurrency` open requests on one replica.

    Parameters
    ----------
    decode
        Seconds of a decode step of min(concurrency, capacity) sequences.
    prefill
        Seconds of the replica per prompt in full prefill steps; `alone` those of a step with a single prompt.
    capacity
        Sequences that memory holds.
    requests
        Requests of the whole run, of which the rate is that of.
    """
    xp = namespace(decode, prefill, concurrency, capacity, osl)
    batch = xp.minimum(concurrency + 0.0 * capacity, capacity + 0.0 * concurrency)
    others = xp.maximum(batch - 1.0, 0.0 * batch) * prefill
    per_request = prefill + osl * decode / (accepted * batch)
    front = client.frontend + client.per_request * (concurrency - 1.0)
    ttft = front + client.first * alone + client.burst * others + (concurrency - batch) * per_request
    tpot = decode / accepted + (1.0 - client.burst) * others / osl
    return Online(
        ttft=ttft,
        tpot=tpot,
        e2e=ttft + (osl - 1.0) * tpot,
        request_rate=_full(batch, requests, prefill / per_request) / per_request,
        batch=batch,
    )


def _full(batch: Array, requests: Array, prefilling: Array) -> Array:
    """Steady rounds over the rounds that a run of `requests` takes."""
    xp = namespace(batch, requests, prefilling)
    rounds = xp.minimum(requests / batch, MANY + 0.0 * batch)
    whole = xp.floor(rounds + 1e-9)
    part = xp.maximum(rounds - whole, 0.0 * rounds)
    last = xp.where(part > 1e-9, 0.5 * (1.0 + part), 0.0 * part)
    return rounds / (prefilling * rounds + (1.0 - prefilling) * (whole + last))
