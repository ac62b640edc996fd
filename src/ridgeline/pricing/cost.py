"""What a token costs on a machine, as far as a price sheet can tell: math, and weights read or held for few tokens.

    input   c_in  = rent (2 A / peak + N b / (bandwidth S_in))
    output  c_out = rent (2 A / peak + (R(B) b / B + K L) / bandwidth)          R(B) = A + (N - A) (1 - (1 - A/N)^B)

A active and N total parameters of b bytes, K bytes of cache per token, L context, B sequences in a decode step, R the
weights that such a step reads. Holding weights that nobody asks for costs as reading them does (N b / bandwidth is
their share of HBM times its drain), so that S_in and B are *effective*: idle time makes them small. Prices follow costs
by a markup that falls with cost:

    ln price = markup + line + elasticity ln(c / c0) + ln c0,      c0 = $0.10 per million tokens

One machine, no efficiencies, no collectives: these are in the markup, and no sheet can take them apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

REFERENCE = 1e-7
"""c0, $/tok: costs at which markups are compared."""
BLEND = 0.75
"""Share of input among the tokens of a sheet with one price for both."""


def input_cost(
    active: Floats, total: Floats, spread: float, *, peak: float, bandwidth: float, rent: float, width: float
) -> Floats:
    """Cost of an input token, $: the first equation above.

    Parameters
    ----------
    active, total
        Parameters.
    spread
        S_in, tokens over which one reading (or holding) of the weights is spread.
    peak, bandwidth, rent
        Of one chip: FLOP/s, bytes/s, $/s.
    width
        Bytes per parameter.
    """
    return rent * (2.0 * active / peak + total * width / (bandwidth * spread))


def output_cost(
    active: Floats,
    total: Floats,
    cache: Floats,
    batch: Floats | float,
    context: float,
    *,
    peak: float,
    bandwidth: float,
    rent: float,
    width: float,
) -> Floats:
    """Cost of an output token, $: the second equation above; `cache` in bytes per token, `context` in tokens."""
    missed = (1.0 - np.minimum(active / total, 1.0)) ** batch
    read = active + (total - active) * (1.0 - missed)
    return rent * (2.0 * active / peak + (read * width / batch + cache * context) / bandwidth)


def log_price(cost: Floats, markup: Floats | float, elasticity: float) -> Floats:
    """Ln of the price, $/tok, that follows a cost; markup in ln units at the reference cost."""
    base = np.log(REFERENCE)
    return markup + base + elasticity * (np.log(cost) - base)


def blended(log_input: Floats, log_output: Floats) -> Floats:
    """Ln of the one price of a sheet that asks the same for input and output."""
    return np.log(BLEND * np.exp(log_input) + (1.0 - BLEND) * np.exp(log_output))
