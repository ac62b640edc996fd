"""The search: every valid layout, batch, chunk, draft depth and format, on one pool or two; the best within the limits.

    minimise   cost (or another objective)   over  options x layouts x batches  and  pairs of replicas x splits,
    subject to   memory fits, TPOT, TTFT, E2E, chips, budget, power;   all as estimated on the scenario's engine

One pool is in `replicas.py`, two in `pools.py`, with the proofs of what they leave out. Chips left over are paid for.
With a `context` instead of request lengths only decode is planned. Knows no queue of the aggregated replica: rates are
those of a full one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.hardware import format_bytes
from ridgeline.planner.deployment import deployment
from ridgeline.planner.limits import Limits, affordable
from ridgeline.planner.plans import OBJECTIVES, Candidates, PlanResult
from ridgeline.planner.pools import Fleet, matched
from ridgeline.planner.replicas import CHUNKS, DECODE_CHUNK, Replicas, aggregated, replicas
from ridgeline.planner.space import joined
from ridgeline.planner.why import TIE, explain_loss, nothing_fits, unreachable
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator
from ridgeline.serving.point import CHUNK, chip_price
from ridgeline.subject import Subject, subject
from ridgeline.units import show

DRAFTS = (1, 2, 3, 4, 5)
"""Tokens per decode step (drafts and one) that are tried where an acceptance rate is given."""
ANY = "any"
"""In the place of formats: all that model and chip allow."""
MOST_TRIED = 144
"""Chips up to which more chips are tried as a remedy."""
SEARCHED = ("tp", "pp", "dp", "ep", "cp", "redundant", "batch", "phase")
"""Fields that every plan finds by itself."""
ASKED = (
    "model", "isl", "osl", "context", "cached", "hit", "skew", "tpot", "ttft", "e2e", "user_rate", "budget", "power",
    "price", "utilisation", "objective", "acceptance", "prefill_system", "prefill_chips",
)  # fmt: skip
"""Fields that say what is asked: a search over them would answer whichever question is the easiest."""


def plan(
    scenario: Scenario, *, top: int = 5, over: Mapping[str, Sequence[Any]] | None = None, ask: bool = True
) -> PlanResult:
    """Search all deployments of a scenario's model on its system; `top` plans of different layouts.

    `over`: further fields of the scenario to search, each with its values (weights, kv, verify, engine, ...).
    `ask`: where the limits cannot be kept, search what would have to change.

    Raises
    ------
    InputError
        If nothing fits in memory (by how much, and what would), or nothing keeps the limits: which ones contradict each
        other, the nearest miss, and what would have to change.
    """
    variants = _variants(scenario, dict(over or {}))
    limits = Limits.of(scenario)
    parts: list[Candidates] = []
    subjects: list[Subject] = []
    refused: InputError | None = None
    layouts = 0
    for number, variant in enumerate(variants):
        found = subject(variant)
        found = msgspec.structs.replace(found, chips=affordable(variant, found, found.chips))
        subjects.append(found)
        try:
            tables, count = _search(variant, found, limits, number, top)
        except InputError as error:
            if len(variants) == 1:
                raise
            refused = refused or error
            continue
        parts += tables
        layouts = max(layouts, count)
    if not parts:
        raise refused or InputError("plan", "nothing to search")
    candidates = Candidates.joined(parts)
    return _rank(scenario, variants, subjects, limits, candidates, layouts, top, ask)


def _variants(scenario: Scenario, over: dict[str, Sequence[Any]]) -> tuple[Scenario, ...]:
    """The scenario with every combination of the searched options' values."""
    for name, values in over.items():
        if name not in Scenario.__struct_fields__:
            raise UnknownNameError("axis", name[:60], Scenario.__struct_fields__)
        if name in SEARCHED:
            raise InputError(f"--over {name}", "searched anyway", "leave it out")
        if name in ASKED:
            raise InputError(f"--over {name}", "part of the question, not of its answer", "compare --over plans each")
        if not len(values):
            raise InputError(f"--over {name}", "at least one value")
        if list(values) == [ANY]:
            over[name] = _allowed(scenario, name)
    if scenario.acceptance and "verify" not in over and scenario.verify == 1:
        over["verify"] = DRAFTS
    alone = msgspec.structs.replace(scenario, tp=1, pp=1, dp=1, ep=1, cp=1, redundant=0, batch=1, phase="decode")
    return tuple(
        msgspec.structs.replace(alone, **dict(zip(over, values, strict=True))) for values in product(*over.values())
    )


def _allowed(scenario: Scenario, name: str) -> list[str]:
    """As published, and all narrower formats that the chip multiplies in (of a cache: fp8, where it has it)."""
    if name not in ("weights", "kv"):
        raise InputError(f"--over {name}={ANY}", "the values to search", f"{ANY} stands for formats of weights or kv")
    alone = msgspec.structs.replace(scenario, tp=1, pp=1, dp=1, ep=1, cp=1, redundant=0, weights="", kv="")
    found = subject(alone)
    narrow = {"fp8": "fp8", "nvfp4": "fp4"} if name == "weights" else {"fp8": "fp8"}
    now = found.precision.bytes["default"] if name == "weights" else found.precision.kv_bytes
    can = [each for each, math in narrow.items() if getattr(found.system.chip.peak, math) and format_bytes(each) < now]
    return ["", *can]


def _search(scenario: Scenario, found: Subject, limits: Limits, variant: int, top: int) -> tuple[list[Candidates], int]:
    """Every point of one variant, and how many layouts fit."""
    decode_only = Evaluator(scenario, found).decode_only
    chunks = (int(scenario.chunk),) if scenario.chunk else (CHUNK,) if decode_only else CHUNKS
    apart = not decode_only and scenario.pools != "aggregated"
    given = bool(scenario.prefill_system or scenario.prefill_chips)
    if decode_only and (given or scenario.pools == "disaggregated"):
        what = "a prefill pool" if given else "--pools disaggregated"
        raise InputError(f"{what} with --context", "plans decode alone", "use --isl and --osl")
    if given:
        if scenario.pools == "aggregated":
            raise InputError("--pools aggregated with a prefill pool", "one pool or two")
        scenario = msgspec.structs.replace(scenario, pools="disaggregated")
    tables: list[Candidates] = []
    count = 0
    if scenario.pools != "disaggregated":
        own = replicas(scenario, found, chunks)
        if not len(own.index) and not (apart and found.chips > 1):
            raise nothing_fits(scenario, found)
        count = len(own.space.tp)
        tables += [_single(own, each, limits, variant) for each in aggregated(own, limits, top)] if count else []
    if apart and (fleet := _fleet(scenario, found)):
        pools, other = fleet
        half = msgspec.structs.replace(scenario, context=scenario.decode_context)
        mine = msgspec.structs.replace(found, chips=pools.decode or pools.chips - 1)
        own = replicas(half, mine, (DECODE_CHUNK,))
        tables += _double(scenario, found, other, own, pools, chunks, limits, variant)
        count = max(count, len(own.space.tp))
    if not tables:
        raise nothing_fits(scenario, found)
    return tables, count


def _fleet(scenario: Scenario, found: Subject) -> tuple[Fleet, Subject] | None:
    """How chips may be divided over two pools and the subject of the prefill pool; None if it cannot be."""
    name, given = scenario.prefill_system, int(scenario.prefill_chips)
    if not name and not given:
        inside = found.chips <= found.system.domain.size
        link = found.system.domain.bandwidth if inside else found.system.network.bandwidth
        if found.chips < 2 or link is None:
            if scenario.pools == "disaggregated":
                raise InputError(f"--pools disaggregated on {found.chips} chips", "two or more with a known network")
            return None
        return Fleet(found.chips, 0, 0, link), found
    other = subject(
        msgspec.structs.replace(scenario, system=name or scenario.system, chips=given, set="" if name else scenario.set)
    )
    if not name:
        if given >= found.chips:
            raise InputError(f"--prefill-chips {given}", f"fewer than all {found.chips} chips of {found.system.name}")
        found = msgspec.structs.replace(found, chips=found.chips - given)
    prices = [chip_price(scenario, each) if each.system.prices or scenario.price else None for each in (found, other)]
    spent = sum(each.chips * (price or 0.0) for each, price in zip((found, other), prices, strict=True))
    if scenario.budget and spent > scenario.budget * (1 + 1e-9):
        raise InputError(
            f"--budget with {found.chips} chips of {found.system.name} and {other.chips} of {other.system.name}",
            f"they take ${spent * 3600:,.0f}/h",
            "fewer --chips or --prefill-chips",
        )
    watts = [each.system.chip.power for each in (found, other)]
    if scenario.power and None in watts:
        raise InputError("--power for two pools", "the power of a chip is not known")
    drawn = sum(each.chips * (power or 0.0) for each, power in zip((found, other), watts, strict=True))
    if scenario.power and drawn > scenario.power * (1 + 1e-9):
        raise InputError(
            f"--power with {found.chips} chips of {found.system.name} and {other.chips} of {other.system.name}",
            f"they take {show(drawn, 'W')}",
            "fewer --chips or --prefill-chips",
        )
    across = [each.system.network.bandwidth for each in (found, other)]
    if any(link is None for link in across):
        raise InputError(
            "a prefill pool of its own", "needs the scale-out bandwidth of both systems", "see the catalogue"
        )
    return Fleet(found.chips + other.chips, other.chips, found.chips, min(link for link in across if link)), other


def _single(own: Replicas, served: Any, limits: Limits, variant: int) -> Candidates:
    """Columns of replicas that do both phases."""
    n, found, s = len(served.index), own.found, own.scenario
    price, watts = chip_price(s, found), found.system.chip.power
    return Candidates(
        space=own.space,
        index=served.index.astype(np.int32),
        prefill_index=np.zeros(n, dtype=np.int32),
        variant=np.full(n, variant, dtype=np.int32),
        batch=served.batch,
        replicas=(found.chips // own.space.chips).astype(np.int32)[served.index],
        chunk=served.chunk.astype(np.int32),
        prefill_replicas=np.zeros(n, dtype=np.int32),
        tpot=served.tpot,
        ttft=served.ttft,
        e2e=served.e2e,
        chip_seconds=served.chip_seconds,
        usd=served.chip_seconds * (1.0 if price is None else price),
        joules=served.chip_seconds * (np.nan if watts is None else watts),
        low=served.tpot * np.exp(own.spread[0]),
        high=served.tpot * np.exp(own.spread[1]),
        feasible=limits.keeps(served.tpot, served.ttft, served.e2e),
    )


def _double(
    scenario: Scenario, found: Subject, other: Subject, own: Replicas, fleet: Fleet, chunks: tuple[int, ...],
    limits: Limits, variant: int,
) -> list[Candidates]:  # fmt: skip
    """Columns of pairs of pools; none if one of them does not fit."""
    if not len(own.index):
        return []
    match, pairs = matched(scenario, found, other, own, fleet, chunks, limits)
    if not len(pairs.rate):
        return []
    tpot = match.d.tpot[pairs.decode]
    usage = scenario.utilisation
    shares = [(found, fleet.decode), (other, fleet.prefill)] if fleet.prefill else [(found, fleet.chips)]
    prices = [chip_price(scenario, each) for each, _ in shares]
    if len({price is None for price in prices}) > 1:
        raise InputError("two pools", "a price of both systems, or of none", 'such as --price "$2/h"')
    spent = sum((1.0 if price is None else price) * chips for price, (_, chips) in zip(prices, shares, strict=True))
    watts = [each.system.chip.power for each, _ in shares]
    power = np.nan if None in watts else sum(w * chips for w, (_, chips) in zip(watts, shares, strict=True) if w)
    e2e = pairs.ttft + match.gaps * tpot
    n = len(tpot)
    return [
        Candidates(
            space=joined([own.space, match.p.layout]),
            index=match.d.row[pairs.decode].astype(np.int32),
            prefill_index=(len(own.space.tp) + pairs.prefill).astype(np.int32),
            variant=np.full(n, variant, dtype=np.int32),
            batch=match.d.batch[pairs.decode],
            replicas=pairs.decodes,
            chunk=match.p.chunk[pairs.prefill],
            prefill_replicas=pairs.prefills,
            tpot=tpot,
            ttft=pairs.ttft,
            e2e=e2e,
            chip_seconds=fleet.paid / pairs.rate / usage,
            usd=spent / pairs.rate / usage,
            joules=power / pairs.rate / usage,
            low=tpot * np.exp(own.spread[0]),
            high=tpot * np.exp(own.spread[1]),
            feasible=limits.keeps(tpot, pairs.ttft, e2e),
        )
    ]


def _rank(
    scenario: Scenario, variants: tuple[Scenario, ...], subjects: list[Subject], limits: Limits, candidates: Candidates,
    layouts: int, top: int, ask: bool,
) -> PlanResult:  # fmt: skip
    """The best point of each of the best layouts.

    The objective is compared in steps of TIE, which no measurement resolves; of equal ones one pool comes before two,
    fewer stages and context ranks before more, then the faster by TIE, then the exact best. Where all are of one pool,
    or all of two, the best of the other kind takes the last place.
    """
    rows = feasible = np.flatnonzero(candidates.feasible)
    if not len(rows):
        remedies = _remedies(scenario, subjects[0]) if ask else []
        raise unreachable(variants[0], subjects[0], limits, candidates, remedies)
    value = getattr(candidates, OBJECTIVES[scenario.objective])[rows]
    if np.isnan(value).all():
        raise InputError("--objective energy", "needs the power of the chip, which is not known")
    grade = np.floor(np.log(value / np.nanmin(value)) / TIE)
    kept = np.flatnonzero(grade <= np.sort(grade)[min(len(grade) - 1, 4096 * top)])
    rows, grade = rows[kept], grade[kept]
    stages = candidates.space.pp * candidates.space.cp
    apart = candidates.prefill_replicas[rows] > 0
    extras = stages[candidates.index[rows]] * np.where(apart, 2 * stages[candidates.prefill_index[rows]], 1)
    second = candidates.usd if scenario.objective == "speed" else candidates.tpot
    pace = np.floor(np.log(second[rows] / second[rows].min()) / TIE)
    order = rows[np.lexsort((value[kept], pace, extras, grade))]
    best: dict[tuple[int, ...], int] = {}
    for row in order:
        best.setdefault(candidates.key(row), int(row))
        if len(best) == top:
            break
    shown = list(best.values())
    apart = candidates.prefill_replicas > 0
    others = feasible[apart[feasible] != apart[shown[0]]]
    if top > 1 and len(others) and (apart[shown] == apart[shown[0]]).all():
        values = getattr(candidates, OBJECTIVES[scenario.objective])[others]
        shown[top - 1 :] = [int(others[np.nanargmin(values)])]
    plans = [deployment(variants, subjects, candidates, row) for row in shown]
    losers = [msgspec.structs.replace(each, why=explain_loss(plans[0], each, scenario.objective)) for each in plans[1:]]
    return PlanResult(
        scenario=scenario,
        subject=subjects[int(candidates.variant[next(iter(best.values()))])],
        limits=limits,
        variants=variants,
        chosen=int(candidates.variant[next(iter(best.values()))]),
        plans=(plans[0], *losers),
        layouts=layouts,
        candidates=candidates,
    )


def _remedies(scenario: Scenario, found: Subject) -> list[str]:
    """Changes of one option with which a search finds a plan: narrower formats, drafts, more chips."""
    default = found.precision.bytes["default"]
    narrow = [name for name, size in (("fp8", 1.0), ("nvfp4", 0.5625)) if size < 0.9 * default]
    tries = [{"weights": name} for name in narrow[-1:]]
    tries += [{"kv": "fp8"}] if found.precision.kv_bytes > 1 else []
    if not (scenario.budget or scenario.power or scenario.prefill_system or scenario.prefill_chips):
        tries += [{"chips": found.chips * k} for k in (2, 4) if found.chips * k <= MOST_TRIED]
    tries += [{"acceptance": 0.7}] if found.model.mtp and scenario.verify == 1 and not scenario.acceptance else []
    out: list[str] = []
    for change in tries:
        name, value = next(iter(change.items()))
        if name == "chips" and any(text.startswith("--chips") for text in out):
            continue
        try:
            easy = {} if scenario.prefill_system or scenario.prefill_chips else {"pools": "aggregated"}
            plan(msgspec.structs.replace(scenario, **easy | change), top=1, ask=False)
        except InputError:
            continue
        shown = f"--acceptance {value:.0%} of drafted tokens" if name == "acceptance" else f"--{name} {value}"
        out.append(shown)
    return out
