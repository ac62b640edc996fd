"""Routed experts: how many distinct ones a step touches, and what that reads.

N tokens that each visit k of E experts uniformly at random touch

    distinct = E (1 - (1 - k/E)^N)

of them: k at N = 1, all at N >> E/k. With a popularity that falls as rank^-skew, expert i is visited by a token with
probability p_i = min(1, c (i+1)^-skew), sum p_i = k, and distinct = sum_i 1 - (1 - p_i)^N, which is never more.
The busiest rank then carries `load_imbalance` times the mean, and the step follows it.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ridgeline.arrays import Array, namespace
from ridgeline.model.architecture import Experts
from ridgeline.precision import Precision
from ridgeline.work.operation import Operation, Routing


@lru_cache(maxsize=64)
def popularity(count: int, active: int, skew: float) -> tuple[float, ...]:
    """Probability that a token visits each expert, hottest first; sums to `active`.

    Raises nothing: probabilities are capped at 1 and the excess handed to the colder experts.
    """
    weights = [(rank + 1.0) ** -skew for rank in range(count)]
    certain = 0
    while True:
        scale = (active - certain) / math.fsum(weights[certain:]) if certain < count else 0.0
        if certain == count or scale * weights[certain] <= 1.0:
            return (1.0,) * certain + tuple(scale * w for w in weights[certain:])
        certain += 1


def distinct_experts(tokens: Array, count: int, active: int, skew: float = 0.0) -> Array:
    """Expected number of distinct experts visited by `tokens` tokens that visit `active` of `count` each.

    Examples
    --------
    >>> round(distinct_experts(1, 256, 8), 3), round(distinct_experts(32, 256, 8), 1)
    (8.0, 163.3)
    """
    if active >= count:
        return count + 0.0 * tokens
    xp = namespace(tokens)
    if not skew:
        return -count * xp.expm1(tokens * math.log1p(-active / count))
    total = 0.0 * tokens
    for p in popularity(count, active, skew):
        total = total + (1.0 if p >= 1.0 else -xp.expm1(tokens * math.log1p(-p)))
    return total


def load_imbalance(count: int, active: int, groups: Array = 1, skew: float = 0.0, redundant: Array = 0) -> Array:
    """Tokens of the busiest of `groups` expert groups over the mean, copies dealt out round-robin by popularity.

    The `redundant` hottest experts have two copies that share their tokens.
    """
    if not skew:
        return 1.0
    if isinstance(groups, (int, float)) and isinstance(redundant, (int, float)):
        return _imbalance(count, active, round(groups), skew, int(redundant))
    xp = namespace(groups, redundant)
    ranks, copies = groups + 0.0 * redundant, redundant + 0.0 * groups
    out = 0.0 * ranks
    for both in xp.unique_values(xp.round(ranks) * COPIES + copies):
        n, more = divmod(round(float(both)), COPIES)
        here = (abs(ranks - n) < 0.5) & (copies == more)
        out = xp.where(here, _imbalance(count, active, n, skew, more) + 0.0 * out, out)
    return out


COPIED = 1 / 8
"""Redundant copies per expert with which uneven popularity is placed evenly."""
COPIES = 65536
"""More than any layer's copies of experts."""


@lru_cache(maxsize=4096)
def _imbalance(count: int, active: int, groups: int, skew: float, redundant: int) -> float:
    shares = popularity(count, active, skew)
    shares = sorted([p / 2 for p in shares[:redundant] for _ in range(2)] + list(shares[redundant:]), reverse=True)
    return math.fsum(shares[::groups]) / (active / groups)


def touched_copies(tokens: Array, count: int, active: int, skew: float = 0.0, redundant: Array = 0) -> Array:
    """Expected number of distinct copies of experts that `tokens` tokens visit, of `count` + `redundant` copies.

    `redundant` of the experts have two copies, which take turns: each sees N/2 of the tokens, so that both together are
    touched 2 (1 - (1 - p)^(N/2)) times. Under a skew the hottest experts are the ones with two copies; they count here
    as the average one.
    """
    once = distinct_experts(tokens, count, active, skew)
    if isinstance(redundant, (int, float)) and not redundant:
        return once
    halved = distinct_experts(tokens * 0.5, count, active, skew)
    return once + redundant / count * (2.0 * halved - once)


def expert_operation(
    experts: Experts,
    tokens: Array,
    precision: Precision,
    held: Array = 1.0,
    width: Array = 1.0,
    skew: float = 0.0,
    redundant: Array = 0,
) -> Operation:
    """The routed experts on `tokens` tokens of all ranks that share them.

    Parameters
    ----------
    held
        Fraction of the experts that is counted (one rank's under expert parallelism).
    width
        Fraction of each expert's inner width that is counted (tensor parallelism inside experts).
    redundant
        Copies of experts beyond one of each, dealt out over all ranks.
    """
    weight_bytes, number = precision.of("expert")
    share = held * width
    busiest = load_imbalance(experts.count, experts.active, 1.0 / held, skew, redundant)
    visits = tokens * experts.active * held * busiest
    distinct = touched_copies(tokens, experts.count, experts.active, skew, redundant)
    return Operation(
        name="experts",
        family="experts",
        math=number,
        stored=precision.stored.get("expert", precision.stored["default"]),
        depth=distinct * held,
        flop=2.0 * visits * experts.matrices * experts.hidden * experts.width * width,
        weights=distinct * (experts.expert_parameters * weight_bytes) * share,
        activations=visits
        * (2.0 * experts.hidden + experts.matrices * experts.width * width)
        * precision.activation_bytes,
        routing=None if skew else _routing(experts, tokens, held, redundant),
    )


def _routing(experts: Experts, tokens: Array, held: Array, redundant: Array) -> Routing:
    crowd = tokens * (experts.active / experts.count)
    return Routing(experts=experts.count, ranks=1.0 / held, crowd=crowd, copies=1.0 * redundant)


def routed(routing: Routing, variance: float) -> tuple[Array, Array]:
    """Experts that are read, and tokens of the busiest rank, over those of uniform routing.

    Popularity is taken as gamma-distributed with mean 1 and `variance` c. With a visits per expert, E experts on g
    ranks, the share of experts that meet a token is that of a negative binomial, and the busiest rank lies above the
    mean as the largest of g sums of E / g loads does (each with variance c, and 1 / a from drawing):

        read = (1 - (1 + c a)^(-1/c)) / (1 - e^-a)
        busiest = 1 + (sqrt(2 ln g) - 0.6) sqrt((c + 1/a) g / E),    at most g

    The bracket is the mean of the largest of g normal variables, within 4% for g from 2 to 256. Redundant copies of
    popular experts let them be placed evenly: c of the busiest falls to 0 with COPIED copies per expert (a guess
    between DeepSeek's 32 of 256 and none).

    Examples
    --------
    >>> read, busiest = routed(Routing(experts=128, ranks=8.0, crowd=64.0), 1.0)
    >>> round(float(read), 3), round(float(busiest), 2)
    (0.985, 1.36)
    """
    a, g = routing.crowd, routing.ranks
    xp = namespace(a, g)
    met = -xp.expm1(-xp.log1p(variance * a) / variance) / -xp.expm1(-a) if variance else 1.0 + 0.0 * a
    largest = xp.sqrt(2.0 * xp.log(xp.maximum(g, 1.0 + 0.0 * g))) - 0.6
    left = 1.0 - routing.copies / (COPIED * routing.experts)
    placed = variance * xp.maximum(left + 0.0 * g, 0.0 * left)
    spread = xp.maximum(largest, 0.0 * largest) * xp.sqrt((placed + 1.0 / a) * g / routing.experts)
    return met, xp.minimum(1.0 + spread, g + 0.0 * spread)
