"""`--timeline`: a run as a page that needs no other file: queue, cache, and requests as bars, in light and dark.

Few marks, whatever the run's length: `simulate.timeline` says what they mean. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

from ridgeline.cli.file import replacing
from ridgeline.cli.table import counted, shown
from ridgeline.errors import InputError
from ridgeline.simulate.run import Run
from ridgeline.simulate.timeline import PHASES, Bars, Timeline, timeline
from ridgeline.workload import Requests

WIDTH, LEFT, RIGHT = 1000, 64, 12
"""Of each panel, in pixels of the drawing."""
UNITS = (
    (2 * 86400.0, 86400.0, "days"),
    (2 * 3600.0, 3600.0, "h"),
    (120.0, 60.0, "min"),
    (0.2, 1.0, "s"),
    (0.0, 1e-3, "ms"),
)
"""From which span on which unit of time an axis has."""
THIN = 0.01
"""Share of the time below which a request's bar is a dot, and bars of all requests say nothing."""
STYLE = """
:root { color-scheme: light dark; --ink: #222; --soft: #6b6b6b; --line: #e4e4e4; --page: #fff; --code: #f3f3f3;
  --waiting: #E69F00; --prefill: #0072B2; --decode: #009E73; --preempted: #D55E00; --blocks: #8a63b5 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --soft: #a0a0a0; --line: #383838; --page: #161616;
  --code: #262626; --waiting: #f0b429; --prefill: #4aa8e0; --decode: #27c499; --preempted: #ff7b3d;
  --blocks: #b392e6 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1060px;
  margin: 2rem auto; padding: 0 1rem } h1 { font-size: 1.25rem } h2 { font-size: 1rem; margin: 1.6rem 0 .2rem }
p { margin: .2rem 0; color: var(--soft) } code { background: var(--code); padding: .1em .35em; border-radius: 3px;
  overflow-wrap: anywhere } svg { width: 100%; height: auto; display: block } pre { overflow-x: auto; font-size: 13px }
text { font: 11px system-ui, sans-serif; fill: var(--soft) } .grid { stroke: var(--line) } .axis { stroke: var(--soft) }
.waiting { fill: var(--waiting) } .prefill { fill: var(--prefill) } .decode { fill: var(--decode) }
.preempted { fill: var(--preempted) } .running { fill: var(--decode) } .ttft { fill: var(--prefill) }
.blocks { fill: var(--blocks) }
.most { fill: none; stroke: var(--soft); stroke-width: .8 } .key { display: inline-block; width: .8em; height: .8em;
  margin: 0 .3em 0 .9em; border-radius: 2px; vertical-align: baseline }
"""


def draw(run: Run, requests: Requests, path: str, head: Sequence[str], numbers: str, again: str) -> None:
    """Write the page, in full or not at all.

    Parameters
    ----------
    head
        Title and lines under it.
    numbers
        Text with the metrics.
    again
        The command line that makes the page.

    Raises
    ------
    InputError
        For a name of another kind, or a place that cannot be written to.
    """
    if Path(path).suffix.lower() != ".html":
        raise InputError(f"--timeline {path!r}", "a file name that ends in .html")
    found = timeline(run)
    with replacing(path, "--timeline") as draft:
        draft.write_text("".join(_page(found, run, requests, head, numbers, again)), encoding="utf-8")


def _page(
    found: Timeline, run: Run, requests: Requests, head: Sequence[str], numbers: str, again: str
) -> Iterator[str]:
    title, *rest = (escape(text) for text in head)
    yield f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>{title}</title>\n'
    yield f'<meta name="viewport" content="width=device-width">\n<style>{STYLE}</style>\n<h1>{title}</h1>\n'
    yield "".join(f"<p>{text}</p>\n" for text in rest)
    if not len(found.bands.number):
        yield "<p>No request was served.</p>\n</html>\n"
        return
    low, high = float(found.edges[0]), float(found.edges[-1])
    yield _title("Open requests", "mean number in each phase", PHASES)
    yield _areas([(name, found.phases[name]) for name in PHASES], low, high, "requests", 150)
    if found.states:
        running, most = found.states["running"]
        yield _title("Batch", "requests in it: mean, and the most as a line", ("running",))
        yield _areas([("running", running)], low, high, "requests", 110, most)
    if "blocks" in found.states and run.blocks:
        mean, most = (100.0 * part / run.blocks for part in found.states["blocks"])
        yield _title("KV cache", f"share of {run.blocks:,} blocks in use: mean, and the most as a line", ("blocks",))
        yield _areas([("blocks", mean)], low, high, "%", 110, most)
    unit, name = _unit(float(found.ttft[1].max()))
    mean, most = (part / unit for part in found.ttft)
    yield _title("Time to first token", "by arrival: mean, and the longest as a line", ("ttft",))
    yield _areas([("ttft", mean)], low, high, name, 110, most)
    bands, near = found.bands, found.closeup
    keys = (*PHASES, "preempted")
    if len(bands.number) > len(near.number) and float((bands.finish - bands.arrival).max()) > THIN * (high - low):
        fewest, most_of = bands.count.min(), bands.count.max()
        each = (
            ""
            if most_of == 1
            else f"; a bar is the mean of {fewest:,}" + (f" or {most_of:,}" if most_of > fewest else "")
        )
        yield _title("All requests", f"in the order of arrival{each}", keys)
        yield _gantt(bands, requests, low, high, 300, names=False)
    yield _title("Close-up", "successive requests around the longest time to first token", keys)
    yield _gantt(near, requests, float(near.arrival.min()), float(near.finish.max()), 13 * len(near.number), names=True)
    notes = ["Preempted: thrown out and computed again during the bar (of a mean: half of its requests or more)."]
    notes += [f"{counted(found.refused, 'request')} refused or not finished, and not drawn."] if found.refused else []
    yield "".join(f"<p>{escape(note)}</p>\n" for note in notes)
    yield f"<h2>Numbers</h2>\n<pre>{escape(numbers)}</pre>\n<p>Again: <code>{escape(again)}</code></p>\n</html>\n"


def _title(text: str, note: str, keys: Sequence[str]) -> str:
    marks = "".join(f'<span class="key" style="background:var(--{_colour(key)})"></span>{key}' for key in keys)
    return f"<h2>{text}</h2>\n<p>{escape(note)}{marks}</p>\n"


def _colour(key: str) -> str:
    return {"running": "decode", "ttft": "prefill"}.get(key, key)


def _areas(
    layers: Sequence[tuple[str, np.ndarray]],
    low: float,
    high: float,
    unit: str,
    height: int,
    most: np.ndarray | None = None,
) -> str:
    """Levels over time, one upon the other."""
    top = float(max(np.sum([level for _, level in layers], axis=0).max(), 0.0 if most is None else most.max()))
    steps = _ticks(0.0, top or 1.0, 4)
    top = steps[-1] if steps[-1] >= top else steps[-1] + steps[1]
    x = LEFT + (WIDTH - LEFT - RIGHT) * np.linspace(0, 1, len(layers[0][1]) + 1)
    base = np.zeros(len(layers[0][1]))
    parts: list[str] = []
    for name, level in layers:
        upper = base + level
        parts.append(f'<path class="{name}" d="{_outline(x, upper, base, top, height)}"/>')
        base = upper
    if most is not None:
        parts.append(f'<path class="most" d="M{_stairs(x, most, top, height)}"/>')
    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.4g}</text>'
        for value in dict.fromkeys((*steps, top))
        for y in (_y(value, top, height),)
    )
    label = f'<text transform="translate(12 {height / 2:.0f}) rotate(-90)" text-anchor="middle">{unit}</text>'
    return _svg(height, grid + "".join(parts) + label, low, high)


def _outline(x: np.ndarray, upper: np.ndarray, lower: np.ndarray, top: float, height: int) -> str:
    """An area between two staircases."""
    return f"M{_stairs(x, upper, top, height)}L{_stairs(x[::-1], lower[::-1], top, height)}Z"


def _stairs(x: np.ndarray, level: np.ndarray, top: float, height: int) -> str:
    """Points of a level that holds between two x each."""
    points = zip(np.repeat(x, 2)[1:-1], np.repeat(level, 2), strict=True)
    return "L".join(f"{a:.1f} {_y(value, top, height):.1f}" for a, value in points)


def _y(value: float, top: float, height: int) -> float:
    return 6 + (height - 8) * (1 - value / top)


def _gantt(bars: Bars, requests: Requests, low: float, high: float, height: int, *, names: bool) -> str:
    """A bar for each request or band, in rows from the top."""
    scale = (WIDTH - LEFT - RIGHT) / max(high - low, 1e-9)
    row = height / len(bars.number)
    thick = max(row * 0.82, 0.8)
    parts: list[str] = []
    for i in range(len(bars.number)):
        times = [float(part[i]) for part in (bars.arrival, bars.start, bars.first_token, bars.finish)]
        x = [LEFT + (time - low) * scale for time in times]
        y = row * i + 2
        last = "preempted" if 2 * bars.preempted[i] >= bars.count[i] else "decode"
        marks = "".join(
            f'<rect class="{name}" x="{a:.1f}" y="{y:.1f}" width="{max(b - a, 0.4):.1f}" height="{thick:.1f}"/>'
            for name, (a, b) in zip((*PHASES[:2], last), pairwise(x), strict=True)
            if b > a
        )
        parts.append(f"<g><title>{escape(_told(bars, requests, i, times))}</title>{marks}</g>")
        if names and (row >= 11 or i % 5 == 0):
            parts.append(f'<text x="{LEFT - 6}" y="{y + thick * 0.8:.1f}" text-anchor="end">{bars.number[i]:,}</text>')
    if not names:
        for i in range(0, len(bars.number), max(len(bars.number) // 5, 1)):
            parts.append(f'<text x="{LEFT - 6}" y="{row * i + 10:.1f}" text-anchor="end">{bars.number[i]:,}</text>')
    label = f'<text transform="translate(12 {height / 2:.0f}) rotate(-90)" text-anchor="middle">request</text>'
    return _svg(height + 4, "".join(parts) + label, low, high)


def _told(bars: Bars, requests: Requests, i: int, times: Sequence[float]) -> str:
    """What a bar says when it is pointed at."""
    spans = [shown(b - a, "s") for a, b in pairwise(times)]
    first, count = int(bars.number[i]), int(bars.count[i])
    if count == 1:
        who = f"request {first:,}: {requests.prompt[first]:,} tokens in, {requests.output[first]:,} out"
    else:
        who = f"{count:,} requests from request {first:,}, means"
    thrown = int(bars.preempted[i])
    again = "" if not thrown else "; preempted" if count == 1 else f"; {thrown:,} preempted"
    return f"{who}; arrived at {times[0]:.6g} s, waited {spans[0]}, prefill {spans[1]}, decode {spans[2]}{again}"


def _svg(height: int, inside: str, low: float, high: float) -> str:
    """A panel with its axis of time."""
    unit, name = _unit(high - low)
    marks: list[str] = []
    for value in _ticks(low / unit, high / unit, 9):
        x = LEFT + (WIDTH - LEFT - RIGHT) * (value * unit - low) / (high - low)
        marks.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{height}" y2="{height + 4}"/>'
            f'<text x="{x:.1f}" y="{height + 16}" text-anchor="middle">{value:,.10g}</text>'
        )
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{height}" y2="{height}"/>'
    label = f'<text x="0" y="{height + 16}">time, {name}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {height + 22}">{inside}{axis}{"".join(marks)}{label}</svg>\n'


def _unit(span: float) -> tuple[float, str]:
    """Seconds of the unit that suits a span, and its name."""
    return next((unit, name) for least, unit, name in UNITS if span >= least)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from `low` to `high`, at most about so many, at least two unless one is all there is."""
    raw = (high - low) / most
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    first = int(np.ceil(low / step - 1e-9))
    return [round(i * step, 12) for i in range(first, int(np.floor(high / step + 1e-9)) + 1)]
