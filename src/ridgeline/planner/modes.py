"""Price against speed: what one model on one system could be sold as, read off the frontier of all its deployments.

    slow       the cheapest point there is: what no deadline saves
    standard   the cheapest within --tpot; without it, within the TPOT of the cheapest decode at twice the balance batch
    fast       1.5, 2.5, 4 times as fast: the cheapest point within TPOT / k
    floor      the fastest point: no price buys more on these chips

With cost(t) the least cost of any deployment that keeps TPOT t, an offer of k times the speed for q times the price is
at cost from the TPOT t where cost(t / k) = q cost(t). At batches B*, 2 B*, 3 B* decode alone is priced, so that what
slow saves can be held against the lecture's 1 - max(1, x) / max(1, 1 / kappa + x). Contexts and sparsities are planned
anew. Knows no demand: a price is a multiple of the cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.model.architecture import Experts
from ridgeline.planner.plans import Candidates, PlanResult
from ridgeline.planner.replicas import DECODE_CHUNK, replicas
from ridgeline.planner.search import plan
from ridgeline.scenario import Scenario
from ridgeline.serving import balance
from ridgeline.subject import Subject, subject

SPEEDS = (1.5, 2.5, 4.0)
OFFER = (2.5, 6.0)
"""Speed and price of the fast mode that the lecture takes apart."""
KAPPAS = (1, 2, 3)
CONTEXTS = (8_000, 32_000, 128_000, 200_000, 1_000_000)
SPARSITIES = (0.25, 0.5, 1.0, 2.0, 4.0)


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the frontier."""

    name: str
    deployment: str
    batch: int
    tpot: float
    low: float
    high: float
    ttft: float
    cost: float
    """Dollars (else chip-seconds) per request."""
    speed_ratio: float
    cost_ratio: float
    """Over standard."""


class Balanced(msgspec.Struct, frozen=True, kw_only=True):
    """Decode alone at a multiple of the balance batch: on the layout that is cheapest at it."""

    kappa: float
    batch: int
    deployment: str
    tpot: float
    cost: float
    """Per output token; NaN where memory holds no such batch."""
    saving: float
    """What the cheapest decode of any batch saves of it."""


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Decode alone at another context or sparsity: cheapest and fastest."""

    value: float
    label: str
    deployment: str
    batch: int
    tpot: float
    cost: float
    ratio: float
    """Cost over the first row's, or over the model's own."""
    fastest: float
    balance_batch: float


class Modes(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a price sheet could be made of."""

    scenario: Scenario
    subject: Subject
    priced: bool
    evaluated: int
    modes: tuple[Mode, ...]
    why_standard: str
    offer_tpot: float
    """TPOT from which 2.5 times the speed costs 6 times as much; NaN if nowhere."""
    offer_cost: float
    """Cost ratio of 2.5 times the speed from standard; infinite if it cannot be had."""
    offer_speed: float
    """Speed ratio that 6 times the cost buys from standard."""
    balanced: tuple[Balanced, ...]
    contexts: tuple[Reach, ...]
    sparsities: tuple[Reach, ...]


def modes(scenario: Scenario) -> Modes:
    """The frontier of a scenario's model on its system and the modes on it.

    Raises
    ------
    InputError
        With a context instead of request lengths, or if nothing fits.
    """
    if not isinstance(scenario.context, (int, float)) or scenario.context:
        raise InputError("modes with --context", "request lengths", "use --isl and --osl")
    free = msgspec.structs.replace(scenario, tpot=0.0, user_rate=0.0)
    result = plan(free, top=1)
    found = result.subject
    balanced, cheapest = _balanced(scenario, found)
    c, rows = result.candidates, result.front("speed", "cost")
    asked = float(scenario.tpot) or (1.0 / scenario.user_rate if scenario.user_rate else 0.0)
    known = [each for each in balanced if each.kappa == 2 and np.isfinite(each.cost)]
    if asked:
        limit, why = asked, "the cheapest within the TPOT that is asked for"
    elif known:
        limit, why = known[0].tpot, "the cheapest within the TPOT of decode at twice the balance batch"
    else:
        limit, why = float(c.tpot[rows[-1]]), "the cheapest: memory does not hold twice the balance batch"
    tpot, cost = c.tpot[rows], c.usd[rows]
    at = int(np.searchsorted(tpot, limit * (1 + 1e-9), side="right")) - 1
    if at < 0:
        raise InputError(f"a TPOT of {limit * 1e3:.3g} ms", f"the lowest is {tpot[0] * 1e3:.3g} ms", "allow more time")
    picks = [("slow", len(rows) - 1), ("standard", at)]
    for k in SPEEDS:
        if (fast := int(np.searchsorted(tpot, tpot[at] / k, side="right")) - 1) >= 0:
            picks.append((f"fast {k:g}x", fast))
    picks.append(("floor", 0))
    named = tuple(_mode(name, c, int(rows[i]), result, tpot[at] / tpot[i], cost[i] / cost[at]) for name, i in picks)
    quick = np.searchsorted(tpot, tpot / OFFER[0], side="right") - 1
    can = np.flatnonzero(quick >= 0)
    ratios = cost[quick[can]] / cost[can]
    worth = can[ratios >= OFFER[1]]
    own = int(np.searchsorted(tpot, tpot[at] / OFFER[0], side="right")) - 1
    return Modes(
        scenario=scenario,
        subject=found,
        priced=result.plans[0].usd is not None,
        evaluated=result.evaluated,
        modes=named,
        why_standard=why,
        offer_tpot=float(tpot[worth[-1]]) if len(worth) else float("nan"),
        offer_cost=float(cost[own] / cost[at]) if own >= 0 else float("inf"),
        offer_speed=float(tpot[at] / tpot[np.flatnonzero(cost <= OFFER[1] * cost[at])[0]]),
        balanced=tuple(
            msgspec.structs.replace(each, saving=1.0 - cheapest / each.cost) if np.isfinite(each.cost) else each
            for each in balanced
        ),
        contexts=_contexts(scenario, found),
        sparsities=_sparsities(scenario, limit),
    )


def _mode(name: str, c: Candidates, row: int, result: PlanResult, speed: float, cost: float) -> Mode:
    return Mode(
        name=name, deployment=c.name(row), batch=int(c.batch[row]), tpot=float(c.tpot[row]), low=float(c.low[row]),
        high=float(c.high[row]), ttft=float(c.ttft[row]), cost=float(c.usd[row]), speed_ratio=float(speed),
        cost_ratio=float(cost),
    )  # fmt: skip


def _balanced(scenario: Scenario, found: Subject) -> tuple[list[Balanced], float]:
    """Decode at multiples of B* on the layout that is cheapest there, and the cheapest decode of all."""
    half = _decode(scenario, context=scenario.decode_context, tpot=0.0, user_rate=0.0)
    own = replicas(half, found, (DECODE_CHUNK,))
    paid = found.chips / (found.chips // own.space.chips)
    whole = plan(half, top=1)
    scale = float(whole.candidates.usd[0] / whole.candidates.chip_seconds[0]) / scenario.gained / scenario.utilisation
    least = float((paid[own.index] * own.seconds / own.batch).min()) * scale
    start = balance(found.model, found.system, found.precision, found.chips).balance_batch
    out: list[Balanced] = []
    for kappa in KAPPAS:
        batch = round(kappa * start)
        can = np.flatnonzero(own.most[0] >= batch)
        if not len(can):
            nan = float("nan")
            out.append(Balanced(kappa=kappa, batch=batch, deployment="", tpot=nan, cost=nan, saving=nan))
            continue
        seconds = own.decode(can, np.full(len(can), float(batch)))
        best = int(np.argmin(paid[can] * seconds))
        degrees = {name: int(getattr(own.space, name)[can[best]]) for name in own.space.__struct_fields__}
        cost = float(paid[can[best]] * seconds[best]) / batch * scale
        out.append(
            Balanced(
                kappa=kappa,
                batch=batch,
                deployment=str(type(own.space)(**degrees)),
                tpot=float(seconds[best]) / scenario.gained,
                cost=cost,
                saving=0.0,
            )
        )
    return out, least


def _contexts(scenario: Scenario, found: Subject) -> tuple[Reach, ...]:
    """Decode at longer and longer contexts, as far as one sequence fits."""
    longest = found.model.max_context
    asked = [c for c in CONTEXTS if not longest or c <= max(longest, CONTEXTS[0])]
    if longest and longest not in asked and longest > asked[-1]:
        asked.append(longest)
    return _reach([(_decode(scenario, context=c), c, f"{c:,} tok") for c in asked], 0)


def _sparsities(scenario: Scenario, limit: float) -> tuple[Reach, ...]:
    """The same active experts of fewer and of more; within the standard TPOT."""
    found = subject(scenario)
    if not any(isinstance(f, Experts) for layer in found.model.layers for f in layer.feedforwards):
        return ()
    asked = []
    for k in SPARSITIES:
        text = ",".join(filter(None, (scenario.set, f"experts.count={k:g}x")))
        changed = _decode(scenario, set=text, context=scenario.decode_context, tpot=limit)
        try:
            model = subject(changed).model
        except InputError:  # fewer experts than are active
            continue
        sparsity = model.parameters / model.active_parameters
        asked.append((changed, sparsity, f"{model.parameters / 1e9:,.0f}e9 parameters, {sparsity:.3g} to 1"))
    own = found.model.parameters / found.model.active_parameters
    return _reach(asked, next((i for i, each in enumerate(asked) if abs(each[1] / own - 1) < 1e-9), 0))


def _decode(scenario: Scenario, **changes: Any) -> Scenario:
    """The scenario's decode alone, without what only prompts have."""
    alone = {"ttft": 0.0, "e2e": 0.0, "pools": "", "prefill_system": "", "prefill_chips": 0}
    return msgspec.structs.replace(scenario, **alone, **changes)


def _reach(asked: Sequence[tuple[Scenario, float, str]], first: int) -> tuple[Reach, ...]:
    """Plans of decode alone; what does not fit or is too slow is left out."""
    out: list[Reach] = []
    base = float("nan")
    for i, (scenario, value, label) in enumerate(asked):
        try:
            result = plan(scenario, top=1, ask=False)
        except InputError:
            continue
        best, found = result.plans[0], result.subject
        cost = (best.chip_seconds if best.usd is None else best.usd) / scenario.osl
        base = cost if i == first else base
        out.append(
            Reach(
                value=value,
                label=label,
                deployment=best.name,
                batch=best.batch,
                tpot=best.tpot,
                cost=cost,
                ratio=cost,
                fastest=float(result.candidates.tpot.min()),
                balance_batch=balance(found.model, found.system, found.precision, found.chips).balance_batch,
            )
        )
    return tuple(msgspec.structs.replace(each, ratio=each.cost / base) for each in out)
