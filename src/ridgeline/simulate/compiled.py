"""The engine compiled to machine code by Numba, or as it stands where Numba is not installed.

Compiled code is kept on disk in a folder named by a hash of the source it was made from, the versions of Python and
Numba, and the processor: code of another source is never loaded. If the folder cannot be written, code is compiled
again in each process. RIDGELINE_CACHE moves the folder; RIDGELINE_PYTHON=1 runs plain Python.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from ridgeline.simulate import pool


def compiled(module: ModuleType) -> Any:
    """The functions of a module and of `pool`, compiled if Numba is installed; they call each other compiled.

    All but `advance` are inlined, so that nothing is passed around.
    """
    return _compiled(module.__name__)


@cache
def _compiled(name: str) -> Any:
    module = import_module(name)
    sources = (pool, module)
    plain = {
        name: f
        for source in sources
        for name, f in vars(source).items()
        if inspect.isfunction(f) and f.__module__ == source.__name__
    }
    if os.environ.get("RIDGELINE_PYTHON"):
        return SimpleNamespace(**plain)
    try:
        numba: Any = import_module("numba")
    except ImportError:
        return SimpleNamespace(**plain)
    folder = _folder(numba.__version__)
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)
    names: dict[str, Any] = {**vars(pool), **vars(module)}
    for name, function in plain.items():
        twin = FunctionType(function.__code__, names, name, function.__defaults__)
        twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
        names[name] = numba.njit(
            cache=folder is not None,
            nogil=True,
            error_model="numpy",
            _nrt=False,
            forceinline=name != "advance",
        )(twin)
    return SimpleNamespace(**{name: names[name] for name in plain})


def _folder(version: str) -> Path | None:
    """Where compiled code of this source is kept; None if nothing can be written there."""
    digest = hashlib.sha256(repr((version, sys.version, platform.machine(), platform.processor())).encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    given = os.environ.get("RIDGELINE_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        root = Path(given) if given else Path.home() / ".cache"
        folder = root / "ridgeline" / digest.hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):
        return None
    return folder
