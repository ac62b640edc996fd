"""The best deployment: every valid layout and batch evaluated, the best few, and why the others lose."""

from ridgeline.planner.modes import Modes, modes
from ridgeline.planner.plans import OBJECTIVES, Candidates, Plan, PlanResult
from ridgeline.planner.search import plan

__all__ = ["OBJECTIVES", "Candidates", "Modes", "Plan", "PlanResult", "modes", "plan"]
