"""What a price sheet says of the model behind it: models as they are on sale, weighed by how well they explain it.

    weight of a model = p(prices | model) p(signs | model),      information = sum over bins of p ln(p / q) in nats

Importance sampling from the prior: the likelihood is broad, so that thousands of the draws count; effective sample size
and the shape of the weights' tail (Pareto k) say when that fails, and then nothing is reported. What one sheet cannot
tell (operating batch, margin, utilisation, efficiency, rent) is drawn along and shown with how little it is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from ridgeline.errors import InputError
from ridgeline.pricing.market import Chip, Market, chip
from ridgeline.pricing.population import Population, draw
from ridgeline.pricing.selling import Expected, Shown, costs, expected, price_likelihood, shown, sign_likelihood
from ridgeline.pricing.sheet import Sheet
from ridgeline.pricing.weights import BINS, information, pareto_tail
from ridgeline.roofline import balance_batch, balance_context, ridge_tokens

Floats = NDArray[np.float64]

DRAWS = 1 << 16
LEAST_DRAWS = 400
"""Effective draws below which nothing is reported: the ends of an 80% interval are then known to about 0.1 of its
width."""
WORST_TAIL = 0.7
"""Pareto k beyond which importance weights have no useful variance (Vehtari et al., arXiv:1507.02646)."""
ENDS = (0.1, 0.5, 0.9)
"""Ends and middle of the interval of 80%."""
UNKNOWN = 0.05
"""Nats below which a quantity is called not identified."""
CONFIRMED = 0.02
"""Nats that left-out families must have gained for a quantity to count as told."""
SURPRISE = 1e-3
"""Share of sheets, either side, beyond which no model that is believed in explains one."""
_SEED = 20261128


class Belief(msgspec.Struct, frozen=True, kw_only=True):
    """A quantity before and after the sheet: 10, 50 and 90%, and the information gained."""

    unit: str
    prior: tuple[float, float, float]
    posterior: tuple[float, float, float]
    nats: float
    confirmed: bool = True
    """Whether left-out families gained from such sheets too; of batch and margin nobody publishes the truth."""

    @property
    def identified(self) -> bool:
        """Whether the sheet says anything of it."""
        return self.confirmed and self.nats >= UNKNOWN


class Posterior(msgspec.Struct, frozen=True, kw_only=True):
    """What is believed after a sheet."""

    sheet: Sheet
    seen: Shown
    weights: Floats
    """Of the draws; they add up to one."""
    beliefs: dict[str, Belief]
    shares: dict[str, tuple[float, float]]
    """Probabilities before and after: mixture of experts, kinds of attention."""
    ridges: list[tuple[str, str, float]]
    """Pairs that are known in combination only: their correlation, in logs."""
    predicted: dict[str, tuple[float, float, float]]
    """Prices that another seller of this model would ask, $/tok."""
    rises: list[tuple[float, float, float]]
    """Output price at each step's context over that at short ones, if it followed the cost."""
    surprise: dict[str, float]
    """Share of sheets that are at least as extreme, before this one was seen."""
    draws: float
    """Effective."""
    tail: float
    """Pareto k."""

    @property
    def converged(self) -> bool:
        """Whether the draws suffice."""
        return self.draws >= LEAST_DRAWS and self.tail <= WORST_TAIL

    @property
    def unexplained(self) -> list[str]:
        """Prices that no model which is believed in explains."""
        return [name for name, share in self.surprise.items() if share < SURPRISE]


class Inference:
    """Draws from the prior with their expected sheets, made once and weighed for every sheet.

    Parameters
    ----------
    market
        What is believed before a sheet is seen.
    count
        Draws; twice as many halve the error's square.
    """

    def __init__(self, market: Market, count: int = DRAWS) -> None:
        stream = np.random.default_rng(_SEED)
        self.market = market
        self.chip: Chip = chip(market.machine)
        self.models: Population = draw(market.models, count, stream)
        belief = market.machine.batch
        self.batch: Floats = belief.mean + belief.sd * stream.standard_normal(count)
        models = self.models
        self.expected: Expected = expected(
            models.experts, models.active, models.total, models.cache, np.exp(self.batch), market, self.chip
        )
        self.normals: Floats = stream.standard_normal((len(market.selling.parts) + 4, count))
        self.gamma: Floats = stream.standard_gamma(market.selling.tails / 2, count) / (market.selling.tails / 2)
        self._prior = {name: values for name, (_, values) in self._sizes().items()}
        self._order = {name: np.argsort(values) for name, values in self._prior.items()}

    def weigh(self, seen: Shown) -> Floats:
        """Weights of the draws, adding up to one."""
        likelihood = price_likelihood(self.expected, seen, self.market.selling)
        likelihood = likelihood + sign_likelihood(self.expected, seen, self.market)
        weights = np.exp(likelihood - likelihood.max())
        return weights / weights.sum()

    def posterior(self, sheet: Sheet, *, signs: bool = True, whole: bool = True) -> Posterior:
        """What a sheet says; `signs` and `whole` as `shown` has them.

        Raises
        ------
        InputError
            If the draws do not suffice: too few of them count, or a handful has all the weight.
        """
        seen = shown(sheet, signs=signs, whole=whole)
        weights = self.weigh(seen)
        draws, tail = float(1.0 / (weights**2).sum()), pareto_tail(weights)
        beliefs = {name: self._belief(name, unit, weights) for name, (unit, _) in self._sizes().items()}
        beliefs |= self._parts(seen, weights)
        untold = ["batch", *self.market.selling.parts, *([] if self._confirmed("cache", seen) else ["cache"])]
        beliefs |= {name: msgspec.structs.replace(beliefs[name], confirmed=False) for name in untold}
        found = Posterior(
            sheet=sheet, seen=seen, weights=weights, beliefs=beliefs, shares=self._shares(weights),
            ridges=self._ridges(weights), predicted=self._predicted(weights), surprise=self._surprise(seen),
            rises=[self._rise(step.above, weights) for step in sheet.steps],
            draws=draws, tail=tail,
        )  # fmt: skip
        if not found.converged:
            why = ", ".join(found.unexplained)
            raise InputError(
                f"{sheet.name}: {draws:,.0f} effective draws of {len(weights):,}, Pareto k {tail:.2f}",
                f"at least {LEAST_DRAWS} and at most {WORST_TAIL}",
                f"no model in the prior explains its {why}" if why else "more --draws, or wider --priors",
            )
        return found

    def quantiles(self, name: str, weights: Floats, at: Sequence[float] = ENDS) -> Floats:
        """Quantiles of a size in log10."""
        order = self._order[name]
        return np.interp(at, np.cumsum(weights[order]), self._prior[name][order])

    def drawn(self, found: Posterior, count: int) -> dict[str, Floats]:
        """`count` models that are equally likely after a sheet: their sizes, and the markup that its input price needs
        (over the cost at the middle of what is believed of chips); along a ridge they lie on a line.
        """
        chosen = np.random.default_rng(_SEED).choice(len(found.weights), count, p=found.weights)
        sizes = {name: 10.0 ** self._prior[name][chosen] for name in ("active", "total", "cache")}
        return sizes | {"markup": np.exp(found.seen.input - self.expected.cost_input[chosen])}

    def density(self, name: str, value: float, weights: Floats) -> float:
        """Density of a size, per factor of ten, at log10 `value`: a Gaussian kernel over the draws."""
        x = self._prior[name]
        middle = (weights * x).sum()
        width = max(1.06 * float(np.sqrt((weights * (x - middle) ** 2).sum())) * 2000**-0.2, 0.05)
        return float((weights * np.exp(-0.5 * ((value - x) / width) ** 2)).sum() / (width * np.sqrt(2 * np.pi)))

    def _sizes(self) -> dict[str, tuple[str, Floats]]:
        """Quantities of the model and its balance on the machine: unit, and log10 of each draw."""
        models, machine = self.models, self.chip
        tokens = ridge_tokens(machine.peak, machine.bandwidth, machine.width)
        active, total, cache = (10.0**x for x in (models.active, models.total, models.cache))
        balance = np.log10(balance_batch(tokens, total, active))
        longest = np.log10(balance_context(active, machine.peak, machine.bandwidth, cache))
        batch = self.batch / np.log(10.0)
        return {
            "active": ("1", models.active), "total": ("1", models.total), "cache": ("B/tok", models.cache),
            "sparsity": ("1", models.total - models.active), "B*": ("1", balance), "L*": ("tok", longest),
            "batch": ("1", batch), "B/B*": ("1", batch - balance),
        }  # fmt: skip

    def _belief(self, name: str, unit: str, weights: Floats) -> Belief:
        x, order = self._prior[name], self._order[name]
        even = np.full(len(x), 1.0 / len(x))
        before, after = (10.0 ** self.quantiles(name, w) for w in (even, weights))
        return Belief(unit=unit, prior=_three(before), posterior=_three(after), nats=information(weights[order]))

    def _confirmed(self, name: str, seen: Shown) -> bool:
        """Whether left-out families gained at least `CONFIRMED` nats; without a longest input only prices count."""
        key = name if np.isfinite(seen.context) else f"{name}, prices only"
        return key not in self.market.tried or self.market.tried[key].gain >= CONFIRMED

    def _rise(self, context: float, weights: Floats) -> tuple[float, float, float]:
        """Factor on the output price at a context, by the cost of reading its cache."""
        models, machine = self.models, self.market.machine
        far = msgspec.structs.replace(machine, context=max(context, machine.context))
        _, cost = costs(models.active, models.total, models.cache, np.exp(self.batch), far, self.chip)
        rise = self.market.selling.elasticity * (np.log(cost) - self.expected.cost_output)
        order = np.argsort(rise)
        return _three(np.exp(np.interp(ENDS, np.cumsum(weights[order]), rise[order])))

    def _parts(self, seen: Shown, weights: Floats) -> dict[str, Belief]:
        """The markup of input over cost, and the factors that it is made of: a sheet sees their product only."""
        selling, normals = self.market.selling, self.normals
        noise = 1.0 / np.sqrt(self.gamma)
        spread = np.hypot(selling.markup.sd, selling.input_noise)
        before = self.expected.input - self.expected.cost_input + spread * noise * normals[0]
        after = seen.input - self.expected.cost_input
        even = np.full(len(weights), 1.0 / len(weights))
        out = {"markup": _compared(before, even, after, weights)}
        whole = sum(part.sd**2 for part in selling.parts.values())
        middle = float(np.median(before))
        for row, (name, part) in enumerate(selling.parts.items(), start=1):
            share = part.sd**2 / whole
            own = part.sd * np.sqrt(1.0 - share) * normals[row]
            first = part.mean + share * (before - middle) * np.sqrt(whole) / before.std() + own
            last = part.mean + share * (after - middle) * np.sqrt(whole) / before.std() + own
            out[name] = _compared(_fraction(name, first), even, _fraction(name, last), weights)
        return out

    def _shares(self, weights: Floats) -> dict[str, tuple[float, float]]:
        models = self.models
        events = {"mixture of experts": models.experts} | {
            f"{name} attention": models.kind == i for i, name in enumerate(self.market.models.attention)
        }
        return {name: (float(yes.mean()), float((weights * yes).sum())) for name, yes in events.items()}

    def _ridges(self, weights: Floats) -> list[tuple[str, str, float]]:
        """Correlations, in logs, of what only a combination is known of."""
        markup = -self.expected.cost_input
        known = {**{name: self._prior[name] for name in ("active", "total", "cache", "batch")}, "markup": markup}
        pairs = [
            ("active", "markup"),
            ("total", "markup"),
            ("total", "batch"),
            ("active", "total"),
            ("cache", "active"),
        ]
        return [(one, other, _correlation(known[one], known[other], weights)) for one, other in pairs]

    def _predicted(self, weights: Floats) -> dict[str, tuple[float, float, float]]:
        """Prices that another seller with two prices would ask for this model."""
        low, high = self._asked()
        order = {name: np.argsort(x) for name, x in (("input", low), ("output", high))}
        return {
            name: _three(np.exp(np.interp(ENDS, np.cumsum(weights[order[name]]), x[order[name]])))
            for name, x in (("input", low), ("output", high))
        }

    def _asked(self) -> tuple[Floats, Floats]:
        """Ln of prices that sellers of the drawn models ask."""
        selling, normals = self.market.selling, self.normals[-3:]
        noise = 1.0 / np.sqrt(self.gamma)
        low = self.expected.input + noise * (selling.markup.sd * normals[0] + selling.input_noise * normals[1])
        high = self.expected.output + noise * (selling.markup.sd * normals[0] + selling.output_noise * normals[2])
        return low, high

    def _surprise(self, seen: Shown) -> dict[str, float]:
        """How extreme the sheet's prices are among those of all models on sale."""
        low, high = self._asked()
        compared = {"input price": (low, seen.input), "output price": (high, seen.output)}
        if not seen.flat:
            compared["ratio of output to input"] = (high - low, seen.output - seen.input)
        return {name: float(min((x <= at).mean(), (x >= at).mean())) for name, (x, at) in compared.items()}


def _compared(before: Floats, even: Floats, after: Floats, weights: Floats) -> Belief:
    """Two samples in ln as one quantity before and after."""
    first, last = np.sort(before), np.argsort(after)
    cut = np.interp(np.linspace(0, 1, BINS + 1)[1:-1], np.cumsum(even), first)
    parts = np.bincount(np.searchsorted(cut, after), weights=weights, minlength=BINS)
    some = parts > 0
    nats = float((parts[some] * np.log(parts[some] * BINS)).sum()) - 0.5 * (BINS - 1) * float((weights**2).sum())
    prior = np.exp(np.interp(ENDS, np.cumsum(even), first))
    posterior = np.exp(np.interp(ENDS, np.cumsum(weights[last]), after[last]))
    return Belief(unit="1", prior=_three(prior), posterior=_three(posterior), nats=max(nats, 0.0))


def _fraction(name: str, x: Floats) -> Floats:
    """Ln of a factor as people say it: efficiency and utilisation are shares, 1 / factor."""
    return -x if name in ("efficiency", "utilisation") else x


def _correlation(x: Floats, y: Floats, weights: Floats) -> float:
    dx, dy = x - (weights * x).sum(), y - (weights * y).sum()
    scale = np.sqrt((weights * dx**2).sum() * (weights * dy**2).sum())
    return float((weights * dx * dy).sum() / scale) if scale > 0 else 0.0


def _three(values: Floats) -> tuple[float, float, float]:
    low, middle, high = (float(value) for value in values)
    return low, middle, high
