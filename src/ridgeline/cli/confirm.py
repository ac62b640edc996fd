"""`plan --simulate`: what a simulation of each plan finds, beside what was planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.table import heading, plain, shown, table
from ridgeline.planner import Plan, PlanResult
from ridgeline.planner.confirm import Confirmed

if TYPE_CHECKING:
    from rich.console import RenderableType

Simulate = Annotated[
    bool,
    Parameter(
        help="Confirm each plan shown by a simulation of its requests, one by one, at its batch.", group="Search"
    ),
]


def record(found: Confirmed) -> dict[str, Any]:
    """What was found, in SI units."""
    m = found.metrics
    times = {f"{name}_s": getattr(m, name) for name in ("ttft", "tpot", "itl", "e2e")}
    return {
        "scheduler": found.scheduler,
        "concurrency": found.concurrency,
        "requests": m.requests,
        **{name: {"mean": each.mean, **each.percentiles} for name, each in times.items()},
        "requests_per_s": found.request_rate,
        "preemptions": found.preemptions,
        "attained": m.attained,
    }


def confirmed(result: PlanResult, found: Sequence[Confirmed]) -> list[RenderableType]:
    """A table of planned against simulated."""
    if not found:
        return []
    rows = [_row(i, plan, each, bool(result.limits.given)) for i, (plan, each) in enumerate(_pairs(result, found), 1)]
    limits = ["limits\nkept"] if result.limits.given else []
    columns = ["<", "open", "TTFT", "<sim.", "p99", "TPOT", "<sim.", "p99", "req/s", "<sim.", "pre-\nempted", *limits]
    title = f"Simulated with the scheduler of {found[0].scheduler}, so many requests always open, against the plan"
    return [heading(title), table(columns, rows)]


def _pairs(result: PlanResult, found: Sequence[Confirmed]) -> list[tuple[Plan, Confirmed]]:
    return list(zip(result.plans, found, strict=True))


def _row(number: int, plan: Plan, found: Confirmed, limited: bool) -> tuple[str, ...]:
    m, cells = found.metrics, []
    for planned, spread in ((plan.ttft, m.ttft), (plan.tpot, m.tpot)):
        cells += [
            shown(planned, "s"),
            _beside(planned, spread.mean, shown(spread.mean, "s")),
            shown(spread["p99"], "s"),
        ]
    cells += [plain(plan.request_rate), _beside(plan.request_rate, found.request_rate, plain(found.request_rate))]
    kept = [f"{m.attained:.1%}"] if limited else []
    return (str(number), f"{found.concurrency:,}", *cells, f"{found.preemptions:,}", *kept)


def _beside(planned: float, value: float, text: str) -> str:
    """A value and how far it is from the planned one."""
    return f"{text} ({value / planned - 1:+.0%})"
