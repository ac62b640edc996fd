"""What each term of the estimate buys: the error without it.

Each ablation changes the fitted constants, or the rows, in one place and predicts again; constants are not refitted,
so this is what a tool loses that leaves the term out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.estimate import EngineConstants, engine_constants
from ridgeline.validate.points import Prepared, metrics, prepare

Change = Callable[[EngineConstants], EngineConstants]


def _with(**values: float) -> Change:
    return lambda engine: msgspec.structs.replace(engine, **values)


def _client(**values: float) -> Change:
    return lambda engine: msgspec.structs.replace(engine, client=msgspec.structs.replace(engine.client, **values))


ENGINE: dict[str, Change] = {
    "everything": lambda engine: engine,
    "without host overheads": _with(host=0.0, sequence=0.0),
    "without small kernels of a layer": _with(layer=0.0),
    "without fixed time of kernels": _with(launches=0.0, quantise=0.0),
    "without messages": _with(messages=0.0),
    "quantisation as timed alone": _with(quantise=1.0),
    "others' prefills not between tokens": _client(burst=1.0),
}


def ablation(
    rows: Sequence[Mapping[str, str]], key: tuple[str, str] = ("online", "tpot_s")
) -> dict[str, tuple[float, float]]:
    """Median and 90th percentile of |estimate / measured - 1| of one mode and metric, by what is left out."""
    groups = [item for item in prepare(rows) if isinstance(item, Prepared)]
    out: dict[str, tuple[float, float]] = {}
    for name, change in ENGINE.items():
        errors = np.concatenate(
            [
                _errors(group, change(engine_constants(group.engine, group.found.system.chip.name, group.source)), key)
                for group in groups
            ]
        )
        out[name] = float(np.median(errors)), float(np.quantile(errors, 0.9))
    floor = np.concatenate([_floor_errors(group, key) for group in groups])
    out["the floor alone"] = float(np.median(floor)), float(np.quantile(floor, 0.9))
    return out


def _errors(group: Prepared, engine: EngineConstants, key: tuple[str, str]) -> np.ndarray:
    picked = np.array([k == key for k in group.keys])
    return np.abs(metrics(group, engine)[key][picked] / group.number["value"][picked] - 1.0)


def _floor_errors(group: Prepared, key: tuple[str, str]) -> np.ndarray:
    picked = np.array([k == key for k in group.keys])
    floor = np.broadcast_to(group.decode_time.lower, picked.shape)
    return np.abs(floor[picked] / group.number["value"][picked] - 1.0)
