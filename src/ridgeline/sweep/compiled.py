"""Columns of a box on an accelerator: the same laws, compiled by JAX for each set of names and layouts.

Layouts are constants of the compiled function, since they decide which stages there are; batch, lengths and the like
are its arguments, so that boxes that differ in these only are compiled once. Knows no law.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ridgeline.accelerator import device, library
from ridgeline.layout import Layout
from ridgeline.scenario import Scenario

MOST = 256
"""Compiled functions that are kept."""

Evaluate = Callable[[Scenario, Mapping[str, Any], tuple[str, ...]], dict[str, Any]]
Still = tuple[tuple[str, tuple[int, ...], bytes], ...]


def compiled(
    evaluate: Evaluate,
    scenario: Scenario,
    given: Mapping[str, Any],
    shape: tuple[int, ...],
    columns: tuple[str, ...],
    kind: str,
) -> dict[str, np.ndarray]:
    """What `evaluate` gives for a scenario with `given` values, broadcast to `shape`, computed on a kind of device."""
    arrays = {name: np.asarray(value) for name, value in given.items()}
    fixed = {name: values for name, values in arrays.items() if name in Layout.__struct_fields__}
    moving = {name: values for name, values in arrays.items() if name not in fixed}
    still = tuple((name, values.shape, values.astype(np.int64).tobytes()) for name, values in fixed.items())
    function = _function(evaluate, scenario, still, shape, columns, kind)
    return {name: np.asarray(values) for name, values in function(moving).items()}


@lru_cache(maxsize=MOST)
def _function(
    evaluate: Evaluate, scenario: Scenario, still: Still, shape: tuple[int, ...], columns: tuple[str, ...], kind: str
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    jax = library(f"--device {kind}")
    layouts = {name: np.frombuffer(content, np.int64).reshape(size) for name, size, content in still}
    fixed = {name: values if values.ndim else values.item() for name, values in layouts.items()}

    def columns_of(moving: dict[str, Any]) -> dict[str, Any]:
        found = evaluate(scenario, {**fixed, **moving}, columns)
        return {name: jax.numpy.broadcast_to(jax.numpy.asarray(values), shape) for name, values in found.items()}

    run = jax.jit(columns_of)

    def here(moving: dict[str, Any]) -> dict[str, Any]:
        with jax.default_device(device(kind)):
            return run(moving)

    return here
