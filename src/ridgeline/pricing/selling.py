"""How likely a price sheet is, given a model: prices follow costs by a markup that all lines share, and noise of each.

    e_in  = ln input  - markup - elasticity ln(c_in / c0)  - ln c0
    e_out = ln output - markup - output - elasticity ln(c_out / c0) - ln c0
    (e_in, e_out) ~ t_tails(0, [[s^2 + s_in^2, s^2], [s^2, s^2 + s_out^2]])

Sellers with one price for input and output are a class of their own: that price follows the blend of both. Whether a
sheet has one price, a price for cached input, and how long its input may be, are signs of the class of model.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.pricing.cost import blended, input_cost, log_price, output_cost
from ridgeline.pricing.market import Chip, Machine, Market, Selling, Sign
from ridgeline.pricing.sheet import Sheet

Floats = NDArray[np.float64]
_SAME = 0.01
"""ln(output / input) up to which the two are one price."""


class Shown(NamedTuple):
    """What a sheet shows of its model; numbers, or arrays with a sheet to a row."""

    input: Floats | float
    """ln $/tok."""
    output: Floats | float
    flat: NDArray[np.bool_] | bool
    cached: Floats | float
    """1 if cached input has a price, 0 if it has none, not a number if that is not known."""
    context: Floats | float
    """log10 of the longest input, not a number if that is not known."""


def shown(sheet: Sheet, *, signs: bool = True, whole: bool = True) -> Shown:
    """What a sheet shows; without `signs` its two prices only. A sheet that is not `whole` may have unsaid lines."""
    cached = float(sheet.cached is not None) if signs and (whole or sheet.cached is not None) else math.nan
    return Shown(
        input=math.log(sheet.input),
        output=math.log(sheet.output),
        flat=abs(math.log(sheet.ratio)) < _SAME,
        cached=cached,
        context=math.log10(sheet.context) if signs and sheet.context > 0 else math.nan,
    )


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What sheets of models look like on average: ln prices, and the signs' linear forms; a model to a row."""

    cost_input: Floats
    """ln of the cost, $/tok."""
    cost_output: Floats
    input: Floats
    output: Floats
    flat: Floats
    """ln of the one price."""
    has_flat: Floats
    """Logit."""
    has_cached: Floats
    context: Floats


def costs(
    active: Floats, total: Floats, cache: Floats, batch: Floats | float, machine: Machine, chip: Chip
) -> tuple[Floats, Floats]:
    """Costs of an input and an output token, $; sizes in log10; `batch` broadcasts with them."""
    a, n, k = 10.0**active, 10.0**total, 10.0**cache
    rates = {"peak": chip.peak, "bandwidth": chip.bandwidth, "rent": chip.rent, "width": chip.width}
    return input_cost(a, n, machine.spread, **rates), output_cost(a, n, k, batch, machine.context, **rates)


def expected(
    experts: NDArray[np.bool_], active: Floats, total: Floats, cache: Floats, batch: Floats | float, market: Market,
    chip: Chip,
) -> Expected:  # fmt: skip
    """What sheets of such models look like on average; sizes in log10; `batch` broadcasts with them."""
    selling, signs = market.selling, market.signs
    ci, co = costs(active, total, cache, batch, market.machine, chip)
    low = log_price(ci, selling.markup.mean, selling.elasticity)
    high = log_price(co, selling.markup.mean + selling.output, selling.elasticity)
    return Expected(
        cost_input=np.log(ci),
        cost_output=np.log(co),
        input=low,
        output=high,
        flat=blended(low, high) + selling.flat,
        has_flat=form(signs.flat, experts, active - 10.0),
        has_cached=form(signs.cached, experts, total - 10.5),
        context=form(signs.context, experts, cache - 5.0),
    )


def form(sign: Sign, experts: NDArray[np.bool_], x: Floats) -> Floats:
    """Constant + experts [is a mixture of experts] + slope x."""
    return sign.constant + sign.experts * experts + sign.slope * x


def price_likelihood(model: Expected, sheet: Shown, selling: Selling) -> Floats:
    """Ln density of a sheet's prices given models; rows broadcast."""
    one = _student((sheet.input - model.flat) ** 2 / selling.flat_noise**2, 1, selling.tails) - math.log(
        selling.flat_noise
    )
    s2, i2, o2 = selling.markup.sd**2, selling.input_noise**2, selling.output_noise**2
    determinant = s2 * (i2 + o2) + i2 * o2
    e_in, e_out = sheet.input - model.input, sheet.output - model.output
    square = ((s2 + o2) * e_in**2 - 2.0 * s2 * e_in * e_out + (s2 + i2) * e_out**2) / determinant
    two = _student(square, 2, selling.tails) - 0.5 * math.log(determinant)
    return np.where(sheet.flat, one, two)


def sign_likelihood(model: Expected, sheet: Shown, market: Market) -> Floats:
    """Ln probability of a sheet's signs given models; what is not known counts nothing."""
    sd = market.signs.context.sd
    off = (sheet.context - model.context) / sd
    context = np.where(np.isnan(sheet.context), 0.0, _student(off**2, 1, market.selling.tails) - math.log(sd))
    known = np.nan_to_num(np.asarray(sheet.cached, float))
    cached = np.where(np.isnan(sheet.cached), 0.0, _bernoulli(model.has_cached, known))
    return _bernoulli(model.has_flat, np.asarray(sheet.flat, float)) + cached + context


def _bernoulli(logit: Floats, yes: Floats) -> Floats:
    return yes * logit - np.logaddexp(0.0, logit)


def _student(square: Floats, dimensions: int, tails: float) -> Floats:
    """Ln density of Student's t, but for the scale; `square` is the squared distance from its centre."""
    constant = (
        math.lgamma((tails + dimensions) / 2) - math.lgamma(tails / 2) - dimensions / 2 * math.log(tails * math.pi)
    )
    return constant - 0.5 * (tails + dimensions) * np.log1p(square / tails)
