"""Measured points, one number per row, and what Ridgeline predicts for each: floor, estimate, interval.

A row names model, chip, engine, formats, layout, lengths and batch, and one metric. `prepared.py` evaluates the steps
of like rows together. A row that cannot be predicted says why and does not stop the rest.

    decode_step   one step at `batch` sequences with `context` cached tokens
    prefill       one step of `batch` prompts of `isl` tokens
    static        prefill of all prompts, then osl - 1 decode steps, in waves of what memory holds
    online        `serving.online`: mean latencies at `batch` open requests, or at all that memory holds
    disaggregated `pools.py`: prefill and decode workers apart
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.engines import FITTED, EngineConstants, engine_constants, engines, place, spread
from ridgeline.errors import InputError
from ridgeline.estimate import level
from ridgeline.roofline import TERMS
from ridgeline.serving.online import Online, online
from ridgeline.validate.pools import PreparedPools, pool_floors, pool_metrics
from ridgeline.validate.prepared import Prepared, Refusal, prepare
from ridgeline.validate.row import single_numbers
from ridgeline.validate.scheduling import ONLINE
from ridgeline.validate.single import MODES as SINGLE
from ridgeline.validate.single import interval, single


class Prediction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row's answer; numbers are NaN and `refused` has the reason where there is none."""

    id: str
    metric: str
    floor: float = math.nan
    low: float = math.nan
    estimate: float = math.nan
    high: float = math.nan
    binding: str = ""
    provenance: str = ""
    refused: str = ""


def metrics(group: Prepared, engine: EngineConstants) -> dict[tuple[str, str], np.ndarray]:
    """Estimates of every metric of the modes of a group for all its rows, with an engine's constants."""
    n, osl, modes = group.number, np.maximum(group.number["osl"], 1.0), _modes(group)
    decode, prefill = group.decode.total(engine), group.prefill.total(engine)
    waves = np.maximum(n["batch"], 1.0) / n["inside"]
    if "online" not in modes:
        return _answers(modes, n, decode, prefill, waves)
    served = online(
        decode=decode,
        prefill=prefill / group.prompts,
        alone=group.alone.total(engine),
        concurrency=np.maximum(n["batch"], 1.0),
        capacity=group.capacity,
        osl=osl,
        client=engine.client,
        prompts=group.prompts,
        apart=(n["alone"], n["full"]),
        **{name: n[name] for name in ONLINE},
    )
    return _answers(modes, n, decode, prefill, waves, served)


def floors(group: Prepared) -> dict[tuple[str, str], np.ndarray]:
    """Bounds of every metric of the modes of a group: least seconds, or most tokens per second.

    Rates are bounded with memory filled to the last byte: they grow at most as the batch does. Those of prompts without
    number are bounded by their math.
    """
    n, osl, modes = group.number, np.maximum(group.number["osl"], 1.0), _modes(group)
    decode, prefill, once = group.decode_time.lower, group.prefill_time.lower, np.ones_like(osl)
    if "online" not in modes:
        full = n["unnumbered"] > 0
        decode = np.where(full, decode * n["inside"] / n["most"], decode)
        return _answers(modes, n, decode, np.where(full, group.prefill_time.math, prefill), once)
    first = prefill / group.prompts
    request = group.prefill_time * (1.0 / group.prompts) + group.decode_time * (osl / n["inside"])
    served = Online(
        ttft=first,
        tpot=decode,
        e2e=first + osl * decode,
        request_rate=n["most"] / n["inside"] / request.lower,
        batch=n["inside"],
    )
    return _answers(modes, n, decode, prefill, once, served)


def _modes(group: Prepared) -> set[str]:
    return {mode for mode, _ in set(group.keys)}


def _answers(
    modes: set[str],
    n: Mapping[str, np.ndarray],
    decode: np.ndarray,
    prefill: np.ndarray,
    waves: np.ndarray,
    served: Online | None = None,
) -> dict[tuple[str, str], np.ndarray]:
    """Every metric of the modes, from the seconds of a decode step, of a prefill step, and of online serving."""
    batch, isl, osl, asked = n["inside"], n["isl"], np.maximum(n["osl"], 1.0), np.maximum(n["batch"], 1.0)
    out: dict[tuple[str, str], np.ndarray] = {}
    if "decode_step" in modes:
        out |= {("decode_step", "tpot_s"): decode, ("decode_step", "out_tok_s"): batch / decode}
    if "prefill" in modes:
        out |= {
            ("prefill", "ttft_s"): prefill,
            ("prefill", "e2e_s"): prefill,
            ("prefill", "in_tok_s"): batch * isl / prefill,
            ("prefill", "total_tok_s"): batch * (isl + osl) / prefill,
        }
    if "static" in modes:
        whole = prefill + (osl - 1.0) * decode * waves
        out |= {
            ("static", "ttft_s"): prefill,
            ("static", "tpot_s"): decode,
            ("static", "e2e_s"): whole,
            ("static", "out_tok_s"): asked * osl / whole,
            ("static", "total_tok_s"): asked * (isl + osl) / whole,
        }
    if served is not None:
        out |= {
            ("online", "ttft_s"): served.ttft,
            ("online", "tpot_s"): served.tpot,
            ("online", "e2e_s"): served.e2e,
            ("online", "out_tok_s"): served.request_rate * osl,
            ("online", "total_tok_s"): served.request_rate * (isl + osl),
        }
    return out


def predict(rows: Sequence[Mapping[str, str]], catalog: str = "") -> list[Prediction]:
    """A prediction for each row, in the rows' order."""
    places = frozenset(engines().places)
    out: dict[int, Prediction] = {}
    for i, row in enumerate(rows):
        if row.get("mode") in SINGLE:
            out[i] = _single(row, _refused(row, ""))
    for item in prepare(rows, catalog):
        if isinstance(item, Refusal):
            out[item.row] = _refused(rows[item.row], item.reason)
        else:
            out.update(_predicted(item, rows, places))
    return [out[i] if i in out else _refused(row, "no law for it") for i, row in enumerate(rows)]


def _refused(row: Mapping[str, str], reason: str) -> Prediction:
    return Prediction(id=row.get("id", ""), metric=row.get("metric", ""), refused=reason)


def _predicted(
    item: Prepared | PreparedPools, rows: Sequence[Mapping[str, str]], places: frozenset[str]
) -> Iterator[tuple[int, Prediction]]:
    """Predictions of a group, each with its place in the file."""
    here = place(item.engine, item.found.model.name, item.found.system.name)
    engine = engine_constants(item.engine, item.found.system.chip.name, item.source, here)
    estimates, bounds = (
        (pool_metrics(item, engine), pool_floors(item))
        if isinstance(item, PreparedPools)
        else (metrics(item, engine), floors(item))
    )
    resting = level(item.decode, engine, item.found.system.chip.name)
    known = here in places
    picks: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(item.keys):
        picks.setdefault(key, []).append(i)
    bindings: dict[str, np.ndarray] = {}
    for key, picked in picks.items():
        if key not in estimates:
            continue
        bound, estimate = bounds[key][picked], estimates[key][picked]
        down, up = map(math.exp, spread("/".join(key), FITTED if known else resting, item.engine))
        if key[1].endswith("tok_s"):
            estimate = np.minimum(estimate, bound)
            low, high = estimate * down, np.minimum(estimate * up, bound)
        else:
            estimate = np.maximum(estimate, bound)
            low, high = np.maximum(estimate * down, bound), estimate * up
        sides = np.minimum(low, estimate), estimate, np.maximum(high, estimate)
        phase = "prefill" if key[0] == "prefill" or key[1] == "ttft_s" else "decode"
        if phase not in bindings:
            time = item.prefill_time if phase == "prefill" else item.decode_time
            bindings[phase] = time.binding
        columns = (bound, *sides, bindings[phase][picked])
        own = [item.rows[i] for i in picked]
        for i, floor, down, middle, up, binds in zip(own, *(column.tolist() for column in columns), strict=True):
            answer = Prediction(
                id=rows[i].get("id", ""),
                metric=key[1],
                floor=floor,
                low=down,
                estimate=middle,
                high=up,
                binding=TERMS[binds],
                provenance=resting,
            )
            yield i, answer


def _single(row: Mapping[str, str], blank: Prediction) -> Prediction:
    """A single collective or kernel."""
    try:
        answer = single(row, single_numbers(row))
    except InputError as error:
        return msgspec.structs.replace(blank, refused=str(error))
    (floor, estimate, _, binding, resting), (low, high) = answer, interval(answer)
    return msgspec.structs.replace(
        blank, floor=floor, low=low, estimate=estimate, high=high, binding=binding, provenance=resting, refused=""
    )
