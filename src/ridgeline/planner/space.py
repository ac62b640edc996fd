"""Every layout of a model on at most so many chips, as arrays.

    tp * pp * dp * cp <= chips,   ep divides tp * dp,   all degrees divide the model (`layout.Divisors`)

Where ep does not divide the experts, `redundant` copies fill it up to the next multiple (DeepSeek's EP144 holds 256 +
32). More copies take memory and reads but relieve the busiest rank: one more per rank is in the space where the fill
does not even out popularity yet (`experts.COPIED`), under a given skew two. Dense models get dp = 1: copies that share
nothing are replicas. Knows no time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ridgeline.errors import InputError
from ridgeline.layout import Divisors, Layout
from ridgeline.work import COPIED

if TYPE_CHECKING:
    import numpy as np

    from ridgeline.model import Architecture

MOST = 16384
"""Chips of the largest search: one replica has no use for more."""
CONTEXTS = (1, 2, 4, 8, 16, 32, 64)


def layouts(model: Architecture, chips: int, *, skew: float = 0.0) -> Layout:
    """All valid layouts of `model` on up to `chips` chips; each degree an integer array, replicas of one chip first.

    Raises
    ------
    InputError
        For more than MOST chips.
    """
    if chips > MOST:
        raise InputError(f"--chips {chips}", f"at most {MOST} chips to search over", "replicas are independent")
    import numpy as np

    can = Divisors.of(model)
    tensor = np.array([t for t in range(1, chips + 1) if all(n % t == 0 for n in can.heads + can.widths)])
    depth = np.arange(1, min(can.layers, chips) + 1)
    contexts = np.array([c for c in CONTEXTS if c <= chips])
    t, p, c = (each.ravel() for each in np.meshgrid(tensor, depth, contexts, indexing="ij"))
    room = chips // (t * p * c)
    t, p, c, room = (each[room >= 1] for each in (t, p, c, room))
    if not can.experts:
        parts = [(t, p, np.ones_like(t), 1, c, 0)]
    else:
        rows = np.repeat(np.arange(len(t)), room)
        first = np.cumsum(room) - room
        d = np.arange(len(rows)) - first[rows] + 1
        t, p, c = t[rows], p[rows], c[rows]
        ranks = t * d
        parts = []
        for e, more in _groups(can.experts, min(chips, 2 * max(can.experts)), skew):
            keep = np.flatnonzero(ranks % e == 0)
            parts.append((t[keep], p[keep], d[keep], e, c[keep], more))
    columns = [np.concatenate([np.broadcast_to(part[i], part[0].shape) for part in parts]) for i in range(6)]
    tp, pp, dp, ep, cp, redundant = columns
    every = Layout(tp=tp, pp=pp, dp=dp, ep=ep, cp=cp, redundant=redundant)
    keep = np.flatnonzero(can.valid(every))
    keep = keep[np.lexsort((redundant[keep], cp[keep], ep[keep], dp[keep], pp[keep], tp[keep], every.chips[keep]))]
    return take(every, keep)


def _groups(experts: tuple[int, ...], most: int, skew: float) -> list[tuple[int, int]]:
    """Expert-parallel degrees with the redundant copies that make them divide."""
    found: list[tuple[int, int]] = []
    for e in range(1, most + 1):
        fills = {-n % e for n in experts}
        if len(fills) > 1:
            continue
        least = fills.pop()
        uneven = e > 1 and least < COPIED * min(experts)
        found += [(e, least + k * e) for k in range(3 if skew else 1 + uneven)]
    return found


def take(layout: Layout, rows: np.ndarray) -> Layout:
    """The layouts of some rows."""
    return Layout(**{name: getattr(layout, name)[rows] for name in layout.__struct_fields__})


def joined(spaces: Sequence[Layout]) -> Layout:
    """Layouts of several tables, one after another."""
    import numpy as np

    return Layout(**{name: np.concatenate([getattr(s, name) for s in spaces]) for name in Layout.__struct_fields__})
