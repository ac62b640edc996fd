"""`ridgeline modes`: price against speed, and what it means for a price sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from ridgeline.cli.headline import ESTIMATE, headline
from ridgeline.cli.options import GROUPS, SEARCHED, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, counted, heading, plain, shown, table
from ridgeline.planner import Modes
from ridgeline.planner import modes as search
from ridgeline.planner.modes import OFFER, Reach
from ridgeline.scenario import Scenario
from ridgeline.units import show

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = tuple(n for names in GROUPS.values() for n in names if n not in (*SEARCHED, "context", "objective"))


@command(*_FIELDS)
def modes(scenario: Scenario) -> Report:
    """Price against speed: standard, fast and slow modes, the latency floor, B*, long context, sparsity.

    Each mode is the cheapest of all deployments at its speed. Costs follow from chips, so ratios are those of cost.
    """
    found = search(scenario)
    again = scenario.to_cli("modes")
    return Report(
        document=lambda: {
            "command": "modes",
            "model": found.subject.model.name,
            "system": found.subject.system.name,
            "chips": found.subject.chips,
            "evaluated": found.evaluated,
            "standard": found.why_standard,
            "cost_unit": "USD" if found.priced else "chip-seconds",
            "modes": [asdict(each) for each in found.modes],
            "offer": {
                "speed_ratio": OFFER[0], "cost_ratio": OFFER[1], "at_cost_from_tpot_s": found.offer_tpot,
                "cost_ratio_from_standard": found.offer_cost, "speed_ratio_for_the_price": found.offer_speed,
            },
            "balanced": [asdict(each) for each in found.balanced],
            "contexts": [asdict(each) for each in found.contexts],
            "sparsities": [asdict(each) for each in found.sparsities],
            "line": again,
        },
        rows=lambda: Rows.of([asdict(each) for each in found.modes]),
        text=lambda: _text(found, again),
    )  # fmt: skip


def _text(found: Modes, again: str) -> list[RenderableType]:
    unit = "$" if found.priced else "chip-s "
    per = found.scenario.isl + found.scenario.osl
    rows = [
        (
            each.name, each.deployment.replace(", D", "\nD"), plain(each.batch), shown(each.tpot, "s"),
            shown(each.ttft, "s"), plain(1 / each.tpot), f"{unit}{plain(each.cost / per * 1e6)}",
            f"{plain(each.speed_ratio)}x", f"{plain(each.cost_ratio)}x",
        )
        for each in found.modes
    ]  # fmt: skip
    head = ["<mode", "<deployment", "batch", "TPOT", "TTFT", "tok/s\n/user", "per Mtok\nin + out", "speed", "cost"]
    return [
        *headline(found.scenario, found.subject),
        heading(f"Modes on the frontier of {counted(found.evaluated, 'configuration')}"),
        table(head, rows),
        "",
        f"standard: {found.why_standard}",
        *_offer(found),
        heading("Decode alone at multiples of the balance batch"),
        table(
            ["batch", "sequences", "<layout", "TPOT", "per Mtok\noutput", "the cheapest\nbatch saves"],
            [
                (
                    f"{each.kappa:g} B*", plain(each.batch), each.deployment or "does not fit in memory",
                    shown(each.tpot, "s") if each.deployment else NONE,
                    _cost(found, each.cost), f"{each.saving:.0%}" if each.deployment else NONE,
                )
                for each in found.balanced
            ],
        ),
        heading("Decode alone at longer contexts"),
        _reach(found, found.contexts, "<context"),
        *(
            [
                heading("Decode alone at other sparsities: as many active of fewer or more experts"),
                _reach(found, found.sparsities, "<model"),
            ]
            if found.sparsities
            else []
        ),
        "",
        ESTIMATE,
        copied(f"again: {again}"),
    ]  # fmt: skip


def _offer(found: Modes) -> list[str]:
    """Where 2.5 times the speed for 6 times the price lies."""
    speed, price = OFFER
    from_here = (
        f"{speed:g}x the speed of standard costs {plain(found.offer_cost)}x"
        if math.isfinite(found.offer_cost)
        else f"{speed:g}x the speed of standard cannot be had on these chips"
    )
    at_cost = (
        f"for {price:g}x it is at cost from a standard of {show(found.offer_tpot, 's')} per token"
        if math.isfinite(found.offer_tpot)
        else f"nowhere on this frontier does it cost {price:g}x"
    )
    return [f"offer: {from_here}; {price:g}x the cost buys {plain(found.offer_speed)}x the speed; {at_cost}"]


def _cost(found: Modes, value: float) -> str:
    if not math.isfinite(value):
        return NONE
    return shown(value, "USD/tok").removesuffix("/Mtok") if found.priced else f"{plain(value * 1e6)} chip-s"


def _reach(found: Modes, rows: tuple[Reach, ...], name: str) -> RenderableType:
    return table(
        [name, "<cheapest layout", "batch", "TPOT", "per Mtok\noutput", "cost", "fastest\nTPOT", "B*"],
        [
            (
                each.label, each.deployment, plain(each.batch), shown(each.tpot, "s"), _cost(found, each.cost),
                f"{plain(each.ratio)}x", shown(each.fastest, "s"), plain(each.balance_batch),
            )
            for each in rows
        ],
    )  # fmt: skip
