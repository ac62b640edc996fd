"""How a training job divides model and batch over chips, and whether the division is possible.

    chips = tp * pp * cp * dp          micro-batches per step  m = batch / (dp * micro_batch)
    experts: ep * etp divides tp * cp * dp          replicas of an expert = tp * cp * dp / (ep * etp)

- `tp` divides heads and feed-forward width; with `sp` also the tokens of what lies between (norms, residuals).
- `pp` stages of layers, each in `vp` chunks that are not neighbours (interleaving).
- `cp` divides the tokens of a sequence, `dp` the sequences of a batch.
- `ep` deals out whole experts, `etp` divides each; both inside one stage.
- `zero`: what the dp * cp ranks share out: 1 optimizer state, 2 also gradients, 3 also weights. `shards` ranks share
  one copy (hybrid sharding); 0: all of them.

Ranks are placed with tp innermost, then cp, dp, and pp outermost. Knows no second and no byte.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.errors import InputError, UnknownNameError
from ridgeline.layout import Divisors, near
from ridgeline.training.bubble import CHUNKED, SCHEDULES
from ridgeline.training.stages import room

RECOMPUTE = ("none", "selective", "full", "reversible")
"""What the backward pass computes again: nothing; the core of attention (or what the framework calls selective); every
layer from its input; every layer from its output, which is inverted."""
ENDS = 2
"""Embedding and head, which may stand in a chunk of their own."""
OFFLOAD = ("", "optimizer", "activations", "both")
"""What is kept in the host's memory."""


class TrainingLayout(msgspec.Struct, frozen=True, kw_only=True):
    """Degrees of parallelism and what goes with them; numbers or arrays, but one schedule and one offload for all."""

    tp: Array = 1
    pp: Array = 1
    vp: Array = 1
    cp: Array = 1
    dp: Array = 1
    ep: Array = 1
    etp: Array = 1
    zero: Array = 1
    shards: Array = 0
    """Ranks that share one copy of what `zero` shares out; 0: all dp * cp."""
    micro_batch: Array = 1
    """Sequences of one micro-batch."""
    recompute: Array = 0
    """Index into RECOMPUTE."""
    sp: Array = True
    """Whether tp also divides the tokens of norms and residuals (no effect at tp 1)."""
    balanced: Array = False
    """Whether embedding and head count as layers when layers are dealt to stages."""
    schedule: str = "1f1b"
    offload: str = ""

    @property
    def chips(self) -> Array:
        """Devices of the job."""
        return self.tp * self.pp * self.cp * self.dp

    @property
    def ranks(self) -> Array:
        """Ranks that hold the same weights: data and context parallelism together."""
        return self.dp * self.cp

    @property
    def sharing(self) -> Array:
        """Ranks among which one copy of what `zero` shares out is divided."""
        xp = namespace(self.shards, self.dp, self.cp)
        return xp.where((self.shards > 0) & (self.zero > 0), self.shards + 0 * self.ranks, self.ranks + 0 * self.shards)

    @property
    def expert_copies(self) -> Array:
        """Ranks that hold the same experts."""
        return self.tp * self.ranks / (self.ep * self.etp)

    def micro_batches(self, batch: Array) -> Array:
        """Micro-batches per step of one data-parallel rank."""
        return batch / (self.dp * self.micro_batch)

    def __str__(self) -> str:
        named = ((name, getattr(self, name)) for name in ("tp", "pp", "vp", "cp", "ep", "etp", "dp"))
        text = " ".join(f"{name}{degree}" for name, degree in named if degree != 1) or "one device"
        parts = [text, f"mb{self.micro_batch}", f"zero{self.zero}"]
        parts += [f"/{self.shards}"] if self.shards else []
        parts += [RECOMPUTE[int(self.recompute)]] if self.recompute else []
        parts += [self.schedule] if self.schedule not in ("1f1b", "interleaved") else []
        return " ".join(parts + ([f"offload {self.offload}"] if self.offload else []))


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be trained on at once: sequences of a batch, tokens of each, chips."""

    batch: Array
    seq: Array
    chips: Array


def valid(layout: TrainingLayout, divisors: Divisors, job: Job) -> Array:
    """Whether each layout divides the model, the batch and the chips: a bool, or an array of them."""
    tp, group = layout.tp, layout.tp * layout.cp * layout.dp
    ok = (
        (layout.chips == job.chips) & (layout.pp * layout.vp <= divisors.layers + ENDS) & (layout.pp <= divisors.layers)
    )
    for n in divisors.heads + divisors.widths:
        ok = ok & (n % tp == 0)
    for n in divisors.kv_heads:
        ok = ok & ((n % tp == 0) | (tp % n == 0))
    ok = ok & (job.seq % layout.cp == 0) & (job.batch % (layout.dp * layout.micro_batch) == 0)
    ok = ok & ((layout.vp == 1) | (layout.pp > 1))
    xp = namespace(layout.pp, layout.vp)
    empty = room(divisors.layers, layout.pp, layout.vp)
    ok = ok & ((layout.vp == 1) | (empty < xp.maximum(layout.pp, ENDS + 1 + 0 * layout.pp)))
    if layout.schedule in CHUNKED:
        m = job.batch // (layout.dp * layout.micro_batch)
        ok = ok & ((layout.vp == 1) | (m % layout.pp == 0))
    ok = ok & ((layout.shards == 0) | (layout.ranks % _least(layout.shards) == 0))
    if not divisors.experts:
        return ok & (layout.ep == 1) & (layout.etp == 1)
    ok = ok & (group % (layout.ep * layout.etp) == 0)
    for n in divisors.experts:
        ok = ok & (n % layout.ep == 0)
    for n in divisors.expert_widths:
        ok = ok & (n % layout.etp == 0)
    return ok


def _least(shards: Array) -> Array:
    return namespace(shards).maximum(shards, 1 + 0 * shards)


def check(layout: TrainingLayout, divisors: Divisors, job: Job, name: str) -> None:
    """Refuse one layout that does not divide the model called `name`, the batch, the sequence or the chips.

    Raises
    ------
    InputError
        Naming the degree, what it does not divide, and the nearest degrees that do.
    UnknownNameError
        For an unknown schedule or offload.
    """
    for degree in ("tp", "pp", "vp", "cp", "dp", "ep", "etp", "micro_batch"):
        value = getattr(layout, degree)
        if value < 1 or value != int(value):
            raise InputError(f"--{degree.replace('_', '-')} {value:g}", "a whole number of at least 1")
    if layout.schedule not in SCHEDULES:
        raise UnknownNameError("schedule", layout.schedule, SCHEDULES)
    if layout.offload not in OFFLOAD:
        raise UnknownNameError("offload", layout.offload, OFFLOAD[1:])
    if layout.zero not in (0, 1, 2, 3):
        raise InputError(f"--zero {layout.zero:g}", "0, 1, 2 or 3")
    _check_model(layout, divisors, name)
    others = layout.tp * layout.pp * layout.cp
    if layout.chips != job.chips:
        fix = f"dp is then {job.chips // others}" if job.chips % others == 0 else ""
        raise InputError(f"tp * pp * cp * dp = {layout.chips}", f"the {job.chips:,} chips", fix)
    if job.seq % layout.cp:
        raise InputError(f"--cp {layout.cp}", f"a divisor of the {job.seq:,} tokens of a sequence")
    each = layout.dp * layout.micro_batch
    if job.batch % each:
        below, above = job.batch // each * each, -(-job.batch // each) * each
        fix = f"--batch {above}" if not below else f"--batch {below} or {above}"
        raise InputError(
            f"--batch {job.batch}", f"a multiple of dp * micro-batch = {layout.dp} * {layout.micro_batch}", fix
        )
    m = job.batch // each
    if layout.vp > 1 and layout.pp == 1:
        raise InputError(f"--vp {layout.vp}", "1 without a pipeline", "--pp")
    if layout.schedule in CHUNKED and layout.vp > 1 and m % layout.pp:
        raise InputError(f"{m} micro-batches", f"a multiple of pp = {layout.pp} where stages are interleaved")
    if layout.shards and layout.ranks % layout.shards:
        raise InputError(f"--hybrid-shard {layout.shards}", f"a divisor of dp * cp = {layout.ranks}")


def _check_model(layout: TrainingLayout, divisors: Divisors, name: str) -> None:
    """What concerns the model only."""
    for what, numbers in (("attention heads", divisors.heads), ("feed-forward width", divisors.widths)):
        for n in numbers:
            if n % layout.tp:
                raise InputError(f"--tp {layout.tp}", f"a divisor of {name}'s {what}, {n}", near(layout.tp, n))
    for n in divisors.kv_heads:
        if n % layout.tp and layout.tp % n:
            raise InputError(f"--tp {layout.tp}", f"a divisor or multiple of {name}'s {n} key-value heads")
    if layout.pp * layout.vp > divisors.layers + ENDS or layout.pp > divisors.layers:
        given = f"--pp {layout.pp}" + (f" --vp {layout.vp}" if layout.vp > 1 else "")
        raise InputError(given, f"at most the {divisors.layers} layers of {name}")
    empty = room(divisors.layers, layout.pp, layout.vp)
    if layout.vp > 1 and empty >= max(layout.pp, ENDS + 1):
        chunks = layout.pp * layout.vp
        raise InputError(
            f"--pp {layout.pp} --vp {layout.vp}", f"{chunks} chunks that the {divisors.layers} layers of {name} fill",
            f"{empty} of {empty + divisors.layers} places would stay empty",
        )  # fmt: skip
    if not divisors.experts and (layout.ep > 1 or layout.etp > 1):
        raise InputError(f"--ep {layout.ep} --etp {layout.etp}", f"1, since {name} has no experts")
    for n in divisors.experts:
        if n % layout.ep:
            raise InputError(f"--ep {layout.ep}", f"a divisor of {name}'s {n} experts", near(layout.ep, n))
    for n in divisors.expert_widths:
        if n % layout.etp:
            raise InputError(f"--etp {layout.etp}", f"a divisor of {name}'s expert width, {n}", near(layout.etp, n))
    group = layout.tp * layout.cp * layout.dp
    if divisors.experts and group % (layout.ep * layout.etp):
        raise InputError(f"ep * etp = {layout.ep * layout.etp}", f"a divisor of tp * cp * dp = {group}")
