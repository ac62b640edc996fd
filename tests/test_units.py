"""Quantities: what text means, what is refused, and that printing and reading are inverse."""

from __future__ import annotations

import math
from contextlib import suppress

import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.units import QUANTITIES, parse, show

# What a user types, by hand.
MEANT = [
    ("3.35 TB/s", "B/s", 3.35e12),
    ("400 Gb/s", "B/s", 50e9),  # network adapters are sold in bits
    ("400 Gbit/s", "B/s", 50e9),
    ("400Gbps", "B/s", 50e9),
    ("141 GB", "B", 141e9),
    ("192 GiB", "B", 192 * 2**30),
    ("20 ms", "s", 0.02),
    ("30 days", "s", 2_592_000),
    ("0", "s", 0),
    ("$2/h", "USD/s", 2 / 3600),
    ("2 USD/h", "USD/s", 2 / 3600),
    ("$5k/h", "USD/s", 5000 / 3600),
    ("$0.5/Mtok", "USD/tok", 5e-7),
    ("$4.50/Mtok/h", "USD/tok/s", 4.5e-6 / 3600),
    ("$0.08/kWh", "USD/J", 0.08 / 3.6e6),
    ("8k", "tok", 8000),
    ("8Ki", "tok", 8192),
    ("8 ktok", "tok", 8000),
    ("1,000,000", "tok", 1e6),
    ("1e6", "tok", 1e6),
    ("5k/s", "tok/s", 5000),
    ("60%", "1", 0.6),
    (".6", "1", 0.6),
    ("989 TFLOP/s", "FLOP/s", 989e12),
    ("989TFLOPS", "FLOP/s", 989e12),
    ("1.2 kW", "W", 1200),
    (0.02, "s", 0.02),
]


@pytest.mark.parametrize(("text", "unit", "value"), MEANT)
def test_meaning(text: str | float, unit: str, value: float) -> None:
    assert parse(text, unit) == pytest.approx(value, rel=1e-12)


# What must not be guessed at, and a word of the answer that helps.
REFUSED = [
    ("80 GB", "s", "a size in bytes"),
    ("80 GB", "B/s", "did you mean '80 GB/s'"),
    ("$2", "USD/s", "did you mean '$2/h'"),
    ("989 TFLOPs", "FLOP/s", "amount of arithmetic"),
    ("8B", "tok", "a size in bytes"),
    ("8m", "tok", "unknown unit"),  # thousandths of a token: 8M or 8k was meant
    ("20", "s", "no unit"),
    ("80 gb", "B", "GB or Gb"),
    ("12 parsec", "s", "unknown unit"),
    ("1,5 ms", "s", "unknown unit"),
    ("-5 ms", "s", "negative"),
    (-5, "s", "negative"),
    ("1e99 B", "B", "too large"),
    (10**400, "tok", "too large"),
    (math.nan, "s", "not a finite number"),
    (math.inf, "s", "too large"),
    ("nan", "s", "not a number"),
    ("", "s", "not a number"),
    ("$", "USD/s", "not a number"),
    ("5//s", "B/s", "no unit"),
    ("9" * 100_000, "tok", "not a number"),
    (True, "tok", "not a quantity"),
    (None, "tok", "not a quantity"),
]


@pytest.mark.parametrize(("text", "unit", "word"), REFUSED)
def test_refusal_says_what_was_given_and_expected(text: object, unit: str, word: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(text, unit, "--flag")  # pyright: ignore[reportArgumentType]
    message = str(refusal.value)
    assert word in message
    assert message.startswith("--flag ")
    assert "expected" in message
    assert "\n" not in message
    assert len(message) < 300


@given(st.sampled_from(sorted(QUANTITIES)), st.floats(-9, 17), st.integers(2, 12))
def test_reading_undoes_printing(unit: str, exponent: float, digits: int) -> None:
    """Else a reproducing line would not reproduce."""
    value = min(10**exponent, QUANTITIES[unit].most / 2)
    assert parse(show(value, unit, digits), unit) == pytest.approx(value, rel=10 ** (1 - digits))


@given(st.sampled_from(sorted(QUANTITIES)), st.floats(allow_nan=True, allow_infinity=True))
def test_everything_prints_on_one_short_line(unit: str, value: float) -> None:
    assert len(show(value, unit)) < 40


@given(st.text(max_size=80), st.sampled_from(sorted(QUANTITIES)))
def test_no_text_breaks_the_reader(text: str, unit: str) -> None:
    """Any text is a finite value or an InputError, never another exception."""
    with suppress(InputError):
        assert math.isfinite(parse(text, unit))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0232, "s", "23.2 ms"),
        (90, "s", "1.5 min"),
        (4000, "s", "1.11 h"),
        (0.0, "s", "0 s"),
        (671e9, "B", "671 GB"),
        (999.96e9, "B", "1 TB"),  # rounding may not print 1000 GB
        (1.39e-7, "USD/tok", "$0.139/Mtok"),
        (2 / 3600, "USD/s", "$2/h"),
        (-2.5, "USD", "-$2.5"),
        (4990, "tok/s", "4.99 ktok/s"),
        (295.2, "FLOP/B", "295 FLOP/B"),
        (0.6, "1", "0.6"),
        (math.inf, "s", "inf"),
    ],
)
def test_printing(value: float, unit: str, text: str) -> None:
    assert show(value, unit) == text


@pytest.fixture(scope="module")
def pint_units() -> pint.UnitRegistry:
    """An independent reader of units; its byte and count are dimensionless unless told otherwise."""
    registry = pint.UnitRegistry(None)  # pyright: ignore[reportArgumentType]
    for line in (
        "yotta- = 1e24", "zetta- = 1e21 = Z-", "exa- = 1e18 = E-", "peta- = 1e15 = P-", "tera- = 1e12 = T-",
        "giga- = 1e9 = G-", "mega- = 1e6 = M-", "kilo- = 1e3 = k-", "milli- = 1e-3 = m-", "micro- = 1e-6 = u-",
        "nano- = 1e-9 = n-", "kibi- = 1024 = Ki-", "mebi- = 1048576 = Mi-", "gibi- = 1073741824 = Gi-",
        "second = [time] = s", "minute = 60 s = min", "hour = 60 min = h", "day = 24 h = days",
        "year = 365.25 day = years",
        "byte = [data] = B", "bit = byte / 8 = b", "flop = [flop] = FLOP", "token = [token] = tok",
        "usd = [money] = USD",
        "joule = [energy] = J", "watt = J / s = W", "watthour = W * h = Wh",
    ):  # fmt: skip
        registry.define(line)
    return registry


@pytest.mark.parametrize(
    ("unit", "si"),
    [
        *[(f"{p}{u}", u) for p in ("", "k", "M", "G", "T") for u in ("B", "B/s", "FLOP/s", "tok", "tok/s", "W")],
        *[(f"{p}B", "B") for p in ("Ki", "Mi", "Gi")],
        *[(f"{p}b/s", "B/s") for p in ("", "k", "M", "G", "T")],
        *[(f"{p}s", "s") for p in ("n", "u", "m", "")],
        *[(u, "s") for u in ("min", "h", "day", "days", "year", "years")],
        *[(u, "USD/s") for u in ("USD/h", "USD/s", "USD/day")],
        *[(u, "USD/tok/s") for u in ("USD/Mtok/h", "USD/tok/s")],
        ("USD/Mtok", "USD/tok"), ("USD/GB", "USD/B"), ("USD/kWh", "USD/J"), ("kB/tok", "B/tok"),
    ],
)  # fmt: skip
def test_factors_agree_with_pint(unit: str, si: str, pint_units: pint.UnitRegistry) -> None:
    expected = (3.25 * pint_units(unit)).to(pint_units(si).units).magnitude
    assert parse(f"3.25 {unit}", si) == pytest.approx(expected, rel=1e-12)
