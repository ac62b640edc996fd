"""How fast serving is and what it takes, from one prefill and one decode step.

A replica that keeps `batch` sequences in flight does, for each request, one prefill of its prompt, which gives the
first token, and (osl - 1) / accepted decode steps of which it fills a batch-th. Times of work add term by term, so
the seconds of replica per request are

    request = prefill / prompts + decode * (osl - 1) / (accepted * batch)    (a Time: math, memory, comms)
    time between two tokens of a user in steady state    tpot = batch / (osl - 1) * lower(request)
    tokens per second                                    batch / tpot

in which prefills of other requests run between the tokens of a full replica, overlapping decodes perfectly. Money
follows from time:

    chip-seconds per request = chips * request / utilisation           $ = price per chip-second * chip-seconds

Input and output are accounted to the phase that causes them, each at its own floor.

The first token of a prompt that comes at random, while the replica is as full as that, takes

    running = 1.5 accepted tpot           half of the step that runs, and the one that is planned behind it
    own     = alone + pieces decode       its prefill, in steps in which the others decode
    queue   = S u / (2 (1 - u))           prompts before it: S = (prefill + decode) / prompts, u = S / request

by the mean wait of M/D/1 (Pollaczek and Khinchine): prompts are served one after another, S seconds each, and come at
the rate 1 / request that the replica serves. At most all others are before it, half of them in the mean. Knows no
price.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.roofline import Time


class FirstToken(msgspec.Struct, frozen=True, kw_only=True):
    """What the first token of a prompt that comes at random waits for, in seconds; numbers or arrays."""

    running: Array
    queue: Array
    own: Array

    @property
    def seconds(self) -> Array:
        """All of it."""
        return self.running + self.queue + self.own


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Speed, throughput and cost of one replica; numbers or arrays. All are floors (costs) or ceilings (rates)."""

    request: Time
    """Seconds of the replica per request."""
    tpot: Array
    """Seconds between two output tokens of a user, prefills of other requests included."""
    decode_tpot: Array
    """The same if prefills run elsewhere."""
    ttft: Array
    """Seconds of a prompt's prefill alone, without queueing; expected of an engine: mean time to the first token."""
    prefill_per_prompt: Array
    """Seconds of the replica per prompt in a full prefill step; 0 if only decode is looked at."""
    output_rate: Array
    """Output tokens per second of the replica."""
    output_rate_per_chip: Array
    """Output tokens per second and paid chip, idle ones included."""
    user_rate: Array
    """Tokens per second a user sees: 1 / tpot."""
    chip_seconds: Array
    """Paid chip-seconds per request, prefill and decode overlapped: what a plan minimises."""
    chip_seconds_per_input: Array
    """Paid chip-seconds per prompt token, at the prefill's floor."""
    chip_seconds_per_output: Array
    """Paid chip-seconds per output token, at the decode step's floor."""
    first: FirstToken | None = None
    """Parts of `ttft` but the front end's, where it is expected of an engine."""


def serve(
    *,
    decode: Time,
    prefill: Time,
    prefill_alone: Time,
    prompts: Array,
    batch: Array,
    isl: Array,
    gaps: Array,
    accepted: Array,
    chips: Array,
    utilisation: float = 1.0,
) -> Serving:
    """Speed and cost of a replica from its steps.

    Parameters
    ----------
    decode
        One decode step of `batch` sequences.
    prefill
        One prefill step of `prompts` prompts; `prefill_alone` is that of a single prompt per attention rank.
    gaps
        Output tokens after the first, which the prefill gives: osl - 1, but at least 1.
    chips
        Paid chips per replica, idle ones included.
    """
    steps = gaps / accepted
    request = prefill * (1.0 / prompts) + decode * (steps / batch)
    seconds = request.lower
    tpot = batch / gaps * seconds
    paid = chips / utilisation
    decode_tpot = decode.lower / accepted
    return Serving(
        request=request,
        tpot=tpot,
        decode_tpot=decode_tpot,
        ttft=prefill_alone.lower,
        prefill_per_prompt=prefill.lower / prompts,
        output_rate=batch / tpot,
        output_rate_per_chip=batch / tpot / chips,
        user_rate=1.0 / tpot,
        chip_seconds=paid * seconds,
        chip_seconds_per_input=paid * prefill.lower / (prompts * isl),
        chip_seconds_per_output=paid * decode_tpot / batch,
    )


def first_token(
    found: Serving, *, decode: Array, prompts: Array, pieces: Array, batch: Array, gaps: Array, accepted: Array
) -> FirstToken:
    """Mean time to the first token of a prompt that comes at random to a replica whose `ttft` is that of one alone.

    Parameters
    ----------
    decode
        Seconds of a decode step of `batch` sequences.
    prompts
        Prompts in a full prefill step; `pieces`: steps that one prompt takes.
    gaps, accepted
        As of `serve`.
    """
    xp = namespace(found.tpot, decode, batch, prompts)
    share = found.prefill_per_prompt + decode / prompts
    use = share * batch / (found.tpot * gaps)
    mean = use / (2.0 * xp.maximum(1.0 - use, 1e-9 + 0.0 * use))
    queue = share * xp.minimum(mean, 0.5 * (batch - 1.0) + 0.0 * mean)
    return FirstToken(running=1.5 * accepted * found.tpot, queue=queue, own=found.ttft + pieces * decode)
