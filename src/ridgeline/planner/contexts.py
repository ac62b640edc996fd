"""Cost and speed against context: for a model, or for it with another attention, on all chips of a system.

For each context L every layout is tried, alone and full:

    cost(L)     = least over layouts and batches of  p chips D(B, L) / (gained B)        within memory and TPOT
    fastest(L)  = least over layouts of  D(1, L) / gained
    reading(L)  = least over layouts of  p chips P(L) / L,    and of the time of a prompt alone

Two walls: capacity, the longest context of which one sequence fits on all chips; bandwidth, the context L* from which
reading the cache takes longer than the math of a token, so that cost grows with L: linearly, like a square root, or
not at all, as the attention reads. The cheapest batch of a layout is its largest, and the time of a step grows with
batch and context (`replicas.py`), so each limit is found by bisection. Decode alone; what prompts take stands beside
it. Knows no quality of long contexts, no mix of lengths, and no tier below HBM.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.layout import Layout
from ridgeline.memory import device_memory
from ridgeline.model.kv import total_read, total_stored
from ridgeline.model.variant import KINDS, PUBLISHED, variant
from ridgeline.planner.replicas import DECODE_CHUNK, blockwise
from ridgeline.planner.space import layouts, take
from ridgeline.precision import resolve
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator, balance
from ridgeline.serving.point import CHUNK, chip_price
from ridgeline.subject import Subject, subject

FIRST, LAST = 1_000.0, 100_000_000.0
PRECISION = 1.001
"""Ratio of the bounds at which a search for a context ends."""
FAR = 1e15
"""Tokens beyond which a context counts as without end."""


class At(msgspec.Struct, frozen=True, kw_only=True):
    """One context; NaN where not one sequence fits, or none is fast enough."""

    context: float
    cost: float
    """$ (else chip-seconds) per output token: the cheapest within the TPOT."""
    cost_floor: float
    """The same deployment on a perfect machine."""
    batch: float
    tpot: float
    layout: str
    fastest: float
    """Seconds per output token of one sequence alone, on the layout that is fastest for it."""
    fastest_floor: float
    reading: float
    """$ (else chip-seconds) per token of a prompt of this length: the cheapest."""
    ttft: float
    """Seconds in which such a prompt alone is read, on the fastest layout."""
    stored: float
    """Bytes that one sequence keeps."""
    read: float
    """Bytes of them that a step reads."""


class Contexts(msgspec.Struct, frozen=True, kw_only=True):
    """One model at all contexts."""

    label: str
    subject: Subject
    priced: bool
    points: tuple[At, ...]
    balance_context: float
    """L*; infinite where reading never takes longer than math, 0 where it always does."""
    fits: float
    """Longest context of which one sequence fits; infinite where memory does not fill."""
    within_tpot: float | None
    """Longest context that one sequence alone has within the TPOT; None where none is asked."""
    within_cost: float | None
    """Longest context whose output tokens cost no more than a limit; None where none is asked. 0: none at all."""
    interval: tuple[float, float]
    """ln(measured / estimate) of decode steps, between which four of five lie."""


def grid(first: float, last: float) -> np.ndarray:
    """1, 2 and 5 times powers of ten from `first` to `last`, both of them included."""
    powers = 10.0 ** np.arange(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    steps = np.sort(np.concatenate([powers, 2 * powers, 5 * powers]))
    return np.unique(np.concatenate([[first], steps[(steps > first) & (steps < last)], [last]]))


class _Search:
    """Every layout of a model on the chips of a scenario."""

    def __init__(self, scenario: Scenario, found: Subject) -> None:
        self.scenario, self.found = scenario, found
        space = layouts(found.model, found.chips, skew=scenario.skew)
        self.space = take(space, np.flatnonzero(found.system.reaches(space.chips)))
        rate = chip_price(scenario, found)
        self.priced = rate is not None
        replicas = found.chips // self.space.chips
        self.paid = found.chips / replicas * (rate if rate is not None else 1.0) / scenario.utilisation

    def evaluator(self, context: np.ndarray) -> Evaluator:
        chunk = self.scenario.chunk or DECODE_CHUNK
        return Evaluator(msgspec.structs.replace(self.scenario, context=context, chunk=chunk), self.found)

    def room(self, index: np.ndarray, context: np.ndarray, chunk: float) -> np.ndarray:
        """Sequences of `context` tokens that replicas of layouts hold; 0: not one."""
        f, s = self.found, self.scenario
        layout = take(self.space, index)
        held = device_memory(
            f.model, layout, f.precision, capacity=f.system.chip.usable, seqs=1.0 * layout.dp, context=context,
            chunk=chunk, utilisation=s.memory_utilisation, drafts=s.verify > 1,
        )  # fmt: skip
        return held.most_sequences * layout.dp

    def decode(self, index: np.ndarray, context: np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Estimated seconds per output token."""

        def run(part: slice) -> np.ndarray:
            layout, evaluate = take(self.space, index[part]), self.evaluator(context[part])
            return evaluate.estimate(evaluate.decode(layout, batch[part]), layout).seconds / self.scenario.gained

        return blockwise(run, len(index))

    def prompts(self, index: np.ndarray, context: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Estimated seconds of a replica per prompt in full steps, and of one prompt alone."""

        def run(alone: bool, part: slice) -> np.ndarray:
            layout = take(self.space, index[part])
            chunk = self.scenario.chunk or CHUNK
            asked = msgspec.structs.replace(self.scenario, isl=context[part], osl=1, context=0, chunk=chunk)
            evaluate = Evaluator(asked, self.found)
            step, times = evaluate.alone(layout) if alone else (evaluate.prefill(layout), 1 / evaluate.prompts(layout))
            return evaluate.estimate(step, layout).seconds * times

        return blockwise(partial(run, False), len(index)), blockwise(partial(run, True), len(index))

    def floor(self, row: int, context: float, batch: float) -> float:
        """Seconds per output token on a perfect machine."""
        layout = take(self.space, np.array([row]))
        return float(
            self.evaluator(np.array([context])).decode(layout, np.array([batch])).floor[0] / self.scenario.gained
        )

    def cheapest(
        self, index: np.ndarray, context: np.ndarray, room: np.ndarray, tpot: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of pairs of a layout and a context: cost of the cheapest batch within a TPOT, that batch and its TPOT.

        The cost is infinite where a sequence alone is too slow, and for layouts that cannot be the cheapest at their
        context: a batch that is too slow costs no more than any smaller one, so once that is more than what another
        layout costs, the search for the largest batch that is fast enough is given up.
        """
        pace = self.paid[index]
        size = room.copy()
        seconds = self.decode(index, context, size)
        cost = pace * seconds / size
        if math.isinf(tpot):
            return cost, size, seconds
        late = seconds > tpot
        low, high, bound = np.zeros_like(size), size - 1, cost.copy()
        cost[late] = np.inf
        _, group = np.unique(context, return_inverse=True)
        known = np.full(group.max(initial=0) + 1, np.inf)
        np.minimum.at(known, group, cost)
        open_ = np.flatnonzero(late & (high >= 1))
        while len(open_):
            open_ = open_[(bound[open_] <= known[group[open_]]) & (low[open_] < high[open_])]
            if not len(open_):
                break
            middle = np.ceil((low[open_] + high[open_]) / 2)
            took = self.decode(index[open_], context[open_], middle)
            ok = took <= tpot
            now = pace[open_] * took / middle
            good, bad = open_[ok], open_[~ok]
            low[good], cost[good], size[good], seconds[good] = middle[ok], now[ok], middle[ok], took[ok]
            high[bad], bound[bad] = middle[~ok] - 1, now[~ok]
            np.minimum.at(known, group[good], now[ok])
        return cost, size, seconds


def contexts(
    scenario: Scenario, found: Subject, label: str, at: Sequence[float] | np.ndarray, *, cost: float = 0.0
) -> Contexts:
    """Cost and speed of a subject's model at contexts `at`, ascending; `scenario.tpot` limits the cheapest.

    Parameters
    ----------
    cost
        $ (else chip-seconds) per output token up to which the longest context is sought; 0: none.

    Raises
    ------
    InputError
        For contexts that are none, and if the weights do not fit.
    """
    asked = np.array(at, float)
    if not len(asked) or not (asked >= 1).all() or not (asked <= FAR).all():
        raise InputError("contexts", f"from 1 to {FAR:g} tokens")
    search = _Search(scenario, found)
    n, tpot = len(search.space.tp), float(scenario.tpot) or math.inf
    every = np.arange(n)
    one = search.room(every, np.ones(n), DECODE_CHUNK)
    if not len(every) or not (one >= 1).any():
        raise InputError(
            f"{found.model.name} on {found.chips} chips of {found.system.name}", "its weights do not fit",
            "more chips, or narrower --weights",
        )  # fmt: skip
    points = tuple(_at(search, float(each), tpot) for each in asked)

    def fast(context: float) -> bool:
        index = np.flatnonzero(search.room(every, np.full(n, context), DECODE_CHUNK) >= 1)
        full = np.full(len(index), context)
        return bool(len(index) and search.decode(index, full, np.ones(len(index))).min() <= tpot)

    def cheap(context: float) -> bool:
        index, full, room = _fitting(search, context)
        return bool(len(index) and search.cheapest(index, full, room, tpot)[0].min() <= cost)

    def fits(context: float) -> bool:
        return bool((search.room(every, np.full(n, context), DECODE_CHUNK) >= 1).any())

    balanced = balance(found.model, found.system, found.precision, found.chips)
    p, bandwidth = found.precision, found.system.chip.hbm_bandwidth

    def unbound(context: float) -> bool:
        seconds = float(total_read(found.model, context, p.kv_bytes, p.activation_bytes)) / bandwidth
        return seconds <= balanced.math_per_token

    layout = take(search.space, np.array([int(np.flatnonzero(one >= 1)[0])]))
    evaluate = search.evaluator(np.array([FIRST]))
    estimate = evaluate.estimate(evaluate.decode(layout, np.ones(1)), layout)
    return Contexts(
        label=label,
        subject=found,
        priced=search.priced,
        points=points,
        balance_context=longest(unbound),
        fits=longest(fits),
        within_tpot=longest(fast) if math.isfinite(tpot) else None,
        within_cost=longest(cheap) if cost else None,
        interval=(estimate.log_low, estimate.log_high),
    )


def longest(keeps: Callable[[float], bool]) -> float:
    """The longest context that keeps a limit which no longer one does, to PRECISION; 0: none; infinite beyond FAR."""
    low, high = 1.0, FAR
    if not keeps(low):
        return 0.0
    if keeps(high):
        return math.inf
    while high / low > PRECISION:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def _fitting(search: _Search, context: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    every = np.arange(len(search.space.tp))
    room = search.room(every, np.full(len(every), context), DECODE_CHUNK)
    index = np.flatnonzero(room >= 1)
    return index, np.full(len(index), context), room[index]


def _at(search: _Search, context: float, tpot: float) -> At:
    nan = math.nan
    model, precision = search.found.model, search.found.precision
    sizes = [
        float(of(model, context, precision.kv_bytes, precision.activation_bytes)) for of in (total_stored, total_read)
    ]
    out = At(
        context=context, cost=nan, cost_floor=nan, batch=nan, tpot=nan, layout="", fastest=nan, fastest_floor=nan,
        reading=nan, ttft=nan, stored=sizes[0], read=sizes[1],
    )  # fmt: skip
    index, full, room = _fitting(search, context)
    if not len(index):
        return out
    alone = search.decode(index, full, np.ones(len(index)))
    quick = int(alone.argmin())
    out = msgspec.structs.replace(
        out, fastest=float(alone[quick]), fastest_floor=search.floor(int(index[quick]), context, 1.0)
    )
    cost, size, seconds = search.cheapest(index, full, room, tpot)
    best = int(cost.argmin())
    if math.isfinite(cost[best]):
        row, batch = int(index[best]), float(size[best])
        name = str(Layout(**{d: int(getattr(search.space, d)[row]) for d in Layout.__struct_fields__}))
        out = msgspec.structs.replace(
            out, cost=float(cost[best]), batch=batch, tpot=float(seconds[best]), layout=name,
            cost_floor=float(search.paid[row]) * search.floor(row, context, batch) / batch,
        )  # fmt: skip
    reads = np.flatnonzero(search.room(index, full, search.scenario.chunk or CHUNK) >= 1)
    if len(reads):
        index, full = index[reads], full[reads]
        each, first = search.prompts(index, full)
        out = msgspec.structs.replace(
            out, reading=float((search.paid[index] * each).min()) / context, ttft=float(first.min())
        )
    return out


def allowed(scenario: Scenario) -> float:
    """Longest time per output token that a scenario allows, s; 0: any."""
    both = float(scenario.tpot), 1 / scenario.user_rate if scenario.user_rate else 0.0
    return min((t for t in both if t), default=0.0)


def compared(
    scenario: Scenario,
    kinds: Sequence[str],
    models: Sequence[str],
    at: Sequence[float] | np.ndarray,
    *,
    cost: float = 0.0,
) -> tuple[Contexts, ...]:
    """A scenario's model with each attention of `kinds`, and other models of the catalogue, at contexts `at`.

    Raises
    ------
    InputError
        For an unknown kind or model, one that is asked for twice, nothing asked for, and as of `contexts`.
    """
    if not kinds and not models:
        raise InputError("--attention", "at least one kind", f"of {', '.join(KINDS)}")
    for what, names in (("--attention", kinds), ("--models", models)):
        if len(set(names)) < len(names):
            raise InputError(f"{what} {','.join(names)}", "each once")
    scenario = msgspec.structs.replace(scenario, tpot=allowed(scenario), user_rate=0.0)
    own = subject(scenario)
    out: list[Contexts] = []
    for kind in kinds:
        model = variant(own.model, kind)
        same = next((each for each in out if each.subject.model.layers == model.layers), None)
        if same is not None:
            out.append(msgspec.structs.replace(same, label=kind))
            continue
        precision = resolve(model, own.system.chip, scenario.weights, scenario.kv, scenario.activations)
        found = msgspec.structs.replace(own, model=model, precision=precision)
        out.append(contexts(scenario, found, kind if kind != PUBLISHED else own.model.name, at, cost=cost))
    for name in models:
        other = msgspec.structs.replace(scenario, model=name)
        found = subject(other)
        out.append(contexts(other, found, found.model.name, at, cost=cost))
    return tuple(out)
