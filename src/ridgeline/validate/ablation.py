"""What each term of the estimate buys: the error of the best fit without it.

Constants are held where the term vanishes and all others fitted again, so that they take over what they can: the loss
is that of a tool whose law lacks the term. Errors are those of the rows that were fitted, |estimate / measured - 1|.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.engines import EngineConstants, Engines, place
from ridgeline.validate.points import metrics
from ridgeline.validate.prepared import Prepared

KEY = ("online", "tpot_s")
"""Mode and metric that are held against each other."""
FLOOR = "the floor alone"
TERMS: dict[str, dict[str, float]] = {
    "everything": {},
    "without host overheads": {"host": 0.0, "sequence": 0.0},
    "without small kernels of a layer": {"layer": 0.0},
    "without fixed time of kernels": {"launches": 0.0, "quantise": 0.0},
    "without messages": {"messages": 0.0, "sync": 0.0},
    "quantisation as timed alone": {"quantise": 1.0},
    "others' prefills not between tokens": {"burst": 1.0},
}
"""What is left out, and the constants that say so."""


def error(groups: Sequence[Prepared], engines: Engines) -> tuple[float, float]:
    """Median and 90th percentile of the error with the constants of `engines`."""
    groups = [group for group in groups if KEY in group.keys]
    return _summary([metrics(group, _constants(engines, group))[KEY] for group in groups], groups)


def _constants(engines: Engines, group: Prepared) -> EngineConstants:
    system = group.found.system
    return engines.constants(
        group.engine, system.chip.name, group.source, place(group.engine, group.found.model.name, system.name)
    )


def floor_error(groups: Sequence[Prepared]) -> tuple[float, float]:
    """The same of the floor."""
    return _summary([group.decode_time.lower for group in groups], groups)


def _summary(estimates: Sequence[np.ndarray], groups: Sequence[Prepared]) -> tuple[float, float]:
    off = []
    for found, group in zip(estimates, groups, strict=True):
        picked = [i for i, key in enumerate(group.keys) if key == KEY]
        off.append(np.abs(np.broadcast_to(found, len(group.keys))[picked] / group.number["value"][picked] - 1.0))
    every = np.concatenate(off)
    return round(float(np.median(every)), 4), round(float(np.quantile(every, 0.9)), 4)
