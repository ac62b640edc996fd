"""Fit the constants of engines to measured steps.

    minimise  sum over rows of w soft(ln(estimate / measured))  +  sum over constants of ((theta - parent) / spread)^2

Partial pooling from the top down: all engines whose kernels were measured, an engine, an engine on a generation of
chips, a model on a system by an engine (a place); and for clients all, a benchmark, an engine in a benchmark, a place.
The constants of each level are the prior of the next, so few or one-sided rows leave a constant where its relatives
have it; how far they part is what predicts rows and places that were left out best. `soft` is quadratic for small
errors and linear beyond SCALE, and hardly grows beyond LIMIT; groups of like rows (model, chip, format) weigh as the
root of their size. Needs SciPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from ridgeline.efficiency import generation
from ridgeline.engines import APART, LEVELS, OVERLAPPED, VERSION, Client, EngineConstants, Engines, place
from ridgeline.estimate import Terms
from ridgeline.serving.online import online
from ridgeline.validate.points import metrics
from ridgeline.validate.pools import PreparedPools, pool_metrics
from ridgeline.validate.prepared import EAGER, Prepared
from ridgeline.validate.priors import (
    CLIENTS,
    LAUNCHED,
    OF_PLACES,
    OWN,
    RANGES,
    SCORES,
    SEPARATE,
    STEPS,
    UNMEASURED,
    WRITTEN,
    Range,
)
from ridgeline.validate.scheduling import ONLINE

TOGETHER = 0.5
"""`burst` where all prompts come at once: the second place from which a fit starts."""
WEIGHT = 2.0
"""Rows that a group of n counts as are WEIGHT sqrt(n), against a prior of one."""
SCALE, LIMIT = 0.1, 0.7
"""|ln error| beyond which a row counts linearly, and beyond which hardly more: it ran unlike its columns say."""
LEAST = 15
"""Rows below which a benchmark, or an engine whose kernels were measured, has no constants of its own."""
MANY = 100
"""Rows from which an engine has constants of its own on a generation of chips."""
FEW = 6
"""Rows from which an engine with kernels of its own has constants, and factors on kernels by generation of chips."""
PLACED = 8
"""Rows from which a place has constants of its own."""
LOOSE = 3.0
"""How far a place's steps may lie off its engine's, over how far engines lie off each other."""
MEASURED = ("vllm", "sglang", "trtllm")
"""Engines whose kernels were measured: their factor on kernels is 1."""
Constants = dict[str, float]
Place = tuple[str, str]
"""Model and system: what is held out together."""


def learn(
    groups: Sequence[Prepared],
    pools: Sequence[PreparedPools] = (),
    source: str = "",
    wanted: Sequence[Prepared | PreparedPools] = (),
    held: Mapping[str, float] = MappingProxyType({}),
) -> Engines:
    """Constants of the engines and clients of `groups`, and of the clients of separate `pools`, without intervals.

    If some groups are `wanted`, then only what their predictions need: the same numbers in less time. Constants that
    are `held` keep their value.
    """

    def unheld(*names: str) -> list[str]:
        return [name for name in names if name not in held]

    by_engine: dict[str, list[Prepared]] = {}
    for group in groups:
        by_engine.setdefault(group.engine, []).append(group)
    profiled = [group for name in MEASURED for group in by_engine.get(name, [])]
    start = {name: each.start for name, each in RANGES.items()} | {"scores": 0.0} | dict(held)
    pool = _fit(profiled, start, unheld(*STEPS, *CLIENTS)) if profiled else start
    fitted = [_constants("any", "", pool, groups, ())]
    benchmarks = {_benchmark(group) for group in wanted or groups}
    needed = {group.engine.removesuffix(OVERLAPPED) for group in wanted or groups}
    needed |= {group.engine for group in profiled if _benchmark(group) in benchmarks}
    if any(isinstance(group, PreparedPools) for group in wanted):
        needed |= set(by_engine)
    for name, own in sorted(by_engine.items()):
        if _size(own) < (LEAST if name in MEASURED else FEW) or name not in needed:
            continue
        free = unheld(*(() if name in MEASURED else _factors(name)), *STEPS, *CLIENTS)
        theta = _fit(own, pool | {key: SCORES[key].start for key in unheld(*SCORES) if name in WRITTEN}, free)
        fitted.append(_constants(name, "", theta, own, own))
        for alike in sorted({_generation(group) for group in own} - {""}):
            here = [group for group in own if _generation(group) == alike]
            known = name in MEASURED and here[0].decode.provenance != LEVELS[-1]
            if _size(here) >= (MANY if known else LEAST if name in MEASURED else FEW):
                free = unheld(*STEPS, *CLIENTS) if known else unheld(*_factors(name))
                fitted.append(_constants(name, alike, _fit(here, theta, free), here, own))
    engines = Engines(source=source, engines=tuple(fitted), places=(), clients={}, held_out={}, spread={})
    places = tuple(sorted({_place(group) for group in (*groups, *pools)}))
    apart = {f", {APART}": _client(_fit_pools(pools, engines))} if APART in benchmarks or not wanted else {}
    driven = [group for group in profiled if _benchmark(group) in benchmarks]
    found = msgspec.structs.replace(
        engines, places=places, clients=_clients(driven, engines, pool, unheld(*CLIENTS)) | apart
    )
    asked = {_place(group) for group in wanted or groups}
    return _placed([group for group in groups if _place(group) in asked], found, unheld)


def _placed(groups: Sequence[Prepared], engines: Engines, unheld: Callable[..., list[str]]) -> Engines:
    """`engines` with the constants of every place that has rows enough, and of its clients."""
    by_place: dict[str, list[Prepared]] = {}
    for group in groups:
        by_place.setdefault(_place(group), []).append(group)
    placed, clients = engines, dict(engines.clients)
    for here, own in sorted(by_place.items()):
        if _size(own) < PLACED:
            continue
        name, chip = own[0].engine, own[0].found.system.chip.name
        parent = engines.constants(name)  # on all chips: those of a generation may stand on this place alone
        known = name in MEASURED and own[0].decode.provenance != LEVELS[-1]
        free = unheld(*(() if known else _factors(name)), *STEPS)
        theta = _fit(own, _theta(parent), free, engines, LOOSE)
        fitted = _constants(name, "", theta, own, own, where=here)
        placed = msgspec.structs.replace(placed, engines=(*placed.engines, fitted))
        for source in sorted({group.source for group in own}):
            before = _theta(engines.constants(name, chip, source))
            ran = [group for group in own if group.source == source]
            after = _fit_client(ran, placed, before, unheld(*CLIENTS, *OF_PLACES))
            if after is not before:
                clients[f"{here}, {source}"] = _client(after)
    return msgspec.structs.replace(placed, clients=clients)


def _factors(engine: str) -> tuple[str, ...]:
    """Constants of kernels that nobody measured."""
    return (*UNMEASURED, *(SCORES if engine in WRITTEN else ()))


def _place(group: Prepared | PreparedPools) -> str:
    return place(group.engine, *place_of(group))


def _size(groups: Iterable[Prepared]) -> int:
    return sum(len(group.rows) for group in groups)


def place_of(group: Prepared | PreparedPools) -> Place:
    """The model and the system of a group."""
    return group.found.model.name, group.found.system.name


def _benchmark(group: Prepared | PreparedPools) -> str:
    """The source of a group without the version of the engine; APART for separate pools."""
    return group.source.partition(VERSION)[0]


def _generation(group: Prepared) -> str:
    return generation(group.found.system.chip.name)


def _fit(
    groups: Sequence[Prepared],
    parent: Constants,
    free: Sequence[str],
    driven: Engines | None = None,
    loose: float = 1.0,
) -> Constants:
    """Constants that fit all rows of groups of one engine best; those not in `free` stay their parent's.

    If `driven`, every row has the clients that its own benchmark has there. `loose` multiplies the spreads.
    """
    whole, value, weight = _sample(groups)
    client = driven and _each_client(groups, driven)
    keys = np.array(["/".join(key) for key in whole.keys])
    masks = [(tuple(key.split("/")), keys == key) for key in sorted(set(keys))]

    def errors(constants: Constants) -> np.ndarray:
        engine = _constants("", "", constants, groups, (), digits=17)
        estimates = metrics(whole, msgspec.structs.replace(engine, client=client) if client else engine)
        out = np.zeros(len(value))
        for key, rows in masks:
            if key in estimates:
                out[rows] = np.log(estimates[key][rows] / value[rows])
        return out

    ranges = RANGES | (OWN if whole.engine not in MEASURED and whole.engine.removesuffix(EAGER) not in MEASURED else {})
    ranges |= {"layer": LAUNCHED} if whole.engine.endswith(EAGER) else {}
    spreads = {name: ranges[name]._replace(spread=loose * ranges[name].spread) for name in free}
    return _minimise(errors, weight, parent, spreads)


def _each_client(groups: Sequence[Prepared], engines: Engines) -> Client:
    """The client of every row by its source, as arrays."""
    each = [engines.constants(g.engine, g.found.system.chip.name, g.source).client for g in groups]
    sizes = [len(group.rows) for group in groups]
    names = Client.__struct_fields__
    columns: dict[str, Any] = {name: np.repeat([getattr(client, name) for client in each], sizes) for name in names}
    return Client(**columns)


def _clients(groups: Sequence[Prepared], engines: Engines, pool: Constants, free: Sequence[str]) -> dict[str, Client]:
    """How clients drive engines: by benchmark (", benchmark"), engine in it ("engine, benchmark"), version of
    it, and generation of chips, for which benchmarks have scripts of their own.
    """
    out: dict[str, Client] = {}
    for benchmark in sorted({_benchmark(group) for group in groups}):
        everyone = [group for group in groups if _benchmark(group) == benchmark]
        parent = _fit_client(everyone, engines, pool, free)
        if parent is pool:
            continue
        out[f", {benchmark}"] = _client(parent)
        for engine in sorted({group.engine for group in everyone}):
            same = [group for group in everyone if group.engine == engine]
            own = _fit_client(same, engines, parent, free) if len(same) < len(everyone) else parent
            sources = {group.source for group in same}
            if len(sources) > 1:  # how prompts are sent belongs to a version's script: the next may do otherwise
                own = own | {"burst": parent["burst"]}
            out[f"{engine}, {benchmark}"] = _client(own)
            for source in sorted(sources):
                ran = [group for group in same if group.source == source]
                version = own if source == benchmark or len(sources) == 1 else _fit_client(ran, engines, own, free)
                if version is not own:
                    out[f"{engine}, {source}"] = _client(version)
                for alike in sorted({_generation(group) for group in ran} - {""}):
                    here = [group for group in ran if _generation(group) == alike]
                    chips = _fit_client(here, engines, version, free) if len(here) < len(ran) else version
                    if chips is not version:
                        out[f"{engine}, {source}, {alike}"] = _client(chips)
    return out


def _fit_client(groups: Sequence[Prepared], engines: Engines, parent: Constants, free: Sequence[str]) -> Constants:
    """Constants of clients that fit latencies of online rows best with steps as `engines` has them; `parent` if few."""
    columns: list[list[np.ndarray]] = []
    for group in groups:
        n = group.number
        kind = np.array([key[1] if key[0] == "online" else "" for key in group.keys])
        rows = (kind == "ttft_s") | (kind == "tpot_s")
        engine = engines.constants(group.engine, group.found.system.chip.name, where=_place(group))
        decode, prefill, alone = (each.total(engine) for each in (group.decode, group.prefill, group.alone))
        osl, weight = np.maximum(n["osl"], 1.0), WEIGHT / np.sqrt(max(rows.sum(), 1))
        values = (decode, prefill / group.prompts, alone, np.maximum(n["batch"], 1.0), group.capacity, osl, n["value"])
        known = [n[name] for name in ("alone", "full", *ONLINE)]
        values += (group.prompts, kind == "ttft_s", weight, *known)
        columns.append([np.broadcast_to(v, len(kind))[rows] for v in values])
    joined = [np.concatenate(each) for each in zip(*columns, strict=True)]
    decode, prefill, alone, batch, capacity, osl, value, prompts, first, weight, *apart = joined
    single, full, *known = apart
    given = dict(zip(ONLINE, known, strict=True))
    if first.sum() < LEAST:
        return parent

    def errors(constants: Constants) -> np.ndarray:
        served = online(
            decode=decode,
            prefill=prefill,
            alone=alone,
            concurrency=batch,
            capacity=capacity,
            osl=osl,
            client=_client(constants, digits=17),
            prompts=prompts,
            apart=(single, full),
            **given,
        )
        return np.log(np.where(first > 0, served.ttft, served.tpot) / value)

    return _minimise(errors, weight, parent, {name: RANGES[name] for name in free})


def _fit_pools(groups: Sequence[PreparedPools], engines: Engines) -> Constants:
    """Constants of the clients of separate pools, with an engine's steps on all chips; SEPARATE without pools."""
    if not groups:
        return SEPARATE
    keys = [[(key, j) for j, key in enumerate(group.keys)] for group in groups]
    values = [group.number["value"] for group in groups]
    steps = [engines.constants(group.engine) for group in groups]

    def errors(constants: Constants) -> np.ndarray:
        client, out = _client(constants, digits=17), []
        for group, picked, value, engine in zip(groups, keys, values, steps, strict=True):
            estimates = pool_metrics(group, msgspec.structs.replace(engine, client=client))
            out += [np.log(estimates[key][j] / value[j]) for key, j in picked if key in estimates]
        return np.array(out)

    weight = np.concatenate([np.full(len(group.rows), WEIGHT / np.sqrt(len(group.rows))) for group in groups])
    return _minimise(errors, weight, SEPARATE, {"frontend": CLIENTS["frontend"]})


def _minimise(
    errors: Callable[[Constants], np.ndarray], weight: np.ndarray, parent: Constants, free: Mapping[str, Range]
) -> Constants:
    """Constants inside their ranges for which weighted errors and the distance from the parent are least."""
    from scipy.optimize import least_squares

    names = list(free)
    low, _, high, spread = (np.array(column) for column in zip(*free.values(), strict=True))
    before = np.clip([parent[name] for name in names], low, high)

    def at(share: np.ndarray) -> Constants:
        return parent | {name: float(x) for name, x in zip(names, low + (high - low) * share, strict=True)}

    def residuals(share: np.ndarray) -> np.ndarray:
        miss = errors(at(share))
        miss = np.clip(miss, -LIMIT, LIMIT) * 0.9 + miss * 0.1
        soft = np.sign(miss) * np.sqrt(2 * SCALE * (np.sqrt(SCALE**2 + miss**2) - SCALE)) / SCALE
        return np.concatenate([np.sqrt(weight) * soft, (low + (high - low) * share - before) / spread])

    def fitted(burst: float) -> Any:
        start = np.where(np.array(names) == "burst", burst, before)
        inside = np.clip((start - low) / (high - low), 1e-6, 1.0 - 1e-6)
        return least_squares(residuals, inside, bounds=(0.0, 1.0), diff_step=1e-4, ftol=3e-5, xtol=1e-4, max_nfev=60)

    starts = (parent["burst"], *([TOGETHER] if "burst" in names else []))
    return at(min((fitted(burst) for burst in starts), key=lambda found: found.cost).x)


def _sample(groups: Sequence[Prepared]) -> tuple[Prepared, np.ndarray, np.ndarray]:
    """Groups as one, their measured values, and the rows' weights."""
    sizes = [len(group.rows) for group in groups]

    def join(values: Callable[[Prepared], object]) -> np.ndarray:
        return np.concatenate([np.broadcast_to(np.asarray(values(g)), n) for g, n in zip(groups, sizes, strict=True)])

    def terms(which: Callable[[Prepared], Terms]) -> Terms:
        first = which(groups[0])
        names = [name for name in Terms.__struct_fields__ if name not in ("provenance", "prefill", "mixed")]
        columns = {name: join(lambda g, n=name: getattr(which(g), n)) for name in names}
        return msgspec.structs.replace(first, **columns, provenance="")

    whole = Prepared(
        rows=[i for group in groups for i in group.rows],
        keys=[key for group in groups for key in group.keys],
        engine=groups[0].engine,
        source="",
        number={name: join(lambda g, n=name: g.number[n]) for name in groups[0].number},
        decode=terms(lambda g: g.decode),
        prefill=terms(lambda g: g.prefill),
        alone=terms(lambda g: g.alone),
        prompts=join(lambda g: g.prompts),
        decode_time=groups[0].decode_time,
        prefill_time=groups[0].prefill_time,
        capacity=join(lambda g: g.capacity),
        fits=join(lambda g: g.fits),
        found=groups[0].found,
    )
    return whole, whole.number["value"], np.concatenate([np.full(n, WEIGHT / np.sqrt(n)) for n in sizes])


def _constants(
    name: str,
    alike: str,
    theta: Constants,
    groups: Iterable[Prepared],
    measured: Iterable[Prepared],
    digits: int = 3,
    where: str = "",
) -> EngineConstants:
    """Constants of an engine, fitted to `groups`, which stands on measured steps on the chips of `measured`."""
    values: dict[str, Any] = {key: _digits(theta[key], digits) for key in (*UNMEASURED, *SCORES, *STEPS)}
    chips = tuple(sorted({group.found.system.chip.name for group in measured}))
    client = _client(theta, digits)
    return EngineConstants(
        engine=name, generation=alike, place=where, rows=_size(groups), chips=chips, client=client, **values
    )


def _theta(engine: EngineConstants) -> Constants:
    """The constants of an engine and its client by name."""
    steps = {name: getattr(engine, name) for name in (*UNMEASURED, *SCORES, *STEPS)}
    return steps | {name: getattr(engine.client, name) for name in Client.__struct_fields__}


def _client(theta: Constants, digits: int = 3) -> Client:
    return Client(**{name: _digits(theta[name], digits) for name in Client.__struct_fields__})


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}") if value > 5e-8 else 0.0
