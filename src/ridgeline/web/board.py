"""The blackboard's three pictures of one scenario, as numbers: roofline, time against batch, cost against speed.

All from one point and its curve over the batches that fit; redrawn while a slider moves, so it has to be quick.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from ridgeline.cli.document import line
from ridgeline.cli.headline import headline
from ridgeline.cli.options import scenario
from ridgeline.cli.series import along, roofline, speed_and_cost, times
from ridgeline.model.architecture import Experts
from ridgeline.roofline import TERMS
from ridgeline.serving import point


def board(texts: dict[str, str]) -> dict[str, Any]:
    """The pictures of a scenario.

    Raises
    ------
    InputError
        For what `ridgeline step` refuses.
    """
    found = point(scenario(texts))
    curve, roofs = along(found), roofline(found)
    serving, model = found.serving is not None, found.subject.model
    x, y = speed_and_cost(curve) if serving else ([], [])
    at = speed_and_cost(found) if serving else None
    series = times(curve)
    return {
        "headline": [str(each) for each in headline(found.scenario, found.subject)],
        "roofline": asdict(roofs) | {"dots": [asdict(dot) for dot in roofs.dots]},
        "times": asdict(series),
        "batch": found.scenario.batch,
        "trade": {"tokens_per_s_per_user": x, "usd_per_mtok": y, "priced": bool(found.usd_per_chip_second)},
        "here": None if at is None else {"tokens_per_s_per_user": at[0], "usd_per_mtok": at[1]},
        "experts": any(isinstance(part, Experts) for layer in model.layers for part in layer.feedforwards),
        "binding": TERMS[int(found.step.time.binding)],
        "estimate_s": found.estimate.seconds,
        "low_s": found.estimate.low,
        "high_s": found.estimate.high,
        "floor_s": found.step.floor,
        "provenance": found.estimate.provenance,
        "numbers": {
            name: {"value": number.value, "unit": number.unit, "text": number.text, "formula": number.formula}
            for name, number in found.numbers.items()
        },
        "line": line(found),
    }
