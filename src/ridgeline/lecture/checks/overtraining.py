"""Chapter 5: beyond Chinchilla."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from ridgeline.model import load_model
from ridgeline.scenario import Scenario
from ridgeline.serving import balance
from ridgeline.subject import subject
from ridgeline.training.conventions import flop_per_token
from ridgeline.training.lifetime import CHINCHILLA, equal_halves, equal_thirds, extra_tokens, traffic
from ridgeline.training.scaling.additive import cheapest
from ridgeline.training.scaling.law import Additive, load
from ridgeline.units import Flop, Seconds, Tokens

TokensPerSecond = Annotated[float, "tok/s"]
DECODE = 2.0
"""FLOPs per parameter and token of a forward pass."""


def c089(rising: float, falling: float) -> float:
    """Share of the rising term where x^p + x^-q is least, found on a fine grid."""
    x = np.logspace(-1, 1, 200_001)
    up, down = x**rising, x**-falling
    best = int(np.argmin(up + down))
    return float(up[best] / (up[best] + down[best]))


def c090(model: str, tokens: Tokens) -> Flop:
    return float(flop_per_token(load_model(model), 1.0, "plain")) * tokens


def c091(model: str, trained: float) -> float:
    found = load_model(model)
    whole = float(flop_per_token(found, 1.0, "plain")) / found.active_parameters
    return whole if trained else whole / 3.0


def c092(efficiency: float) -> float:
    return 1.0 / equal_thirds(DECODE / efficiency)


def c093(scenario: str, tokens: Tokens) -> Flop:
    found = subject(Scenario.from_query(scenario))
    return balance(found.model, found.system, found.precision, found.chips).flop_per_token * tokens


def c094(efficiency: float, split: str) -> float:
    rule = equal_thirds if split == "thirds" else equal_halves
    return rule(DECODE / efficiency)


def c095(efficiency: float, active: float, size: float) -> float:
    one, other = (equal_thirds(DECODE * n / efficiency / n) for n in (active, active * size))
    return other / one


def c096(efficiency: float, passes: float) -> float:
    return equal_thirds(passes / efficiency)


def c097(efficiency: float, passes: float) -> float:
    return 1.0 / equal_thirds(passes / efficiency)


c098 = c097


def c099(rate: TokensPerSecond, life: Seconds, chance: float) -> Tokens:
    return traffic(rate, life) * chance


c100 = c099


def c104(active: float) -> Tokens:
    return CHINCHILLA * active


def c105(active: float, tokens: Tokens) -> float:
    return tokens / (CHINCHILLA * active)


c106 = c092


def c107(active: float, served: Tokens, trained: Tokens, efficiency: float) -> float:
    """N cancels: extra tokens of inference over those of training."""
    return extra_tokens(0.0, DECODE * served / efficiency) / trained


def c108(law: str, loss: float, few: Tokens, many: Tokens) -> bool:
    found = load(law)
    assert isinstance(found, Additive)
    (large, short), (small, long) = (cheapest(found, loss, extra) for extra in (few, many))
    return bool(small < large and long > short)


def c109(rate: TokensPerSecond, life: Seconds, chance: float, efficiency: float) -> float:
    sure, risky = (equal_thirds(DECODE * traffic(rate, life) * p / efficiency) for p in (1.0, chance))
    return risky / sure
