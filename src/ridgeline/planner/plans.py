"""What a search returns: every evaluated point as columns, the best few in full, fronts of any two objectives."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import UnknownNameError
from ridgeline.layout import Layout
from ridgeline.planner.limits import Limits
from ridgeline.planner.space import joined, take
from ridgeline.scenario import Scenario
from ridgeline.serving import Evaluator, Point
from ridgeline.subject import Subject

OBJECTIVES = {
    "cost": "usd",
    "throughput": "chip_seconds",
    "speed": "tpot",
    "energy": "joules",
    "ttft": "ttft",
    "e2e": "e2e",
}
"""What may be best, and the column that is then smallest."""


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """Evaluated points as columns of equal length; all fit in memory, all numbers are estimates.

    Where `prefill_replicas` is 0 a replica of `layout` does both phases; else `layout` decodes and `prefill` prefills.
    """

    space: Layout
    """Layouts that the points use, each once per search."""
    index: np.ndarray
    """Row of `space`."""
    prefill_index: np.ndarray
    """Row of `space` of the prefill pool's replicas; meaningless for one pool."""

    variant: np.ndarray
    """Index into `PlanResult.variants`."""
    batch: np.ndarray
    replicas: np.ndarray
    chunk: np.ndarray
    prefill_replicas: np.ndarray
    tpot: np.ndarray
    ttft: np.ndarray
    e2e: np.ndarray
    chip_seconds: np.ndarray
    """Paid chip-seconds per request (per osl output tokens if only decode is planned)."""
    usd: np.ndarray
    """Dollars per request; chip-seconds where no price is known."""
    joules: np.ndarray
    """Energy per request with all paid chips at full power; NaN where the power is not known."""
    low: np.ndarray
    """TPOT that a tenth of held-out measurements lie below; and above: `high`."""
    high: np.ndarray
    feasible: np.ndarray
    """Keeps all limits."""

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def layout(self) -> Layout:
        """Degrees of each point's replica, of two pools the one that decodes."""
        return take(self.space, self.index)

    def degrees(self, row: int) -> dict[str, int]:
        """Degrees of one point's replica."""
        return {name: int(getattr(self.space, name)[self.index[row]]) for name in Layout.__struct_fields__}

    def prefill_degrees(self, row: int) -> dict[str, int]:
        """Those of its prefill pool's; empty for one pool."""
        if not self.prefill_replicas[row]:
            return {}
        return {name: int(getattr(self.space, name)[self.prefill_index[row]]) for name in Layout.__struct_fields__}

    def name(self, row: int) -> str:
        """One point's layouts in short."""
        own = str(Layout(**self.degrees(row)))
        if not self.prefill_replicas[row]:
            return own
        return f"P {self.prefill_replicas[row]} x {Layout(**self.prefill_degrees(row))}, D {self.replicas[row]} x {own}"

    def key(self, row: int) -> tuple[int, ...]:
        """What makes a plan another plan: layouts, not batches, chunks or formats."""
        return (*self.degrees(row).values(), *self.prefill_degrees(row).values())

    @classmethod
    def joined(cls, parts: list[Candidates]) -> Candidates:
        """All rows of several tables."""
        if len(parts) == 1:
            return parts[0]
        spaces = list({id(part.space): part.space for part in parts}.values())
        starts = np.cumsum([0] + [len(space.tp) for space in spaces])
        start = {id(space): int(at) for space, at in zip(spaces, starts, strict=False)}
        columns: dict[str, Any] = {"space": joined(spaces)}
        for name in cls.__struct_fields__[1:]:
            moved = name in ("index", "prefill_index")
            columns[name] = np.concatenate(
                [getattr(part, name) + start[id(part.space)] if moved else getattr(part, name) for part in parts]
            )
        return cls(**columns)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment: what the search found of it, and its steps in full."""

    mode: str
    """aggregated, or disaggregated: separate pools for prefill and decode."""
    point: Point
    """The replica; of two pools the one that decodes."""
    prefill: Point | None = None
    """The replica that prefills, of two pools."""
    replicas: int
    prefill_replicas: int = 0
    tpot: float
    ttft: float
    e2e: float
    chip_seconds: float
    """Paid chip-seconds per request."""
    usd: float | None
    """Per request; None without a price."""
    joules: float | None
    low: float
    high: float
    usd_per_input_token: float | None
    """What the prefills cost over the prompt's tokens; of two pools with their share of idle chips."""
    usd_per_output_token: float | None
    """The same of decode over the tokens after the first."""
    chips: int
    """Paid for, idle ones too."""
    chunk: int
    """Prompt tokens per rank in a prefill step."""
    why: str = ""
    """For a runner-up: why it loses to the best."""

    @property
    def layout(self) -> Layout:
        """Degrees of parallelism of the replica (of two pools: the one that decodes)."""
        return self.point.scenario.layout

    @property
    def batch(self) -> int:
        """Sequences in flight in one replica."""
        return int(self.point.scenario.batch)

    @property
    def name(self) -> str:
        """Its layouts in short."""
        if self.prefill is None:
            return str(self.layout)
        return f"P {self.prefill_replicas} x {self.prefill.scenario.layout}, D {self.replicas} x {self.layout}"

    @property
    def user_rate(self) -> float:
        """Tokens per second of a user."""
        return 1.0 / self.tpot

    @property
    def joules_per_token(self) -> float | None:
        """Energy of a request over its output tokens after the first, all paid chips at full power."""
        return None if self.joules is None else self.joules / max(self.point.scenario.osl - 1, 1)

    @property
    def request_rate(self) -> float:
        """Requests per second of all chips."""
        return self.chips / (self.chip_seconds * self.point.scenario.utilisation)

    @property
    def output_rate_per_chip(self) -> float:
        """Output tokens per second and paid chip."""
        s = self.point.scenario
        return max(s.osl - 1, 1) / (self.chip_seconds * s.utilisation)


class PlanResult(msgspec.Struct, frozen=True, kw_only=True):
    """The best plan, the best of other layouts, and every point that was evaluated."""

    scenario: Scenario
    subject: Subject
    limits: Limits
    variants: tuple[Scenario, ...]
    """The scenario with each combination of the searched options."""
    chosen: int
    """Index of the variant of the best plan."""
    plans: tuple[Plan, ...]
    layouts: int
    candidates: Candidates

    @property
    def decode_only(self) -> bool:
        """Whether prompts are left out."""
        return Evaluator(self.scenario, self.subject).decode_only

    @property
    def evaluated(self) -> int:
        """Configurations evaluated: layouts, batches, chunks, drafts and formats; and pairs of pools, each split."""
        return len(self.candidates)

    def front(self, *objectives: str) -> np.ndarray:
        """Rows of `candidates` that no other beats in two objectives (speed and cost), best of the first one first.

        Raises
        ------
        UnknownNameError
            For an objective that is none of OBJECTIVES.
        """
        for name in objectives:
            if name not in OBJECTIVES:
                raise UnknownNameError("objective", name[:60], OBJECTIVES)
        first, second = objectives or ("speed", "cost")
        return front(getattr(self.candidates, OBJECTIVES[first]), getattr(self.candidates, OBJECTIVES[second]))


def front(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows that no other row beats in both columns, smallest x first; of equal rows the first.

    Sorted by x, then y, a row stays if and only if its y is below all before it: a row before it has no larger x, so
    one with no larger y would beat it; a row behind it has a larger x, or the same x and no smaller y.
    """
    order = np.lexsort((y, x))
    values = y[order]
    lower = np.concatenate([[True], values[1:] < np.minimum.accumulate(values)[:-1]]) if len(values) else []
    return order[np.asarray(lower, dtype=bool) & ~np.isnan(values)]


def undominated(*columns: np.ndarray) -> np.ndarray:
    """Rows that no other row beats: none is as small in every column and smaller in one; of equal rows the first.

    Two columns by sorting (`front`), more by comparing all rows with all.
    """
    if len(columns) == 2:
        return front(*columns)
    n = len(columns[0])
    no_larger = np.ones((n, n), dtype=bool)
    no_smaller = np.ones((n, n), dtype=bool)
    for column in columns:
        no_larger &= column[:, None] <= column[None, :]
        no_smaller &= column[:, None] >= column[None, :]
    earlier = np.arange(n)[:, None] < np.arange(n)[None, :]
    beaten = no_larger & (~no_smaller | earlier)
    return np.flatnonzero(~beaten.any(axis=0))
