"""Pictures with panels side by side, drawn with matplotlib into a file: style, colours, labels and ticks of all plots.

Twice the same data makes the same file. Colours are Okabe and Ito's, which colour-blind readers tell apart. Knows no
law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ridgeline.cli.file import replacing
from ridgeline.errors import InputError

K = TypeVar("K")

BLUE, ORANGE, GREEN, RED, PURPLE = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
INK, GREY = "#222222", "#8a8a8a"
STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": GREY, "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.titlesize": 10, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.grid": True, "grid.color": "#e8e8e8", "grid.linewidth": 0.6,
    "axes.axisbelow": True, "svg.hashsalt": "ridgeline",
}  # fmt: skip
KINDS = (".svg", ".png")


def drawable(path: str, kinds: Sequence[str] = KINDS) -> str:
    """The kind of a picture's file; what takes long before it draws asks first.

    Raises
    ------
    InputError
        For another kind of file, a folder that is not there, or without matplotlib.
    """
    kind, folder = Path(path).suffix.lower(), Path(path).parent
    if kind not in kinds:
        raise InputError(f"--plot {path!r}", f"a file name that ends in {', '.join(kinds)}")
    if not folder.is_dir():
        raise InputError(f"--plot {path!r}", f"a folder that is there; {str(folder)!r} is not")
    if find_spec("matplotlib") is None:
        raise InputError("--plot", "needs matplotlib", "pip install 'ridgeline[plot]'")
    return kind


@contextmanager
def picture(
    path: str, panels: int, head: Sequence[str], foot: str, page: Callable[[str], str] | None = None
) -> Iterator[Sequence[Any]]:
    """Panels to draw into; they are saved at `path` when the block ends well. `page` makes a .html of the SVG's text.

    Raises
    ------
    InputError
        For another kind of file, without matplotlib, or if the file cannot be written.
    """
    kind = drawable(path, (*KINDS, ".html") if page else KINDS)
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.67 * panels if panels > 2 else 14, 4.9), layout="constrained")
        yield figure.subplots(1, panels, squeeze=False)[0]
        figure.suptitle("\n".join(head), x=0.01, ha="left", fontsize=10)
        figure.supxlabel(foot, x=0.01, ha="left", fontsize=8, color=GREY)
        with replacing(path, "--plot") as draft:
            drawn = draft.with_suffix(".svg") if kind == ".html" else draft
            figure.savefig(drawn, dpi=150, metadata={"Date": None} if drawn.suffix == ".svg" else None)
            if page and kind == ".html":
                draft.write_text(page(drawn.read_text(encoding="utf-8")), encoding="utf-8")
                drawn.unlink()


def label(axes: Any, text: str, at: tuple[float, float], colour: str, shift: tuple[int, int], **style: Any) -> None:
    """Text beside a point of the data, `shift` printer's points away."""
    box = {"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 0.5}
    axes.annotate(text, at, xytext=shift, textcoords="offset points", color=colour, bbox=box, zorder=5, **style)


def ticks(axis: Any, text: Callable[[float], str]) -> None:
    """Ticks at powers of ten, also at 2 and 5 of them where there are few, written by `text`."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0,) if np.log10(high / low) > 2.5 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(NullFormatter())


def apart(ends: dict[K, float], axes: Any, gap: float = 0.045) -> dict[K, float]:
    """Heights of labels, moved up where they would overlap, as a share of the logarithmic axis."""
    low, high = np.log(axes.get_ylim())
    placed: dict[K, float] = {}
    last = -np.inf
    for name, value in sorted(ends.items(), key=lambda item: item[1]):
        last = max((np.log(value) - low) / (high - low), last + gap)
        placed[name] = float(np.exp(low + last * (high - low)))
    return placed
