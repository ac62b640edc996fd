"""The engine compiled to machine code by Numba, or as it stands where Numba is not installed.

Compiled code is kept on disk in a folder named by a hash of the source it was made from, the versions of Python and
Numba, and the processor: code of another source is never loaded. If the folder cannot be written, code is compiled
again in each process. RIDGELINE_CACHE moves the folder; RIDGELINE_PYTHON=1 runs plain Python.

Loading compiled code takes as long as ten thousand requests take in plain Python, so that a process uses plain Python
until it has had as many; the results are the same.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import re
import sys
import tempfile
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

ENTRIES = ("go", "route", "stream")
"""Functions that are called as such: their arguments are many, and their work is long."""
CALLED = (*ENTRIES, "join", "free_sent", "upkeep", "fail", "clear", "chosen", "remembered", "in_order")
"""Functions that are not inlined: those, and some that few runs need."""


PLAIN = 10_000
"""Requests and hash ids of which a process simulates in plain Python before it loads compiled code."""
_had = {"work": 0}


def worthwhile(work: int) -> bool:
    """Whether to load compiled code for so many requests and hash ids more."""
    _had["work"] += work
    return _had["work"] > PLAIN


def assembled(*modules: ModuleType) -> Any:
    """The functions of some modules as plain Python, each other's replacements in place as in `compiled`."""
    return _compiled(False, *(module.__name__ for module in modules))


def compiled(*modules: ModuleType) -> Any:
    """The functions of some modules, compiled if Numba is installed; they call each other compiled.

    Of functions with one name that of the last module counts, also where other modules call it; so they must have the
    same parameters: TypeError for a name that two modules use for different things.

    All but those of CALLED are inlined, so that nothing is passed around.
    """
    return _compiled(True, *(module.__name__ for module in modules))


@cache
def _compiled(fast: bool, *modules: str) -> Any:
    sources = [import_module(name) for name in modules]
    plain: dict[str, FunctionType] = {}
    for source in sources:
        mine = {n: f for n, f in vars(source).items() if inspect.isfunction(f) and f.__module__ == source.__name__}
        for name in mine.keys() & plain.keys():
            _check_place(plain[name], mine[name])
        plain |= mine
    numba: Any = None
    if fast and not os.environ.get("RIDGELINE_PYTHON"):
        with suppress(ImportError):
            numba = import_module("numba")
    replaced = [
        f for s in sources for f in vars(s).values() if inspect.isfunction(f) and f is not plain.get(f.__name__, f)
    ]
    before = vars(_compiled(fast, *modules[:-1])) if len(modules) > 1 else {}
    names = sorted({f"{f.__module__}.{f.__name__}" for f in replaced})
    folder = _folder(numba.__version__, names, *modules) if numba else None
    if folder is not None:
        numba.config.CACHE_DIR = str(folder)  # after those before have taken theirs
    last = {name for name, f in plain.items() if f.__module__ == sources[-1].__name__}
    new = last & before.keys()
    while more := {name for name, f in plain.items() if name not in new and new & set(f.__code__.co_names)}:
        new |= more  # who calls what was replaced is compiled anew; all else is shared
    new |= last
    made: dict[str, Any] = {name: function for name, function in before.items() if name not in new}
    spaces: list[dict[str, Any]] = []
    for source in sources:
        space = dict(vars(source))  # a module's constants are its own; compiled functions are all one
        spaces.append(space)
        for name, function in plain.items():
            if function.__module__ != source.__name__ or name not in new:
                continue
            twin = FunctionType(function.__code__, space, name, function.__defaults__)
            twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
            if not numba:
                made[name] = twin
                continue
            entry = name in ENTRIES
            options = {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": name not in CALLED}
            options |= {"no_cpython_wrapper": not entry, "no_cfunc_wrapper": True}
            made[name] = numba.njit(cache=folder is not None and entry, **options)(twin)
    for space in spaces:
        space.update({name: function for name, function in made.items() if name in space})
    return SimpleNamespace(**made)


def _check_place(old: FunctionType, new: FunctionType) -> None:
    """Refuse (TypeError) a function in the place of one with other parameters, whose name it happens to have."""
    one, other = (list(inspect.signature(f).parameters) for f in (old, new))
    if one != other:
        places = f"{new.__module__}.{new.__name__}({', '.join(other)})", f"{old.__module__}.{old.__name__}"
        raise TypeError(f"{places[0]} would take the place of {places[1]}({', '.join(one)}): rename one of them")


def _sources(*modules: str) -> list[str]:
    """The source of modules and of all of this folder that they read constants from."""
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        if (name := waiting.pop()) not in found:
            found[name] = inspect.getsource(import_module(name))
            waiting += re.findall(r"^from (ridgeline\.simulate\.\w+) import", found[name], re.MULTILINE)
    return [found[name] for name in sorted(found)]


def _folder(version: str, replaced: list[str], *modules: str) -> Path | None:
    """Where compiled code of modules is kept, without some functions that were replaced; None if not writable.

    Who calls a function that was replaced is compiled differently under the same name.
    """
    digest = hashlib.sha256(repr((version, sys.version, platform.machine(), platform.processor())).encode())
    digest.update(repr(replaced).encode())
    for source in _sources(*modules, __name__):
        digest.update(source.encode())
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
