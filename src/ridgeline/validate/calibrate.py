"""Constants of engines from files of points, with the errors of what was left out: `ridgeline calibrate`.

Every model on every system is also predicted with constants fitted without it, and every row with those fitted to the
half of the rows that it is not in: `heldout.py` makes intervals of the errors. `fit.py` fits, also without one term
after another: `ablation.py`. Needs SciPy.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from ridgeline.engines import FITTED, Engines, write_engines
from ridgeline.errors import InputError
from ridgeline.validate.ablation import FLOOR, TERMS, error, floor_error
from ridgeline.validate.benchmarks import benchmark
from ridgeline.validate.fit import LEAST, MEASURED, learn, place_of
from ridgeline.validate.heldout import Errors, add_errors, held_out, spread
from ridgeline.validate.pools import PreparedPools
from ridgeline.validate.prepared import Prepared, prepare
from ridgeline.validate.row import STEPS, read_points


def calibrate(*paths: Path, catalog: str = "") -> Engines:
    """Constants of all engines of some files of points, from the rows whose speculation is known to be off.

    Raises
    ------
    InputError
        If the file cannot be read, or has fewer than LEAST usable rows of the engines whose kernels were measured.
    """
    rows = _usable(paths)
    groups, pools = _prepared(rows, catalog)
    if sum(len(group.rows) for group in groups if group.engine in MEASURED) < LEAST:
        raise InputError(
            " ".join(map(str, paths)),
            f"at least {LEAST} rows with mtp=0, a value, and an engine of {', '.join(MEASURED)}",
        )
    found = learn(groups, pools, ", ".join(path.name for path in paths))
    found = msgspec.structs.replace(found, notice=notice(rows[i] for group in (*groups, *pools) for i in group.rows))
    errors: Errors = {}
    near: Errors = {}
    halves = [_prepared(half, catalog) for half in _halves(rows)]
    for half, other in (halves, halves[::-1]):
        others = learn(*half)
        for group in (*other[0], *other[1]):
            add_errors(group, others, near, FITTED)
    for absent in sorted({place_of(group) for group in (*groups, *pools)}):
        left = [group for group in (*groups, *pools) if place_of(group) == absent]
        kept = [g for g in groups if place_of(g) != absent], [g for g in pools if place_of(g) != absent]
        others = learn(*kept, wanted=left)
        for group in left:
            add_errors(group, others, errors)
    bought = {name: error(groups, learn(groups, held=held)) for name, held in TERMS.items()}
    bought[FLOOR] = floor_error(groups)
    return msgspec.structs.replace(
        found, ablation=bought, held_out=held_out(errors), near=held_out(near), spread=spread(errors, near)
    )


def notice(rows: Iterable[dict[str, str]]) -> str:
    """Whose measurements are fitted, how many numbers of each, and under which licence, where it is known."""
    sources = Counter(row.get("source", "") for row in rows)
    under = {source: f" ({benchmark(source).licence})" if benchmark(source).licence else "" for source in sources}
    known = [f"{source} {n}{under[source]}" for source, n in sources.most_common()]
    return f"fitted to numbers published by others, none of which is contained: {'; '.join(known)}"


def calibration_rows(*paths: Path, catalog: str = "") -> tuple[list[Prepared], list[PreparedPools]]:
    """What is fitted of some files: groups of rows of one pool, and of separate pools."""
    return _prepared(_usable(paths), catalog)


def _usable(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Rows whose speculation is known to be off, and that have a value and, if they are single steps, a batch."""
    every = (row for path in paths for row in read_points(path))
    known = (row for row in every if row.get("mtp") == "0" and row.get("value", "").strip(" 0."))
    return [row for row in known if row.get("mode") not in STEPS or row.get("batch", "").strip(" 0.")]


def _prepared(rows: Sequence[dict[str, str]], catalog: str) -> tuple[list[Prepared], list[PreparedPools]]:
    made = list(prepare(rows, catalog))
    return [g for g in made if isinstance(g, Prepared)], [g for g in made if isinstance(g, PreparedPools)]


def _halves(rows: Iterable[dict[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows dealt out to two halves by chance, but always in the same way; all numbers of one run go together."""
    out: tuple[list[dict[str, str]], list[dict[str, str]]] = ([], [])
    for row in rows:
        run, colon, _ = row.get("id", "").rpartition(":")
        out[zlib.crc32((run if colon else row.get("id", "")).encode()) % 2].append(row)
    return out


def write(engines: Engines, path: Path) -> None:
    """Write constants as JSON, a line for each level, in one go."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8", newline="\n") as file:
        file.write(write_engines(engines))
    os.replace(file.name, path)
