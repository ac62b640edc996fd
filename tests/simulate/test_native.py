"""Machine code that is called without Numba: what it is passed, and what becomes of files that are spoilt."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from ridgeline.simulate import native
from ridgeline.simulate.native import Entry, flat

numba: Any = pytest.importorskip("numba")


class Pair(NamedTuple):
    rows: np.ndarray
    other: Any = None


def total(pair: Pair, rows: np.ndarray, scale: float, negative: bool, count: int) -> int:
    """Something of each kind of argument."""
    found = 0.0
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            found += rows[i, j] * pair.rows[j] ** 0.5
    rows[0, 0] = count
    return int(-found * scale if negative else found * scale)


def _njit(given: Any) -> Any:
    options = {"error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True, "no_cpython_wrapper": given is not None}
    return numba.njit(**options)(total)


def entry(folder: Path | None) -> Entry:
    return Entry("total", _njit, folder)


def ask(made: Entry, rows: np.ndarray) -> int:
    return made(Pair(np.array([4.0, 9.0])), rows, 2.0, True, 7)


@pytest.mark.parametrize("rows", [np.array([[1, 2], [3, 4]]), np.array([[1, 0, 2], [3, 0, 4]])[:, ::2]], ids=["C", "A"])
def test_arguments_arrive(rows: np.ndarray, tmp_path: Path) -> None:
    """Tuples with None in them, rows with gaps between them, what is not a number: all as Python's function has it."""
    before = rows.copy()
    assert ask(entry(tmp_path), rows) == -2 * (1 * 2 + 2 * 3 + 3 * 2 + 4 * 3)
    assert (rows[0, 0], rows[1, 1]) == (7, before[1, 1])
    (kept,) = tmp_path.iterdir()
    assert entry(tmp_path).file(tuple(_kinds(rows))) == kept  # by what they are, not by their size


def _kinds(rows: np.ndarray) -> list[Any]:
    kinds: list[Any] = []
    flat((Pair(np.ones(9)), rows, 1.0, False, 1), kinds, [])
    return kinds


def test_a_file_is_called_without_numba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing it is most of a short command."""
    rows = np.array([[1, 2], [3, 4]])
    wanted = ask(entry(tmp_path), rows.copy())
    monkeypatch.setattr(Entry, "_made", lambda *_: pytest.fail("it was compiled again"))
    assert ask(entry(tmp_path), rows) == wanted


@pytest.mark.parametrize("spoilt", [b"", b"no line", b"abc symbol\ncode", None])
def test_a_spoilt_file_is_made_anew(spoilt: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LLVM ends the process when it is given what is no object code."""
    rows = np.array([[1, 2], [3, 4]])
    wanted = ask(entry(tmp_path), rows.copy())
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-9] if spoilt is None else spoilt)
    assert ask(entry(tmp_path), rows.copy()) == wanted
    monkeypatch.setattr(Entry, "_made", lambda *_: pytest.fail("it was compiled again"))
    assert ask(entry(tmp_path), rows) == wanted


def test_another_numba_is_slower_and_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left out of compiling is no promise of Numba's: where that fails it compiles as it always does."""
    monkeypatch.setattr(native, "remembering", lambda: 1 / 0)
    assert ask(entry(tmp_path), np.array([[1, 2], [3, 4]])) == -52
    monkeypatch.undo()
    monkeypatch.setattr(native, "_takes", lambda *_: False)
    assert ask(entry(tmp_path), np.array([[1, 2], [3, 4]])) == -52
    assert not list(tmp_path.iterdir())


def test_what_is_no_argument_is_told() -> None:
    with pytest.raises(TypeError, match="an argument of <class 'str'>"):
        flat(("text",), [], [])
    words: list[Any] = []
    flat((np.True_, 2.5, None, np.int64(3)), [], words)
    assert [type(word) for word in words] == [ctypes.c_bool, ctypes.c_double, type(None), int]


def test_the_engine_is_compiled_the_quick_way(tmp_path: Path) -> None:
    """With the Numba of today only the outermost function is made machine code, and none takes the slow way."""
    code = (
        "from ridgeline.simulate.native import Entry, compilers\n"
        "import numba\n"
        "part, whole = compilers()\n"
        "@numba.njit(pipeline_class=part, _nrt=False, forceinline=True, no_cpython_wrapper=True)\n"
        "def one(x): return x + 1\n"
        "def two(x): return one(x) * 2\n"
        "options = dict(_nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=True)\n"
        "entry = Entry('two', lambda given: numba.njit(pipeline_class=given[1], **options)(two), None)\n"
        "assert entry(3) == 8\n"  # the slow way would ask for None[1]
        "library = next(iter(one.overloads.values())).library\n"
        "print(library._compiled, max(3, 4))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "4"]


MADE = """
import sys, numba
from pathlib import Path
from ridgeline.simulate.native import Entry
space = {"__name__": "one_name"}
exec("def times(value): return value * " + sys.argv[2], space)
njit = lambda given: numba.njit(_nrt=False, no_cfunc_wrapper=True, no_cpython_wrapper=given is not None)(space["times"])
print(Entry("times", njit, Path(sys.argv[1]))(7))
"""


def test_files_of_one_name_are_not_confused(tmp_path: Path) -> None:
    """Two schedulers' code was made by two processes under the same symbol: each file has a linker of its own."""
    for factor in ("2", "3"):
        folder = tmp_path / factor
        folder.mkdir()
        command = [sys.executable, "-c", MADE, str(folder), factor]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{7 * int(factor)}\n"
    symbols = [next((tmp_path / factor).iterdir()).read_bytes().split(b"\n", 1)[0].split()[1] for factor in "23"]
    assert symbols[0] == symbols[1]
    assert [Entry("times", lambda given: 1 / 0, tmp_path / factor)(7) for factor in "232"] == [14, 21, 14]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is started in place of a compiling process: its arguments, and the process where a test starts one."""
    found: list[Any] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *given, **named: found.append((given, named)))
    monkeypatch.delenv(native.COMPILING, raising=False)
    return found


def begin(made: Entry) -> None:
    made.ahead("pass", Pair(np.array([4.0, 9.0])), np.array([[1, 2]]), 2.0, True, 7)


def test_no_other_process_where_there_is_no_python(
    started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that holds Python would be started again, and that one once more, without an end."""
    for place, name, value in (
        (sys, "executable", None),
        (sys, "executable", ""),
        (sys, "frozen", True),
        (os, "sched_getaffinity", lambda _: {3}),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, value, raising=False)
            begin(entry(tmp_path))
    with monkeypatch.context() as patch:
        patch.setenv(native.COMPILING, "1")
        begin(entry(tmp_path))
    begin(entry(None))
    assert not started
    begin(entry(tmp_path))
    (((command,), named),) = started
    assert command[0] == sys.executable
    assert native.COMPILING in named["env"]


def test_nothing_is_imported_from_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -c` looks there first: a file called numpy.py in somebody's folder ran unseen."""
    (tmp_path / "planted.py").write_text("open('seen', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    made = entry(tmp_path)
    made.ahead("import planted", np.array([1]))
    assert made.elsewhere
    assert made.elsewhere.wait() == 1
    assert not (tmp_path / "seen").exists()


def test_a_process_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is waited for, but not for ever."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(native, "PATIENCE", 0.1)
    made = entry(tmp_path)
    made.ahead("import time; time.sleep(600)", np.array([1]))
    assert ask(made, np.array([[1, 2], [3, 4]])) == -52
    assert made.elsewhere
    assert made.elsewhere.returncode < 0
