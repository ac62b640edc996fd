"""Measured deployments with separate pools: prefill and decode workers, each with a layout of its own.

    mode "disaggregated":  `serving.disaggregated` at `batch` open requests of the whole deployment

Decode steps are evaluated at a few batches up to what the clients or the memory fill, since the closed loop decides
where the pool settles. The prefill pool sends caches over the network between domains, every rank its own part.
Knows no engine's constants until it is asked, and no routing of requests beyond an even share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.engines import APART, EngineConstants
from ridgeline.estimate import Terms, terms
from ridgeline.layout import Layout
from ridgeline.memory import device_memory
from ridgeline.roofline import Time
from ridgeline.serving.disaggregated import Disaggregated, disaggregated
from ridgeline.serving.point import CHUNK
from ridgeline.subject import Subject
from ridgeline.timing import Step
from ridgeline.timing import step as make_step
from ridgeline.work import Segment

MODE = "disaggregated"
POOLS = ("prefill_", "decode_")
GRID = 5
"""Batches at which the decode step is evaluated: evenly spaced in their logarithm, from one sequence to the most."""
SENT = 0.05
"""Share of the network's bandwidth that caches are sent at: vLLM with Mooncake's store sends 17 GB/s over eight network
cards of 50 GB/s (its published times to first token from 128 to 32,768 tokens, less prefill)."""


class PreparedPools(msgspec.Struct, frozen=True, kw_only=True):
    """A group of like rows with the steps they need: what is left is linear in an engine's constants."""

    rows: list[int]
    keys: list[tuple[str, str]]
    engine: str
    source: str
    number: dict[str, np.ndarray]
    decodes: tuple[Terms, ...]
    """Decode steps at `batches`; `decode` is the last."""
    batches: tuple[np.ndarray, ...]
    prefill: Terms
    alone: Terms
    prompts: np.ndarray
    places: np.ndarray
    """Sequences that one decode worker holds; as many as were open where memory seems too small for what did run."""
    transfer: np.ndarray
    decode_time: Time
    """Of one sequence."""
    prefill_time: Time
    found: Subject

    @property
    def decode(self) -> Terms:
        """The largest decode step."""
        return self.decodes[-1]


def evaluate_pools(
    members: Sequence[tuple[int, tuple[str, str], dict[str, float]]],
    found: Subject,
    engine: str,
    *,
    most: float,
    utilisation: float,
) -> PreparedPools:
    """Steps of a group of rows as arrays; `most` sequences per rank are admitted."""
    given = [number for _, _, number in members]
    n = {name: np.array([number[name] for number in given]) for name in given[0]}
    prefills, decoders = (
        Layout(**{name: n[pool + name].astype(np.int64) for name in ("tp", "pp", "dp", "ep")}) for pool in POOLS
    )
    isl, context = np.maximum(n["isl"], 1.0), np.maximum(n["isl"] + n["osl"] / 2, 1.0)

    def run(layout: Layout, segment: Segment) -> tuple[Step, Terms]:
        result = make_step(found.model, found.system, layout, [segment], found.precision)
        return result, terms(result, found.model, found.system, layout, engine)

    def memory(layout: Layout, tokens: np.ndarray):
        capacity = found.system.chip.usable
        return device_memory(
            found.model, layout, found.precision, capacity=capacity, seqs=1.0, context=tokens, utilisation=utilisation
        )

    room = memory(decoders, context).most_sequences
    places = np.where(room >= 1, np.minimum(room, most) * decoders.dp, np.inf)
    fullest = np.maximum(np.minimum(n["batch"] / n["decode_workers"], places), 1.0)
    places = np.where(np.isfinite(places), places, fullest)
    batches = tuple(fullest ** (k / (GRID - 1)) for k in range(GRID))
    decodes = [run(decoders, Segment(seqs=x, new=1, past=context)) for x in batches]
    prompts = np.maximum(CHUNK / isl, 1.0) * prefills.dp * prefills.pp
    prefill_step, prefill = run(prefills, Segment(seqs=prompts, new=isl, past=0.0, prefill=True))
    _, alone = run(prefills, Segment(seqs=1.0 + 0 * isl, new=isl, past=0.0, prefill=True))
    network = found.system.network.bandwidth or found.system.domain.bandwidth or np.inf
    return PreparedPools(
        rows=[i for i, _, _ in members],
        keys=[key for _, key, _ in members],
        engine=engine,
        source=APART,
        number=n,
        decodes=tuple(term for _, term in decodes),
        batches=batches,
        prefill=prefill,
        alone=alone,
        prompts=prompts,
        places=places,
        transfer=memory(prefills, isl).cache_per_sequence / (SENT * network),
        decode_time=decodes[0][0].time,
        prefill_time=prefill_step.time,
        found=found,
    )


def pool_metrics(group: PreparedPools, engine: EngineConstants) -> dict[tuple[str, str], np.ndarray]:
    """Estimates of every metric for all rows of a group, with an engine's constants."""
    n, client, step = group.number, engine.client, group.prefill.total(engine)
    served = disaggregated(
        prefill=step / group.prompts,
        step=step,
        alone=client.frontend + client.first * group.alone.total(engine),
        decode=[each.total(engine) for each in group.decodes],
        batches=group.batches,
        prefill_workers=n["prefill_workers"],
        decode_workers=n["decode_workers"],
        places=group.places,
        osl=np.maximum(n["osl"], 1.0),
        concurrency=n["batch"],
        transfer=group.transfer,
        burst=client.burst,
    )
    return _answers(n, served)


def pool_floors(group: PreparedPools) -> dict[tuple[str, str], np.ndarray]:
    """Bounds of every metric: one sequence per worker, a prompt alone, and no queue."""
    n, osl = group.number, np.maximum(group.number["osl"], 1.0)
    prefill = group.prefill_time.lower / group.prompts
    whole = prefill + osl * group.decode_time.lower
    by_prefill = n["prefill_workers"] / prefill
    served = Disaggregated(
        request_rate=np.minimum(by_prefill, n["batch"] / whole),
        ttft=prefill,
        tpot=group.decode_time.lower,
        prefill_use=0.0,
        decode_use=0.0,
    )
    return _answers(n, served)


def _answers(n: Mapping[str, np.ndarray], served: Disaggregated) -> dict[tuple[str, str], np.ndarray]:
    return {
        (MODE, "ttft_s"): served.ttft,
        (MODE, "tpot_s"): served.tpot,
        (MODE, "e2e_s"): served.ttft + np.maximum(n["osl"] - 1.0, 0.0) * served.tpot,
        (MODE, "out_tok_s"): served.request_rate * n["osl"],
        (MODE, "total_tok_s"): served.request_rate * (n["isl"] + n["osl"]),
    }
