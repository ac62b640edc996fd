"""The program as a whole: how it starts, and what a mistake looks like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ridgeline.cli.app import COMMANDS

if TYPE_CHECKING:
    from .conftest import Runner

STEP = "step llama-3-8b hgx-h100"
PLAN = "plan llama-3-8b hgx-h100"


def test_help_names_every_command(run: Runner) -> None:
    """All faces are found from the top."""
    out = run("--help").out
    assert all(f"│ {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_fits_the_terminal(run: Runner, name: str) -> None:
    """Every option has a line that can be read."""
    result = run(f"{name} --help")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, result.out.splitlines())) <= 110
    assert "--json" in result.out or name == "web"  # which answers in the browser


def test_help_imports_nothing_heavy() -> None:
    """The start-up time rests on this: neither NumPy nor the physics is loaded to print a help."""
    code = "import sys; from ridgeline.cli.app import main; main(['--help']); assert 'numpy' not in sys.modules"
    code += "; assert 'ridgeline.scenario' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_version(run: Runner) -> None:
    assert run("--version").out.startswith("ridgeline 0.")


def test_module_is_the_command() -> None:
    """A real process: exit code 2, one line on stderr, nothing on stdout."""
    words = [sys.executable, "-m", "ridgeline", *STEP.split(), "--tp", "7"]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ridgeline: tp=7: a divisor of llama-3-8b's attention heads, 32; try 4 or 8\n"


def test_reader_that_leaves_early() -> None:
    """`ridgeline ... | head -1` ends in silence."""
    command = f"{sys.executable} -m ridgeline sweep llama-3-8b hgx-h100 --over batch=1:20000:+1 | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", check=False)
    assert done.stdout.startswith("batch,")
    assert done.stderr == ""


def test_terminal_without_unicode() -> None:
    """Bars and curves are replaced, not refused, where they cannot be encoded."""
    words = [sys.executable, "-m", "ridgeline", *PLAN.split()]
    done = subprocess.run(words, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, b"")


BAD = {
    "unit that does not exist": (f"{STEP} --context 8kk", "unknown unit"),
    "time without unit": (f"{PLAN} --tpot 20", "no unit"),
    "unit of another kind": (f"{PLAN} --tpot '20 GB'", "is a size in bytes"),
    "negative": (f"{STEP} --context -5", "negative"),
    "not a number": (f"{STEP} --batch nan", "not a number"),
    "infinite": (f"{STEP} --batch inf", "not a number"),
    "absurd": (f"{STEP} --batch 1e30", "too large to be meant"),
    "zero batch": (f"{STEP} --batch 0", "more than 0"),
    "share above one": (f"{STEP} --utilisation 2", "a share above 0"),
    "fractional degree": (f"{STEP} --tp 1.5", "a whole number"),
    "fractional chips": (f"{PLAN} --chips 1.5", "a whole number"),
    "too many chips to search": (f"{PLAN} --chips 1e9", "at most"),
    "layout that does not divide": (f"{STEP} --tp 3", "try 2 or 4"),
    "layout larger than the system": (f"{STEP} --tp 8 --pp 2", "--chips 16"),
    "experts of a dense model": (f"{STEP} --ep 2", "no experts"),
    "prompt that is all cached": (f"{STEP} --isl 4k --cached 4k", "--isl 4000"),
    "more gained than computed": (f"{STEP} --accepted 2", "--verify 1"),
    "does not fit": (f"{STEP} --batch 10k", "at most batch"),
    "model that does not fit": ("plan deepseek-v3 hgx-h100", "does not fit"),
    "limit that nothing keeps": (f"{PLAN} --tpot 1us", "the lowest TPOT is"),
    "unknown model": ("plan lama-3-8b hgx-h100", "did you mean llama-3-8b"),
    "unknown system": ("plan llama-3-8b hgx-h10", "did you mean"),
    "unknown option": (f"{STEP} --bach 3", "Did you mean --batch?"),
    "unknown command": ("stop llama-3-8b", "Unknown command"),
    "missing system": ("step llama-3-8b", "SYSTEM requires an argument"),
    "missing value": (f"{STEP} --tp", "--tp requires an argument"),
    "twice": (f"{STEP} --tp 1 --tp 2", "--tp"),
    "surplus word": (f"{STEP} more", "more"),
    "unknown format": (f"{STEP} --weights fp9", "did you mean"),
    "unknown part": (f"{STEP} --weights fp8,atention=bf16", "did you mean attention"),
    "unknown phase": (f"{STEP} --phase decoding", "did you mean decode"),
    "unknown price": (f"{STEP} --price cheap", "known are"),
    "unknown catalogue": (f"{STEP} --catalog nowhere", "expected a folder"),
    "unknown kind of entry": ("catalog chip", "did you mean chips"),
    "unknown entry": ("catalog chips h1000", "did you mean h100"),
    "unknown number": ("explain llama-3-8b hgx-h100 tpot", "did you mean tpot_s"),
    "unknown engine": (f"{STEP} --engine vlm", "did you mean vllm"),
    "no points": ("predict nothing.csv", "cannot be read as CSV"),
    "empty points": ("predict empty.csv", "expected columns"),
    "points that are not text": ("validate binary.csv", "cannot be read as CSV"),
    "points of something else": ("validate other.csv", "docs/accuracy.md"),
    "folder of points": ("predict .", "a file of points, or a folder with runs such as"),
    "points to nowhere": ("predict head.csv -o no/where/a.csv", "cannot be written"),
    "points to an unknown kind": ("predict head.csv -o a.xls", ".csv or .parquet"),
    "nothing to validate": ("validate head.csv", "at least one row"),
    "condition without value": ("validate row.csv --where mtp", "COLUMN=VALUE"),
    "a zero limit": ("plan llama-3-8b hgx-h100 --tpot 0", "above 0; leave it out for no limit"),
    "nothing to calibrate": ("calibrate", "either POINTS or --kernels"),
    "too little to calibrate": ("calibrate head.csv -o a.json", "at least 15 rows"),
    "kernels that are not there": ("calibrate --kernels nowhere", "a folder of kernel tables"),
    "two forms": (f"{STEP} --json --csv", "one of them"),
    "no plans": (f"{PLAN} --top 0", "1 to 1000"),
    "plot of an unknown kind": (f"{STEP} --plot a.bmp", ".svg"),
    "axis without values": ("sweep llama-3-8b hgx-h100 --over batch", "NAME=VALUES"),
    "axis of nothing": ("sweep llama-3-8b hgx-h100 --over bach=1", "did you mean batch"),
    "axis twice": ("sweep llama-3-8b hgx-h100 --over tp=1 --over tp=2", "each axis once"),
    "axis downwards": ("sweep llama-3-8b hgx-h100 --over batch=8:1:x2", "upwards"),
    "axis without end": ("sweep llama-3-8b hgx-h100 --over context=1:1e15:+1", "a larger step"),
    "sweep without end": ("sweep a b --over isl=1:1k:+1 --over osl=1:1k:+1 --over dp=1:1k:+1", "at most"),
    "zero degree in a sweep": ("sweep llama-3-8b hgx-h100 --over tp=0,1", "more than 0"),
    "unknown name in a sweep": ("sweep llama-3-8b hgx-h100 --over system=h100,h1000 -o a.csv", "unknown system"),
    "grid that is not there": ("sweep nowhere.toml", "cannot be read"),
    "grid with an unknown axis": ("sweep axis.toml", "did you mean batch"),
    "model without a system": ("sweep llama-3-8b --over tp=1", "SYSTEM requires an argument"),
    "sweep without axes": ("sweep llama-3-8b hgx-h100", "at least one axis"),
    "unknown column": ("sweep llama-3-8b hgx-h100 --over tp=1 --columns tpot", "did you mean tpot_s"),
    "unknown engine of a sweep": ("sweep llama-3-8b hgx-h100 --over tp=1 -o out --engine vlm", "did you mean vllm"),
    "unknown price of a sweep": ("sweep llama-3-8b hgx-h100 --over price=$1/h,cheap -o out", "known are"),
    "unknown executor": ("sweep llama-3-8b hgx-h100 --over tp=1 -o out --executor pol", "did you mean pool"),
    "workers for a table": ("sweep llama-3-8b hgx-h100 --over tp=1 --workers 2", "a folder to fill"),
    "address without Ray": ("sweep llama-3-8b hgx-h100 --over tp=1 -o out --address a:1", "--executor ray"),
    "unknown device": ("sweep llama-3-8b hgx-h100 --over tp=1 -o out --device gpus", "did you mean gpu"),
    "folder of something else": ("sweep llama-3-8b hgx-h100 --over tp=1 -o systems", "holds"),
    "query of no sweep": ("query systems 'SELECT 1'", "no folder of a sweep"),
    "engine that is none": (f"{PLAN} --emit vlm", "did you mean vllm"),
    "plan that is not listed": (f"{PLAN} --emit vllm --emit-plan 9", "one of the"),
    "output of an unknown kind": ("sweep llama-3-8b hgx-h100 --over tp=1 -o a.xls", ".csv or .parquet"),
    "output to nowhere": ("sweep llama-3-8b hgx-h100 --over tp=1 -o no/where/a.csv", "cannot be written"),
    "truncated config": ("model truncated.json", "is not JSON"),
    "nested config": ("model nested.json", "levels deep"),
    "large config": ("model large.json", "is larger than"),
    "config that is a list": ("model list.json", "expected a JSON object"),
    "config of the wrong types": ("model types.json", "hidden_size"),
    "config that lacks a field": ("model lacks.json", "num_hidden_layers"),
    "config of an unknown family": ("model family.json", "unheard"),
    "no such config": ("model nothing.json", "cannot be read"),
    "key that does not exist": ("plan llama-3-8b mine --catalog .", "bandwith"),
    "value without unit": ("plan llama-3-8b bare --catalog .", "expected"),
}  # fmt: skip


def _write_bad_files(folder: Path) -> None:
    llama = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}
    llama |= {"num_attention_heads": 4, "intermediate_size": 128}
    files = {
        "truncated.json": json.dumps(llama)[:-20],
        "nested.json": '{"a":' * 5000 + "1" + "}" * 5000,
        "large.json": json.dumps(llama | {"padding": "x" * 9_000_000}),
        "list.json": "[1, 2]",
        "types.json": json.dumps(llama | {"hidden_size": "many"}),
        "lacks.json": json.dumps({key: value for key, value in llama.items() if key != "num_hidden_layers"}),
        "family.json": json.dumps(llama | {"model_type": "unheard"}),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "empty.csv").write_text("")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 8)
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "head.csv").write_text("id,model,chip,engine,weight_dtype,kv_dtype,mode,metric,value,mtp\n")
    (folder / "row.csv").write_text("model,mtp\nllama-3-8b,0\n")
    (folder / "systems").mkdir()
    head = 'title = "T"\nchip = "h100"\nsource = "s"\n[domain]\nsize = 8\n'
    (folder / "axis.toml").write_text('model = "llama-3-8b"\nsystem = "hgx-h100"\n[axes]\nbach = [1]\n')
    (folder / "systems/mine.toml").write_text(f'{head}bandwith = "450 GB/s"\n')
    (folder / "systems/bare.toml").write_text(f"{head}bandwidth = 450\n")


@pytest.mark.parametrize("mistake", BAD)
def test_mistake(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """Each is one line on stderr with the reason or the way out, exit code 2, nothing printed and nothing written."""
    words, told = BAD[mistake]
    _write_bad_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = run(words)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("ridgeline: ")
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1
    assert "Traceback" not in result.err
    assert told in result.err
    assert sorted(tmp_path.rglob("*")) == before


def test_interrupt(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is no error: 130, as shells expect."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ridgeline.cli.step.point", interrupted)
    assert run(STEP) == (130, "", "")
