"""What a deployment must keep, and what to say when none does: limits that contradict each other, the nearest miss.

    tpot <= min(TPOT, 1 / tokens per second of a user)      ttft <= TTFT      ttft + (osl - 1) tpot <= E2E
    chips <= min(chips at hand, budget / price, power / power of a chip)

Of limits that no point keeps together the smallest set that no point keeps is named: one limit alone, else two that
points keep only one at a time, else all. Knows no layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import msgspec

from ridgeline.arrays import Array
from ridgeline.errors import InputError
from ridgeline.scenario import Scenario
from ridgeline.serving.point import chip_price
from ridgeline.subject import Subject
from ridgeline.units import show

if TYPE_CHECKING:
    import numpy as np


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Longest times in seconds, infinite where nothing is asked; and the options that say so."""

    tpot: float = float("inf")
    ttft: float = float("inf")
    e2e: float = float("inf")
    given: dict[str, str] = {}
    """Time that is limited -> the option as given."""

    @classmethod
    def of(cls, scenario: Scenario) -> Limits:
        """The limits of a scenario.

        Raises
        ------
        InputError
            For --e2e below --ttft plus what --tpot leaves nothing of, or times of prompts where only decode is planned.
        """
        found: dict[str, float] = {}
        given: dict[str, str] = {}
        for name in ("tpot", "ttft", "e2e"):
            if value := float(getattr(scenario, name)):
                found[name], given[name] = value, f"--{name} {show(value, 's')}"
        if rate := float(scenario.user_rate):
            option = f"--user-rate {show(rate, 'tok/s')}"
            if 1 / rate < found.get("tpot", float("inf")):
                found["tpot"], given["tpot"] = 1 / rate, option
        decode_only = not isinstance(scenario.context, (int, float)) or bool(scenario.context)
        if decode_only and (late := [given[name] for name in ("ttft", "e2e") if name in given]):
            raise InputError(
                f"{late[0]} with --context", "plans decode alone, which has no first token", "use --isl and --osl"
            )
        return cls(given=given, **found)

    def keeps(self, tpot: Array, ttft: Array, e2e: Array) -> Array:
        """Whether each point keeps all limits."""
        return (tpot <= self.tpot) & (ttft <= self.ttft) & (e2e <= self.e2e)

    def contradiction(self, columns: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        """The smallest set of limited times that no row keeps together."""
        kept = {name: columns[name] <= getattr(self, name) for name in self.given}
        for size in range(1, len(kept) + 1):
            for names in combinations(kept, size):
                together = kept[names[0]]
                for name in names[1:]:
                    together = together & kept[name]
                if not together.any():
                    return names
        return ()


def affordable(scenario: Scenario, found: Subject, chips: int) -> int:
    """Chips of `chips` that budget and power allow.

    Raises
    ------
    InputError
        If they allow none, or the price or power of the chip is not known.
    """
    rules: list[tuple[str, float, str]] = []
    if scenario.budget:
        price = chip_price(scenario, found)
        if price is None:
            raise InputError(f"--budget for {found.system.name}", "no price is known", 'give --price "$2/h"')
        rules.append((f"--budget {show(scenario.budget, 'USD/s')}", scenario.budget / price, show(price, "USD/s")))
    if scenario.power:
        watts = found.system.chip.power
        if watts is None:
            raise InputError(f"--power for {found.system.name}", "the power of its chip is not known")
        rules.append((f"--power {show(scenario.power, 'W')}", scenario.power / watts, show(watts, "W")))
    for given, room, each in rules:
        if room * (1 + 1e-9) < 1:
            raise InputError(given, f"allows no chip of {found.system.name}, of which one takes {each}")
        chips = min(chips, int(room * (1 + 1e-9)))
    return chips
