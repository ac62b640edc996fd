"""Constants of scaling laws: small frozen tables, read from the catalogue's `scaling/` folder by name.

Each has a form (which equation reads it), the range of its experiments, and its source. Knows no equation.
"""

from __future__ import annotations

import tomllib
from typing import Any, NamedTuple

import msgspec

from ridgeline.catalog import BUILT_IN, Catalog, Entry
from ridgeline.errors import InputError, UnknownNameError

Span = tuple[float, float]
EVERYWHERE = (0.0, float("inf"))


class Law(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all laws have; spans are those of the experiments it was fitted to."""

    name: str
    title: str
    form: str
    aliases: tuple[str, ...] = ()
    origin: str = ""
    note: str = ""
    source: str = ""
    date: str = ""
    parameters: Span = EVERYWHERE
    tokens: Span = EVERYWHERE
    ratio: Span = EVERYWHERE
    """Tokens per parameter."""
    epochs: Span = EVERYWHERE
    experts: Span = EVERYWHERE
    granularity: Span = EVERYWHERE
    activation: Span = EVERYWHERE
    """Active over all experts' parameters."""
    compute: Span = EVERYWHERE


class Additive(Law, frozen=True, kw_only=True):
    """E + A N^-alpha + B D^-beta."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    error: dict[str, float] = {}
    """Standard errors by constant."""
    covariance: tuple[tuple[float, ...], ...] = ()
    """Of (E, ln A, ln B, alpha, beta), where it is known."""
    rounded: str = ""
    """The law that these constants are a rounding of."""


class Repeated(Additive, frozen=True, kw_only=True):
    """The same in effective tokens and parameters, which repetition and excess make less of."""

    half_tokens: float
    """R*_D: repetitions after which what more of them add has fallen by 1 - 1 / e."""
    half_parameters: float
    """R*_N."""


class Overtraining(Law, frozen=True, kw_only=True):
    """E + (a M^eta + b M^-eta) C^-eta with M = D / N."""

    E: float
    a: float
    b: float
    eta: float


class Power(Law, frozen=True, kw_only=True):
    """N* = optimum (C / at)^exponent."""

    exponent: float
    low: float
    high: float
    at: float
    optimum: float


class Kaplan(Law, frozen=True, kw_only=True):
    """Constants of `kaplan.py`, in the paper's names."""

    alpha_n: float
    alpha_d: float
    N_c: float
    D_c: float
    alpha_n_alone: float
    N_c_alone: float
    alpha_d_alone: float
    D_c_alone: float
    alpha_c: float
    C_c: float
    p_n: float
    N_e: float
    p_b: float
    B_e: float
    p_s: float
    S_e: float
    p_d: float
    D_e: float
    B_star: float
    alpha_b: float


class Routed(Law, frozen=True, kw_only=True):
    """log L = a log N + b log E^ + c log N log E^ + d."""

    a: float
    b: float
    c: float
    d: float
    start: float
    most: float


class Granular(Law, frozen=True, kw_only=True):
    """c + (g G^-gamma + a) N^-alpha + b D^-beta."""

    c: float
    a: float
    alpha: float
    b: float
    beta: float
    g: float
    gamma: float
    forward_backward: float
    router: float
    expansion: float


class Joint(Law, frozen=True, kw_only=True):
    """a E^^-delta N^-(alpha + gamma ln E^) + b E^^-omega D^-(beta + zeta ln E^) + c."""

    a: float
    alpha: float
    delta: float
    gamma: float
    b: float
    beta: float
    omega: float
    zeta: float
    c: float
    start: float
    most: float


class Leverage(Law, frozen=True, kw_only=True):
    """A^^(alpha + gamma (log G)^2 + beta log G), alpha = a + d log C."""

    a: float
    d: float
    gamma: float
    beta: float
    start: float
    most: float


FORMS: dict[str, type[Law]] = {
    "additive": Additive,
    "repeated": Repeated,
    "overtraining": Overtraining,
    "power": Power,
    "kaplan": Kaplan,
    "routed": Routed,
    "granular": Granular,
    "joint": Joint,
    "leverage": Leverage,
}


def load(name: str, catalog: Catalog = BUILT_IN) -> Law:
    """A law by name or alias.

    Raises
    ------
    UnknownNameError
        If there is none, or its form has no equation.
    InputError
        For a file that does not fit its form, or exponents that are not above 0.
    """
    return entry(name, catalog).value


def entry(name: str, catalog: Catalog = BUILT_IN) -> Entry[Law]:
    """A law with the sources of its constants; errors as `load`."""
    path = catalog.find("scaling", name)
    try:
        form = str(tomllib.loads(path.read_text(encoding="utf-8")).get("form", ""))
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"is not valid TOML ({' '.join(str(error).split())[:200]})") from None
    if form not in FORMS:
        raise UnknownNameError(f"form of {path.name},", form, FORMS)
    found: Entry[Any] = catalog.read("scaling", name, FORMS[form])
    law = found.value
    if isinstance(law, Additive) and not all(x > 0 for x in (law.A, law.B, law.alpha, law.beta)):
        raise InputError(law.origin, "A, B, alpha and beta above 0")
    return found


def every(catalog: Catalog = BUILT_IN, *forms: str) -> list[Law]:
    """All laws of some forms, by name."""
    found = [load(name, catalog) for name in catalog.names("scaling")]
    return [law for law in found if law.form in forms]


class Beyond(NamedTuple):
    """A quantity outside the range that a law was fitted in."""

    short: str
    """ "N 4.3x": its letter, and how far beyond the nearer end."""
    long: str


def outside(law: Law, **values: float) -> tuple[Beyond, ...]:
    """What lies outside the range that a law was fitted in, by the names of its spans."""
    out: list[Beyond] = []
    for name, value in values.items():
        low, high = getattr(law, name)
        if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
            letter, text = LABELS[name]
            times = f"{value / high:.2g}x" if value > high else f"1/{low / value:.2g}" if value else "0"
            out.append(Beyond(f"{letter} {times}", f"{value:.3g} {text}: fitted from {low:.3g} to {high:.3g}"))
    return tuple(out)


LABELS = {
    "parameters": ("N", "parameters"),
    "tokens": ("D", "tokens"),
    "ratio": ("D/N", "tokens per parameter"),
    "epochs": ("epochs", "epochs"),
    "experts": ("E", "experts"),
    "granularity": ("G", "of granularity"),
    "activation": ("A", "of experts active"),
    "compute": ("C", "FLOP"),
}
"""Letter of a quantity, and its name."""
