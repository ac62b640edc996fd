"""Machine code of a few functions: compiled once by Numba, kept as an object file, called without Numba.

Importing Numba takes longer than most simulations, so that it is asked only for what no file has. A file is a line with
a checksum, the function's name and those of functions of the process that it needs, and object code. Arguments are
passed as words, as Numba's own callers pass them: of an array its address, shape and strides, of a tuple its members.

Numba optimises each function, links into it all that it calls, and makes it machine code, before the same is done to
its callers: of calls five deep the innermost six times. `compilers` leave it to the outermost, into which all is linked
and optimised once, and take none of Numba's steps for what the simulator's functions have not: closures, literals,
raised errors, counted references. Knows no module of the simulator.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

COMPILING = "RIDGELINE_COMPILING"
"""Set for a process that compiles what another one needs."""
PATIENCE = 60.0
"""Seconds that one waits for it, some ten times what it takes: then it is ended, and the code made here."""
_compiling = threading.RLock()


def flat(values: tuple[Any, ...], kinds: list[Any], words: list[Any]) -> None:
    """Add what arguments are, and their words; TypeError for what is no number, array, tuple or None."""
    for value in values:
        kind = type(value)
        if kind is np.ndarray:
            flags = value.flags
            kinds += (value.dtype.char, value.ndim, flags.c_contiguous, flags.writeable)
            address = value.__array_interface__["data"][0]
            words += (None, None, value.size, value.itemsize, address, *value.shape, *value.strides)
        elif isinstance(value, tuple):
            kinds += (kind.__name__, len(value))
            flat(value, kinds, words)
        elif isinstance(value, bool | np.bool_):
            kinds.append("bool")
            words.append(ctypes.c_bool(value))
        elif isinstance(value, int | np.integer):
            kinds.append("int")
            words.append(int(value))
        elif isinstance(value, float):
            kinds.append("float")
            words.append(ctypes.c_double(value))
        elif value is None:
            kinds.append(None)
            words.append(None)
        else:
            raise TypeError(f"an argument of {kind}, where numbers, arrays and tuples were expected")


class Entry:
    """A function that returns a whole number, called as machine code."""

    def __init__(self, name: str, jitted: Callable[[Any], Any], folder: Path | None) -> None:
        """`jitted` makes Numba's function, with two compilers or its own; `folder`: where object code is kept."""
        self.name, self.jitted, self.folder = name, jitted, folder
        self.linkers: list[Any] = []
        """What holds the code of files."""
        self.known: dict[tuple[Any, ...], Callable[[tuple[Any, ...], list[Any]], int]] = {}
        self.elsewhere: subprocess.Popen[Any] | None = None
        """The process that compiles it meanwhile."""

    def ahead(self, code: str, *arguments: Any) -> None:
        """Let another process run `code`, which calls it with arguments of the same kinds, if no file has it.

        It imports nothing from the folder that this one was started in, and where `sys.executable` is no Python but
        this program again, that does not start another.
        """
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if cores < 2 or not sys.executable or getattr(sys, "frozen", False) or COMPILING in os.environ:
            return
        kinds: list[Any] = []
        flat(arguments, kinds, [])
        path = self.file(tuple(kinds))
        with _compiling, suppress(OSError):
            if path and not path.exists() and not self.known and not self.elsewhere:
                quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
                command = [sys.executable, "-I" if sys.flags.isolated else "-P", "-c", code]
                self.elsewhere = subprocess.Popen(command, env={**os.environ, COMPILING: "1"}, **quiet)

    def __call__(self, *arguments: Any) -> int:
        """Call it with arrays, numbers and tuples; TypeError for anything else."""
        kinds: list[Any] = []
        words: list[Any] = []
        flat(arguments, kinds, words)
        key = tuple(kinds)
        if key not in self.known:
            with _compiling:
                self.known[key] = self._linked(key, words) or self._made(key, arguments, words)
        return self.known[key](arguments, words)

    def file(self, key: tuple[Any, ...]) -> Path | None:
        """Where object code for arguments of some kinds is kept."""
        return self.folder and self.folder / f"{self.name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"

    def _linked(self, key: tuple[Any, ...], words: list[Any]) -> Callable[..., int] | None:
        """The function of a file; None: there is none."""
        if self.elsewhere:
            try:
                self.elsewhere.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.elsewhere.kill()
                self.elsewhere.wait()
        path = self.file(key)
        try:
            head, code = path.read_bytes().split(b"\n", 1) if path else (b"", b"")
        except (OSError, ValueError):
            return None
        if not code:
            return None
        digest, *symbols = head.decode(errors="replace").split()
        if digest != hashlib.sha256(code).hexdigest():
            return None
        llvm: Any = import_module("llvmlite.binding")
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        # a linker of its own: functions of other processes may have the same names and be others
        linker = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        if not all(map(llvm.address_of_symbol, symbols[1:])):  # with the first linker the process's own are known
            return None
        linker.add_object_file(llvm.ObjectFileRef.from_data(code))
        linker.finalize_object()
        self.linkers.append(linker)
        return _native(linker.get_function_address(symbols[0]), words)

    def _made(self, key: tuple[Any, ...], arguments: tuple[Any, ...], words: list[Any]) -> Callable[..., int]:
        """The function compiled now, and its file written."""
        numba: Any = import_module("numba")
        types = tuple(numba.typeof(argument) for argument in arguments)
        try:
            with remembering():
                function = self.jitted(compilers())
                roomy(lambda: function.compile(types))
        except Exception:  # whatever it is that another version of Numba does otherwise
            return self._slow()
        made = function.overloads[types]
        symbol, library = made.fndesc.llvm_func_name, made.library
        if not _takes(made, words):
            return self._slow()
        path, needed = self.file(key), _needed(library)
        if path and not any(re.match("numba_|NRT_|_?Py", name) for name in needed):
            with suppress(OSError):
                code = library._get_compiled_object()
                _write(path, " ".join([hashlib.sha256(code).hexdigest(), symbol, *needed]).encode() + b"\n" + code)
        return _native(library.get_pointer_to_function(symbol), words)

    def _slow(self) -> Callable[..., int]:
        """Numba's function, compiled and called as Numba does it."""
        function = self.jitted(None)
        return lambda arguments, words: function(*arguments)


def _native(address: int, words: list[Any]) -> Callable[[tuple[Any, ...], list[Any]], int]:
    """A function at an address, whose words are of the types of these."""
    kinds = [ctypes.c_void_p if w is None else ctypes.c_ssize_t if isinstance(w, int) else type(w) for w in words]
    places = ctypes.POINTER(ctypes.c_ssize_t), ctypes.POINTER(ctypes.c_void_p)
    function = ctypes.CFUNCTYPE(ctypes.c_int32, *places, *kinds)(address)

    def call(arguments: tuple[Any, ...], words: list[Any]) -> int:
        """`arguments` are held for as long as their words are used."""
        result, error = ctypes.c_ssize_t(), ctypes.c_void_p()
        status = function(ctypes.byref(result), ctypes.byref(error), *words)
        if status:
            raise RuntimeError(f"compiled code ended with status {status}, where 0 was expected")
        return result.value

    return call


def _needed(library: Any) -> list[str]:
    """The functions that object code needs and that are not in it."""
    names = [f.name for f in library._final_module.functions if f.is_declaration]
    return [name for name in names if not name.startswith("llvm.")]


def _takes(made: Any, words: list[Any]) -> bool:
    """Whether a function returns a whole number and takes words of these types, two places before them."""
    calls = made.target_context.call_conv.get_function_type(made.fndesc.restype, made.fndesc.argtypes)
    result, _, *kinds = map(str, calls.args)
    if len(kinds) != len(words):
        return False
    kind_of = {ctypes.c_bool: "i8", ctypes.c_double: "double", int: "i64"}
    fits = [
        k == kind_of.get(type(w)) or (k[-1] == "*" and isinstance(w, int | None))
        for k, w in zip(kinds, words, strict=True)
    ]
    return result == "i64*" and all(fits)


def _write(path: Path, data: bytes) -> None:
    """Write a file as a whole."""
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)


def roomy(call: Callable[[], Any]) -> None:
    """Call what nests deeply, with room for 2 MB of frames.

    Python keeps frames in pieces of 16 kB, and maps a new one at each call that leaves the last, to unmap it at the
    return; Numba makes many calls from where it stands. One frame that says it needs as much gets a piece for them all.
    """
    call()


roomy.__code__ = roomy.__code__.replace(co_stacksize=1 << 18)


@cache
def compilers() -> tuple[Any, Any]:
    """Numba's compiler for what is only put into callers, neither optimised for itself nor made machine code; and the
    outermost's.
    """
    codegen, compiler = import_module("numba.core.codegen"), import_module("numba.core.compiler")
    untyped, typed = import_module("numba.core.untyped_passes"), import_module("numba.core.typed_passes")
    machinery = import_module("numba.core.compiler_machinery")
    steps = (
        untyped.TranslateByteCode, untyped.FixupArgs, untyped.ReconstructSSA,
        typed.NopythonTypeInference, typed.PreLowerStripPhis, typed.AnnotateTypes,
        typed.NativeLowering, typed.NoPythonBackend,
    )  # fmt: skip

    class Optimised(codegen.JITCodeLibrary):
        """What is optimised where it is defined, and not where it is only named."""

        def _optimize_functions(self, module: Any) -> None:
            module.data_layout = self._codegen._data_layout
            for function in module.functions:
                if not function.is_declaration:
                    manager, builder = self._codegen._function_pass_manager(opt=1)
                    manager.run(function, builder)

    class Code(Optimised):
        """What is called from outside: it has nothing that Numba's first round is for, counted references."""

        def finalize(self) -> None:
            linked: dict[Any, None] = {}  # in order
            waiting = list(self._linking_libraries)
            while waiting:
                if (library := waiting.pop()) not in linked:
                    linked[library] = None
                    waiting += library._linking_libraries
            self._linking_libraries = list(linked)
            super().finalize()

        def _optimize_final_module(self) -> None:
            manager, builder = self._codegen._module_pass_manager(opt=2)
            manager.run(self._final_module, builder)

    class Part(Optimised):
        """What is put into callers: linked into the outermost alone, not into each caller on the way."""

        codegen = SimpleNamespace(set_env=lambda name, environment: None)

        def finalize(self) -> None:
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    def making(library: type) -> type:
        class Compiler(compiler.CompilerBase):
            def __init__(self, typing: Any, target: Any, *given: Any) -> None:
                typing.refresh = target.refresh = lambda: None  # `remembering` has done it
                try:
                    super().__init__(typing, target, *given)
                    vars(self.state.targetctx).pop("refresh", None)  # a copy
                finally:
                    del typing.refresh, target.refresh
                self.state.library = library(self.state.targetctx.codegen(), library.__name__)
                self.state.library.enable_object_caching()

            def define_pipelines(self) -> list[Any]:
                manager = machinery.PassManager(library.__name__)
                for step in steps:
                    manager.add_pass(step, step.__name__)
                manager.finalize()
                return [manager]

        return Compiler

    return making(Part), making(Code)


@contextmanager
def remembering() -> Iterator[None]:
    """Let Numba look once for what is installed, ask once what an operator does with some types, compile a function
    once for all constants that it is called with, take indices as they are, and leave garbage.

    No index is counted from the end, so that none has to be asked whether it is.
    """
    types: Any = import_module("numba.core.types")
    arrays: Any = import_module("numba.np.arrayobj")
    whole = arrays.fix_integer_index
    functions, jitted = types.BaseFunction, types.Dispatcher
    ask, compiled, known = functions.get_call_type, jitted.get_call_type, {}

    def get_call_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        key = self.key, type(self), tuple(args), tuple(kws.items())
        if key not in known:
            found = ask(self, context, args, kws)
            known[key] = found, self._impl_keys[found.args]
        found, self._impl_keys[found.args] = known[key][0], known[key][1]
        return found

    def get_general_type(self: Any, context: Any, args: Any, kws: Any) -> Any:
        return compiled(self, context, tuple(map(types.unliteral, args)), kws)

    def as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        return context.cast(builder, index, kind, types.intp)

    import_module("numba.core.registry").cpu_target.target_context.refresh()
    collected = gc.isenabled()
    gc.disable()
    functions.get_call_type, jitted.get_call_type = get_call_type, get_general_type
    arrays.fix_integer_index = as_it_is
    try:
        yield
    finally:
        functions.get_call_type, jitted.get_call_type = ask, compiled
        arrays.fix_integer_index = whole
        if collected:
            gc.enable()
