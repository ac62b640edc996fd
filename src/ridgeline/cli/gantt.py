"""A pipeline's diagram: rows of characters for a terminal, an SVG, or a page that needs no other file.

Up to `NUMBERED` slots per device are drawn one by one with the number of their micro-batch; more are drawn as what each
pixel shows, so that a file stays small whatever the number of micro-batches. Knows no schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ridgeline.cli.file import replacing
from ridgeline.cli.table import shown
from ridgeline.errors import InputError
from ridgeline.training.pipeline import BESIDE, IDLE, Run, kinds, pixels, runs

if TYPE_CHECKING:
    from rich.text import Text

LOOK = {
    0: ("forward", "░", "#56B4E9", "bright_blue"),
    1: ("gradient of the input", "▓", "#E69F00", "yellow"),
    2: ("gradient of the weights", "▒", "#009E73", "green"),
    3: ("whole backward", "█", "#D9822B", "dark_orange"),
    BESIDE: ("forward beside backward", "▚", "#CC79A7", "magenta"),
    IDLE: ("idle", "·", "none", "dim"),
}
"""Name, character, colour of a file and of a terminal, by kind."""
ROWS, COLUMNS = 16, 96
"""Of a terminal."""
FINE = 480
"""Columns of a diagram as numbers."""
WIDTH, LEFT, ROW = 1000, 48, 18
"""Of a file, in pixels."""
NUMBERED = 400
"""Slots of a device up to which each is drawn."""
LEAST = 11.0
"""Pixels of a slot that has room for its number."""
STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #6b6b6b; --page: #fff; --code: #f3f3f3 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --soft: #a0a0a0; --page: #161616; --code: #262626 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1060px;
  margin: 2rem auto; padding: 0 1rem } h1 { font-size: 1.25rem } p { margin: .2rem 0; color: var(--soft) }
svg { width: 100%; height: auto } pre { overflow-x: auto; font-size: 13px }
code { background: var(--code); padding: .1em .35em; border-radius: 3px; overflow-wrap: anywhere }
"""


def diagram(run: Run) -> dict[str, Any]:
    """The same rows as `lines` as numbers: device, and stretches of one kind between columns, idle ones left out."""
    chosen, seen = _chosen(run), pixels(run, FINE)
    rows = [[[LOOK[kind][0], a, b] for kind, a, b in runs(seen[device]) if kind != IDLE] for device in chosen]
    return {"columns": FINE, "devices": chosen, "rows": rows}


def _chosen(run: Run) -> list[int]:
    return np.unique(np.linspace(0, run.program.devices - 1, ROWS).round().astype(int)).tolist()


def lines(run: Run) -> list[Text]:
    """Devices from the first on, time to the right; of many devices `ROWS` evenly chosen ones."""
    from rich.text import Text

    seen = pixels(run, COLUMNS)
    width = len(str(run.program.devices))
    out = []
    for device in _chosen(run):
        text = Text(f"{device:>{width}} ")
        for kind, a, b in runs(seen[device]):
            text.append(LOOK[kind][1] * (b - a), style=LOOK[kind][3])
        out.append(text)
    legend = Text(" " * (width + 1))
    for kind in _used(run):
        legend.append(LOOK[kind][1], style=LOOK[kind][3])
        legend.append(f" {LOOK[kind][0]}   ")
    return [*out, legend]


def draw(run: Run, path: str, head: Sequence[str], numbers: str, again: str) -> None:
    """Write the diagram to an .svg, or with its numbers to an .html; in full or not at all.

    Raises
    ------
    InputError
        For another kind of name, or a place that cannot be written to.
    """
    kind = Path(path).suffix.lower()
    if kind not in (".svg", ".html"):
        raise InputError(f"--plot {path!r}", "a file name that ends in .svg or .html")
    picture = _svg(run, head)
    if kind == ".html":
        title = escape(head[0])
        picture = (
            f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
            f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n<h1>{title}</h1>\n'
            + "".join(f"<p>{escape(text)}</p>\n" for text in head[1:])
            + f"{picture}<pre>{escape(numbers)}</pre>\n<p>Again: <code>{escape(again)}</code></p>\n</html>\n"
        )
    with replacing(path, "--plot") as draft:
        draft.write_text(picture, encoding="utf-8")


def _used(run: Run) -> list[int]:
    """Kinds that occur, and idle."""
    found = {int(kind) for device in range(run.program.devices) for kind in np.unique(kinds(run, device))}
    return [kind for kind in LOOK if kind in found or kind == IDLE]


def _svg(run: Run, head: Sequence[str]) -> str:
    devices = run.program.devices
    row = ROW if devices <= 32 else max(320 / devices, 4.0)
    top, scale = 28, (WIDTH - LEFT - 8) / run.span
    height = top + row * devices + 44
    parts = [f'<text x="0" y="14" class="t">{escape(head[0])}</text>']
    every = max(devices // 16, 1)
    few = max(len(slots) for slots in run.program.slots) <= NUMBERED
    coarse = None if few else pixels(run, WIDTH - LEFT - 8)
    for device in range(devices):
        y = top + row * device
        if device % every == 0:
            parts.append(f'<text x="{LEFT - 6}" y="{y + row * 0.5 + 4:.1f}" text-anchor="end">{device}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y:.1f}" width="{WIDTH - LEFT - 8}" height="{row - 1:.1f}" fill="#8882"/>')
        if coarse is None:
            parts += _slots(run, device, y, row, scale)
            continue
        parts += [
            f'<rect x="{LEFT + a}" y="{y:.1f}" width="{b - a}" height="{row - 1:.1f}" fill="{LOOK[kind][2]}"/>'
            for kind, a, b in runs(coarse[device])
            if kind != IDLE
        ]
    base = top + row * devices
    for i in range(6):
        x = LEFT + (WIDTH - LEFT - 8) * i / 5
        anchor = "end" if i == 5 else "middle" if i else "start"
        time = shown(run.span * i / 5, "s")
        parts.append(f'<text x="{x:.0f}" y="{base + 14:.0f}" text-anchor="{anchor}">{time}</text>')
    x = float(LEFT)
    for kind in _used(run):
        name, _, colour, _ = LOOK[kind]
        fill = "#8882" if kind == IDLE else colour
        parts.append(f'<rect x="{x:.0f}" y="{base + 24:.0f}" width="11" height="11" fill="{fill}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="{base + 34:.0f}">{name}</text>')
        x += 34 + 6.2 * len(name)
    style = (
        "text{font:11px system-ui,sans-serif;fill:#888}.n{fill:#111;font-size:9px}.t{font-weight:600;font-size:12px}"
    )
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{"".join(parts)}</svg>\n'


def _slots(run: Run, device: int, y: float, row: float, scale: float) -> list[str]:
    """Every slot of a device, with its micro-batch where there is room and a text to point at."""
    program, parts = run.program, []
    for (one, other), kind, begin, end in zip(
        program.slots[device].tolist(), kinds(run, device).tolist(), run.begin[device], run.end[device], strict=True
    ):
        x, width = LEFT + begin * scale, (end - begin) * scale
        middle = x + width / 2
        split = [program.split(operation) for operation in (one, other) if operation >= 0]
        told = " and ".join(f"{LOOK[k][0]}, stage {stage}, micro-batch {micro}" for k, stage, micro in split)
        number = (
            f'<text class="n" x="{middle:.1f}" y="{y + row * 0.66:.1f}" text-anchor="middle">{split[0][2]}</text>'
            if width >= LEAST and row >= 12
            else ""
        )
        parts.append(
            f"<g><title>{told}: {shown(begin, 's')} to {shown(end, 's')}</title>"
            f'<rect x="{x:.2f}" y="{y:.1f}" width="{max(width - 0.4, 0.3):.2f}" height="{row - 1:.1f}"'
            f' fill="{LOOK[kind][2]}"/>{number}</g>'
        )
    return parts
