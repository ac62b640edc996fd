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

Input and output are accounted to the phase that causes them, each at its own floor. Knows no queue and no price.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array
from ridgeline.roofline import Time


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """Speed, throughput and cost of one replica; numbers or arrays. All are floors (costs) or ceilings (rates)."""

    request: Time
    """Seconds of the replica per request."""
    tpot: Array
    """Seconds between two output tokens of a user, prefills of other requests included."""
    decode_tpot: Array
    """The same if prefills run elsewhere."""
    ttft: Array
    """Seconds of a prompt's prefill alone, without queueing."""
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
