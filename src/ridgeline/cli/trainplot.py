"""`--plot` of a training job: the front of time against memory, and where the best layout's step goes."""

from __future__ import annotations

import numpy as np

from ridgeline.cli.figure import BLUE, GREY, ORANGE, label, picture
from ridgeline.training.search import SearchResult


def draw(found: SearchResult, path: str, again: str) -> None:
    """Draw the front (where there was a search) and the parts of the best step."""
    asked, best = found.asked, found.best[0]
    head = [
        f"{asked.model.name} on {asked.chips:,} chips of {asked.system.name}",
        f"{best.layout}: {best.seconds:.3g} s a step",
    ]
    with picture(path, 3, head, again) as panels:
        front, parts, memory = panels
        if found.front:
            points = np.array([(size / 1e9, seconds) for _, seconds, size in found.front])
            front.step(points[:, 0], points[:, 1], where="post", color=BLUE)
            front.scatter(points[:, 0], points[:, 1], s=12, color=BLUE)
        front.scatter([best.memory.used / 1e9], [best.seconds], s=36, color=ORANGE, zorder=3)
        label(front, "the best", (best.memory.used / 1e9, best.seconds), ORANGE, (-6, 8))
        front.axvline(asked.system.chip.usable / 1e9, color=GREY, lw=0.8, ls=":")
        front.set(title="Time against memory", xlabel="memory of the fullest device (GB)", ylabel="step (s)")
        _bars(parts, {name: s for name, s in best.time.parts.items() if s > 1e-3 * best.seconds}, BLUE)
        parts.set(title="A step", xlabel="s")
        _bars(memory, {name: size / 1e9 for name, size in best.memory.parts().items() if size > 0}, ORANGE)
        memory.set(title="Memory", xlabel="GB")


def _bars(axes, values: dict[str, float], ink: str) -> None:
    """Horizontal bars, the first on top."""
    names = list(values)[::-1]
    axes.barh(names, [values[name] for name in names], color=ink, height=0.7)
    axes.grid(visible=False, axis="y")
