"""One row of a points file as numbers: what it must have, and what is refused by name.

    chips = tp * pp * dp * cp          ep divides tp * dp

A row of separate pools has degrees of a prefill worker and of a decode worker (`prefill_tp`, `decode_tp`, ...) and how
many there are of each (`prefill_workers`, `decode_workers`); `chips` is then their sum, and not needed.

Columns are in SI units without unit signs: seconds, tokens, tokens per second. Blank degrees are 1, blank `tp` is what
`chips` leaves for it, blank `chips` what the degrees make. Knows no model, no chip and no law.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from ridgeline.errors import InputError
from ridgeline.validate.sources import points

NAMES = ("model", "chip", "engine", "weight_dtype", "kv_dtype")
"""Columns of names; blank where a row does not say."""
NEEDED = ("model", "chip", "weight_dtype", "mode", "metric")
"""Columns without which no row can be predicted."""
MODES = ("decode_step", "prefill", "static", "online", "disaggregated")
METRICS = ("tpot_s", "ttft_s", "e2e_s", "out_tok_s", "in_tok_s", "total_tok_s", "latency_s")
"""`latency_s` is that of a single collective or kernel (`single.py`)."""
DEGREES = ("tp", "pp", "dp", "ep", "cp", "chips")
POOLS = ("prefill_", "decode_")
POOL_DEGREES = ("workers", "tp", "pp", "dp", "ep")
"""Columns of a worker of each pool, with the pool's name in front; blank: 1."""
COUNTS = ("isl", "osl", "context", "batch", "requests", "rate", "places")
"""Columns of numbers that are 0 where they are blank, as `value` is."""
FULL, STEPS = ("kv_limit", "saturated"), ("decode_step", "prefill")
"""Kinds of batch that a row need not give, and modes of single steps: as many sequences as the cache holds in decode
steps, prompts as an engine schedules them in prefills."""
MOST = 1e12
"""Beyond it a number is a slip."""


def read_points(path: Path) -> list[dict[str, str]]:
    """Rows of a points file, as text; a cell that a row lacks is blank, cells beyond the columns are under "".

    Files of other columns and folders of runs become rows of points where they can (`sources.py`, `runs.py`).

    Raises
    ------
    InputError
        If the file cannot be read as CSV, or has none of the columns.
    """
    if path.is_dir():
        from ridgeline.validate.runs import run_points

        return run_points(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            columns = reader.fieldnames or ()
            if not any(name in columns for name in (*NEEDED, "op", "metric_name")):
                raise InputError(str(path), f"expected columns {', '.join(NEEDED)}", "docs/accuracy.md lists all")
            return points(columns, list(reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), f"cannot be read as CSV ({getattr(error, 'strerror', None) or error})") from None


def numbers(row: Mapping[str, str]) -> dict[str, float]:
    """The numeric columns of a row.

    Raises
    ------
    InputError
        For a column that is missing, an unknown mode or metric, what is not a finite, non-negative number, a length
        or batch that the mode needs, and degrees that do not make the chips.
    """
    _refused(row)
    for name in NEEDED:
        if name not in row:
            raise InputError(name, "no such column")
    for name, known in (("mode", MODES), ("metric", METRICS)):
        if row[name] not in known:
            raise InputError(f"{name} {row[name][:40]!r}", f"one of {', '.join(known)}")
    mode, counts = row["mode"], tuple(map(row.get, COUNTS))
    full = row.get("batch_kind") in FULL
    run = (
        _run(mode, counts, tuple(map(row.get, DEGREES)), full)
        if mode != "disaggregated"
        else _complete(mode, _counts(counts) | _pools(row), full)
    )
    return {**run, "value": _number(row, "value", 0.0)}


@lru_cache(maxsize=4096)
def _run(mode: str, counts: tuple[str | None, ...], degrees: tuple[str | None, ...], full: bool) -> Mapping[str, float]:
    """The numbers in the cells of COUNTS and DEGREES, which the metrics of one run share."""
    return _complete(mode, _counts(counts) | _degrees(degrees), full)


def _complete(mode: str, out: dict[str, float], full: bool) -> dict[str, float]:
    """The numbers of a run if none is missing that its mode needs."""
    if not out["batch"] and not (mode == "online" or (full and mode in STEPS)):
        raise InputError("batch", "missing")
    if out["rate"] and not (out["requests"] and out["batch"]):
        missing = "batch" if out["requests"] else "requests"
        raise InputError(missing, "missing, with a rate", "the requests of the run, and the mean of open ones")
    if mode != "decode_step" and not out["isl"]:
        raise InputError("isl", "missing")
    if mode in ("static", "online", "disaggregated") and not out["osl"]:
        raise InputError("osl", "missing")
    return out


def _counts(cells: tuple[str | None, ...]) -> dict[str, float]:
    """The numbers in the cells of COUNTS."""
    row = {name: cell or "" for name, cell in zip(COUNTS, cells, strict=True)}
    return {name: _number(row, name, 0.0) for name in COUNTS}


def _number(row: Mapping[str, str], name: str, blank: float) -> float:
    text = row.get(name)
    if not text or not (text := text.strip()):
        return blank
    value = _float(text)
    if not 0 <= value < MOST:
        raise InputError(f"{name} {text[:40]!r}", f"a number in SI units, not negative, below {MOST:g}")
    return value


@lru_cache(maxsize=65536)
def _float(text: str) -> float:
    """A number; NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def single_numbers(row: Mapping[str, str]) -> dict[str, float]:
    """The numbers of a single collective or kernel; 0 where one is blank (InputError as `numbers`)."""
    _refused(row)
    out = {name: _number(row, name, 0.0) for name in ("bytes", "m", "n", "k", "value")}
    return out | {"chips": max(_number(row, "chips", 1.0), 1.0)}


def _refused(row: Mapping[str, str]) -> None:
    """A row that says itself why it cannot be used."""
    if row.get("refused"):
        given, _, expected = row["refused"].partition(": ")
        raise InputError(given, expected)


@lru_cache(maxsize=4096)
def _degrees(cells: tuple[str | None, ...]) -> dict[str, float]:
    """Degrees without blanks, of the cells of DEGREES; where chips and degrees disagree the chips are certain, and `tp`
    follows from them.
    """
    row = {name: cell or "" for name, cell in zip(DEGREES, cells, strict=True)}
    out = {name: _number(row, name, math.nan) for name in DEGREES}
    _whole({name: value for name, value in out.items() if value == value})
    for name in ("pp", "dp", "ep", "cp"):
        out[name] = 1.0 if math.isnan(out[name]) else out[name]
    others = out["pp"] * out["dp"] * out["cp"]
    if math.isnan(out["chips"]):
        out["chips"] = others * (1.0 if math.isnan(out["tp"]) else out["tp"])
    out["tp"] = out["chips"] / others
    if out["tp"] != int(out["tp"]):
        raise InputError(f"chips {out['chips']:g}", f"a multiple of pp * dp * cp = {others:g}")
    return out


def _pools(row: Mapping[str, str]) -> dict[str, float]:
    """Degrees and numbers of the workers of both pools, and their chips."""
    out = {pool + name: _number(row, pool + name, 1.0) for pool in POOLS for name in POOL_DEGREES}
    _whole(out)
    each = {pool: out[pool + "tp"] * out[pool + "pp"] * out[pool + "dp"] for pool in POOLS}
    return out | {"chips": max(each.values()), "cp": 1.0}


def _whole(degrees: Mapping[str, float]) -> None:
    if any(value < 1 or value % 1 for value in degrees.values()):
        raise InputError(", ".join(degrees), "whole numbers from 1")
