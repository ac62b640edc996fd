"""One row of a points file as numbers: what it must have, and what is refused by name.

    chips = tp * pp * dp * cp          ep divides tp * dp

Columns are in SI units without unit signs: seconds, tokens, tokens per second. Blank degrees are 1, blank `tp` is what
`chips` leaves for it, blank `chips` what the degrees make. Knows no model, no chip and no law.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from ridgeline.errors import InputError

NAMES = ("model", "chip", "engine", "weight_dtype", "kv_dtype")
"""Columns of names; blank where a row does not say."""
NEEDED = ("model", "chip", "weight_dtype", "mode", "metric")
"""Columns without which no row can be predicted."""
MODES = ("decode_step", "prefill", "static", "online")
METRICS = ("tpot_s", "ttft_s", "e2e_s", "out_tok_s", "in_tok_s", "total_tok_s")
DEGREES = ("tp", "pp", "dp", "ep", "cp", "chips")
COUNTS = ("isl", "osl", "context", "batch", "value")
"""Columns of numbers that are 0 where they are blank."""
MOST = 1e12
"""Beyond it a number is a slip."""


def read_points(path: Path) -> list[dict[str, str]]:
    """Rows of a points file, as text; a cell that a row lacks is blank, cells beyond the columns are under "".

    Raises
    ------
    InputError
        If the file cannot be read as CSV, or has none of the columns.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            columns = reader.fieldnames or ()
            if not any(name in columns for name in NEEDED):
                raise InputError(str(path), f"expected columns {', '.join(NEEDED)}", "docs/accuracy.md lists all")
            return list(reader)
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
    for name in NEEDED:
        if name not in row:
            raise InputError(name, "no such column")
    for name, known in (("mode", MODES), ("metric", METRICS)):
        if row[name] not in known:
            raise InputError(f"{name} {row[name][:40]!r}", f"one of {', '.join(known)}")
    out = {name: _number(row, name, math.nan) for name in DEGREES} | {name: _number(row, name, 0.0) for name in COUNTS}
    _complete(out)
    mode = row["mode"]
    if mode != "online" and not out["batch"]:
        raise InputError("batch", "missing")
    if mode != "decode_step" and not out["isl"]:
        raise InputError("isl", "missing")
    if mode in ("static", "online") and not out["osl"]:
        raise InputError("osl", "missing")
    return out


def _number(row: Mapping[str, str], name: str, blank: float) -> float:
    text = (row.get(name) or "").strip()
    if not text:
        return blank
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < MOST:
        raise InputError(f"{name} {text[:40]!r}", f"a number in SI units, not negative, below {MOST:g}")
    return value


def _complete(out: dict[str, float]) -> None:
    """Fill in blank degrees; where chips and degrees disagree the chips are certain, and `tp` follows from them."""
    given = [out[name] for name in DEGREES if not math.isnan(out[name])]
    if any(value < 1 or value != int(value) for value in given):
        raise InputError("tp, pp, dp, ep, cp, chips", "whole numbers from 1")
    for name in ("pp", "dp", "ep", "cp"):
        out[name] = 1.0 if math.isnan(out[name]) else out[name]
    others = out["pp"] * out["dp"] * out["cp"]
    if math.isnan(out["chips"]):
        out["chips"] = others * (1.0 if math.isnan(out["tp"]) else out["tp"])
    out["tp"] = out["chips"] / others
    if out["tp"] != int(out["tp"]):
        raise InputError(f"chips {out['chips']:g}", f"a multiple of pp * dp * cp = {others:g}")
