"""Chapter 6: what prices give away."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np

from ridgeline.cache import break_even, device_share, drain_match, hold_cost, move_cost
from ridgeline.catalog import BUILT_IN
from ridgeline.hardware import load_medium
from ridgeline.model import load_model
from ridgeline.model.architecture import Attention
from ridgeline.model.kv import per_token, stored, total_read
from ridgeline.model.variant import variant
from ridgeline.pricing.closed import cache_from_step
from ridgeline.roofline import drain_time
from ridgeline.scenario import Scenario
from ridgeline.serving import point
from ridgeline.serving.reduced import memory_bound_context, token_cost
from ridgeline.units import Bytes, BytesPerSecond, FlopPerSecond, Seconds, Tokens, UsdPerSecond

BytesPerToken = Annotated[float, "B/tok"]
TokensPerSecond = Annotated[float, "tok/s"]
UsdPerToken = Annotated[float, "USD/tok"]
HOLDS = (300.0, 3600.0)
"""Seconds of the two tiers on Anthropic's list."""


def c111(above: UsdPerToken, below: UsdPerToken) -> float:
    return above / below


def c112(context: Tokens, batch: float) -> float:
    return context * memory_bound_context(batch)


def c114(active: float, width: float, ridge: Tokens, context: Tokens, fill: float) -> float:
    return cache_from_step(active, width, ridge, context, fill)


c115 = c114


def c116(heads: float, width: float, layers: float, bytes: float) -> float:
    count, wide = int(heads), int(width)
    mixer = Attention(heads=count, kv_heads=count, head_dim=wide, value_dim=wide, linears=())
    return layers * stored(mixer, 1.0, bytes)


def c117(model: str) -> float:
    found = load_model(model)
    mixers = [mixer for layer in found.layers for mixer in layer.mixers if isinstance(mixer, Attention)]
    formula = sum(2.0 * mixer.head_dim * mixer.kv_heads for mixer in mixers)
    return per_token(found, 1.0).read / formula


def c118(heads: float, layers: float, shared: float) -> float:
    return heads * layers * shared


def c120(price: UsdPerToken, rate: TokensPerSecond, chips: float, rent: UsdPerSecond) -> float:
    return price / (chips * rent / rate)


def c121(output: UsdPerToken, input: UsdPerToken) -> float:
    return output / input


def c122(batch: float, context: float) -> float:
    return token_cost(batch, context)


def c123(scenario: str, longer: float) -> bool:
    short = Scenario.from_query(scenario)
    one, more = point(short), point(msgspec.structs.replace(short, isl=short.isl * longer))
    pairs = ((one.step.work.weights, more.step.work.weights), (_math(one), _math(more)))
    return all(abs(after / before - 1) < 0.05 for before, after in pairs)


def _math(found) -> float:
    """Seconds of math per token, attention's scores left out."""
    return found.step.time.math / found.step.tokens


def c124(context: Tokens) -> float:
    return context


def c125(input: UsdPerToken, cached: UsdPerToken) -> float:
    return input / cached


def c126(write: UsdPerToken, input: UsdPerToken) -> float:
    return write / input


def c127(scenario: str) -> float:
    found = point(Scenario.from_query(scenario))
    chip, model, cost = found.subject.system.chip, found.subject.model, found.numbers["usd_per_input_token"].value
    return cost / (2.0 * model.active_parameters / chip.math_rate("fp8") * found.numbers["usd_per_chip_s"].value)


def c128(active: float, peak: FlopPerSecond, cache: BytesPerToken, capacity: Bytes, rent: UsdPerSecond) -> float:
    return float(break_even(2.0 * active / peak * rent, 0.0, hold_cost(cache, capacity, rent)))


def c129(cache: BytesPerToken, capacity: Bytes, read: BytesPerSecond, rent: UsdPerSecond, seconds: Seconds) -> bool:
    parts = hold_cost(cache, capacity, rent) * seconds + move_cost(cache, read, rent)
    return bool(np.isclose(device_share(cache, seconds, capacity, read) * rent, parts))


def c130(cache: BytesPerToken, capacity: Bytes, read: BytesPerSecond) -> float:
    held = device_share(cache, drain_time(capacity, read), capacity, read)
    fetched = device_share(cache, 0.0, capacity, read)
    return (held - fetched) / fetched


def c131(medium: str) -> float:
    return load_medium(medium).value.drain


c132 = c131
c134 = c131


def c133(capacity: Bytes, read: BytesPerSecond) -> float:
    return drain_time(capacity, read)


def c135(short: str, long: str) -> bool:
    """Whether each tier's hold time is nearest to the drain time of a medium of this kind; an empty kind is any."""
    media = [load_medium(name).value for name in BUILT_IN.names("media")]
    nearest = drain_match(np.array(HOLDS), np.array([medium.drain for medium in media]))
    kinds = [media[i].kind for i in nearest]
    return all(kind in ("", found) for kind, found in zip((short, long), kinds, strict=True))


c136 = c135


def c137(
    active: float, peak: FlopPerSecond, cache: BytesPerToken, capacity: Bytes, rent: UsdPerSecond, seconds: Seconds
) -> float:
    return seconds / c128(active, peak, cache, capacity, rent)


def c139(context: Tokens, before: Tokens) -> float:
    return context / before


c140 = c139


def c141(model: str, attention: str, context: Tokens, before: Tokens) -> float:
    found = variant(load_model(model), attention)
    return float(total_read(found, context, 2.0) / total_read(found, before, 2.0))


def c143(batch: float) -> bool:
    kink = memory_bound_context(batch)
    cost = np.asarray(token_cost(batch, kink * np.array([0.1, 0.9, 2.0, 3.0, 4.0])))
    return bool(np.ptp(cost[:2]) == 0 and np.allclose(np.diff(cost[2:]), kink))
