"""Requests counted as they end, so that nothing of them need be kept: sums, extremes and histograms of integers.

    bin of v microseconds = v                              below 2^17
                            2^17 + 2^16 (e - 17) + rest    from 2^e on: the 16 bits below the first one

so that a percentile is known to 1 us, or to 1 part in 65,536 of itself if that is more; counts, means, deviations and
extremes are exact. This file is plain Python that `compiled.py` compiles. Knows no replica's inside.
"""

from __future__ import annotations

import numpy as np

from ridgeline.simulate.abreast import Replicas, state_of
from ridgeline.simulate.engine import (
    ARRIVAL,
    BEHIND,
    FINISH,
    FIRST,
    FULL,
    GAPS,
    GIVEN,
    HEAD,
    JOB,
    NEWER,
    OLDEST,
    OUTPUT,
    PREEMPTIONS,
    PROMPT,
    START,
    advance,
    queue,
)
from ridgeline.simulate.ticks import Tables

FINE = 17
"""Bits below which each microsecond has a bin."""
BINS = (1 << FINE) + (40 - FINE) * (1 << FINE - 1)
"""Up to 2^40 us: 12 days."""
TTFT, TPOT, ITL, E2E, WAIT, NORMALISED, SPEED = range(7)
"""Rows of histograms, of microseconds; SPEED, 1 / TPOT, of thousandths of a token per second."""
COUNT, SUM, SQUARES, LEAST, MOST = range(5)
"""Columns of moments, in seconds (speed: tokens per second)."""
ENDED, TOKENS_IN, TOKENS_OUT, THROWN, MET, REFUSED = range(6)
"""Totals."""


def place(value: int) -> int:
    """Bin of whole microseconds."""
    if value < 1 << FINE:
        return value
    bits = FINE
    while value >> (bits + 1):
        bits += 1
    if bits >= 40:
        return BINS - 1
    return (1 << FINE) + (bits - FINE) * (1 << FINE - 1) + ((value - (1 << bits)) >> (bits - FINE + 1))


def tallied(moments: np.ndarray, bins: np.ndarray, row: int, value: float, weight: int, scale: float) -> None:
    """Count a value of a number of requests."""
    moments[row, COUNT] += weight
    moments[row, SUM] += value * weight
    moments[row, SQUARES] += value * value * weight
    moments[row, LEAST] = min(moments[row, LEAST], value)
    moments[row, MOST] = max(moments[row, MOST], value)
    bins[row, place(int(value * scale + 0.5))] += weight


def note_gaps(
    gaps: np.ndarray, counts: np.ndarray, g: np.ndarray, moments: np.ndarray, bins: np.ndarray, tick: float
) -> None:
    """Count all gaps and forget them."""
    for row in range(g[GAPS]):
        for k in range(counts[0, row]):
            tallied(moments, bins, ITL, (gaps[0, row] + gaps[1, row] * k) * tick, counts[1, row], 1e6)
    g[GAPS] = 0


def note_request(
    jobs: np.ndarray,
    job: int,
    moments: np.ndarray,
    bins: np.ndarray,
    totals: np.ndarray,
    limits: np.ndarray,
    tick: float,
) -> None:
    """Count a request that has ended; `limits` are seconds of TTFT, TPOT and E2E."""
    first = (jobs[FIRST, job] - jobs[ARRIVAL, job]) * tick
    whole = (jobs[FINISH, job] - jobs[ARRIVAL, job]) * tick
    after, output = jobs[FINISH, job] - jobs[FIRST, job], jobs[OUTPUT, job]
    each = after * tick / max(output - 1, 1)
    tallied(moments, bins, TTFT, first, 1, 1e6)
    tallied(moments, bins, E2E, whole, 1, 1e6)
    tallied(moments, bins, WAIT, (jobs[START, job] - jobs[ARRIVAL, job]) * tick, 1, 1e6)
    tallied(moments, bins, NORMALISED, whole / output, 1, 1e6)
    if output > 1:
        tallied(moments, bins, TPOT, each, 1, 1e6)
        tallied(moments, bins, SPEED, 1.0 / each, 1, 1e3)
    totals[ENDED] += 1
    totals[TOKENS_IN] += jobs[PROMPT, job]
    totals[TOKENS_OUT] += output
    totals[THROWN] += jobs[PREEMPTIONS, job]
    if first <= limits[0] and each <= limits[1] and whole <= limits[2]:
        totals[MET] += 1


def harvest(
    jobs: np.ndarray,
    seats: np.ndarray,
    used: np.ndarray,
    b: np.ndarray,
    moments: np.ndarray,
    bins: np.ndarray,
    totals: np.ndarray,
    limits: np.ndarray,
    tick: float,
) -> None:
    """Count who has ended, and free their columns: those neither in the queue nor in the batch."""
    job = b[HEAD]
    while job >= 0:
        used[job] = 2
        job = jobs[BEHIND, job]
    seat = b[OLDEST]
    while seat >= 0:
        used[seats[JOB, seat]] = 2
        seat = seats[NEWER, seat]
    for job in range(len(used)):
        if used[job] == 1:
            note_request(jobs, job, moments, bins, totals, limits, tick)
        used[job] = 1 if used[job] == 2 else 0


def stream(
    law: Tables,
    a: Replicas,
    jobs: np.ndarray,
    used: np.ndarray,
    arrival: np.ndarray,
    prompt: np.ndarray,
    output: np.ndarray,
    most: int,
    until: int,
    begin: int,
    moments: np.ndarray,
    bins: np.ndarray,
    totals: np.ndarray,
    limits: np.ndarray,
    tick: float,
    skip: bool,
) -> int:
    """Give each replica from `begin` on its next requests, and serve them up to a time; all arrive before it.

    Returns the replica for which there was no room in `jobs`, or -1. `most`: tokens that a request may take.
    """
    for r in range(begin, len(a.boards)):
        free = 0
        for job in range(used.shape[1]):
            free += used[r, job] == 0
        if free < len(arrival):
            return r
        job = 0
        for i in range(len(arrival)):
            if output[i, r] == 0:
                continue
            if prompt[i, r] + output[i, r] - 1 > most:
                totals[REFUSED] += 1
                continue
            while used[r, job]:
                job += 1
            used[r, job] = 1
            jobs[r, ARRIVAL, job], jobs[r, PROMPT, job] = arrival[i, r], prompt[i, r]
            jobs[r, OUTPUT, job] = output[i, r]
            jobs[r, START, job] = jobs[r, FIRST, job] = jobs[r, FINISH, job] = -1
            jobs[r, GIVEN, job] = jobs[r, PREEMPTIONS, job] = 0
            queue(jobs[r], a.boards[r], job)
        s = state_of(a, law, jobs[r], r)
        while advance(s, until, skip) == FULL:
            note_gaps(a.gaps, a.counts, a.g, moments, bins, tick)
        harvest(jobs[r], s.seats, used[r], s.b, moments, bins, totals, limits, tick)
    note_gaps(a.gaps, a.counts, a.g, moments, bins, tick)
    return -1
