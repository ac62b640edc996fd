"""What a search returns: every evaluated point as columns, the best few in full, the front of speed and cost."""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.layout import Layout
from ridgeline.scenario import Scenario, Subject
from ridgeline.serving import Point


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """All evaluated points as columns of equal length."""

    layout: Layout
    batch: np.ndarray
    tpot: np.ndarray
    ttft: np.ndarray
    chip_seconds: np.ndarray
    """Paid chip-seconds per request (per osl output tokens if only decode is planned): the objective."""
    feasible: np.ndarray
    """Keeps TPOT and TTFT; all points fit in memory."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment, evaluated in full."""

    point: Point
    why: str = ""
    """For a runner-up: why it loses to the best."""

    @property
    def layout(self) -> Layout:
        """Its degrees of parallelism."""
        return self.point.scenario.layout

    @property
    def batch(self) -> int:
        """Sequences in flight in one replica."""
        return int(self.point.scenario.batch)


class PlanResult(msgspec.Struct, frozen=True, kw_only=True):
    """The best plan, the best of other layouts, and every point that was evaluated."""

    scenario: Scenario
    subject: Subject
    plans: tuple[Plan, ...]
    layouts: int
    candidates: Candidates

    @property
    def evaluated(self) -> int:
        """Points evaluated: layouts times batches."""
        return len(self.candidates.batch)

    def front(self) -> np.ndarray:
        """Rows of `candidates` that no other beats in both TPOT and chip-seconds, fastest first."""
        c = self.candidates
        order = np.lexsort((c.chip_seconds, c.tpot))
        cost = c.chip_seconds[order]
        cheaper = np.concatenate([[True], cost[1:] < np.minimum.accumulate(cost)[:-1]])
        return order[cheaper]
