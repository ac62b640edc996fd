"""Why a plan loses to the best, in one sentence; and what to say when nothing is possible: the nearest miss.

A plan's cost per token is price * paid chips * time / tokens; of two plans the dearer one has more idle chips, or
spends more chip-seconds per token on kernels, messages, overhead or prefills. The largest of these differences is the
reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ridgeline.errors import InputError
from ridgeline.units import show

TIE = 0.01
"""Relative difference below which two costs count as equal."""

if TYPE_CHECKING:
    from ridgeline.layout import Layout
    from ridgeline.memory import DeviceMemory
    from ridgeline.planner.plans import Candidates, Plan
    from ridgeline.scenario import Scenario, Subject


def explain_loss(best: Plan, other: Plan) -> str:
    """One sentence: how much dearer or slower `other` is than `best`, and from what."""
    mine, theirs = other.point.expected, best.point.expected
    assert mine is not None
    assert theirs is not None
    ratio, slower = mine.chip_seconds / theirs.chip_seconds, mine.tpot / theirs.tpot - 1
    if ratio < 1.0 + TIE:
        return f"same cost, {slower:.0%} slower per token" if slower > 0.005 else "same cost, a more complex layout"
    dearer = f"{ratio - 1:.1%} dearer" if ratio < 2 else f"{ratio:.1f}x as dear"
    chips = best.point.subject.chips
    idle, also = (chips - int(p.point.replicas * p.layout.chips) for p in (other, best))
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


def nothing_fits(scenario: Scenario, found: Subject, space: Layout, memory: DeviceMemory) -> InputError:
    """The error when no layout holds even one sequence: by how much the nearest one misses, and what would fit."""
    over = memory.used - memory.capacity
    row = int(np.argmin(over))
    degrees = {name: int(getattr(space, name)[row]) for name in space.__struct_fields__}
    layout = " ".join(f"{name}={value}" for name, value in degrees.items() if value > 1) or "one chip"
    usable = scenario.memory_utilisation * found.system.chip.usable
    weights = float(np.asarray(memory.weights)[row]) * np.prod([degrees[d] for d in ("tp", "pp", "dp")])
    chips = int(np.ceil(weights / usable * 1.1))
    narrower = [f for f in ("fp8", "nvfp4") if found.precision.bytes["default"] > (1.5 if f == "fp8" else 0.8)]
    fixes = [f"about {chips} chips"] if chips > found.chips else []
    fixes += [f"--weights {name}" for name in narrower]
    fixes += ["a shorter context"] if np.asarray(memory.cache_per_sequence)[row] > 0.2 * usable else []
    return InputError(
        f"{found.model.name} does not fit on {found.chips} chip{'s' * (found.chips > 1)} of {found.system.name}",
        f"at best ({layout}) {show(float(over[row]), 'B')} too much per chip: "
        f"weights {show(float(memory.weights[row]), 'B')}, "
        f"one sequence {show(float(np.asarray(memory.cache_per_sequence)[row]), 'B')}, usable {show(usable, 'B')}",
        f"what would: {' or '.join(fixes)}" if fixes else "try a larger system",
    )


def too_slow(scenario: Scenario, found: Subject, candidates: Candidates) -> InputError:
    """The error when no point keeps the promised times: the nearest miss and its layout."""
    misses: list[str] = []
    given: list[str] = []
    for name in ("tpot", "ttft"):
        limit = float(getattr(scenario, name))
        if not limit:
            continue
        given.append(f"--{name} {show(limit, 's')}")
        row = int(np.argmin(getattr(candidates, name)))
        layout = " ".join(
            f"{d}={int(getattr(candidates.layout, d)[row])}"
            for d in candidates.layout.__struct_fields__
            if getattr(candidates.layout, d)[row] > 1
        )
        best = float(getattr(candidates, name)[row])
        misses.append(f"the lowest {name.upper()} is {show(best, 's')} ({layout or 'one chip'})")
    return InputError(
        f"{' with '.join(given)} for {found.model.name} on {found.chips} chips of {found.system.name}",
        f"not reachable: {'; '.join(misses)}",
        "allow more time, or use narrower weights (--weights fp8, nvfp4) or more chips (--chips)",
    )
