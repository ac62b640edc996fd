"""How long prompts, answers, sessions and pauses are: a distribution drawn as an array.

    fixed        "512"                                 every value the same
    lognormal    "lognormal:mean=512,cv=1.5"           sigma^2 = ln(1 + cv^2), mu = ln(mean) - sigma^2 / 2
    uniform      "uniform:mean=512,ratio=0.5"          from mean (1 - ratio) to mean (1 + ratio), as vLLM's random data
                 "uniform:low=100,high=900"
    exponential  "exponential:mean=512"                of tokens: geometric on 1, 2, ..., without memory
    empirical    "empirical:FILE"                      rows of a trace, drawn with replacement

Lognormal and uniform take `max` as well: what is above it becomes it, so that the mean is below the one given. Tokens
are rounded to whole ones and are at least 1, which moves means below about 5 tokens. Knows no file: who reads traces
hands over the values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.units import parse
from ridgeline.workload.spelling import need, split

if TYPE_CHECKING:
    from numpy.random import Generator

EMPIRICAL = "empirical:"
"""A spelling that begins so goes on with the path of a trace."""


class Lengths(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A distribution of positive numbers: tokens, turns (whole, at least 1) or seconds."""

    kind: str
    """fixed, lognormal, uniform, exponential or empirical."""
    mean: float
    """Of the distribution before rounding and before `most`; of values, their mean."""
    cv: float = 0.0
    """Lognormal: standard deviation over mean."""
    ratio: float = 0.0
    """Uniform: half its width over its mean."""
    most: float = math.inf
    """What is above becomes this."""
    values: np.ndarray | None = None
    """Empirical: what is drawn from."""

    def draw(self, rng: Generator, count: int) -> np.ndarray:
        """``float64[count]``, not rounded."""
        if self.kind == "empirical" and self.values is not None:
            return self.values[rng.integers(0, len(self.values), count)].astype(np.float64)
        if self.kind == "lognormal" and self.cv:
            sigma = math.sqrt(math.log1p(self.cv**2))
            drawn = rng.lognormal(math.log(self.mean) - sigma**2 / 2, sigma, count)
        elif self.kind == "uniform":
            drawn = rng.uniform(self.mean * (1 - self.ratio), self.mean * (1 + self.ratio), count)
        elif self.kind == "exponential":
            drawn = rng.exponential(self.mean, count)
        else:
            return np.full(count, self.mean)
        return np.minimum(drawn, self.most) if self.most < math.inf else drawn

    def fixed(self, count: int) -> np.ndarray:
        """What `whole` gives if the kind is fixed, for which no random stream need be begun."""
        return np.full(count, max(round(self.mean), 1))

    def whole(self, rng: Generator, count: int) -> np.ndarray:
        """``int64[count]``, at least 1; uniform and exponential ones exactly so on whole numbers."""
        if self.kind == "exponential":
            drawn = rng.geometric(1 / max(self.mean, 1.0), count)
            return np.minimum(drawn, int(self.most)) if self.most < math.inf else drawn
        if self.kind == "uniform":
            low = math.floor(round(self.mean * (1 - self.ratio), 6))
            high = math.ceil(round(self.mean * (1 + self.ratio), 6))
            drawn = rng.integers(max(low, 1), max(high, 1), count, endpoint=True)
            return np.minimum(drawn, int(self.most)) if self.most < math.inf else drawn
        drawn = self.draw(rng, count)
        np.rint(drawn, out=drawn)
        np.maximum(drawn, 1, out=drawn)
        return drawn.astype(np.int64)


def lengths(text: str | float, what: str, unit: str = "tok") -> Lengths:
    """Read a distribution; `unit` is of its values ("tok", "1" or "s").

    Raises
    ------
    InputError
        For an unknown name or parameter, a missing one, a value out of its range. A path is read elsewhere.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> lengths("8k", "--isl").whole(rng, 3).tolist()
    [8000, 8000, 8000]
    >>> drawn = lengths("uniform:mean=100,ratio=0.5", "--isl").whole(rng, 10_000)
    >>> drawn.min(), drawn.max()
    (np.int64(50), np.int64(150))
    """
    if isinstance(text, str) and text.startswith(EMPIRICAL):
        raise InputError(f"{what} {text!r}", "a distribution, not a trace")
    if not isinstance(text, str) or text[:1].isdigit() or text[:1] in "+-.":
        value = parse(text, unit, what)
        if unit != "s" and (value != int(value) or value < 1):
            raise InputError(f"{what} {text}", "a whole number from 1")
        return Lengths(kind="fixed", mean=value)
    known = {
        "fixed": {"mean": unit},
        "lognormal": {"mean": unit, "cv": "1", "max": unit},
        "uniform": {"mean": unit, "ratio": "1", "low": unit, "high": unit, "max": unit},
        "exponential": {"mean": unit, "max": unit},
        "empirical": {},
    }
    name, given = split(text, what, known)
    if name == "empirical":
        raise InputError(f"{what} {text!r}", "empirical:FILE, a trace")
    most = given.pop("max", math.inf)
    if name == "uniform" and {"low", "high"} & given.keys():
        need(text, what, given, "low", "high")
        low, high = given.pop("low"), given.pop("high")
        if given or low > high:
            raise InputError(f"{what} {text!r}", "low and high, low not above high", "or mean and ratio")
        given = {"mean": (low + high) / 2, "ratio": (high - low) / (high + low)}
    need(text, what, given, "mean")
    if not 0 <= given.get("ratio", 0.0) <= 1:
        raise InputError(f"{what} {text!r}", "a ratio from 0 to 1")
    if name == "lognormal":
        need(text, what, given, "cv")
    return Lengths(kind=name, most=most, mean=given["mean"], cv=given.get("cv", 0.0), ratio=given.get("ratio", 0.0))


def empirical(values: np.ndarray) -> Lengths:
    """A distribution that draws from values with replacement."""
    return Lengths(kind="empirical", mean=float(values.mean()), values=values)
