"""The engine compiled to machine code by Numba, or as it stands where Numba is not installed.

Compiled code is kept on disk in a folder named by a hash of the source it was made from, the versions of Python and
Numba, and the processor: code of another source is never loaded. If the folder cannot be written, code is compiled
again in each process. RIDGELINE_CACHE moves the folder; RIDGELINE_PYTHON=1 runs plain Python.

Loading compiled code takes as long as some thousand requests take in plain Python, so that a process uses plain Python
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
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from ridgeline.simulate.native import Entry

ENTRIES = ("go", "route", "stream", "gather_gaps", "number", "tally")
"""Functions that are called as such: their arguments are many, and their work is long."""
CALLED = (
    *ENTRIES, "join", "free_sent", "upkeep", "fail", "clear", "remembered", "in_order", "walk", "fell",
    "keep", "drop", "know", "rank", "retract", "keep_each",
)  # fmt: skip
"""Functions that are not inlined: those, and some that few runs need."""

PLAIN = 10_000
"""Requests and hash ids of which a process simulates in plain Python before it loads compiled code."""
_had = {"work": 0}


def worthwhile(work: int) -> bool:
    """Whether to load compiled code for so many requests and hash ids more."""
    _had["work"] += work
    return _had["work"] > PLAIN


def assembled(*modules: ModuleType) -> Any:
    """The functions of some modules as plain Python, in one namespace.

    Of functions with one name that of the last module counts, also where other modules call it; so they must have the
    same parameters: TypeError for a name that two modules use for different things.
    """
    return _assembled(*_names(modules))


def compiled(*modules: ModuleType) -> Any:
    """The ENTRIES of some modules, put together as in `assembled`, as machine code if Numba is installed.

    All but those of CALLED are inlined, so that nothing is passed around.
    """
    return _compiled(*_names(modules))


def _names(modules: tuple[ModuleType, ...]) -> list[str]:
    return [module.__name__ for module in modules]


@cache
def _assembled(*modules: str) -> Any:
    return SimpleNamespace(**_together(modules, {}, lambda name, twin: twin))


@cache
def _compiled(*modules: str) -> Any:
    try:
        number = version("numba")
    except PackageNotFoundError:
        number = ""
    if not number or os.environ.get("RIDGELINE_PYTHON"):
        return _assembled(*modules)
    folder = _folder(number, *modules)
    entries = [name for name in ENTRIES if hasattr(_assembled(*modules), name)]
    return SimpleNamespace(
        **{name: Entry(name, lambda given, name=name: _jitted(given, *modules)[name], folder) for name in entries}
    )


@cache
def _jitted(given: Any, *modules: str) -> dict[str, Any]:
    """Numba's functions; those that nothing replaces are shared. `given`: compilers of all but ENTRIES, and theirs."""
    numba: Any = import_module("numba")

    def jit(name: str, twin: FunctionType) -> Any:
        entry = name in ENTRIES
        options = {"nogil": True, "error_model": "numpy", "_nrt": False, "forceinline": name not in CALLED}
        options |= {"no_cpython_wrapper": given is not None or not entry, "no_cfunc_wrapper": True}
        if given is not None:
            options["pipeline_class"] = given[entry]
        return numba.njit(**options)(twin)

    return _together(modules, _jitted(given, *modules[:-1]) if len(modules) > 1 else {}, jit)


def _together(modules: tuple[str, ...], before: dict[str, Any], make: Any) -> dict[str, Any]:
    """The functions of some modules, made of twins that call each other; `before`: those without the last module's."""
    sources = [import_module(name) for name in modules]
    plain: dict[str, FunctionType] = {}
    for source in sources:
        mine = {n: f for n, f in vars(source).items() if inspect.isfunction(f) and f.__module__ == source.__name__}
        for name in mine.keys() & plain.keys():
            _check_place(plain[name], mine[name])
        plain |= mine
    last = {name for name, f in plain.items() if f.__module__ == modules[-1]}
    new = last & before.keys()
    while more := {name for name, f in plain.items() if name not in new and new & set(f.__code__.co_names)}:
        new |= more  # who calls what was replaced is made anew; all else is shared
    new |= plain.keys() - before.keys()
    made: dict[str, Any] = {name: function for name, function in before.items() if name not in new}
    spaces: list[dict[str, Any]] = []
    for source in sources:
        space = dict(vars(source))  # a module's constants are its own; functions are all one
        spaces.append(space)
        for name, function in plain.items():
            if function.__module__ == source.__name__ and name in new:
                twin = FunctionType(function.__code__, space, name, function.__defaults__)
                twin.__module__, twin.__qualname__ = function.__module__, function.__qualname__
                made[name] = make(name, twin)
    for space in spaces:
        space.update({name: function for name, function in made.items() if name in space})
    return made


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


def _folder(numba: str, *modules: str) -> Path | None:
    """Where compiled code of modules is kept, by the version of Numba; None if not writable."""
    asked = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))  # to check bounds, for one
    digest = hashlib.sha256(repr((numba, asked, sys.version, platform.machine(), _processor(), modules)).encode())
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


@cache
def _processor() -> str:
    """What code is made for: a home may be shared by machines whose processors differ."""
    llvm: Any = import_module("llvmlite.binding")
    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"
