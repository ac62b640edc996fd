"""A table of training runs, read from a CSV: parameters, tokens or FLOP, and loss, by the names that people give them.

    tokens = FLOP / (6 parameters) where only FLOP are given

A column is found by its name without case, spaces and signs. Knows no law.
"""

from __future__ import annotations

import csv
import re

import msgspec
import numpy as np

from ridgeline.errors import InputError

NAMES = {
    "parameters": ("parameters", "params", "n", "modelsize", "nonembeddingparameters"),
    "tokens": ("tokens", "d", "trainingtokens", "data"),
    "flop": ("flop", "flops", "c", "compute", "trainingflop", "trainingflops"),
    "loss": ("loss", "l", "finalloss", "validationloss"),
}
LARGEST = 50_000_000
"""Bytes of a file beyond which it is not read."""


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """``float64[runs]`` each."""

    parameters: np.ndarray
    tokens: np.ndarray
    losses: np.ndarray
    left_out: int
    """Runs of too few tokens per parameter."""


def read(path: str, least_ratio: float = 0.0) -> Runs:
    """Runs of a CSV file; those of fewer than `least_ratio` tokens per parameter are left out and counted.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, or has a value that is no number above 0; names the line.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            text = file.read(LARGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise InputError(f"--fit {path!r}", f"cannot be read ({reason})") from None
    if len(text) > LARGEST:
        raise InputError(f"--fit {path!r}", f"at most {LARGEST} bytes")
    rows = csv.reader(text.splitlines())
    header = next(rows, [])
    places = {kind: _place(header, names) for kind, names in NAMES.items()}
    missing = [kind for kind in ("parameters", "loss") if places[kind] is None]
    if places["tokens"] is None and places["flop"] is None:
        missing.append("tokens or flop")
    if missing:
        known = ", ".join(header)[:80]
        raise InputError(f"{path}: columns {known}", f"a column of {' and of '.join(missing)}")
    values: dict[str, list[float]] = {kind: [] for kind, place in places.items() if place is not None}
    for line, row in enumerate(rows, 2):
        if not any(cell.strip() for cell in row):
            continue
        for kind, column in values.items():
            place = places[kind]
            assert place is not None
            cell = row[place] if place < len(row) else ""
            try:
                number = float(cell)
            except ValueError:
                number = float("nan")
            if not 0 < number < float("inf"):
                raise InputError(f"{path}, line {line}: {kind} {cell[:40]!r}", "a number above 0")
            column.append(number)
    n = np.array(values["parameters"])
    d = np.array(values["tokens"]) if "tokens" in values else np.array(values["flop"]) / (6.0 * n)
    keep = d / n >= least_ratio
    return Runs(parameters=n[keep], tokens=d[keep], losses=np.array(values["loss"])[keep], left_out=int((~keep).sum()))


def _place(header: list[str], names: tuple[str, ...]) -> int | None:
    plain = [re.sub(r"[^a-z]", "", cell.lower()) for cell in header]
    return next((plain.index(name) for name in names if name in plain), None)
