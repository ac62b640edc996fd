"""Rows of a points file: what is read, what is filled in, what is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ridgeline.errors import InputError
from ridgeline.validate.row import FULL, numbers, read_points

ROW = {"model": "llama-3-8b", "chip": "h100", "weight_dtype": "bf16", "mode": "online", "metric": "tpot_s"}
ROW |= {"isl": "1000", "osl": "100", "batch": "8"}


def test_blank_degrees_are_what_is_left() -> None:
    """Sources give the chips, or the degrees, or both; the chips are what somebody counted."""
    assert numbers(ROW)["chips"] == numbers(ROW)["tp"] == 1
    assert numbers(ROW | {"chips": "8", "dp": "2"})["tp"] == 4
    assert numbers(ROW | {"tp": "4", "pp": "2"})["chips"] == 8
    assert numbers(ROW | {"tp": "64", "dp": "2", "chips": "8"})["tp"] == 4


BAD = {
    "mode": ({"mode": "offline"}, "mode 'offline'"),
    "metric": ({"metric": "tpot_ms"}, "metric 'tpot_ms'"),
    "unit": ({"isl": "1k"}, "isl '1k'"),
    "not a number": ({"batch": "nan"}, "batch 'nan'"),
    "value that is none": ({"value": "NaN"}, "value 'NaN'"),
    "infinite": ({"osl": "inf"}, "osl 'inf'"),
    "absurd": ({"batch": "1e300"}, "batch '1e300'"),
    "negative": ({"isl": "-5"}, "isl '-5'"),
    "no degree": ({"dp": "0"}, "whole numbers from 1"),
    "half a degree": ({"tp": "1.5"}, "whole numbers from 1"),
    "degrees beyond the chips": ({"dp": "3", "chips": "8"}, "a multiple of"),
    "no prompt": ({"isl": ""}, "isl: missing"),
    "no answer": ({"osl": "0"}, "osl: missing"),
    "a rate without its run": ({"rate": "4"}, "requests: missing"),
    "no batch": ({"mode": "static", "batch": ""}, "batch: missing"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_by_name(case: str) -> None:
    """The message names the column: the file has thousands of rows."""
    change, told = BAD[case]
    with pytest.raises(InputError, match=told.replace("*", "[*]")):
        numbers(ROW | change)


@pytest.mark.parametrize("kind", ["kv_limit", "saturated", "fixed", ""])
def test_steps_that_need_no_batch(kind: str) -> None:
    """A step that fills memory or the engine's budget says so; a static batch has a number whatever it says."""
    blank = ROW | {"batch": "", "batch_kind": kind}
    for mode in ("decode_step", "prefill"):
        if kind in FULL:
            assert numbers(blank | {"mode": mode})["batch"] == 0
            continue
        with pytest.raises(InputError, match="batch: missing"):
            numbers(blank | {"mode": mode})
    with pytest.raises(InputError, match="batch: missing"):
        numbers(blank | {"mode": "static"})


@pytest.mark.parametrize("name", ["model", "chip", "weight_dtype", "mode", "metric"])
def test_missing_column(name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such column"):
        numbers({key: text for key, text in ROW.items() if key != name})


def test_odd_files(tmp_path: Path) -> None:
    """A byte-order mark, short rows and long rows are what spreadsheets write."""
    path = tmp_path / "points.csv"
    path.write_bytes(b"\xef\xbb\xbfmodel,chip,mode\r\nllama-3-8b\r\na,b,c,d\r\n")
    short, long = read_points(path)
    assert (short["model"], short["chip"], short["mode"]) == ("llama-3-8b", "", "")
    assert long[""] == ["d"]
