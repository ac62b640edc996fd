"""How a layout divides a model over devices: one device's share, and whether the division is possible.

    chips of a replica = tp * pp * dp * cp            ep * moe_tp = tp * dp   (experts)

- `tp` divides heads and feed-forward width; `kv` heads are replicated once tp exceeds them.
- `pp` divides layers into stages; a step's sequences are cut into min(pp, sequences) micro-batches, which pass the
  stages one after another, so a token's time is the sum over all layers at the micro-batch's size.
- `dp` gives each attention rank its own sequences; the experts are shared by all ranks.
- `ep` deals out whole experts, the rest of the tp * dp ranks (`moe_tp`) divides each expert's width. `redundant`
  further copies of experts fill it up where their number does not divide: (experts + redundant) / ep on every rank.
- `cp` divides each sequence's tokens.

Ranks are placed with tp innermost, then cp, dp, and pp outermost. Knows no second;
what is sent is in `messages.py`, what must fit in `memory.py`.
"""

from __future__ import annotations

import math

import msgspec

from ridgeline.arrays import Array, is_one, namespace
from ridgeline.errors import InputError
from ridgeline.model import Architecture
from ridgeline.model.architecture import Attention, Dense
from ridgeline.work import Shard


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Degrees of tensor, pipeline, attention-data, expert and context parallelism; numbers or arrays."""

    tp: Array = 1
    pp: Array = 1
    dp: Array = 1
    ep: Array = 1
    cp: Array = 1
    redundant: Array = 0
    """Copies of experts beyond one of each."""

    @property
    def chips(self) -> Array:
        """Devices of one replica."""
        return self.tp * self.pp * self.dp * self.cp

    @property
    def moe_tp(self) -> Array:
        """Tensor parallelism inside experts."""
        return self.tp * self.dp / self.ep

    def __str__(self) -> str:
        degrees = ((name, getattr(self, name)) for name in self.__struct_fields__)
        lone = dict(zip(self.__struct_fields__, self.__struct_defaults__, strict=True))
        text = " ".join(f"{name}{degree}" for name, degree in degrees if degree != lone[name])
        return text.replace("redundant", "+") or "one device"


class Divisors(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's dimensions allow: the numbers that degrees must divide."""

    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    widths: tuple[int, ...]
    experts: tuple[int, ...]
    expert_widths: tuple[int, ...]
    layers: int

    @classmethod
    def of(cls, model: Architecture) -> Divisors:
        """Distinct head counts, widths and expert counts of `model`'s layers."""
        heads, kv_heads, widths, experts, expert_widths = (set[int]() for _ in range(5))
        for layer, _ in model.kinds:
            for mixer in layer.mixers:
                heads.add(mixer.heads)
                if isinstance(mixer, Attention):
                    kv_heads.add(mixer.kv_heads)
            for feedforward in layer.feedforwards:
                if isinstance(feedforward, Dense):
                    widths.add(feedforward.width)
                else:
                    experts.add(feedforward.count)
                    expert_widths.add(feedforward.width)
        return cls(
            heads=tuple(sorted(heads)),
            kv_heads=tuple(sorted(kv_heads)),
            widths=tuple(sorted(widths)),
            experts=tuple(sorted(experts)),
            expert_widths=tuple(sorted(expert_widths)),
            layers=len(model.layers),
        )

    def valid(self, layout: Layout) -> Array:
        """Whether each layout divides the model: a bool, or an array of them."""
        xp = namespace(layout.tp, layout.pp, layout.dp, layout.ep, layout.cp)
        ok = (layout.pp <= self.layers) & (layout.tp * layout.dp % layout.ep == 0) & (layout.tp > 0)
        for n in self.heads + self.widths:
            ok = ok & (n % layout.tp == 0)
        for n in self.kv_heads:
            ok = ok & ((n % layout.tp == 0) | (layout.tp % n == 0))
        if not self.experts:
            return ok & (layout.ep == 1) & (layout.redundant == 0)
        moe_tp = xp.maximum(layout.tp * layout.dp // layout.ep, 1 + 0 * layout.tp)
        for n in self.experts:
            ok = ok & ((n + layout.redundant) % layout.ep == 0) & (layout.redundant <= n)
        for n in self.expert_widths:
            ok = ok & (n % moe_tp == 0)
        return ok

    def check(self, layout: Layout, name: str) -> None:
        """Refuse one layout that does not divide the model called `name`.

        Raises
        ------
        InputError
            Naming the degree, the dimension it does not divide, and the nearest degrees that do.
        """
        for degree in layout.__struct_fields__:
            value = getattr(layout, degree)
            if value < (least := int(degree != "redundant")) or value != int(value):
                raise InputError(f"{degree}={value}", f"a whole number of at least {least}")
        tp, ep = layout.tp, layout.ep
        for what, numbers in (("attention heads", self.heads), ("feed-forward width", self.widths)):
            for n in numbers:
                if n % tp:
                    raise _indivisible("tp", tp, what, n, name)
        for n in self.kv_heads:
            if n % tp and tp % n:
                raise InputError(f"tp={tp}", f"a divisor or multiple of {name}'s {n} key-value heads", near(tp, n))
        if layout.pp > self.layers:
            raise InputError(f"pp={layout.pp}", f"at most the {self.layers} layers of {name}")
        if not self.experts and layout.redundant:
            raise InputError(f"redundant={layout.redundant}", f"0, since {name} has no experts")
        if not self.experts and ep > 1:
            raise InputError(f"ep={ep}", f"1, since {name} has no experts", "use tp, or run more replicas")
        if tp * layout.dp % ep:
            raise InputError(f"ep={ep}", f"a divisor of tp * dp = {tp * layout.dp}", near(ep, tp * layout.dp))
        for n in self.experts:
            if layout.redundant > n:
                raise InputError(f"redundant={layout.redundant}", f"at most the {n} experts of {name}")
            if (n + layout.redundant) % ep:
                error = _indivisible("ep", ep, "experts", n + layout.redundant, name)
                fill = -n % ep
                raise (
                    InputError(error.given, error.expected, f"{error.fix}, or --redundant {fill}")
                    if fill <= n
                    else error
                )
        for n in self.expert_widths:
            if n % (tp * layout.dp // ep):
                raise _indivisible("tp * dp / ep", tp * layout.dp // ep, "expert width", n, name)


_TRIED = 100_000
"""Divisors up to this, and what they leave, are looked for."""


def near(degree: int, n: int) -> str:
    """The divisors of `n` next to a degree that is none, as a fix; of an absurd `n` those that are quickly found."""
    small = [d for d in range(1, min(math.isqrt(int(n)), _TRIED) + 1) if n % d == 0]
    divisors = [*small, *(int(n) // d for d in small)]
    below = max((d for d in divisors if d < degree), default=1)
    above = min((d for d in divisors if d > degree), default=n)
    return f"try {below}" if below == above or above < degree else f"try {below} or {above}"


def _indivisible(what: str, degree: int, dimension: str, n: int, name: str) -> InputError:
    return InputError(f"{what}={degree}", f"a divisor of {name}'s {dimension}, {n}", near(degree, n))


def micro_batches(layout: Layout, seqs: Array) -> Array:
    """Micro-batches in flight: one per stage, but no more than there are sequences."""
    return namespace(layout.pp, seqs).minimum(layout.pp, namespace(seqs).maximum(seqs, 1 + 0 * seqs))


def shard(layout: Layout, seqs: Array, tokens: Array) -> Shard:
    """One device's share of one micro-batch of a step with `seqs` sequences and so many new tokens.

    The fullest attention rank holds at least one sequence, however few there are. Context parallelism divides the cache
    in decode and the prompt's tokens in prefill; matrices see the tokens divided either way, experts whole tokens.
    """
    tp = 1.0 / layout.tp
    tensors_only = is_one(layout.pp) and is_one(layout.dp) and is_one(layout.cp)
    return Shard(
        heads=tp,
        ffn=tp,
        held_experts=1.0 / layout.ep,
        redundant=layout.redundant,
        expert_width=layout.ep / (layout.tp * layout.dp),
        vocab=tp,
        **({} if tensors_only else _of_sequences(layout, seqs, tokens)),
    )


def _of_sequences(layout: Layout, seqs: Array, tokens: Array) -> dict[str, Array]:
    """Shares of sequences, tokens and contexts; without data, context or pipeline parallelism each has all."""
    xp = namespace(layout.tp, layout.pp, layout.dp, layout.ep, layout.cp, seqs, tokens)
    micro = micro_batches(layout, seqs)
    ranks = xp.maximum(xp.minimum(layout.dp + 0 * seqs, seqs / micro), 1.0 + 0 * seqs)
    sequences = 1.0 / (micro * ranks)
    whole = 1.0 / xp.maximum(tokens, 1.0 + 0 * tokens)
    routed = xp.maximum(1.0 / (micro * layout.cp) + 0.0 * whole, whole + 0.0 * micro)
    return {
        "sequences": sequences,
        "tokens": sequences / layout.cp,
        "routed": routed,
        "context": 1.0 / layout.cp,
    }
