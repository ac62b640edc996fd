"""Rows into a .csv or .parquet file, in full or not at all."""

from __future__ import annotations

from pathlib import Path

from ridgeline.cli.file import replacing
from ridgeline.cli.report import Rows
from ridgeline.errors import InputError
from ridgeline.sweep.store import duckdb


def save(rows: Rows, path: str) -> int:
    """Write all rows to a file and return their number.

    Raises
    ------
    InputError
        For a name of another kind, a place that cannot be written to, or Parquet without DuckDB.
    """
    kind = Path(path).suffix
    if kind not in (".csv", ".parquet"):
        raise InputError(f"--output {path!r}", "a file name that ends in .csv or .parquet")
    database = duckdb("--output with .parquet") if kind == ".parquet" else None
    with replacing(path, "--output") as draft:
        with draft.open("w", encoding="utf-8", newline="") as file:
            count = rows.write(file)
        if database is not None:
            table = database.connect().read_csv(str(draft), header=True, sample_size=-1)
            table.write_parquet(str(packed := draft.with_suffix(".packed")))
            packed.replace(draft)
    return count
