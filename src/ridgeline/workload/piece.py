"""Rows of one piece of a trace file, as arrays."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ridgeline.workload.formats import Columns


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one piece of a file: arrays of one length."""

    columns: Columns
    line: np.ndarray
    """int64: line of each row, from 1."""
    values: dict[str, np.ndarray]
    """By meaning. float64: NaN where a row has none, times in seconds. int64: times as nanoseconds since 1970, sessions
    as numbers in the order of their appearance, -1 where a row has none."""
    hash_counts: np.ndarray | None = None
    """int64: hash ids of each row."""
    hash_ids: np.ndarray | None = None
    """int64: of all rows, one after the other."""
    cut: int = 0
    """Lines that were cut off at the end of the file: 0 or 1."""

    def take(self, which: Any) -> Rows:
        """Some of the rows: an index or a slice of arrays."""
        counts, ids = self.hash_counts, self.hash_ids
        if counts is not None and ids is not None:
            mask = np.zeros(len(counts), dtype=bool)
            mask[which] = True
            counts, ids = counts[mask], ids[np.repeat(mask, counts)]
        return Rows(
            columns=self.columns,
            line=self.line[which],
            values={name: column[which] for name, column in self.values.items()},
            hash_counts=counts,
            hash_ids=ids,
        )


def shown(field: bytes) -> str:
    """What stands in a file, for a message."""
    return repr(field[:60].decode("utf-8", "replace")) + ("..." if len(field) > 60 else "")
