"""One question to all scaling laws that can answer it, with intervals, and a warning wherever a law leaves its range.

Laws of one form are asked alike; intervals are those of constants whose covariance is known (80%, from draws of it).
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from msgspec.structs import replace

from ridgeline.catalog import BUILT_IN, Catalog
from ridgeline.training.scaling import additive, kaplan, overtraining, repetition, routed
from ridgeline.training.scaling.law import (
    Additive,
    Beyond,
    Granular,
    Joint,
    Kaplan,
    Law,
    Leverage,
    Overtraining,
    Power,
    Repeated,
    Routed,
    every,
    load,
    outside,
)

DRAWS = 4000
BOUNDS = (10.0, 90.0)
"""Percentiles of an interval."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How one law spends compute."""

    law: str
    parameters: float
    tokens: float
    loss: float | None
    low: float | None
    """Of the parameters, 80%."""
    high: float | None
    warnings: tuple[Beyond, ...]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What one law says of N parameters and D tokens."""

    law: str
    loss: float
    low: float | None
    """Of the loss, 80%."""
    high: float | None
    least_compute: float | None
    """FLOP of the smallest budget with this loss."""
    over: float | None
    """Compute over that."""
    optimal_tokens: float | None
    wedge: float | None
    wedge_low: float | None
    wedge_high: float | None
    implied_inference: float | None
    """Tokens served at the cost of 2 N each that make it the cheapest of its loss; negative: under-trained."""
    warnings: tuple[Beyond, ...]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """The cheapest model of a loss with its inference counted (Sardana)."""

    law: str
    loss: float
    parameters: float
    tokens: float
    own_parameters: float
    """Of least pre-training alone."""
    own_tokens: float
    saved: float
    """Share of all FLOP."""
    warnings: tuple[Beyond, ...]


class Mixture(msgspec.Struct, frozen=True, kw_only=True):
    """What one law says of a mixture of experts."""

    law: str
    what: str
    value: float
    unit: str
    warnings: tuple[Beyond, ...]


def drawn(law: Additive, seed: int = 0) -> Additive | None:
    """The law with arrays of constants, ``float64[DRAWS]``, drawn from their covariance; None where it is not known."""
    if not law.covariance:
        return None
    middle = [law.E, math.log(law.A), math.log(law.B), law.alpha, law.beta]
    draws = np.random.default_rng(seed).multivariate_normal(middle, np.array(law.covariance), DRAWS)
    e, a, b, alpha, beta = np.where(draws > 0, draws, np.nan).T
    return replace(law, E=e, A=np.exp(a), B=np.exp(b), alpha=alpha, beta=beta)


def between(values: np.ndarray | None) -> tuple[float | None, float | None]:
    """The 80% interval of draws."""
    if values is None:
        return None, None
    low, high = np.nanpercentile(values, BOUNDS)
    return float(low), float(high)


def dense(catalog: Catalog = BUILT_IN) -> list[Additive]:
    """All laws of N and D in additive form; those of over-training are written so."""
    found = every(catalog, "additive", "repeated", "overtraining")
    plain = [overtraining.as_additive(law) if isinstance(law, Overtraining) else law for law in found]
    return [law for law in plain if isinstance(law, Additive)]


def budgets(compute: float, catalog: Catalog = BUILT_IN) -> list[Budget]:
    """How every law would spend `compute` FLOP."""
    out: list[Budget] = []
    for law in dense(catalog):
        n, d = additive.optimum(law, compute)
        draws = drawn(law)
        low, high = between(None if draws is None else np.asarray(additive.optimum(draws, compute)[0]))
        out.append(
            Budget(
                law=law.name, parameters=float(n), tokens=float(d), loss=float(additive.loss(law, n, d)), low=low,
                high=high, warnings=_warnings(law, catalog, n=float(n), d=float(d), compute=compute),
            )
        )  # fmt: skip
    for law in every(catalog, "power", "kaplan"):
        if isinstance(law, Power):
            n, low, high = (law.optimum * (compute / law.at) ** x for x in (law.exponent, law.low, law.high))
            d, loss = compute / (6 * n), None
            low, high = min(low, high), max(low, high)
        else:
            assert isinstance(law, Kaplan)
            n, d = (float(x) for x in kaplan.optimum(law, compute))
            loss, low, high = float(kaplan.loss_of_compute(law, compute)), None, None
        found = outside(law, parameters=n, tokens=d)
        out.append(Budget(law=law.name, parameters=n, tokens=d, loss=loss, low=low, high=high, warnings=found))
    return sorted(out, key=lambda each: each.law)


def models(parameters: float, tokens: float, catalog: Catalog = BUILT_IN) -> list[Model]:
    """What every law says of N and D."""
    out: list[Model] = []
    for law in dense(catalog):
        draws = drawn(law)
        low, high = between(None if draws is None else np.asarray(additive.loss(draws, parameters, tokens)))
        wedges = between(None if draws is None else np.asarray(additive.wedge(draws, parameters, tokens)))
        loss = float(additive.loss(law, parameters, tokens))
        least = float(additive.least_compute(law, loss))
        out.append(
            Model(
                law=law.name, loss=loss, low=low, high=high, least_compute=least, over=6 * parameters * tokens / least,
                optimal_tokens=float(additive.optimal_tokens(law, parameters)),
                wedge=float(additive.wedge(law, parameters, tokens)), wedge_low=wedges[0], wedge_high=wedges[1],
                implied_inference=3 * float(additive.implied_extra(law, parameters, tokens)),
                warnings=_warnings(law, catalog, n=parameters, d=tokens),
            )
        )  # fmt: skip
    for law in every(catalog, "kaplan"):
        assert isinstance(law, Kaplan)
        out.append(
            Model(
                law=law.name, loss=float(kaplan.loss(law, parameters, tokens)), low=None, high=None, least_compute=None,
                over=None, optimal_tokens=None, wedge=None, wedge_low=None, wedge_high=None, implied_inference=None,
                warnings=outside(law, parameters=parameters, tokens=tokens),
            )
        )  # fmt: skip
    return sorted(out, key=lambda each: each.law)


def served(parameters: float, tokens: float, inference: float, catalog: Catalog = BUILT_IN) -> list[Served]:
    """The cheapest model of the loss of N and D when `inference` tokens are served at 2 N each (Sardana)."""
    out: list[Served] = []
    for law in dense(catalog):
        loss = float(additive.loss(law, parameters, tokens))
        own_n, own_d = (float(x) for x in additive.cheapest(law, loss, 0.0))
        n, d = (float(x) for x in additive.cheapest(law, loss, inference / 3))
        before, after = own_n * (own_d + inference / 3), n * (d + inference / 3)
        out.append(
            Served(
                law=law.name, loss=loss, parameters=n, tokens=d, own_parameters=own_n, own_tokens=own_d,
                saved=1 - after / before, warnings=_warnings(law, catalog, n=n, d=d),
            )
        )  # fmt: skip
    return out


def repeated(parameters: float, tokens: float, unique: float, catalog: Catalog = BUILT_IN) -> list[Mixture]:
    """What repeating `unique` tokens until D are seen does."""
    out: list[Mixture] = []
    for law in every(catalog, "repeated"):
        assert isinstance(law, Repeated)
        epochs = max(tokens / unique, 1.0)
        told = outside(law, parameters=parameters, tokens=tokens, epochs=epochs)
        worth = repetition.effective(tokens, unique, law.half_tokens)
        n, d, least = repetition.best(law, 6 * parameters * tokens, unique)
        rows = [
            ("epochs", epochs, "1"),
            ("tokens are worth new ones", float(worth), "tok"),
            ("loss", float(repetition.loss(law, parameters, tokens, unique)), "1"),
            ("loss if all were new", float(additive.loss(law, parameters, tokens)), "1"),
            ("best parameters at this compute", n, "1"),
            ("best tokens at this compute", d, "tok"),
            ("their loss", least, "1"),
        ]
        out += [Mixture(law=law.name, what=what, value=value, unit=unit, warnings=told) for what, value, unit in rows]
    return out


def mixtures(
    parameters: float,
    tokens: float,
    *,
    experts: float,
    granularity: float,
    activation: float,
    catalog: Catalog = BUILT_IN,
) -> list[Mixture]:
    """What experts are worth: `parameters` of the dense size, or active ones, as each law counts them."""
    out: list[Mixture] = []
    compute = 6 * parameters * tokens
    for law in every(catalog, "routed", "joint", "granular", "leverage"):
        rows: list[tuple[str, float, str]] = []
        given: dict[str, float] = {}
        if isinstance(law, Routed) and experts:
            given = {"parameters": parameters, "tokens": tokens, "experts": experts}
            rows = [("like a dense model of", float(routed.clark_equivalent(law, parameters, experts)), "1")]
        elif isinstance(law, Joint) and experts:
            given = {"parameters": parameters, "tokens": tokens, "experts": experts}
            rows = [
                ("loss", float(routed.joint_loss(law, parameters, tokens, experts)), "1"),
                ("loss of one expert", float(routed.joint_loss(law, parameters, tokens, 1.0)), "1"),
            ]
        elif isinstance(law, Granular):
            _, _, best, least = routed.granular_best(law, compute)
            given = {"granularity": best}
            rows = [("best granularity at this compute", best, "1"), ("its loss", least, "1")]
        elif isinstance(law, Leverage) and activation and granularity:
            given = {"compute": compute, "activation": activation, "granularity": granularity}
            value = float(routed.leverage(law, activation, granularity, compute))
            rows = [
                ("compute worth that of a dense model, times", value, "1"),
                ("best granularity", routed.best_granularity(law), "1"),
            ]
        told = outside(law, **given)
        out += [Mixture(law=law.name, what=what, value=value, unit=unit, warnings=told) for what, value, unit in rows]
    return out


def _warnings(law: Additive, catalog: Catalog, *, n: float, d: float, compute: float = 0.0) -> tuple[Beyond, ...]:
    """What is outside a law's range, and what rounding does."""
    found = outside(law, parameters=n, tokens=d, ratio=d / n)
    if law.rounded and compute:
        exact = load(law.rounded, catalog)
        assert isinstance(exact, Additive)
        off = n / float(additive.optimum(exact, compute)[0]) - 1
        told = f"rounded constants: {off:+.0%} parameters against {law.rounded}"
        found += (Beyond(f"rounding {off:+.0%}", told),)
    return found


def constants(law: Law) -> dict[str, float]:
    """A law's constants by name."""
    own = set(type(law).__struct_fields__) - set(Law.__struct_fields__)
    return {
        name: value for name in type(law).__struct_fields__
        if name in own and isinstance(value := getattr(law, name), float)
    }  # fmt: skip
