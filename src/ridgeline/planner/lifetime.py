"""A model's life on a system: tokens of every kind priced by the serving plan, RL by its step, D by every scaling law.

    c of a kind of token = chip-seconds of the cheapest deployment x rate that training reaches / N
    cached tokens        = what a prompt with hits costs beyond its new tokens alone
    RL                   = chip time of a generated token in `training.rl`: batch per replica, tail and refit included

Over-training is D / (20 N). Its interval varies what is not known (`UNKNOWNS`) all at once, log-normally, with the laws
drawn in turn; the tornado varies one at a time. Backwards, an N and a D say what traffic makes them the cheapest.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from ridgeline.errors import InputError
from ridgeline.planner.search import plan
from ridgeline.precision import resolve
from ridgeline.scenario import Scenario
from ridgeline.subject import Subject, subject
from ridgeline.training import lifetime as law
from ridgeline.training.rl import Recipe, RLStep, load_framework, rl_step
from ridgeline.training.scaling import additive
from ridgeline.training.scaling.law import Additive
from ridgeline.training.scaling.question import BOUNDS, dense, drawn

LAWS = ("besiroglu", "chinchilla", "sardana", "muennighoff")
"""Laws that the interval is drawn from: those of general text in N and D, with all digits."""
UNKNOWNS: dict[str, float] = {
    "traffic": 2.0, "serving cost": 1.5, "RL tokens": 2.0, "RL cost": 2.0, "training's MFU": 1.25,
    "chance of shipping": 1.2,
}  # fmt: skip
"""Factor up and down that bounds 80% of what each may be."""
DRAWS = 4000
_TAIL = 1.2815515655446004
"""Standard deviations that bound 80%."""
FULL = 0.8
"""Share of the memory that weights of an engine may fill."""


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about a model's life."""

    peak: float
    """Tokens per second served at the peak, input, cached and output together."""
    life: float
    ramp: float = 0.0
    half_life: float = float("inf")
    ship: float = 1.0
    """Chance that it is ever served."""
    mfu: float = 0.4
    """Share of the bf16 peak that pre-training reaches."""
    rl_tokens: float = 0.0
    """Generated in RL."""
    rl_cost: float = 0.0
    """FLOP per parameter and generated token; 0: from a step of RL."""
    stack: str = "nemo-rl"
    rl_chips: int = 256
    rl_sequences: int = 2048
    rl_mean: float = 4000.0
    rl_most: float = 16000.0
    tokens: float = 0.0
    """D of the model, for the question backwards."""

    def __post_init__(self) -> None:
        if not self.peak > 0:
            raise InputError("--peak", "tokens per second above 0", 'such as "50 Mtok/s"')
        for name in ("ship", "mfu"):
            if not 0 < getattr(self, name) <= 1:
                raise InputError(f"--{name} {getattr(self, name):g}", "a share above 0 and at most 1")
        for name in ("rl_chips", "rl_sequences"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}", "1 or more")
        if not 0 <= self.rl_cost < float("inf"):
            raise InputError(f"--rl-cost {self.rl_cost:g}", "FLOP per parameter and token, 0 or more")
        law.traffic(self.peak, self.life, self.ramp, self.half_life)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of token served."""

    name: str
    share: float
    """Of all tokens."""
    tokens: float
    usd: float | None
    """Per token."""
    cost: float
    """c, FLOP per parameter at training's rate."""
    efficiency: float
    """2 / c: the lecture's 30% where it decodes."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One scaling law's optimum for this N."""

    law: str
    tokens: float
    over: float
    """D / (20 N)."""
    low: float | None
    high: float | None
    """80% of `over` from the law's own covariance."""
    own: float
    """D over the law's own optimum for N."""
    pre_training: float
    """Share of all cost."""
    rl: float
    inference: float
    implied: float | None
    """Backwards: tokens served that make the given D the cheapest; below 0: none."""
    implied_peak: float | None
    """The same as a peak rate, tok/s, with the same life."""


class Lifetime(msgspec.Struct, frozen=True, kw_only=True):
    """All answers."""

    scenario: Scenario
    subject: Subject
    life: Life
    parameters: float
    served: float
    """Tokens of all kinds, if shipped."""
    kinds: tuple[Kind, ...]
    layout: str
    rl_cost: float
    rl_step: RLStep | None
    inference: float
    """p sum c T, FLOP per parameter."""
    thirds: float
    halves: float
    lecture: float
    """Thirds with every token at 2 FLOP and the lecture's 30%."""
    answers: tuple[Answer, ...]
    over: tuple[float, float, float]
    """Low, median and high of D / (20 N) with all that is not known."""
    tornado: tuple[tuple[str, float, float], ...]
    """What each unknown alone does to it, the most first."""


def lifetime(scenario: Scenario, life: Life) -> Lifetime:
    """Answer for a scenario, whose isl, osl and hit divide the tokens into kinds.

    Raises
    ------
    InputError
        As `plan` and `rl_step` do.
    """
    found = subject(scenario)
    n = float(found.model.active_parameters)
    rate = found.system.chip.math_rate("bf16") * life.mfu
    best, chip_seconds, prices = _serving(scenario)
    whole = scenario.isl + scenario.osl
    hit = float(scenario.prefix)
    shares = {"input": (scenario.isl - hit) / whole, "cached": hit / whole, "output": scenario.osl / whole}
    served = law.traffic(life.peak, life.life, life.ramp, life.half_life)
    kinds = tuple(
        Kind(
            name=name, share=share, tokens=served * share, usd=prices[name],
            cost=(c := float(law.token_cost(chip_seconds[name], rate, n))), efficiency=2.0 / c if c else float("inf"),
        )
        for name, share in shares.items() if share
    )  # fmt: skip
    inference = life.ship * sum(kind.cost * kind.tokens for kind in kinds)
    made = None if life.rl_cost or not life.rl_tokens else _rl(found, life)
    rl_cost = life.rl_cost
    if made is not None:
        chip_time = made.step * life.rl_chips / (life.rl_sequences * life.rl_mean)
        rl_cost = float(law.token_cost(chip_time, rate, n))
    rl = rl_cost * life.rl_tokens
    laws = {each.name: each for each in dense(found.catalog)}
    return Lifetime(
        scenario=scenario,
        subject=found,
        life=life,
        parameters=n,
        served=served,
        kinds=kinds,
        layout=best,
        rl_cost=rl_cost,
        rl_step=made,
        inference=inference,
        thirds=law.equal_thirds(inference),
        halves=law.equal_halves(inference),
        lecture=law.equal_thirds(life.ship * served * 2 / 0.3),
        answers=tuple(_answer(each, n, rl, inference, life, served, name) for name, each in laws.items()),
        over=_interval(laws, n, rl, inference, life.ship),
        tornado=_tornado(laws, n, rl, inference, life.ship),
    )


def _serving(scenario: Scenario) -> tuple[str, dict[str, float], dict[str, float | None]]:
    """Layout of the cheapest deployment; chip-seconds and dollars of a token of each kind."""
    asked = replace(scenario, hit=0.0, cached=0)
    bare = plan(asked, top=1, ask=False)
    best = bare.plans[0]
    price = best.point.usd_per_chip_second
    rate = price or 1.0
    new, out = best.usd_per_input_token, best.usd_per_output_token
    assert new is not None
    assert out is not None
    cached = 0.0
    if scenario.prefix:
        other = plan(scenario, top=1, ask=False).plans[0].usd_per_input_token or 0.0
        cached = max(other * scenario.isl - new * (scenario.isl - scenario.prefix), 0.0) / scenario.prefix
    dollars = {"input": new, "cached": cached, "output": out}
    seconds = {name: value / rate for name, value in dollars.items()}
    return best.name, seconds, {name: value if price else None for name, value in dollars.items()}


def _rl(found: Subject, life: Life) -> RLStep:
    """A step of RL with the fewest chips per replica that hold the weights."""
    formats = resolve(found.model, found.system.chip, "bf16")
    room = FULL * found.system.chip.usable
    errors: list[InputError] = []
    for tp in (1, 2, 4, 8, 16, 32, 64):
        if found.model.parameters * 2.0 / tp > room or life.rl_chips % tp:
            continue
        recipe = Recipe(
            chips=life.rl_chips, tp=tp, sequences=life.rl_sequences, batch=life.rl_sequences, mean=life.rl_mean,
            most=life.rl_most,
        )  # fmt: skip
        try:
            return rl_step(found.model, found.system, formats, recipe, load_framework(life.stack, found.catalog).value)
        except InputError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    raise InputError(
        f"--rl-chips {life.rl_chips} of {found.system.name}",
        f"a multiple of 1 to 64 chips (a power of 2) that hold {found.model.name}",
        "more chips, or --rl-cost",
    )  # fmt: skip


def _answer(one: Additive, n: float, rl: float, inference: float, life: Life, served: float, name: str) -> Answer:
    extra = law.extra_tokens(rl, inference)
    d = float(additive.tokens_for(one, n, extra))
    total = 6 * d + rl + inference
    draws = drawn(one)
    low = high = None
    if draws is not None:
        some = replace(draws, **{key: getattr(draws, key)[:400] for key in ("E", "A", "B", "alpha", "beta")})
        low, high = np.nanpercentile(additive.tokens_for(some, n, extra) / (law.CHINCHILLA * n), BOUNDS).tolist()
    implied = peak = None
    if life.tokens:
        left = float(additive.implied_extra(one, n, life.tokens)) * 6 - rl
        each = inference / served
        implied = left / each
        peak = implied / served * life.peak
    return Answer(
        law=name, tokens=d, over=d / (law.CHINCHILLA * n), low=low, high=high,
        own=d / float(additive.optimal_tokens(one, n)), pre_training=6 * d / total, rl=rl / total,
        inference=inference / total, implied=implied, implied_peak=peak,
    )  # fmt: skip


def _over(laws: dict[str, Additive], n: float, rl: Any, inference: Any, which: str) -> Any:
    return additive.tokens_for(laws[which], n, law.extra_tokens(rl, inference)) / (law.CHINCHILLA * n)


def _scaled(rl: float, inference: float, factor: dict[str, Any], ship: float) -> tuple[Any, Any]:
    """Both costs with each unknown times its factor; a better MFU of training makes all else dearer in its tokens.

    No chance is above 1.
    """
    speed = factor["training's MFU"]
    chance = np.minimum(factor["chance of shipping"], 1.0 / ship)
    return (
        rl * factor["RL tokens"] * factor["RL cost"] * speed,
        inference * factor["traffic"] * factor["serving cost"] * chance * speed,
    )


def _interval(
    laws: dict[str, Additive], n: float, rl: float, inference: float, ship: float
) -> tuple[float, float, float]:
    """80% of over-training with every unknown drawn, a quarter of the draws by each of `LAWS`."""
    rng = np.random.default_rng(0)
    known = [name for name in LAWS if name in laws]
    parts: list[np.ndarray] = []
    for name in known:
        size = DRAWS // len(known)
        factor = {key: np.exp(rng.normal(0, np.log(spread) / _TAIL, size)) for key, spread in UNKNOWNS.items()}
        one = drawn(laws[name], seed=1)
        used = laws if one is None else laws | {
            name: replace(one, **{key: getattr(one, key)[:size] for key in ("E", "A", "B", "alpha", "beta")})
        }  # fmt: skip
        parts.append(np.asarray(_over(used, n, *_scaled(rl, inference, factor, ship), name)))
    low, middle, high = np.nanpercentile(np.concatenate(parts), (BOUNDS[0], 50.0, BOUNDS[1])).tolist()
    return low, middle, high


def _tornado(
    laws: dict[str, Additive], n: float, rl: float, inference: float, ship: float
) -> tuple[tuple[str, float, float], ...]:
    """Low and high over-training as one unknown alone goes down and up, by the first of `LAWS`; and over the laws."""
    first = next(name for name in LAWS if name in laws)
    rows: list[tuple[str, float, float]] = []
    for key, spread in UNKNOWNS.items():
        low, high = (
            float(_over(laws, n, *_scaled(rl, inference, dict.fromkeys(UNKNOWNS, 1.0) | {key: f}, ship), first))
            for f in (1 / spread, spread)
        )
        if low != high:
            rows.append((f"{key} (x or / {spread:g})", low, high))
    each = [float(_over(laws, n, rl, inference, name)) for name in LAWS if name in laws]
    rows.append((f"scaling law ({len(each)} of them)", min(each), max(each)))
    return tuple(sorted(rows, key=lambda row: row[1] - row[2]))
