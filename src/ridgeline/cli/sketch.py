"""A curve drawn with characters: two by four dots to a character, both axes logarithmic.

    column = log(x / x_min) / log(x_max / x_min) * (dots - 1)

Knows no meaning of its axes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of Unicode's braille patterns by column and row of the dot."""
_BLANK = 0x2800


def sketch(
    x: np.ndarray,
    y: np.ndarray,
    marks: Sequence[tuple[float, float, str]],
    *,
    others: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    width: int = 84,
    height: int = 12,
) -> list[str]:
    """Lines of a plot of the line through (x, y), and through `others`, with labelled points; positive values.

    The first column is the value at the edge of the plot, for the first and the last line only; below stand the values
    at the ends of the x axis.
    """
    curves = [(x, y), *others]
    xs, ys = (np.concatenate([*(c[i] for c in curves), [mark[i] for mark in marks]]) for i in range(2))
    across, down = _scale(xs, 2 * width - 1), _scale(ys, 4 * height - 1)
    cells = np.zeros((height, width), dtype=int)
    for line in curves:
        columns, rows = across(line[0]), 4 * height - 1 - down(line[1])
        steps = np.maximum(np.abs(np.diff(columns)), np.abs(np.diff(rows)))
        at = np.concatenate([[0.0], np.cumsum(steps)])
        every = np.arange(at[-1] + 1)
        for column, row in zip(np.interp(every, at, columns), np.interp(every, at, rows), strict=True):
            i, j = round(float(row)), round(float(column))
            cells[i // 4, j // 2] |= _DOTS[j % 2][i % 4]
    lines = [[chr(_BLANK + bits) if bits else " " for bits in row] for row in cells]
    for px, py, label in reversed(marks):
        row, column = height - 1 - int(down(np.array(py))) // 4, int(across(np.array(px))) // 2
        lines[row][column : column + len(label)] = label
    edge = [_tick(ys.max()), *[""] * (height - 2), _tick(ys.min())]
    room = max(map(len, edge))
    left, right = _tick(xs.min()), _tick(xs.max())
    return [
        *(f"{tick:>{room}} ┤{''.join(line[:width])}".rstrip() for tick, line in zip(edge, lines, strict=True)),
        f"{'':>{room}} └{'─' * width}",
        f"{'':>{room}}  {left}{right:>{width - len(left)}}",
    ]


def _scale(values: np.ndarray, dots: int):
    """Position of a value among `dots` + 1 dots from the least to the greatest of `values`, on a logarithmic axis."""
    low, high = np.log(values.min()), np.log(values.max())
    span = max(high - low, 1e-9)
    return lambda value: np.round((np.log(value) - low) / span * dots)


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
