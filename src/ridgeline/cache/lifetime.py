"""How long to keep a prefix after each use, and where: the time to live that costs least under a law of reuse.

Each use restarts the clock. Per use of a token, in steady state, with a time to live T in one tier,

    cost(T) = w (1 - G) + (1 - o) h H + max(o h H, e (1 - G)) + F G + R (q - G)       [$/tok]       without a cache: q R

G(T), H(T) and q as in `reuse.py`, h, e and o as in `cost.py`: what has come back is fetched, what comes back later is
computed and stored anew, what never does is held for T in vain. Where nothing wears out the best T satisfies
h (1 - G) = g (R + w - F), g = G': hold on while the chance per second of coming back, times what that saves, is above
the rent. Where wear is above the rent, holding on costs nothing more. Exponential reuse with q = 1 has a constant
chance: T is 0 or infinite. Of recorded gaps the best T is 0 or one of them. The first computation of a prefix is left
out: no cache avoids it. Knows no limit of capacity: a tier is as large as pays.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.cache.cost import occupy_cost
from ridgeline.cache.reuse import Reuse

_STEPS = 256
_ROUNDS = 3


class Lifetime(msgspec.Struct, frozen=True, kw_only=True):
    """The best time to live in one tier."""

    ttl: float
    """Seconds; 0: keep nothing; infinite: keep for ever."""
    hit: float
    """Share of uses that find the prefix, of all uses that have one before them: G(T) / q."""
    held: float
    """Mean seconds held after a use."""
    cost: float
    """Dollars per token and use."""


def ttl_cost(
    ttl: np.ndarray,
    law: Reuse,
    *,
    hold: float,
    fetch: float,
    store: float,
    recompute: float,
    wear: float = 0.0,
    own: float = 1.0,
) -> np.ndarray:
    """cost(T), $/tok and use, at each time to live `ttl`, s; the equation above. At 0 nothing is stored: q R."""
    back = law.returned(ttl)
    kept = occupy_cost(hold, law.held(ttl), wear, own, 1.0 - back)
    cost = store * (1.0 - back) + kept + fetch * back + recompute * (law.returns - back)
    return np.where(np.asarray(ttl) > 0, cost, law.returns * recompute)


def best_lifetime(
    law: Reuse, *, hold: float, fetch: float, store: float, recompute: float, wear: float = 0.0, own: float = 1.0
) -> Lifetime:
    """The time to live of least cost: exact for recorded gaps, else to six digits; arguments as of `ttl_cost`."""

    def cost(ttl: np.ndarray) -> np.ndarray:
        return ttl_cost(ttl, law, hold=hold, fetch=fetch, store=store, recompute=recompute, wear=wear, own=own)

    if law.gaps is not None:
        ttl = np.unique(np.append(law.gaps, 0.0))
    else:
        ttl = np.concatenate([[0.0], law.mean * np.geomspace(1e-9, 1e6, _STEPS)])
        for _ in range(_ROUNDS):
            at = int(cost(ttl).argmin())
            if at == 0:
                break
            low, high = ttl[max(at - 1, 1)], ttl[min(at + 1, len(ttl) - 1)]
            ttl = np.concatenate([[0.0], np.linspace(low, high, _STEPS)])
        if law.returns == 1.0:
            ttl = np.append(ttl, np.inf)
    every = cost(ttl)
    at = int(every.argmin())
    if law.returns == 1.0 and law.gaps is None and at and every[-1] <= every[at] * (1 + 1e-12):
        at = len(ttl) - 1
    best = ttl[at : at + 1]
    if not best[0]:
        return Lifetime(ttl=0.0, hit=0.0, held=0.0, cost=float(every[at]))
    return Lifetime(
        ttl=float(best[0]),
        hit=float(law.returned(best)[0] / law.returns),
        held=float(law.held(best)[0]),
        cost=float(every[at]),
    )
