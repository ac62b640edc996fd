"""A deployment at work: what requests of each length cost on it, per token of the prompt and of the answer.

    input    c(n)    = p chips P(n) / ((1 - hit) n)                           [$ per computed token]
    output   c(n, m) = p chips D(B, n + m/2) (m - 1) / (gained B m)           [$/tok]
    B        = the largest batch of such requests with   cache B <= memory   and   D(B) / gained <= (1 - phi) TPOT

n tokens of prompt, of which the share `hit` is in the cache, m of answer; P seconds of the replica per prompt, D of a
decode step, p $/s of a chip over the share of the time in which chips work. phi is the share of time that prefills take
from the tokens of a replica that does both: mean P over mean P + D (m - 1) / (gained B) of all its requests.

In a replica of many lengths this is what each request takes from the others. A step's time is affine in its sequences,
a + sum of b + c (n + m/2): where TPOT limits it, sequences share the time in proportion to what each adds, where memory
does, each pays what it adds and its share of the fixed part by the cache it holds. Both are the cost of a replica full
of such requests, so the costs of a mix add up to the replica's. With two pools P is the one's, D the other's, phi is 0.

Four answers: the floor and the estimate of the same steps at the same batch, and the interval of the estimate. Knows no
price and no queue, and of the link between two pools only what it takes at the lengths that were planned.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.estimate import Estimate
from ridgeline.layout import Layout
from ridgeline.planner import Plan
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator
from ridgeline.serving.point import chip_price
from ridgeline.subject import Subject, subject

_FEW = 16
"""Lengths and batches from which the share of prefills is told."""
_TOGETHER = 1024
"""Points of one evaluation that take little longer than one."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """$/tok by the floor and by the estimate, with the interval of the estimate; numbers or arrays."""

    floor: np.ndarray
    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def __mul__(self, factor: np.ndarray | float) -> Cost:
        """All four, so many times."""
        return Cost(**{name: getattr(self, name) * factor for name in self.__struct_fields__})

    def __add__(self, other: Cost | float) -> Cost:
        """All four together with another's, or with a cost that has one value."""
        return Cost(
            **{
                name: getattr(self, name) + (getattr(other, name) if isinstance(other, Cost) else other)
                for name in self.__struct_fields__
            }
        )

    def mean(self, weights: np.ndarray) -> Cost:
        """Over all lengths, by weights."""
        return Cost(**{n: np.average(getattr(self, n), weights=weights) for n in self.__struct_fields__})

    @classmethod
    def of(cls, estimate: Estimate, floor: np.ndarray) -> Cost:
        """Of a step: its seconds."""
        return cls(floor=floor, estimate=estimate.seconds, low=estimate.low, high=estimate.high)


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """Costs of requests of many lengths: ``float64[n]`` each."""

    input: Cost
    output: Cost
    batch: np.ndarray
    """Sequences in flight in a replica of such requests; below 1 where not even one fits in memory."""
    tpot: np.ndarray
    """Seconds per output token at that batch."""
    can: np.ndarray
    """Whether one fits, and within the time per output token; where not, costs mean nothing."""

    def rows(self, keep: np.ndarray) -> Costs:
        """Some of them."""
        parts = {
            name: Cost(**{n: getattr(cost, n)[keep] for n in Cost.__struct_fields__})
            for name, cost in (("input", self.input), ("output", self.output))
        }
        return Costs(**parts, batch=self.batch[keep], tpot=self.tpot[keep], can=self.can[keep])


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas of one layout on one system."""

    scenario: Scenario
    subject: Subject
    layout: Layout
    rate: float
    """$/s of a chip."""
    paid: float
    """Chips paid for over chips that work: what is left over, or idles since the other pool is slower."""

    @property
    def usd(self) -> float:
        """$/s of a replica at work."""
        return self.rate * self.layout.chips * self.paid / self.scenario.utilisation


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment with the limits that it is run at."""

    name: str
    prefill: Pool
    decode: Pool
    """The same as `prefill` where one pool does both."""
    apart: bool
    tpot: float
    """Longest time per output token, s; infinite: any."""
    most: float = math.inf
    """Most sequences in a replica."""

    def costs(self, isl: np.ndarray, osl: np.ndarray, share: np.ndarray | None = None) -> Costs:
        """What requests of `isl` prompt and `osl` output tokens cost.

        Parameters
        ----------
        isl, osl
            ``float64[n]``.
        share
            ``float64[n]``: how many requests of each length a replica serves; None: replicas for each of them alone.
        """
        first = Evaluator(_asked(self.prefill.scenario, isl, osl, False), self.prefill.subject)
        layout = self.prefill.layout
        step, prompts = first.prefill(layout), first.prompts(layout)
        prefill = Cost.of(first.estimate(step, layout), step.floor) * (1.0 / prompts)
        then = Evaluator(_asked(self.decode.scenario, isl, osl, self.apart), self.decode.subject)
        layout, gained = self.decode.layout, then.scenario.gained
        gaps = np.maximum(osl - 1, 1)
        room = self._room(then, osl)
        between = 0.0 * isl if self.apart else prefill.estimate
        taken = between / gaps  # seconds of prefills per token and sequence
        busy = np.zeros(1)
        if share is not None and not self.apart and math.isfinite(self.tpot):
            busy = self._busy(then, prefill.estimate, gaps / gained, room, share)
            taken = 0.0 * taken
        batch = room
        if math.isfinite(self.tpot):

            def keeps(size: np.ndarray) -> np.ndarray:
                seconds = then.estimate(then.decode(layout, size), layout).seconds
                return size * taken + seconds / gained <= (1.0 - busy) * self.tpot * (1 + 1e-9)

            batch = np.minimum(largest(keeps, np.maximum(room, 1.0)), room)
        size = np.maximum(batch, 1.0)
        made = then.decode(layout, size)
        decode = Cost.of(then.estimate(made, layout), made.floor)
        tpot = size * taken + decode.estimate / gained / (1.0 - busy)
        return Costs(
            input=prefill * (self.prefill.usd / (isl - first.scenario.prefix)),
            output=decode * (self.decode.usd * gaps / (gained * size * osl)),
            batch=batch,
            tpot=tpot,
            can=(batch >= 1) & (tpot <= self.tpot * (1 + 1e-6)),
        )

    def _room(self, evaluate: Evaluator, osl: np.ndarray) -> np.ndarray:
        """The largest batches that memory holds."""
        layout = self.decode.layout
        alone = evaluate.memory(layout, 1.0).most_sequences
        room = evaluate.memory(layout, 1e9).most_sequences * layout.dp * (alone >= 1) + 0.0 * osl
        room = np.where(evaluate.memory(layout, np.maximum(room, 1.0)).fits, room, room - layout.dp)
        return np.minimum(room, self.most)

    def _busy(
        self, evaluate: Evaluator, prefill: np.ndarray, steps: np.ndarray, room: np.ndarray, share: np.ndarray
    ) -> np.ndarray:
        """Phi of a mix: more prefills leave smaller batches, which leave prefills a smaller share; so there is one."""
        layout = self.decode.layout
        some = np.unique(np.linspace(0, len(room) - 1, _FEW).astype(int))
        weight = np.bincount(np.searchsorted(some, np.arange(len(room)), side="right") - 1, share)
        few = Evaluator(
            _asked(self.decode.scenario, evaluate.scenario.isl[some], evaluate.scenario.osl[some], self.apart),
            self.decode.subject,
        )
        most = np.maximum(room[some], 1.0)
        batches = most ** np.linspace(0.0, 1.0, _FEW)[:, None]
        seconds = few.estimate(few.decode(layout, batches), layout).seconds / evaluate.scenario.gained
        mean = float(share @ prefill / share.sum())
        low, high = 0.0, 1.0
        for _ in range(30):
            busy = (low + high) / 2
            limit = (1.0 - busy) * self.tpot
            size = [np.interp(limit, seconds[:, i], batches[:, i]) for i in range(len(some))]
            each = [np.interp(b, batches[:, i], seconds[:, i]) / b for i, b in enumerate(size)]
            decode = float(weight @ (np.array(each) * steps[some] * evaluate.scenario.gained) / weight.sum())
            low, high = (busy, high) if mean / (mean + decode) > busy else (low, busy)
        return np.array([(low + high) / 2])

    def served(self, isl: float, osl: float) -> Costs:
        """Of one length, as arrays of one.

        Raises
        ------
        InputError
            If not one such request fits in memory.
        """
        out = self.costs(np.array([float(isl)]), np.array([float(osl)]))
        if out.batch[0] < 1:
            raise InputError(
                f"requests of {isl:,.0f} and {osl:,.0f} tokens on {self.decode.layout}", "do not fit in memory",
                "more chips per replica, or shorter requests",
            )  # fmt: skip
        return out


def largest(keeps: Callable[[np.ndarray], np.ndarray], most: np.ndarray) -> np.ndarray:
    """The largest whole number up to `most` that keeps a limit, which no larger one does; at least 1, for each row.

    A search with several points between the bounds, since a step of a thousand points takes as long as one of one:
    `keeps` gets ``float64[points, n]``.
    """
    points = max(1, _TOGETHER // len(most))
    share = np.arange(1, points + 1)[:, None] / (points + 1)
    low, high = np.ones_like(most), np.maximum(np.floor(most), 1.0)
    while (low < high).any():
        tried = np.ceil(low + (high - low) * share)
        ok = keeps(tried)
        low = np.maximum(low, np.where(ok, tried, 0.0).max(axis=0))
        high = np.maximum(np.minimum(high, np.where(ok, np.inf, tried - 1).min(axis=0)), low)
    return low


def planned(name: str, plan: Plan, tpot: float) -> Operation:
    """A plan at work; chips that it leaves idle are shared out over what it does.

    Raises
    ------
    InputError
        Without a price of the chips.
    """
    decode = _pool(plan.point.scenario)
    apart = plan.prefill is not None
    prefill = _pool(plan.prefill.scenario) if plan.prefill is not None else decode
    made = Operation(name=name, prefill=prefill, decode=decode, apart=apart, tpot=tpot)
    if not apart:
        return made
    s = plan.point.scenario
    assert plan.usd_per_input_token is not None
    assert plan.usd_per_output_token is not None
    found = made.served(float(s.isl), float(s.osl))
    paid = plan.usd_per_input_token * s.isl / (s.isl - s.prefix), plan.usd_per_output_token * max(s.osl - 1, 1) / s.osl
    return msgspec.structs.replace(
        made,
        prefill=_more(prefill, paid[0] / float(found.input.estimate[0])),
        decode=_more(decode, paid[1] / float(found.output.estimate[0])),
    )


def given(name: str, scenario: Scenario, tpot: float, most: float = math.inf) -> Operation:
    """Replicas of a scenario's own layout.

    Raises
    ------
    InputError
        For a layout of more chips than there are, or chips without a price.
    """
    pool = _pool(scenario)
    if pool.layout.chips > pool.subject.chips:
        raise InputError(
            f"a layout of {pool.layout.chips} chips ({pool.layout})", f"at most the {pool.subject.chips} chips",
            f"smaller degrees, or --chips {pool.layout.chips}",
        )  # fmt: skip
    return Operation(name=name, prefill=pool, decode=pool, apart=False, tpot=tpot, most=most)


def _pool(scenario: Scenario) -> Pool:
    found, layout = subject(scenario), scenario.layout
    rate = chip_price(scenario, found)
    if rate is None:
        raise InputError(f"the price of a chip of {scenario.system}", "one above 0", 'such as --price "$2/h"')
    replicas = max(found.chips // layout.chips, 1)
    return Pool(
        scenario=scenario, subject=found, layout=layout, rate=rate, paid=found.chips / (replicas * layout.chips)
    )


def _more(pool: Pool, factor: float) -> Pool:
    return msgspec.structs.replace(pool, paid=pool.paid * factor)


def _asked(scenario: Scenario, isl: np.ndarray, osl: np.ndarray, apart: bool) -> Scenario:
    """The scenario with lengths as arrays and the same hit rate; decode alone where another pool prefills."""
    context, hit = isl + osl / 2 if apart else 0, float(scenario.prefix / scenario.isl)
    return msgspec.structs.replace(scenario, isl=isl, osl=osl, context=context, cached=0, hit=hit, phase="decode")
