"""The lecture's closed forms: what one line of a sheet would say if one operating point explained it.

    step at L_s:    k = A b / (r L_s) (1 - B*/B)              bytes of cache read per token
    ratio rho:      B*/B + L/L* = rho   =>   B = B* / (rho - L/L*)
    price above L:  f(L) = max(1, B*/B + L/L*)                decode over prefill, equal efficiency and margin

A active parameters of b bytes, r tokens per read weight at the ridge, B* the balance batch, L* the balance context. The
step asks for a batch well above B*, a ratio above one for a batch below it: no operating point has both. These are
what-ifs, not estimates: no held-out model confirms them.
"""

from __future__ import annotations

from ridgeline.arrays import Array, namespace
from ridgeline.pricing.sheet import Sheet
from ridgeline.units import show


def cache_from_step(active: Array, width: Array, ridge: Array, context: Array, fill: Array = 0.0) -> Array:
    """Bytes read per token if a price step at `context` is where reading the cache overtakes the math.

    Parameters
    ----------
    active, width
        Active parameters, and bytes of each.
    ridge
        r, tokens per read weight at the ridge.
    fill
        B*/B: 0 for a batch so large that reading weights costs nothing, 1 for the balance batch.

    Examples
    --------
    >>> round(cache_from_step(100e9, 1.0, 300, 200e3)), round(cache_from_step(100e9, 0.5, 300, 200e3))
    (1667, 833)
    >>> round(cache_from_step(100e9, 1.0, 300, 200e3, fill=1 / 3))
    1111
    """
    return active * width / (ridge * context) * (1.0 - fill)


def fill_from_ratio(ratio: Array, context_share: Array = 0.0) -> Array:
    """B*/B from the ratio of output to input: ratio - L/L*, nothing if the cache alone explains it.

    Examples
    --------
    >>> fill_from_ratio(5.0), fill_from_ratio(5.0, 4.0)
    (5.0, 1.0)
    """
    xp = namespace(ratio, context_share)
    return xp.maximum(ratio - context_share, 0.0 * ratio)


def cost_above(context: Array, balance: Array, fill: Array) -> Array:
    """Decode cost of a token at `context` over that of compute: max(1, B*/B + L/L*).

    Examples
    --------
    >>> cost_above(300e3, 200e3, 0.0), cost_above(1e6, 200e3, 0.0)
    (1.5, 5.0)
    """
    xp = namespace(context, balance, fill)
    return xp.maximum(1.0 + 0.0 * context, fill + context / balance)


def misfits(sheet: Sheet) -> list[str]:
    """Lines of a sheet that one operating point cannot explain together, by name."""
    out: list[str] = []
    fill = fill_from_ratio(sheet.ratio)
    for step in sheet.steps[:1]:
        if fill > 1.0:
            at = show(step.above, "tok")
            out.append(
                f"step at {at} and output {sheet.ratio:.3g}x input: as the balance of cache and math the step needs a "
                f"batch well above B*, the ratio at short context needs one of B*/{fill:.3g}"
            )
        rise_in, rise_out = step.input / sheet.input, step.output / sheet.output
        if rise_in > 1.02 * rise_out:
            at = show(step.above, "tok")
            out.append(
                f"above {at} input rises {rise_in:.3g}x, output {rise_out:.3g}x: reading the cache "
                "is a cost of output, prefill pays for attention's math only"
            )
    return out
