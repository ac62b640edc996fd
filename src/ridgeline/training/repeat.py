"""Arrays of layouts of which many agree in what a part of the computation depends on: compute it once for each.

Knows no law: `once` calls a function with the distinct layouts and deals its answer out again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np

from ridgeline.model import Architecture
from ridgeline.training.layout import TrainingLayout
from ridgeline.training.stages import Stages, deal, head_in_layers

T = TypeVar("T")

STAGED = ("pp", "vp", "balanced")
"""Fields on which stages depend."""
FEWER = 2.0
"""Rows per distinct one from which it pays."""


def once(function: Callable[[TrainingLayout], T], layout: TrainingLayout, names: Sequence[str]) -> T:
    """What `function` gives for a layout, or an array of them, of which it uses the fields `names` only.

    Its answer is an array, a number, a structure or a tuple of them.
    """
    columns = [getattr(layout, name) for name in names]
    if not all(isinstance(column, np.ndarray) and column.dtype.kind in "iub" for column in columns):
        return function(layout)
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 1) + column
    _, first, back = np.unique(key, return_index=True, return_inverse=True)
    if len(first) * FEWER > len(key):
        return function(layout)
    fields: dict[str, Any] = {name: getattr(layout, name) for name in layout.__struct_fields__}
    fields |= {name: value[first] for name, value in fields.items() if isinstance(value, np.ndarray)}
    few = TrainingLayout(**fields)
    return _dealt(function(few), back)


def dealt(model: Architecture, layout: TrainingLayout) -> Stages:
    """Layers of the stages of layouts."""
    head = head_in_layers(model)
    return once(lambda few: deal(len(model.layers), 1.0 * few.pp, 1.0 * few.vp, few.balanced, head), layout, STAGED)


def floats(layout: TrainingLayout) -> TrainingLayout:
    """The same layouts with whole numbers as floats, which arrays compute with several times faster."""
    fields: dict[str, Any] = {name: getattr(layout, name) for name in layout.__struct_fields__}
    for name, value in fields.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            fields[name] = value.astype(float)
    return TrainingLayout(**fields)


def _dealt(value: Any, back: np.ndarray) -> Any:
    if isinstance(value, np.ndarray):
        return value[back]
    if isinstance(value, tuple):
        return tuple(_dealt(each, back) for each in value)
    if isinstance(value, msgspec.Struct):
        return type(value)(**{name: _dealt(getattr(value, name), back) for name in value.__struct_fields__})
    return value
