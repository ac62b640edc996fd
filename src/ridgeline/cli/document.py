"""A point as one record: what `--json` prints of a step and of each plan. Knows no formatting of text."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict, replace

from ridgeline.cli.options import GROUPS
from ridgeline.planner import Plan
from ridgeline.roofline import TERMS
from ridgeline.scenario import Scenario
from ridgeline.serving import Point

LEVEL = 0.8
"""Share of held-out measurements that lie in an interval."""


def record(point: Point) -> dict[str, Any]:
    """Names, layout, the step's three answers, and every number by name in SI units."""
    scenario, step, estimate = point.scenario, point.step, point.estimate
    bound = {} if point.serving is None else {"request_binding": TERMS[int(point.serving.request.binding)]}
    return {
        "layout": asdict(scenario.layout),
        "batch": scenario.batch,
        "replicas": point.replicas,
        "chips_used": point.replicas * scenario.layout.chips,
        "binding": TERMS[int(step.time.binding)],
        **bound,
        "floor_s": step.floor,
        "estimate_s": estimate.seconds,
        "interval_s": {"low_s": estimate.low, "high_s": estimate.high, "level": LEVEL},
        "provenance": estimate.provenance,
        **{name: number.value for name, number in point.numbers.items()},
        "line": line(point),
    }


def line(point: Point) -> str:
    """The command that prints this point; limits and what else only a plan asks are left out."""
    only = (*GROUPS["Limits"], *GROUPS["Search"])
    defaults = dict(zip(reversed(Scenario.__struct_fields__), reversed(Scenario.__struct_defaults__), strict=False))
    return replace(point.scenario, **{name: defaults[name] for name in only}).to_cli("step")


def deployment(plan: Plan) -> dict[str, Any]:
    """What a search found of a plan, in SI units; of two pools also the replica that prefills."""
    s = plan.point.scenario
    out: dict[str, Any] = {
        "mode": plan.mode,
        "replicas": plan.replicas,
        "chips": plan.chips,
        "tpot_s": plan.tpot,
        "tpot_interval_s": {"low_s": plan.low, "high_s": plan.high, "level": LEVEL},
        "ttft_s": plan.ttft,
        "e2e_s": plan.e2e,
        "requests_per_s": plan.request_rate,
        "tokens_per_s_per_user": plan.user_rate,
        "output_tokens_per_s_per_chip": plan.output_rate_per_chip,
        "chip_s_per_request": plan.chip_seconds,
        "usd_per_request": plan.usd,
        "usd_per_input_token": plan.usd_per_input_token,
        "usd_per_output_token": plan.usd_per_output_token,
        "joules_per_output_token": plan.joules_per_token,
        "weights": s.weights,
        "kv": s.kv,
        "chunk_tok": plan.chunk,
        "verify": s.verify,
    }
    if plan.prefill is not None:
        out |= {"prefill_replicas": plan.prefill_replicas, "prefill": record(plan.prefill)}
    return out
