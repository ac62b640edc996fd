"""JAX, when an accelerator or an exact derivative is asked for: in 64 bits, on the device that is named.

Laws compute with the arrays they are given (`arrays.py`); this file only fetches the library. Knows no law.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ridgeline.errors import InputError, UnknownNameError

DEVICES = ("cpu", "gpu", "tpu")


def library(what: str) -> Any:
    """JAX with 64-bit numbers, without which 671e9 parameters lose their last digits.

    Raises
    ------
    InputError
        If it is not installed; `what` needs it.
    """
    try:
        jax = import_module("jax")
    except ImportError:
        raise InputError(what, "needs JAX", "pip install 'ridgeline[grad]'") from None
    jax.config.update("jax_enable_x64", True)
    return jax


def device(name: str) -> Any:
    """A device by its kind, the first of several.

    Raises
    ------
    InputError
        If JAX is not installed or sees no such device; UnknownNameError for another word.
    """
    if name not in DEVICES:
        raise UnknownNameError("device", name[:60], DEVICES)
    jax = library(f"--device {name}")
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        seen = ", ".join(sorted({each.platform for each in jax.devices()}))
        fix = "pip install 'jax[cuda13]' for NVIDIA" if name == "gpu" else ""
        raise InputError(f"--device {name}", f"JAX sees none here, but {seen}", fix) from None
