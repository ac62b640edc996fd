"""Prefill and decode on separate pools: every pair of replicas in every split of the chips, rates matched.

x prefill replicas of n_p chips (p seconds per prompt each) and y decode replicas of n_d chips (r requests per second
each):

    rate = min( x rho / p , y r )     x n_p + y n_d <= C (one fleet), or x n_p <= C_p and y n_d <= C_d (two)
    chip-seconds per request = C / rate      ttft = frontend + first_token(rho) + transfer      tpot = decode / accepted

rho is the most use of the prefill pool that keeps the TTFT (`serving.disaggregated.most_use`). The cache of a prompt is
sent when its prefill ends, over as many links as the smaller side has chips that hold the sequence; links also bound
the rates. Three reductions leave out nothing that could be best in cost or speed:

- of prefill replicas with as many chips and holders, one that is no faster per prompt, per step and alone is dropped:
  it can be replaced in any pair without lowering rate or raising a time; the same of decode replicas in TPOT and rate;
- x n_p >= rate p / rho and y n_d >= rate n_d / r, so C / rate >= n_p p / rho + n_d / r for any split: a pair whose
  bound (first with the largest rho that any partner allows, then with its own) exceeds the cost of a known pair that is
  no slower is not split;
- of all splits the best is where x rho / p, which grows with x, crosses y r, which falls: found by bisection.

Knows no queue but that in front of the prefill pool; decode replicas are full.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from ridgeline.engines import engine_constants
from ridgeline.layout import Layout
from ridgeline.memory import device_memory
from ridgeline.model import kv
from ridgeline.planner.limits import Limits
from ridgeline.planner.plans import undominated
from ridgeline.planner.replicas import Replicas, merged, prefill_seconds
from ridgeline.planner.space import joined, layouts, take
from ridgeline.scenario import Scenario
from ridgeline.serving.disaggregated import first_token, most_use
from ridgeline.subject import Subject

PAIRS = 200_000
"""Pairs looked at together."""
FIRST = 8
"""Prefill replicas that are paired with every decode replica first, to know what cost is within reach."""


class Fleet(NamedTuple):
    """Chips of both pools: of one kind shared out at will, or of two kinds or counts, each fixed."""

    chips: int
    prefill: int
    """Chips of the prefill pool if they are fixed, else 0."""
    decode: int
    link: float
    """Bytes per second and chip between the pools."""

    @property
    def paid(self) -> int:
        """All chips."""
        return self.prefill + self.decode if self.prefill else self.chips


class Prefills(NamedTuple):
    """Prefill replicas as columns."""

    layout: Layout
    chunk: np.ndarray
    chips: np.ndarray
    holders: np.ndarray
    per_prompt: np.ndarray
    step: np.ndarray
    """Seconds of the full steps that a prompt passes."""
    alone: np.ndarray

    def rows(self, keep: np.ndarray) -> Prefills:
        """Some of them."""
        return Prefills(take(self.layout, keep), *(column[keep] for column in self[1:]))


class Decodes(NamedTuple):
    """Decode replicas as columns; `row` is that of the layouts."""

    row: np.ndarray
    batch: np.ndarray
    chips: np.ndarray
    holders: np.ndarray
    tpot: np.ndarray
    rate: np.ndarray

    def rows(self, keep: np.ndarray) -> Decodes:
        """Some of them."""
        return Decodes(*(column[keep] for column in self))


class Pairs(NamedTuple):
    """Pairs of a row of `Prefills` and a row of `Decodes`, split over the chips."""

    prefill: np.ndarray
    decode: np.ndarray
    prefills: np.ndarray
    """Replicas."""
    decodes: np.ndarray
    rate: np.ndarray
    ttft: np.ndarray


def cache_bytes(scenario: Scenario, found: Subject) -> float:
    """Bytes of the cache of one prompt, each once."""
    return sum(
        count * kv.stored(mixer, scenario.isl, found.precision.kv_bytes, found.precision.activation_bytes)
        for layer, count in found.model.kinds
        for mixer in layer.mixers
    )


def prefills(scenario: Scenario, found: Subject, chunks: tuple[int, ...], fleet: Fleet) -> Prefills:
    """Every layout and chunk of a prefill replica that fits, with a step's prompts and as many more on their way."""
    from ridgeline.serving import Evaluator

    space = layouts(found.model, fleet.prefill or fleet.chips - 1, skew=scenario.skew)
    space = take(space, np.flatnonzero(found.system.reaches(space.chips)))
    sent = cache_bytes(scenario, found) / fleet.link
    parts: list[Prefills] = []
    for chunk in chunks:
        evaluate = Evaluator(msgspec.structs.replace(scenario, chunk=chunk, verify=1), found)
        held = device_memory(
            found.model, space, found.precision, capacity=found.system.chip.usable,
            seqs=2.0 * np.maximum(evaluate.prompts(space), space.dp), context=scenario.isl, chunk=chunk,
            utilisation=scenario.memory_utilisation,
        )  # fmt: skip
        fits = np.flatnonzero(held.fits)
        here = take(space, fits)
        step, alone = prefill_seconds(evaluate, here) if len(fits) else (np.empty(0), np.empty(0))
        per_prompt = np.maximum(step / evaluate.prompts(here), sent / here.chips)
        _, often = evaluate.alone(here)  # a prompt of several pieces takes as many full steps
        whole, holders = step * often, here.tp * here.cp * here.pp
        parts.append(Prefills(here, np.full(len(fits), chunk), here.chips, holders, per_prompt, whole, alone))
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in Prefills._fields[1:]]
    return Prefills(joined([part.layout for part in parts]), *columns)


def decodes(
    found: Replicas, index: np.ndarray, batch: np.ndarray, seconds: np.ndarray, fleet: Fleet, sent: float
) -> Decodes:
    """Decode replicas with their rates, links included; `sent`: seconds to send one prompt's cache over one link."""
    s, layout = found.scenario, take(found.space, index)
    tpot = seconds / s.gained
    rate = np.minimum(batch / (max(s.osl - 1, 1) * tpot), layout.chips / sent)
    return Decodes(index, batch, layout.chips, layout.tp * layout.cp * layout.pp, tpot, rate)


def grouped(chips: np.ndarray, holders: np.ndarray, *columns: np.ndarray) -> np.ndarray:
    """Rows that no other row with the same chips and holders beats."""
    keep: list[np.ndarray] = []
    _, group = np.unique(np.stack([chips, holders]), axis=1, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        keep.append(rows[undominated(*(column[rows] for column in columns))])
    return np.concatenate(keep) if keep else np.empty(0, dtype=np.int64)


class Matching(NamedTuple):
    """What pairs of one subject and fleet are judged by."""

    p: Prefills
    d: Decodes
    fleet: Fleet
    limits: Limits
    frontend: float
    sent: float
    gaps: float

    def use(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Most use of the prefill pool of each pair, and seconds to send a prompt's cache."""
        transfer = self.sent / np.minimum(self.p.holders[i], self.d.holders[j])
        limit = np.minimum(self.limits.ttft, self.limits.e2e - self.gaps * self.d.tpot[j])
        limit = np.minimum(limit, 1e9) - self.frontend - transfer
        alone, step, each = self.p.alone[i], self.p.step[i], self.p.per_prompt[i]
        return most_use(alone=alone, step=step, per_prompt=each, limit=limit), transfer

    def bound(self, i: np.ndarray, j: np.ndarray) -> np.ndarray:
        """Chip-seconds per request that no split can beat; infinite if the TTFT cannot be kept."""
        use, _ = self.use(i, j)
        with np.errstate(divide="ignore"):
            return self.p.chips[i] * self.p.per_prompt[i] / use + self.d.chips[j] / self.d.rate[j]

    def least(self) -> np.ndarray:
        """Chip-seconds per request of each prefill replica with the best of partners; infinite: TTFT too late."""
        fastest = int(np.argmin(np.where(self.d.tpot <= self.limits.tpot, self.d.tpot, np.inf)))
        widest = int(np.argmax(self.d.holders))
        ideal = self._replace(
            d=self.d.rows(np.array([widest]))._replace(tpot=self.d.tpot[[fastest]])  # neither row may exist: a bound
        )
        every = np.arange(len(self.p.chips))
        use, _ = ideal.use(every, np.zeros_like(every))
        with np.errstate(divide="ignore"):
            return self.p.chips * self.p.per_prompt / use

    def split(self, i: np.ndarray, j: np.ndarray) -> Pairs:
        """The best split of each pair; those without a chip for one of the pools, or without a TTFT, are left out."""
        use, transfer = self.use(i, j)
        n, m = self.p.chips[i], self.d.chips[j]
        each, other = use / self.p.per_prompt[i], self.d.rate[j]
        if self.fleet.prefill:
            x, y = self.fleet.prefill // n, self.fleet.decode // m
        else:
            total = self.fleet.chips
            low, high = np.ones_like(n), np.maximum((total - m) // n, 1)
            for _ in range(math.ceil(math.log2(total + 1))):  # the first x whose prefill keeps up with what is left
                middle = (low + high) // 2
                keeps_up = middle * each >= (total - middle * n) // m * other
                low, high = np.where(keeps_up, low, np.minimum(middle + 1, high)), np.where(keeps_up, middle, high)
            before = np.maximum(high - 1, 1)
            rate = [np.minimum(k * each, (total - k * n) // m * other) for k in (before, high)]
            x = np.where(rate[0] >= rate[1], before, high)
            y = (total - x * n) // m
        rate = np.minimum(x * each, y * other)
        ok = np.flatnonzero((rate > 0) & (x >= 1) & (y >= 1))
        i, j, x, y, rate, transfer = (column[ok] for column in (i, j, x, y, rate, transfer))
        now = np.minimum(rate / (x / self.p.per_prompt[i]), use[ok])
        first = first_token(alone=self.p.alone[i], step=self.p.step[i], per_prompt=self.p.per_prompt[i], use=now)
        return Pairs(i, j, x, y, rate, self.frontend + transfer + first)


def pairs(match: Matching, prune: bool = True) -> Pairs:
    """Every pair of replicas that may be best in cost at its speed, split; without `prune` every pair."""
    count, total = len(match.p.chips), len(match.d.chips)
    if not count or not total:
        nothing = np.empty(0, dtype=np.int64)
        return Pairs(nothing, nothing, nothing, nothing, np.empty(0), np.empty(0))
    if not prune:
        return match.split(np.repeat(np.arange(count), total), np.tile(np.arange(total), count))
    least = match.least()
    cheapest = np.argsort(least, kind="stable")
    cheapest = cheapest[np.isfinite(least[cheapest])]
    loose = cheapest[np.unique(np.linspace(0, len(cheapest) - 1, FIRST).astype(int))] if len(cheapest) else cheapest
    loose = np.union1d(loose, cheapest[:FIRST])
    tried = match.split(np.repeat(loose, total), np.tile(np.arange(total), len(loose)))
    cost = np.full(total, np.inf)
    np.minimum.at(cost, tried.decode, match.fleet.paid / tried.rate)
    order = np.argsort(match.d.tpot, kind="stable")
    reach = np.empty(total)
    reach[order] = np.minimum.accumulate(cost[order])  # the least that a pair no slower is known to cost
    within = np.searchsorted(least[cheapest], reach - match.d.chips / match.d.rate, side="right")
    parts: list[Pairs] = [match.split(*(np.empty(0, dtype=np.int64),) * 2)]
    for rows in np.split(np.arange(total), np.searchsorted(np.cumsum(within), np.arange(PAIRS, within.sum(), PAIRS))):
        j = np.repeat(rows, within[rows])
        first = np.cumsum(within[rows]) - within[rows]
        i = cheapest[np.arange(len(j)) - np.repeat(first, within[rows])]
        near = np.flatnonzero(match.bound(i, j) <= reach[j])
        parts.append(match.split(i[near], j[near]))
    joined = [np.concatenate([part[k] for part in parts]) for k in range(len(Pairs._fields))]
    return Pairs(*joined)


def matched(
    scenario: Scenario,
    found: Subject,
    other: Subject,
    own: Replicas,
    fleet: Fleet,
    chunks: tuple[int, ...],
    limits: Limits,
) -> tuple[Matching, Pairs]:
    """Pairs of prefill replicas on `other` and decode replicas `own`, among them the largest batches within limits."""
    sent = cache_bytes(scenario, found) / fleet.link
    front = engine_constants(scenario.engine or "any", other.system.chip.name).client.frontend
    p = prefills(scenario, other, chunks, fleet)
    p = p.rows(grouped(p.chips, p.holders, p.per_prompt, p.step, p.alone))
    index, batch, seconds = own.index, own.batch, own.seconds
    if limits.given:
        edge, largest = _edges(own, limits)
        index, batch = np.concatenate([index, edge]), np.concatenate([batch, largest])
        seconds = np.concatenate([seconds, own.decode(edge, largest)])
    room = fleet.decode if fleet.prefill else fleet.chips - 1
    ok = np.flatnonzero(own.space.chips[index] <= room)
    d = decodes(own, index[ok], batch[ok], seconds[ok], fleet, sent)
    d = d.rows(grouped(d.chips, d.holders, d.tpot, -d.rate))
    match = Matching(p, d, fleet, limits, front, sent, max(scenario.osl - 1, 1))
    return match, pairs(match)


def _edges(own: Replicas, limits: Limits) -> tuple[np.ndarray, np.ndarray]:
    """The largest batch of each layout within the TPOT, where it lies between two grid points."""
    longest = min(limits.tpot, limits.e2e / max(own.scenario.osl - 1, 1)) * own.scenario.gained
    keeps = own.seconds <= longest
    count = len(own.space.tp)
    good = np.bincount(own.index[keeps], minlength=count)
    first = np.searchsorted(own.index, np.arange(count))
    after = first + good
    edge = np.flatnonzero((good >= 1) & (after < np.append(first[1:], len(own.index))))
    low, high = own.batch[after[edge] - 1], own.batch[after[edge]] - 1
    for _ in range(int(np.ceil(np.log2((high - low).max(initial=0) + 1)))):
        middle = np.ceil((low + high) / 2)
        ok = own.decode(edge, middle) <= longest
        low, high = np.where(ok, middle, low), np.where(ok, high, np.maximum(middle - 1, low))
    return merged(edge, low)
