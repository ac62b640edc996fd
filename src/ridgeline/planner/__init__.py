"""The best deployment: every valid layout and batch evaluated, the best few, and why the others lose."""

from ridgeline.planner.search import Candidates, Plan, PlanResult, plan

__all__ = ["Candidates", "Plan", "PlanResult", "plan"]
