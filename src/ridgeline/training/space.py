"""All layouts of a job on its chips, as arrays: every combination of degrees that divides model, batch and chips.

tp, cp, ep and micro-batches are tried in powers of two and three, pp and its chunks in all divisors; what a question
has decided stays. Larger than useful is left out: tp beyond the scale-up domain, cp that leaves fewer than 1,024 tokens
on a rank, micro-batches of more than 32 sequences. Knows no second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.layout import Divisors
from ridgeline.training.layout import ENDS, RECOMPUTE, Job, TrainingLayout, valid
from ridgeline.training.question import Asked

SHORTEST = 1024
"""Fewest tokens of a sequence on a context-parallel rank."""
LARGEST = 32
"""Most sequences of a searched micro-batch."""
CHUNKS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, 20)
ZEROS = (1, 2, 3)
"""Levels that are searched: level 0 only costs memory, since its messages are as many."""


def divisors_of(n: int) -> list[int]:
    """Divisors of a number, smallest first."""
    low = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return sorted({*low, *(n // d for d in low)})


def smooth(n: int) -> list[int]:
    """Divisors of a number that have no prime factor but 2 and 3."""
    return [d for d in divisors_of(n) if _rest(d) == 1]


def _rest(d: int) -> int:
    while d % 2 == 0:
        d //= 2
    while d % 3 == 0:
        d //= 3
    return d


def layouts(asked: Asked) -> TrainingLayout:
    """All valid layouts of a question; none at all give empty arrays."""
    q, chips, model = asked.question, asked.chips, asked.model
    divisors, seq, batch = Divisors.of(model), q.seq, asked.batch
    domain = asked.system.domain.size
    tps = [q.tp] if q.tp else [d for d in smooth(chips) if d <= max(min(domain, 64), 1)]
    pps = [q.pp] if q.pp else [d for d in divisors_of(chips) if d <= divisors.layers]
    cps = [q.cp] if q.cp else [d for d in smooth(chips) if d == 1 or (seq % d == 0 and seq // d >= SHORTEST)]
    grid = np.array(
        [(tp, pp, cp) for tp in tps for pp in pps for cp in cps if chips % (tp * pp * cp) == 0], dtype=np.int64
    )
    grid = grid.reshape(-1, 3)
    columns = {"tp": grid[:, 0], "pp": grid[:, 1], "cp": grid[:, 2]}
    columns["dp"] = chips // (columns["tp"] * columns["pp"] * columns["cp"])
    keep = batch % columns["dp"] == 0 if not q.dp else columns["dp"] == q.dp
    columns = {name: values[keep] for name, values in columns.items()}
    experts = divisors.experts
    eps = [q.ep] if q.ep else divisors_of(int(np.gcd.reduce(experts))) if experts else [1]
    etps = [q.etp] if q.etp else [1]
    schedule = q.schedule
    vps = [q.vp] if q.vp else [v for v in CHUNKS if v == 1 or schedule in ("1f1b", "interleaved")]
    micro = [q.micro_batch] if q.micro_batch else [d for d in divisors_of(batch) if d <= LARGEST]
    zeros = [int(q.zero)] if q.zero else list(ZEROS)
    again = [RECOMPUTE.index(q.recompute)] if q.recompute else [0, 1, 2]
    columns = _times(columns, "vp", vps)
    keep = (columns["vp"] == 1) | ((columns["pp"] > 1) & (columns["pp"] * columns["vp"] <= divisors.layers + ENDS))
    columns = _times({name: values[keep] for name, values in columns.items()}, "ep", eps)
    columns = _times(columns, "etp", etps)
    keep = (columns["tp"] * columns["cp"] * columns["dp"]) % (columns["ep"] * columns["etp"]) == 0
    columns = _times({name: values[keep] for name, values in columns.items()}, "zero", zeros)
    keep = (columns["zero"] < 2) | (columns["dp"] * columns["cp"] > 1)
    # micro-batches and recomputation come last: neighbours then share their messages between ranks (`repeat.once`)
    columns = _times({name: values[keep] for name, values in columns.items()}, "micro_batch", micro)
    keep = batch % (columns["dp"] * columns["micro_batch"]) == 0
    columns = _times({name: values[keep] for name, values in columns.items()}, "recompute", again)
    shards = np.full_like(columns["tp"], q.hybrid_shard)
    layout = TrainingLayout(
        **columns, shards=shards, sp=np.full(len(shards), q.sp == "on"), schedule=schedule, offload=q.offload,
        balanced=np.full(len(shards), q.stages == "balanced"),
    )  # fmt: skip
    return chosen(layout, valid(layout, divisors, Job(batch=batch, seq=seq, chips=chips)))


def _times(columns: dict[str, np.ndarray], name: str, values: Sequence[int]) -> dict[str, np.ndarray]:
    """Every row with every value of one more column."""
    n, k = len(columns["tp"]), len(values)
    out = {key: np.repeat(column, k) for key, column in columns.items()}
    out[name] = np.tile(np.array(values, dtype=np.int64), n)
    return out


def chosen(layout: TrainingLayout, picked: np.ndarray) -> TrainingLayout:
    """Some of an array of layouts, by mask or by places."""
    fields = {name: getattr(layout, name) for name in layout.__struct_fields__}
    return TrainingLayout(**{n: v if isinstance(v, str) else v[picked] for n, v in fields.items()})


def one(layout: TrainingLayout, place: int) -> TrainingLayout:
    """One of an array of layouts, as numbers."""
    fields = {name: getattr(layout, name) for name in layout.__struct_fields__}
    return TrainingLayout(**{n: v if isinstance(v, str) else v[place].item() for n, v in fields.items()})
