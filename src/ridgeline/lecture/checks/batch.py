"""Chapter 1: batches, trains and fast mode. Each check gives a claim's value, or whether a statement holds."""

from __future__ import annotations

from math import log
from typing import Annotated

import msgspec
import numpy as np

from ridgeline.hardware import load_system
from ridgeline.model import load_model
from ridgeline.model.kv import total_read
from ridgeline.model.variant import variant
from ridgeline.roofline import balance_batch, drain_time, ridge_tokens
from ridgeline.scenario import Scenario
from ridgeline.serving import Point, point
from ridgeline.serving.reduced import (
    cost_floor,
    fast_batches,
    model_utilisation,
    saturating_batch,
    slow_saving,
    step_over_weights,
    token_cost,
)
from ridgeline.simulate.train import rides
from ridgeline.training.scaling.law import Routed, load
from ridgeline.training.scaling.routed import clark_equivalent
from ridgeline.units import Bytes, BytesPerSecond, FlopPerSecond, Seconds, Tokens

TokensPerSecond = Annotated[float, "tok/s"]
UsdPerToken = Annotated[float, "USD/tok"]
ANY_BATCH = np.logspace(-3, 6, 100)
SEATS = 2400


def _point(query: str, **changes: object) -> Point:
    return point(msgspec.structs.replace(Scenario.from_query(query), **changes))


def c001(scenario: str) -> bool:
    time = _point(scenario).step.time
    return bool(time.lower >= max(time.math, time.memory))


def c002(scenario: str, flop_per_operation: float) -> float:
    found = _point(scenario)
    chip, model = found.subject.system.chip, found.subject.model
    board = found.scenario.batch * model.active_parameters / (chip.math_rate("fp8") / flop_per_operation)
    return board / found.step.time.math


def c003(scenario: str, weight_bytes: float, batch: float, context: Tokens) -> float:
    found = _point(scenario)
    parameters, cache = found.numbers["parameters"].value, found.numbers["kv_read_bytes_per_token"].value
    board = parameters * weight_bytes + batch * context * cache
    return board / found.subject.system.chip.hbm_bandwidth / found.step.time.memory


def c004(parameters: float) -> float:
    return parameters


def c005(balance: float, context: float, scenario: str) -> float:
    touched = 1.0
    if scenario:
        found = _point(scenario)
        touched = found.step.work.weights / found.numbers["weight_bytes"].value
    return float(token_cost(1.0 / (touched * balance), context) / cost_floor(context))


def c006(scenario: str) -> bool:
    batch = np.array([600.0, 1200.0, 2400.0, 4800.0])
    step = _point(scenario, batch=batch).step
    flat = (step.time.math / batch, step.work.weights, step.work.kv_read / batch)
    return all(np.ptp(part) <= 1e-3 * np.max(part) for part in flat)


def c007(context: float) -> bool:
    cost = token_cost(ANY_BATCH, context)
    return bool((cost >= cost_floor(context)).all() and np.isclose(cost[-1], cost_floor(context), rtol=1e-5))


def c008(scenario: str) -> float:
    found = _point(scenario)
    return found.step.time.memory / found.numbers["weight_read_s"].value


def c009(scenario: str, batch: float) -> float:
    near = _point(scenario, batch=batch, context=1.0)
    context = near.numbers["balance_context_tok"].value
    cache = _point(scenario, batch=batch, context=context).step.work.kv_read / near.subject.system.chip.hbm_bandwidth
    return cache / near.step.time.math


def c010(batch: float, context: float) -> float:
    return float(model_utilisation(batch, 2 * context) / model_utilisation(batch, context))


def c011(peak: FlopPerSecond, bandwidth: BytesPerSecond, weight_bytes: float) -> float:
    return ridge_tokens(peak, bandwidth, weight_bytes)


c012 = c011


def c013(ridge: Tokens, parameters: float, active: float, balance: float) -> float:
    return balance_batch(ridge, parameters, active) / balance


def c014(parameters: float, active: float) -> float:
    return balance_batch(1.0, parameters, active)


def c015(ridge: Tokens, parameters: float, active: float) -> float:
    return balance_batch(ridge, parameters, active)


c016 = c017 = c015


def c018(rate: TokensPerSecond, tpot: Seconds, balance: float) -> float:
    return rate * tpot / balance


def c019(context: float) -> float:
    return float(saturating_batch(context))


def c020(scenario: str) -> bool:
    found = _point(scenario)
    return bool(found.step.tokens == found.scenario.batch)


def c021(ridge: Tokens, parameters: float, active: float, size: float) -> float:
    return balance_batch(ridge, parameters * size, active * size) / balance_batch(ridge, parameters, active)


def c022(capacity: Bytes, bandwidth: BytesPerSecond, filled: float) -> float:
    return drain_time(capacity * filled, bandwidth)


c023 = c022


def c024(interval: Seconds) -> float:
    missed = np.array([interval * 1e-6])
    return float(rides(missed, interval, SEATS).finish[0] - missed[0])


def c025(interval: Seconds) -> bool:
    taken = rides(np.full(SEATS + 1, interval / 2), interval, SEATS)
    return bool(taken.departure[-1] == 2 * interval and taken.full < 1)


def c026(interval: Seconds) -> float:
    return 1.0 / interval


def c027(batch: float, interval: Seconds) -> float:
    return batch / interval


def c028(tokens: Tokens, period: Seconds) -> float:
    return tokens / period


def c029(rate: TokensPerSecond, traffic: TokensPerSecond) -> float:
    return rate / traffic


def c030(fast: UsdPerToken, standard: UsdPerToken) -> float:
    return fast / standard


def c031(price: float, speed: float) -> float:
    return fast_batches(price, speed)


c032 = c031


def c033(price: float, speed: float) -> bool:
    before, after = speed, 1.0 / price
    faster = step_over_weights(before, 0.0) / step_over_weights(after, 0.0)
    dearer = token_cost(after, 0.0) / token_cost(before, 0.0)
    return bool(np.isclose([faster, dearer, before / after], [speed, price, fast_batches(price, speed)]).all())


def c034(batch: float, context: float) -> float:
    return float(step_over_weights(batch, context))


def c035(batch: float, context: float) -> float:
    return float(slow_saving(batch, context))


def c037(system: str, kind: str) -> float:
    return load_system(system).value.price(kind).rate


def c038(model: str, attention: str, context: Tokens) -> float:
    found = variant(load_model(model), attention)
    return float(total_read(found, 4.0 * context, 2.0) / total_read(found, context, 2.0))


def c039(ridge: Tokens, parameters: float, active: float, factor: float) -> float:
    return balance_batch(ridge, parameters * factor, active) / balance_batch(ridge, parameters, active)


def c040(law: str, active: float, experts: float) -> float:
    found = load(law)
    assert isinstance(found, Routed)
    return float(clark_equivalent(found, active, experts) / active)


c041 = c040


def c042(experts: float, gain: float) -> float:
    return experts ** (log(2) / log(gain))


def c157(scenario: str) -> float:
    work = _point(scenario).step.work
    return (work.weights + work.kv_read) / work.memory


def c158(rate: TokensPerSecond, tpot: Seconds) -> float:
    return rate * tpot


def c159(batch: float, context: float) -> bool:
    return bool(step_over_weights(batch / 2, context) < step_over_weights(batch, context))


def c165(scenario: str) -> float:
    found = _point(scenario)
    ranks = found.scenario.layout.chips
    work = found.step.work
    always = found.numbers["weight_bytes"].value
    return min(work.weights * ranks / always, 1.0)
