"""Which array library a law computes with: plain Python for numbers, otherwise the library of its inputs.

A law is written once against the array API standard (`xp.maximum`, `xp.where`, ...). Given floats it runs on `math` in
well under a microsecond per operation; given NumPy or JAX arrays it broadcasts. Knows no law and no unit.
"""

from __future__ import annotations

import math
import sys
from typing import Any

Array = Any
"""A number or an array of numbers of any library that follows the array API standard."""


class _Plain:
    """The few functions of the array API standard that laws use, on Python numbers."""

    maximum = staticmethod(max)
    minimum = staticmethod(min)
    ceil = staticmethod(math.ceil)
    floor = staticmethod(math.floor)
    exp = staticmethod(math.exp)
    expm1 = staticmethod(math.expm1)
    log = staticmethod(math.log)
    log1p = staticmethod(math.log1p)
    sqrt = staticmethod(math.sqrt)

    @staticmethod
    def where(condition: bool, yes: float, no: float) -> float:
        return yes if condition else no


PLAIN = _Plain()


def namespace(*values: Array) -> Any:
    """Array namespace of `values`: `math` in disguise if all are Python numbers, else that of the arrays, where NumPy's
    give way to another library's.

    Examples
    --------
    >>> namespace(3, 4.0).maximum(3, 4.0)
    4.0
    >>> import numpy as np
    >>> namespace(3, np.arange(3)).maximum(1, np.arange(3)).tolist()
    [1, 1, 2]
    """
    found: Any = PLAIN
    for value in values:
        own = _NAMESPACES.get(type(value)) or _namespace(value)
        if own is not found and own is not PLAIN:
            found = own
            if found.__name__ != "numpy":
                break
    return found


_NAMESPACES: dict[type, Any] = {}
"""Of the kinds of numbers and arrays that were met."""


def _namespace(value: Array) -> Any:
    own = PLAIN if isinstance(value, (int, float)) else value.__array_namespace__()
    return _NAMESPACES.setdefault(type(value), own)


def is_one(value: Array) -> bool:
    """Whether a value is the number 1, not an array: a degree that divides nothing for anybody."""
    return isinstance(value, int) and value == 1


def traced(value: Array) -> bool:
    """Whether a value stands for one that is not known yet: JAX is compiling or differentiating what is done to it."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, jax.core.Tracer)
