"""Why a plan loses to the best, in one sentence; and what to say when nothing is possible: the nearest miss.

A plan's cost per token is price * paid chips * time / tokens; of two plans the dearer one has more idle chips, or
spends more chip-seconds per token on kernels, messages, overhead or prefills. The largest of these differences is the
reason. Of plans with one pool and with two, the chip-seconds of prefill, of decode and of idle chips are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.planner.plans import OBJECTIVES
from ridgeline.planner.space import layouts
from ridgeline.serving import Evaluator, point
from ridgeline.units import show

NARROWER = {"fp8": 1.0, "nvfp4": 0.5625}
"""Formats that make weights smaller, and their bytes per weight."""
TIE = 0.01
"""Relative difference below which two costs count as equal."""

if TYPE_CHECKING:
    from ridgeline.planner.limits import Limits
    from ridgeline.planner.plans import Candidates, Plan
    from ridgeline.scenario import Scenario
    from ridgeline.subject import Subject


def explain_loss(best: Plan, other: Plan, objective: str = "cost") -> str:
    """One sentence: how much dearer or slower `other` is than `best`, and from what."""
    if objective == "speed" and (slower := other.tpot / best.tpot - 1) > TIE:
        return f"{slower:.1%} slower per token: {_speed_reason(best, other)}"
    column = OBJECTIVES[objective]
    mine, theirs = getattr(other, column), getattr(best, column)
    if mine is None or theirs is None:
        mine, theirs = other.chip_seconds, best.chip_seconds
    ratio, slower = mine / theirs, other.tpot / best.tpot - 1
    if ratio < 1.0 + TIE:
        return (
            f"same {objective}, {slower:.0%} slower per token" if slower > 0.005 else "same cost, a more complex layout"
        )
    words = {"cost": "dearer", "energy": "more energy"}.get(objective, "less throughput")
    dearer = f"{ratio - 1:.1%} {words}" if ratio < 2 else f"{ratio:.1f}x as {'dear' if words == 'dearer' else 'much'}"
    if other.mode != best.mode or other.mode == "disaggregated":
        return f"{dearer}: {_pool_reason(best, other)}"
    chips = best.chips
    idle, also = (p.chips - int(p.point.replicas * p.layout.chips) for p in (other, best))
    if idle > also:
        return f"{dearer}: leaves {idle} of {chips} chips idle"
    mine_parts, their_parts = _parts(other), _parts(best)
    part = max(mine_parts, key=lambda name: mine_parts[name] - their_parts[name])
    if part == "kernels" and other.batch / int(other.layout.chips) < 0.95 * best.batch / int(best.layout.chips):
        return f"{dearer}: {_batch_reason(best, other)}, so each read of the weights serves fewer tokens"
    return (
        f"{dearer}: "
        + {
            "prefill": "its prefills take more of the chips",
            "kernels": "more bytes or math per token (weights, cache or projections held in more copies)",
            "overhead": "more launches and overhead per token",
            "messages": f"more traffic between chips: {_largest_message(other)}",
        }[part]
    )


def _speed_reason(best: Plan, other: Plan) -> str:
    """The part of the decode step that grew most."""
    mine, theirs = (p.point.estimate.terms.parts(p.point.estimate.engine) for p in (other, best))
    part = max(mine, key=lambda name: mine[name] - theirs[name])
    return f"{show(mine[part], 's')} of {part} in its decode step against {show(theirs[part], 's')}"


def _pool_reason(best: Plan, other: Plan) -> str:
    """The largest difference of chip-seconds per request in prefill, decode, and idle or waiting chips."""
    mine, theirs = _shares(other), _shares(best)
    part = max(mine, key=lambda name: mine[name] - theirs[name])
    seconds = f"{show(mine[part], 's')} of chips per request against {show(theirs[part], 's')}"
    if part == "decode" and other.prefill is None and best.prefill is not None:
        return f"prefills between its tokens leave the TPOT less room: decode takes {seconds}"
    idle = "chips that the split or the other pool's pace leaves idle"
    return f"{ {'prefill': 'prefill', 'decode': 'decode', 'idle': idle}[part] } take{'s' * (part != 'idle')} {seconds}"


def _shares(plan: Plan) -> dict[str, float]:
    """Chip-seconds per request that a full prefill and decode step take, and all others that are paid."""
    point, s = plan.point, plan.point.scenario
    gaps = max(s.osl - 1, 1)
    decode = float(point.estimate.seconds) / s.gained * gaps / plan.batch * int(plan.layout.chips)
    if plan.prefill is None:
        expected = point.expected
        assert expected is not None
        prefill = float(expected.prefill_per_prompt) * int(plan.layout.chips)
    else:
        first = plan.prefill
        evaluate = Evaluator(first.scenario, first.subject)
        prompts = float(evaluate.prompts(first.scenario.layout))
        per_prompt = float(evaluate.estimate(evaluate.prefill(first.scenario.layout), first.scenario.layout).seconds)
        prefill = per_prompt / prompts * int(first.scenario.layout.chips)
    idle = plan.chip_seconds * s.utilisation - prefill - decode
    return {"prefill": prefill, "decode": decode, "idle": idle if idle > 1e-9 * plan.chip_seconds else 0.0}


def _parts(plan: Plan) -> dict[str, float]:
    """Chip-seconds per output token by what they go into, as estimated."""
    point = plan.point
    assert point.expected is not None
    steps = point.estimate.terms.parts(point.estimate.engine)
    per_token = int(plan.layout.chips) / plan.batch
    prefill = point.expected.prefill_per_prompt * plan.batch / point.scenario.osl
    parts = {
        "kernels": steps["kernels"],
        "messages": steps["messages"],
        "overhead": steps["launches"] + steps["host"],
        "prefill": prefill,
    }
    return {name: seconds * per_token for name, seconds in parts.items()}


def _batch_reason(best: Plan, other: Plan) -> str:
    per_chip, theirs = other.batch / int(other.layout.chips), best.batch / int(best.layout.chips)
    full = other.point.memory.used > 0.98 * other.point.memory.capacity
    why = "memory holds" if full else "the TPOT allows"
    return f"{why} only {per_chip:.3g} sequences per chip against {theirs:.3g}"


def _largest_message(plan: Plan) -> str:
    """Name and share of the message that takes longest in the decode step."""
    times: dict[str, float] = {}
    for layer in plan.point.step.layers:
        for message, seconds in layer.messages:
            times[message.name] = times.get(message.name, 0.0) + layer.count * seconds
    name = max(times, key=lambda key: times[key], default="")
    if not name or times[name] <= 0:
        return "in prefill"
    return f"{name} takes {show(times[name], 's')} of a decode step"


def nothing_fits(scenario: Scenario, found: Subject) -> InputError:
    """The error when no layout holds even one sequence: by how much the nearest one misses, and what would fit."""
    space = layouts(found.model, found.chips, skew=scenario.skew)
    memory = Evaluator(scenario, found).memory(space, np.ones(len(space.tp)))
    over = memory.used - memory.capacity
    row = int(np.argmin(over))
    degrees = {name: int(getattr(space, name)[row]) for name in space.__struct_fields__}
    usable = scenario.memory_utilisation * found.system.chip.usable
    weights = float(np.asarray(memory.weights)[row]) * np.prod([degrees[d] for d in ("tp", "pp", "dp")])
    one = float(np.asarray(memory.cache_per_sequence)[row]) * degrees["tp"] * degrees["cp"] * degrees["pp"]
    chips = int(np.ceil((weights + one) / usable * 1.1))
    now, held = found.precision.bytes["default"], float(np.asarray(memory.weights)[row])
    narrower = [f for f, size in NARROWER.items() if held * (1 - size / now) >= over[row] > 0]
    fixes = [f"about {chips} chips"] if chips > found.chips else []
    fixes += [f"--weights {name}" for name in narrower]
    fixes += ["a shorter context"] if np.asarray(memory.cache_per_sequence)[row] > 0.2 * usable else []
    return InputError(
        f"{found.model.name} does not fit on {found.chips} chip{'s' * (found.chips > 1)} of {found.system.name}",
        f"at best ({_words(degrees)}) {show(float(over[row]), 'B')} too much per chip: "
        f"weights {show(float(memory.weights[row]), 'B')}, "
        f"one sequence {show(float(np.asarray(memory.cache_per_sequence)[row]), 'B')}, usable {show(usable, 'B')}",
        f"what would: {' or '.join(fixes)}" if fixes else "try a larger system",
    )


def unreachable(
    scenario: Scenario, found: Subject, limits: Limits, candidates: Candidates, remedies: list[str]
) -> InputError:
    """The error when no point keeps the limits: the smallest set that none keeps, the nearest miss, what would do.

    `remedies`: changes of which a search has shown that they would do.
    """
    names = limits.contradiction({name: getattr(candidates, name) for name in limits.given})
    given = " with ".join(limits.given[name] for name in names)
    subject = f"{found.model.name} on {found.chips} chips of {found.system.name}"
    if not names:
        return InputError(subject, "amounts that can be compared", "--isl and --osl of at least a token")
    if len(names) == 1:
        miss = _alone(names[0], scenario, candidates)
    else:
        last = names[-1]
        kept = np.flatnonzero(
            np.logical_and.reduce([getattr(candidates, name) <= getattr(limits, name) for name in names[:-1]])
        )
        row = int(kept[np.argmin(getattr(candidates, last)[kept])])
        each = "each" if len(names) == 2 else "any two of them"
        rest = " and ".join(limits.given[name] for name in names[:-1])
        miss = (
            f"{each} can be kept, not together: with {rest} the lowest {last.upper()} is "
            f"{show(float(getattr(candidates, last)[row]), 's')} ({_row(candidates, row)})"
        )
    wider = "allow more time; neither narrower formats nor up to four times the chips would do"
    return InputError(
        f"{given} for {subject}",
        f"not reachable: {miss}",
        f"what would do: {' or '.join(remedies)}" if remedies else wider,
    )


def _alone(name: str, scenario: Scenario, candidates: Candidates) -> str:
    """The nearest miss of one limit; of the TPOT with what it takes to read the weights."""
    row = int(np.argmin(getattr(candidates, name)))
    # Pairs of pools are evaluated only where they keep the TTFT: of those that do not, the least is not known.
    alone = " of one pool" if name != "tpot" and not candidates.prefill_replicas.any() else ""
    least = show(float(getattr(candidates, name)[row]), "s")
    miss = f"the lowest {name.upper()}{alone} is {least} ({_row(candidates, row)})"
    if name != "tpot" or candidates.prefill_replicas[row]:
        return miss
    degrees = candidates.degrees(row)

    step = point(replace(scenario, batch=int(candidates.batch[row]), context=scenario.decode_context, **degrees)).step
    weights = step.work.weights / point(replace(scenario, batch=1, **degrees)).subject.system.chip.hbm_bandwidth
    return f"{miss}, of which reading its weights alone takes {show(float(weights), 's')}"


def _row(c: Candidates, row: int) -> str:
    """A candidate's layout in words."""
    if c.prefill_replicas[row]:
        return f"prefill {_words(c.prefill_degrees(row))}, decode {_words(c.degrees(row))}"
    return _words(c.degrees(row))


def _words(degrees: dict[str, int]) -> str:
    """Degrees that are not 1: "tp=8 pp=2"."""
    return " ".join(f"{d}={n}" for d, n in degrees.items() if n > (d != "redundant")) or "one chip"
