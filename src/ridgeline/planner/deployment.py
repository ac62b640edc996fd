"""One row of a search in full: the steps of its replicas, and what its money is for.

The prefill's share of a request's money is its share of the replica's time, or of two pools its share of the chips;
chips that one fleet leaves idle are shared out alike. Knows no search.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.planner.plans import Candidates, Plan
from ridgeline.planner.replicas import DECODE_CHUNK
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator, Point
from ridgeline.serving.point import CHUNK, chip_price, point
from ridgeline.subject import Subject, subject


def deployment(variants: tuple[Scenario, ...], subjects: list[Subject], c: Candidates, row: int) -> Plan:
    """A row of a search as a plan: its replicas evaluated in full, its money shared out."""
    variant, found = variants[int(c.variant[row])], subjects[int(c.variant[row])]
    degrees = c.degrees(row)
    apart, replicas, batch = int(c.prefill_replicas[row]), int(c.replicas[row]), int(c.batch[row])
    chunk = int(c.chunk[row]) if int(c.chunk[row]) != CHUNK else variant.chunk
    prefill = None
    change = msgspec.structs.replace
    if not apart:
        scenario = change(variant, chips=found.chips if found.chips != subject(variant).chips else variant.chips)
        whole = point(change(scenario, batch=batch, chunk=chunk, **degrees))
        paid = found.chips
    else:
        alone = change(variant, prefill_system="", prefill_chips=0, pools="", set=variant.set)
        chips = degrees["tp"] * degrees["pp"] * degrees["dp"] * degrees["cp"] * replicas
        decode = change(alone, context=variant.decode_context, chunk=DECODE_CHUNK, chips=chips, batch=batch, **degrees)
        whole = point(decode)
        mine = c.prefill_degrees(row)
        chips = mine["tp"] * mine["pp"] * mine["dp"] * mine["cp"] * apart
        first = change(
            alone, system=variant.prefill_system or variant.system, phase="prefill", osl=1, chunk=chunk, chips=chips,
            verify=1, acceptance=0.0, set="" if variant.prefill_system else variant.set, **mine,
        )  # fmt: skip
        evaluate = Evaluator(first, subject(first))
        seqs = max(evaluate.prompts(first.layout), first.layout.dp * first.layout.pp)
        prefill = point(change(first, batch=seqs))
        paid = _paid(variant, found)
    priced = chip_price(variant, found) is not None
    usd, s = float(c.usd[row]), variant
    gaps = max(s.osl - 1, 1)
    if prefill is None:
        served = whole.expected
        assert served is not None
        share = float(served.prefill_per_prompt / served.request.lower)
    else:
        share = _prefill_share(whole, prefill, replicas, apart, bool(variant.prefill_system or variant.prefill_chips))
    return Plan(
        mode="disaggregated" if apart else "aggregated",
        point=whole,
        prefill=prefill,
        replicas=replicas,
        prefill_replicas=apart,
        tpot=float(c.tpot[row]),
        ttft=float(c.ttft[row]),
        e2e=float(c.e2e[row]),
        chip_seconds=float(c.chip_seconds[row]),
        usd=usd if priced else None,
        usd_per_input_token=usd * share / s.isl if priced and share else None,
        usd_per_output_token=usd * (1.0 - share) / gaps if priced else None,
        chunk=int(c.chunk[row]),
        joules=None if np.isnan(c.joules[row]) else float(c.joules[row]),
        low=float(c.low[row]),
        high=float(c.high[row]),
        chips=paid,
    )


def _prefill_share(decode: Point, prefill: Point, replicas: int, apart: int, fixed: bool) -> float:
    """Share of the money that is for the prefill pool; chips that one fleet leaves idle are shared out."""
    chips = [count * int(p.scenario.layout.chips) for count, p in ((apart, prefill), (replicas, decode))]
    if fixed:
        chips = [prefill.subject.chips, decode.subject.chips]
    rates = [chip_price(p.scenario, p.subject) for p in (prefill, decode)]
    first, second = (n * (rate or 1.0) for n, rate in zip(chips, rates, strict=True))
    return first / (first + second)


def _paid(variant: Scenario, found: Subject) -> int:
    """Chips of all pools."""
    if not variant.prefill_system:
        return found.chips
    other = msgspec.structs.replace(variant, system=variant.prefill_system, chips=variant.prefill_chips, set="")
    return found.chips + subject(other).chips
