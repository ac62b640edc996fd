"""`ridgeline predict`: floor, estimate and interval of every row of a file of points."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from ridgeline.cli.options import CatalogFolder, OutputFile, PointsFile, Strict, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.save import save
from ridgeline.cli.table import copied
from ridgeline.validate.points import Prediction
from ridgeline.validate.points import predict as evaluate
from ridgeline.validate.row import read_points

COLUMNS = Prediction.__struct_fields__


@command()
def predict(
    points: PointsFile, /, *, output: OutputFile = "", strict: Strict = False, catalog: CatalogFolder = ""
) -> Report:
    """Floor, estimate and interval of every row of a file of points, in the order of the file.

    A row that cannot be predicted has no numbers and its reason under `refused`; the others go on.
    """
    predictions = evaluate(read_points(Path(points)), catalog)
    refused = sum(bool(each.refused) for each in predictions)
    rows = Rows(COLUMNS, [_cells(each) for each in predictions])
    count = save(rows, output) if output else len(predictions)
    return Report(
        document=lambda: {
            "rows": count,
            "refused": refused,
            "predictions": [dict(zip(COLUMNS, row, strict=True)) for row in rows.values],
        },
        rows=lambda: rows,
        text=(lambda: _text(points, output, count, refused)) if output else None,
        code=1 if strict and refused else 0,
    )


def _cells(prediction: Prediction) -> list[Any]:
    """Values in the order of the columns; no number is an empty cell."""
    return [None if isinstance(value, float) and math.isnan(value) else value for value in astuple(prediction)]


def _text(points: str, output: str, count: int, refused: int) -> list[Any]:
    return [
        f"{count:,} rows in {output}, {refused:,} of them refused",
        copied(f"again: {shlex.join(['ridgeline', 'predict', points, '-o', output])}"),
    ]
