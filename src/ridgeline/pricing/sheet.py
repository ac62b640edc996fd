"""A price sheet: what a provider asks for a model's tokens, line by line.

    input  output  cached (a hit)  writes (by guaranteed time)  storage  steps (by context)  modes (batch, fast ...)

All prices are $ per token inside and $ per million tokens in text. A sheet is checked when it is made: prices above
zero and finite, $/token and $/Mtok not confused, steps in order, hits no dearer than input. What a line costs the
provider is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import msgspec

from ridgeline.errors import InputError
from ridgeline.units import Seconds, Tokens, show

UsdPerToken = Annotated[float, "USD/tok"]

LEAST, MOST = 0.9e-9, 0.0101
"""Bounds of a price, $/tok: the cheapest and the dearest text model on sale cost $0.001 and $9,710 per million tokens
(2026-11). What lies beyond is a mistaken unit: a factor of a million apart."""
MODES = ("batch", "flex", "priority", "fast", "ultrafast", "balanced")
"""Modes with prices of their own, beside standard."""
_MTOK = 1e6


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of one kind of token each; those that are None are not on sale."""

    input: UsdPerToken
    output: UsdPerToken
    cached: UsdPerToken | None = None
    """Of input that is read from a cache."""


class Step(Prices, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of requests with more input than `above`."""

    above: Tokens


class Mode(Prices, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of slower or faster answers."""

    name: str


class Write(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Price of input that is kept for a guaranteed time."""

    hold: Seconds
    price: UsdPerToken


class Sheet(Prices, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Prices of one model at one provider on one date."""

    name: str
    provider: str = ""
    date: str = ""
    source: str = ""
    note: str = ""
    model: str = ""
    """The catalogue's model behind it, where that is public."""
    context: Tokens = 0.0
    """Longest input; 0: not said."""
    writes: tuple[Write, ...] = ()
    storage: Annotated[float, "USD/tok/s"] | None = None
    """Of kept input, over and above writing it."""
    steps: tuple[Step, ...] = ()
    modes: tuple[Mode, ...] = ()

    def __post_init__(self) -> None:
        check(self)

    @property
    def ratio(self) -> float:
        """Output over input."""
        return self.output / self.input

    @property
    def key(self) -> tuple[object, ...]:
        """All prices: two sheets with the same key say the same."""
        return (self.input, self.output, self.cached, self.writes, self.storage, self.steps, self.modes)


class Line(NamedTuple):
    """One price of a sheet by its name."""

    name: str
    price: float
    unit: str = "USD/tok"


def lines(sheet: Sheet) -> Iterator[Line]:
    """Every price on a sheet, in the order in which sheets are read."""
    yield from _lines("", sheet)
    for write in sheet.writes:
        yield Line(f"write {show(write.hold, 's')}", write.price)
    if sheet.storage is not None:
        yield Line("storage", sheet.storage, "USD/tok/s")
    for step in sheet.steps:
        yield from _lines(f" above {show(step.above, 'tok')}", step)
    for mode in sheet.modes:
        yield from _lines(f" {mode.name}", mode)


def _lines(suffix: str, prices: Prices) -> Iterator[Line]:
    for name in Prices.__struct_fields__:
        price = getattr(prices, name)
        if price is not None:
            yield Line(name + suffix, price)


def check(sheet: Sheet) -> None:
    """Refuse what is no price sheet.

    Raises
    ------
    InputError
        A price that is zero, negative, not a number, or off by the million between $/token and $/Mtok; a hit dearer
        than input; steps out of order; times or thresholds that are not positive; a time, step or mode twice.
    """
    name = sheet.name[:80]
    for line in lines(sheet):
        if line.unit == "USD/tok":
            check_price(line.price, f"{name}: {line.name}")
        elif not 0 < line.price < math.inf:
            raise InputError(
                f"{name}: {line.name} {line.price!r}", "a price above zero", "leave it out if there is none"
            )
    for prices in (sheet, *sheet.steps, *sheet.modes):
        if prices.cached is not None and prices.cached > prices.input * 1.011:
            given = f"{name}: cached {show(prices.cached, 'USD/tok')} above input {show(prices.input, 'USD/tok')}"
            raise InputError(given, "a hit is no dearer than input", "are the two swapped?")
    for before, step in zip((None, *sheet.steps), sheet.steps, strict=False):
        if not 0 < step.above < math.inf:
            raise InputError(f"{name}: step above {step.above!r} tokens", "a threshold above zero")
        if before and step.above <= before.above:
            pair = f"{show(before.above, 'tok')}, then {show(step.above, 'tok')}"
            raise InputError(f"{name}: steps out of order ({pair})", "ascending thresholds, each once")
        if step.input < (before or sheet).input * 0.999 or step.output < (before or sheet).output * 0.999:
            given = f"{name}: above {show(step.above, 'tok')} is cheaper than below"
            raise InputError(given, "long requests cost no less", "are the two rows swapped?")
    for kind, keys in (("write", [w.hold for w in sheet.writes]), ("mode", [m.name for m in sheet.modes])):
        if len(set(keys)) < len(keys):
            raise InputError(f"{name}: the same {kind} twice", "each once")
    if any(not 0 < write.hold < math.inf for write in sheet.writes):
        raise InputError(f"{name}: a write for no time", "a guaranteed time above zero")


def check_price(price: float, where: str) -> None:
    """Refuse what is no price in $/tok: not finite, not above zero, or a million off (InputError)."""
    if math.isnan(price) or math.isinf(price):
        raise InputError(f"{where} {price!r}", "not a price: a finite number above zero")
    if price <= 0:
        fix = "a free or unpriced model says nothing of its cost" if price == 0 else ""
        raise InputError(f"{where} {show(price, 'USD/tok')}", "a price above zero", fix)
    if price < LEAST:
        likely = f"is it $/token? Then it is ${price * _MTOK:g}/tok = {show(price * _MTOK, 'USD/tok')}"
        raise InputError(f"{where} ${price * _MTOK:.3g}/Mtok", "a price per million tokens", likely)
    if price > MOST:
        likely = f"is it $/Mtok? Then it is {show(price / _MTOK, 'USD/tok')}"
        raise InputError(f"{where} ${price:.3g}/tok", "a price per token", likely)
