"""The search: every valid layout with every batch of a fine grid, evaluated at once; the cheapest within the limits.

    minimise  paid chip-seconds per request   over layouts x batches,   all as estimated on the scenario's engine
    subject to   memory fits, tpot <= TPOT, ttft <= TTFT

Batches run up to what memory holds, four to an octave, and include the largest that fits and the largest that still
keeps the TPOT (found by bisection: estimates do not fall when the batch grows). Chips left over are paid for. With
a `context` instead of request lengths only decode is planned. Knows no queue: rates are those of a full replica.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ridgeline.layout import Layout
from ridgeline.planner.plans import Candidates, Plan, PlanResult
from ridgeline.planner.space import layouts
from ridgeline.planner.why import TIE, explain_loss, nothing_fits, too_slow
from ridgeline.roofline import Time
from ridgeline.scenario import Scenario, Subject, subject
from ridgeline.serving import Evaluator, as_time

BLOCK = 16384
"""Points evaluated together: enough to amortise Python, few enough to stay in cache."""
PER_OCTAVE = 4


def plan(scenario: Scenario, *, top: int = 5) -> PlanResult:
    """Search all layouts and batches of a scenario's model on its system; `top` plans of different layouts.

    Raises
    ------
    InputError
        If nothing fits in memory (by how much, and what would), or nothing keeps the TPOT or TTFT (the nearest miss).
    """
    scenario = msgspec.structs.replace(scenario, tp=1, pp=1, dp=1, ep=1, cp=1, batch=1, phase="decode")
    found = subject(scenario)
    evaluate = Evaluator(scenario, found)
    space = layouts(found.model, found.chips)
    space = _take(space, found.system.reaches(space.chips))
    one = evaluate.memory(space, np.ones(len(space.tp)))
    most = evaluate.memory(space, np.full(len(space.tp), 1e9)).most_sequences * space.dp * (one.most_sequences >= 1)
    most = np.where(evaluate.memory(space, most).fits, most, most - space.dp)  # one sequence at the end of its life
    if not (most >= 1).any():
        raise nothing_fits(scenario, found, space, one)
    space, most = _take(space, most >= 1), most[most >= 1]
    prefill, alone = Time(), Time()
    if not evaluate.decode_only:
        prefill = _blockwise(lambda s: as_time(evaluate.estimate(evaluate.prefill(s, evaluate.prompts(s)), s)), space)
        alone = _blockwise(lambda s: as_time(evaluate.estimate(evaluate.prefill(s, np.ones(len(s.tp))), s)), space)
    index, batch = _grid(most)
    tpot_limit = float(scenario.tpot)
    if tpot_limit:
        fast = _largest_batch(evaluate, space, most, prefill, alone, tpot_limit)
        some = np.flatnonzero(fast >= 1)
        index, batch = np.concatenate([index, some]), np.concatenate([batch, fast[some]])
        index, batch = np.unique(np.stack([index, batch]), axis=1)
        index = index.astype(np.int64)
    candidates = _evaluate(evaluate, space, index, batch, prefill, alone)
    return _rank(scenario, found, evaluate, candidates, len(space.tp), top)


def _take(layout: Layout, rows: np.ndarray) -> Layout:
    return Layout(tp=layout.tp[rows], pp=layout.pp[rows], dp=layout.dp[rows], ep=layout.ep[rows], cp=layout.cp[rows])


def _pick(time: Time, rows: np.ndarray) -> Time:
    return time if isinstance(time.overhead, float) else Time(overhead=time.overhead[rows])


def _blockwise(times: Callable[[Layout], Time], space: Layout) -> Time:
    """`times` of a layout's rows, BLOCK rows at once."""
    n = len(space.tp)
    parts = [times(_take(space, np.arange(start, min(start + BLOCK, n)))) for start in range(0, n, BLOCK)]
    return Time(overhead=np.concatenate([part.overhead for part in parts]))


def _grid(most: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each layout the batches 1 .. most, PER_OCTAVE to an octave, and `most` itself; as (row of layout, batch)."""
    octaves = int(np.ceil(np.log2(most.max()))) if most.max() > 1 else 0
    steps = np.unique(np.round(2.0 ** (np.arange(octaves * PER_OCTAVE + 1) / PER_OCTAVE)))
    row, column = np.nonzero(steps[None, :] < most[:, None])
    row = np.concatenate([row, np.arange(len(most))])
    batch = np.concatenate([steps[column], most])
    return row, batch


def _largest_batch(
    evaluate: Evaluator, space: Layout, most: np.ndarray, prefill: Time, alone: Time, limit: float
) -> np.ndarray:
    """For each layout the largest batch whose TPOT is within `limit`, 0 if none: bisection over all layouts at once."""
    low, high = np.zeros(len(most)), most.copy()
    index = np.arange(len(most))
    for _ in range(int(np.ceil(np.log2(most.max() + 1))) + 1):
        middle = np.ceil((low + high) / 2)
        ok = _evaluate(evaluate, space, index, np.maximum(middle, 1), prefill, alone).tpot <= limit
        low, high = np.where(ok, middle, low), np.where(ok, high, middle - 1)
        high = np.maximum(high, low)
    return low


def _evaluate(
    evaluate: Evaluator, space: Layout, index: np.ndarray, batch: np.ndarray, prefill: Time, alone: Time
) -> Candidates:
    """Columns of all points (row of `space`, batch), BLOCK at a time."""
    n = len(index)
    tpot, ttft, chip_seconds = (np.empty(n) for _ in range(3))
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        rows, size = index[part], batch[part]
        layout = _take(space, rows)
        decode = as_time(evaluate.estimate(evaluate.decode(layout, size), layout))
        serving = evaluate.expect(layout, size, decode, _pick(prefill, rows), _pick(alone, rows))
        tpot[part], ttft[part], chip_seconds[part] = serving.tpot, serving.ttft, serving.chip_seconds
    s = evaluate.scenario
    feasible = (tpot <= (s.tpot or np.inf)) & (ttft <= (s.ttft or np.inf))
    return Candidates(
        layout=_take(space, index),
        batch=batch,
        tpot=tpot,
        ttft=ttft,
        chip_seconds=chip_seconds,
        feasible=feasible,
    )


def _rank(
    scenario: Scenario, found: Subject, evaluate: Evaluator, candidates: Candidates, count: int, top: int
) -> PlanResult:
    """The cheapest point of each of the best layouts.

    Costs are compared in steps of TIE, which no measurement resolves; of equal ones the one with fewer stages and
    context ranks comes first, then the faster.
    """
    rows = np.flatnonzero(candidates.feasible)
    if not len(rows):
        raise too_slow(scenario, found, candidates)
    layout, cost = candidates.layout, candidates.chip_seconds[rows]
    grade = np.floor(np.log(cost / cost.min()) / TIE)
    extras = (layout.pp * layout.cp)[rows]
    order = rows[np.lexsort((candidates.tpot[rows], extras, grade))]
    best: dict[tuple[int, ...], int] = {}
    for row in order:
        best.setdefault(tuple(int(getattr(layout, d)[row]) for d in layout.__struct_fields__), int(row))
        if len(best) == top:
            break
    plans = [
        Plan(
            point=evaluate.point(
                Layout(**dict(zip(layout.__struct_fields__, degrees, strict=True))), int(candidates.batch[row])
            )
        )
        for degrees, row in best.items()
    ]
    losers = [msgspec.structs.replace(other, why=explain_loss(plans[0], other)) for other in plans[1:]]
    return PlanResult(scenario=scenario, subject=found, plans=(plans[0], *losers), layouts=count, candidates=candidates)
