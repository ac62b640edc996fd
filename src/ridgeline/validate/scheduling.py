"""How the engines of measured online runs schedule prompts, as columns of `serving.online`.

What benchmarks set or send stands in `benchmarks.py`; here what follows from it for an engine. Knows no time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ridgeline.efficiency import generation
from ridgeline.layout import Divisors
from ridgeline.serving.online import ranks_apart
from ridgeline.serving.point import CHUNK
from ridgeline.subject import Subject
from ridgeline.validate.benchmarks import equal, gathering, polling

PROMPTS_FIRST = {"sglang"}
"""Engines whose decodes wait while there are prompts: of equal requests that begin together all end together."""
ONLINE = ("requests", "rate", "waves", "gather", "poll", "group", "layers", "shared")
"""Columns that are arguments of `serving.online.online`."""


def scheduled(
    n: Mapping[str, np.ndarray],
    named: tuple[np.ndarray, np.ndarray],
    online: np.ndarray,
    sources: Sequence[str],
    engine: str,
    found: Subject,
    inside: np.ndarray,
) -> dict[str, np.ndarray]:
    """What scheduling adds to the columns `n` of rows: those of ONLINE but the first two, and `alone` and `full`.

    `named`: prompt and output tokens as the rows have them; `online`: which rows are; `inside`: requests in the engine.
    Attention ranks without experts do not wait for others; where they do, steps are long, the host's launches hide, and
    the busiest's prompt comes on top of the decodes.
    """
    lengths = named[0].tolist(), named[1].tolist()
    generations, first = generation(found.system.chip.name), engine in PROMPTS_FIRST
    runs = zip(sources, *lengths, n["tp"].tolist(), strict=True)
    rounds = np.array([equal(source) for source in sources])
    pieces = np.maximum(n["isl"] / CHUNK, 1.0)
    asked = zip(sources, n["batch"].tolist(), strict=True)
    out = {
        "waves": np.maximum(rounds * first, 1.0),
        "gather": np.array([gathering(of, engine, found.model.name, *run) for of, *run in runs]),
        "poll": np.array([polling(of, engine, generations, batch) for of, batch in asked]),
        "group": np.where((rounds > 0) & (not first), np.maximum(CHUNK / np.maximum(n["isl"], 1.0), 1.0), 1.0),
        "layers": len(found.model.layers) * pieces * (n["dp"] == 1.0),
        "shared": pieces * (not first) * (n["dp"] == 1.0),
        "alone": np.zeros_like(inside),
        "full": np.ones_like(inside),
    }
    random = online & (out["waves"] <= 1.0) & ((n["dp"] == 1.0) | bool(Divisors.of(found.model).experts))
    if random.any():
        come = (pieces * inside / (n["dp"] * np.maximum(n["osl"], 1.0)))[random]
        out["alone"][random], out["full"][random] = ranks_apart(come, n["dp"][random])
    return out
