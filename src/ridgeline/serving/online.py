"""Online serving in the mean: time to first token and per output token from concurrency, without a simulation.

C requests are kept open by the clients; B = min(C, what memory holds) of them are in the engine. While one request
gets its osl tokens, the engine does for it osl / accepted decode steps of d seconds, and one prefill (p seconds of
the replica in full prefill steps) for each of the others. Of these prefills the share `burst` comes before the
request's own first token, because prompts arrive together or go first, and the rest between its tokens:

    tpot = d / accepted + (1 - burst) (B - 1) p' / osl
    ttft = frontend + per_request (C - 1) + first * alone + burst (B - 1) p + waiting + gathered + seen
    waiting = (C - B + missing) (p' + osl d / (accepted B))               for a place, beyond what the engine lets in
    gathered = G d (1 + g / 2) / (1 + g), g = G B accepted / osl         if the engine waits G steps for more prompts
    seen = P d / 2 + P B accepted p / osl                               if it looks for prompts every P steps only

`first` is the own prefill over that of a prompt alone: it shares its steps with decodes and other prompts. What enters
one time leaves the other: ttft + osl * tpot does not depend on `burst`. With 1/2 all prompts come together; if clients
send n requests one after another and only the first come together, it is 1 / (2 n). An engine whose decodes wait while
there are prompts keeps together who came together: they decode in the same steps, and if their lengths are equal they
end in the same one. Every wave is then like the first: `burst` is 1/2. `missing` is 1 where the engine lets in one
request less than the clients keep open, so that one always waits for the next to end. Of the 1 + g prompts that an
engine gathers the first waits G steps, the others half of them in the mean. Prompts that are seen together are
computed together.

A step with prompts takes at least `launch` seconds for each of its L layers, as if the host launched its kernels one by
one, since captured graphs hold decode steps only (fitted, not shown: the simulator follows real runs without it):

    alone = max( alone on the device , launch L )

The first prompt of a step therefore costs more than those that join it. A step brings each of `ranks` of attention data
l = pieces B accepted / (ranks osl) prompts or pieces of them, at random, so with a chance c = 1 - exp(-ranks l) anybody
has one. Ranks that share experts wait in every step for the one that prefills most, with m(l) prompts, the mean of the
largest of `ranks` Poisson numbers (m = l for one rank). With p of prompts that fill all ranks, a prompt costs

    p' = max( (c (alone - shared d) + (m - c) ranks p) / (ranks l) , p )             `apart` has the factors

but for prompts of a burst, which fill all ranks. `shared` is 0, and d left out, where decodes wait for prompts and do
not share their steps, or where ranks wait for each other. Equal requests whose prompts shared a step end in one step,
and come back together but for the SPACING in which clients take and send them. Of at most `group` that a step holds,
n = d / SPACING share one again, and

    p' = max( (alone - shared d + (n - 1) p) / n , p )

A run of N requests on B places ends with a round that is not full. Requests of one length that begin together end
together; a prefill at a time keeps them apart. With s = B p / (B p + osl d) and x = N / B = whole + part,

    rounds = s x + (1 - s) (whole + (1 + part) / 2 if part)             rate = x / rounds * steady rate

since half of a decode step's time, roughly, does not shrink with the batch.

A run of N requests that come at a given rate r, on B places, is no steady state. A prompt takes the engine
s = p + d / k (k prompts in a full prefill step, which decodes share), a request m = p + osl d / (accepted B). With
M = min(N, B),

    waiting  = max( (M - 1) / 2 (s - 1/r) , s min( r s / (2 (1 - r s)) , (2/3) sqrt(2 M / pi) ) )     for its prefill
             + (N - B) / 2 (m - 1/r)+                                                        for a place, if C >= B

Of each kind of waiting the first request has none and the last one twice the mean (a fluid: 1/r apart they come, s or
m apart they are served). Where prefills keep up, r s < 1, there is the queue of regular service and Poisson arrivals
(M/D/1), which in a finite run is at most that of a random walk. Waiting for prefill leaves tpot as a burst does:
burst = (1 - 1 / (r s))+ / 2, which is 1/2 if all come at once. Knows no distribution: means only.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.engines import Client

TOGETHER = 0.5
"""`burst` where all prompts come at once: half of the others' are before one's own."""
MANY_PROMPTS = 50.0
"""Prompts of a rank and step beyond which a Poisson number is taken as normal."""
SPACING = 4e-3
"""Seconds between equal requests that end in one step and come back."""
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
    rate: Array = 0.0,
    prompts: Array = 1.0,
    waves: Array = 1.0,
    gather: Array = 0.0,
    poll: Array = 0.0,
    apart: tuple[Array, Array] = (0.0, 1.0),
    group: Array = 1.0,
    layers: Array = 0.0,
    shared: Array = 0.0,
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
    rate
        Requests per second that come, `concurrency` of them open in the mean; 0: as many as keep `concurrency` open.
    prompts
        Prompts in a full prefill step.
    waves
        Waves of prompts, in which those of the first stay together; 1: they part.
    gather
        Steps that the engine waits for more prompts before it computes one.
    poll
        Steps after which it looks for new ones.
    apart
        Factors on the first prompt of a step and on further ones in the mean cost of a prompt (`ranks_apart`); (0, 1):
        all fill their steps.
    group
        Most prompts that come together, where requests are equal; 1: they come at random.
    layers
        Layers of a prompt's steps that the host launches one by one.
    shared
        Steps of a prompt that decodes share; 0: they wait.
    """
    xp = namespace(decode, prefill, concurrency, capacity, osl)
    batch = xp.minimum(concurrency + 0.0 * capacity, capacity + 0.0 * concurrency)
    alone = xp.maximum(alone, client.launch * layers + 0.0 * alone)
    share, more = _sharing(decode, batch, group, apart)
    single = xp.maximum(alone - shared * decode, prefill)
    together, prefill = prefill, xp.maximum(share * single + more * prefill, prefill)
    others = xp.maximum(batch - 1.0, 0.0 * batch)
    per_request = prefill + osl * decode / (accepted * batch)
    front = client.frontend + client.per_request * (concurrency - 1.0)
    burst = xp.where(waves > 1.0, TOGETHER, client.burst + 0.0 * waves)
    waiting = burst * others * together + (concurrency - batch + client.missing) * per_request
    finished = _full(batch, requests, prefill / per_request) / per_request
    given = rate > 0
    if _any(given):
        least = xp.minimum(requests + 0.0 * batch, MANY * batch)
        behind, queue = _arriving(rate, least, prefill + decode / prompts, per_request, capacity, concurrency)
        waiting, burst = xp.where(given, queue, waiting), xp.where(given, behind, burst)
    come = batch * accepted / osl
    gathered = gather * decode * (1.0 + 0.5 * gather * come) / (1.0 + gather * come)
    seen = poll * (0.5 * decode + come * together)
    ttft = front + client.first * alone + waiting + gathered + seen
    tpot = decode / accepted + (1.0 - burst) * others * prefill / osl
    e2e = ttft + (osl - 1.0) * tpot
    if _any(given):
        finished = xp.where(given, 1.0 / (1.0 / xp.maximum(rate, 1e-9) + (e2e + waiting) / requests), finished)
    return Online(ttft=ttft, tpot=tpot, e2e=e2e, request_rate=finished, batch=batch)


def _sharing(decode: Array, batch: Array, group: Array, apart: tuple[Array, Array]) -> tuple[Array, Array]:
    """`apart`, or where equal prompts come in groups what they share."""
    xp = namespace(decode, batch, group)
    together = xp.maximum(xp.minimum(decode / SPACING, xp.minimum(group + 0.0 * batch, batch + 0.0 * group)), 1.0)
    return xp.where(group > 1.0, 1.0 / together, apart[0]), xp.where(group > 1.0, 1.0 - 1.0 / together, apart[1])


def ranks_apart(prompts: Array, ranks: Array) -> tuple[Array, Array]:
    """Factors on a prefill alone, and on that of full ranks, of what a prompt costs `ranks` that wait for each other.

    `prompts`: those, or pieces of them, that come to a rank in a step, at random.
    """
    xp = namespace(prompts, ranks)
    somebody = -xp.expm1(-ranks * prompts)
    more = xp.maximum(busiest(prompts, ranks) - somebody, 0.0 * somebody)
    return somebody / (ranks * prompts), more / prompts


def busiest(mean: Array, ranks: Array) -> Array:
    """Mean of the largest of `ranks` Poisson numbers of a mean: the sum over k of 1 - P(number <= k)^ranks.

    Of one it is the mean. Beyond a mean of MANY_PROMPTS, mean + sqrt(2 mean ln(ranks)), up to 6% too much.

    Examples
    --------
    >>> round(float(busiest(0.375, 1.0)), 3), round(float(busiest(0.375, 8.0)), 2)
    (0.375, 1.37)
    """
    if not _any(ranks > 1):
        return mean + 0.0 * ranks
    xp = namespace(mean, ranks)
    few = xp.minimum(mean, MANY_PROMPTS + 0.0 * mean)
    chance = xp.exp(-few)
    below, total = 0.0 * few, 0.0 * few * ranks
    for k in range(int(few.max() if hasattr(few, "max") else few) + 60):
        below = below + chance
        total = total + (1.0 - xp.minimum(below, 1.0 + 0.0 * below) ** ranks)
        chance = chance * few / (k + 1)
    return xp.where(mean > MANY_PROMPTS, mean + xp.sqrt(2.0 * mean * xp.log(ranks)), total)


def met(mean: Array, requests: Array) -> Array:
    """Open requests that a request meets in a run of N that come evenly, if `mean` = C are open over the whole run.

    A request stays R, all come within S, so C = N R / (S + R); the open ones rise, stay and fall, and requests are many
    when many are open. Their mean over requests, the integral of open(t)^2 / (N R), is with y = C / (N - C) = R / S

        N y (1 - y / 3)  for y <= 1,        N (1 - 1 / (3 y))  beyond

    Examples
    --------
    >>> met(0.0, 500.0), round(met(50.0, 500.0), 1), met(500.0, 500.0)
    (0.0, 53.5, 500.0)
    """
    xp = namespace(mean, requests)
    mean = xp.minimum(mean, 1.0 * requests)
    left = requests - mean
    rising = mean / xp.maximum(left, 0.5 * requests)
    falling = left / xp.maximum(mean, 0.5 * requests)
    return requests * xp.where(mean <= left, rising * (1.0 - rising / 3.0), 1.0 - falling / 3.0)


def _arriving(
    rate: Array, requests: Array, prompt: Array, request: Array, capacity: Array, concurrency: Array
) -> tuple[Array, Array]:
    """Share of others' prefills before the own first token, and seconds of waiting, if requests come at a rate.

    `prompt`, `request`: seconds of the replica for each.
    """
    xp = namespace(rate, requests, prompt, request, capacity, concurrency)
    apart = 1.0 / xp.maximum(rate, 1e-9 + 0.0 * rate)
    admitted = xp.minimum(requests + 0.0 * capacity, capacity + 0.0 * requests)
    behind = xp.maximum(prompt - apart, 0.0 * prompt)
    use = prompt / apart
    steady = use / xp.maximum(2.0 * (1.0 - use), 1e-9 + 0.0 * use)
    walk = 2.0 / 3.0 * xp.sqrt(2.0 / math.pi * admitted)
    queue = xp.maximum(0.5 * (admitted - 1.0) * behind, xp.minimum(steady, walk) * prompt)
    late = 0.5 * xp.maximum(requests - capacity, 0.0 * admitted) * xp.maximum(request - apart, 0.0 * request)
    return 0.5 * behind / prompt, queue + late * (concurrency >= capacity)


def _any(condition: Array) -> bool:
    return condition if isinstance(condition, bool) else bool(condition.any())


def _full(batch: Array, requests: Array, prefilling: Array) -> Array:
    """Steady rounds over the rounds that a run of `requests` takes."""
    xp = namespace(batch, requests, prefilling)
    rounds = xp.minimum(requests / batch, MANY + 0.0 * batch)
    whole = xp.floor(rounds + 1e-9)
    part = xp.maximum(rounds - whole, 0.0 * rounds)
    last = xp.where(part > 1e-9, 0.5 * (1.0 + part), 0.0 * part)
    return rounds / (prefilling * rounds + (1.0 - prefilling) * (whole + last))
