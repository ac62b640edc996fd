"""Several replicas behind a router, served to the end: `routing.py` says how they are kept in step.

All replicas are equal, or of two pools: those of the first compute prompts and send their caches over a link each to
those of the second, which decode. Replicas may fail, and be as many as the load needs (`upkeep.py`). Memory: the arrays
of one replica for each, and what all requests share once. Knows no chip.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.simulate import abreast, engine, pool, routers, routing, upkeep
from ridgeline.simulate.compiled import assembled, compiled
from ridgeline.simulate.hierarchy import tiered
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import NO_LIMIT, PORTIONS, Replica, under_way
from ridgeline.simulate.run import Operation, Run
from ridgeline.simulate.settings import Engine, check_law
from ridgeline.simulate.ticks import FAR
from ridgeline.workload import Requests

ROUTERS = {
    "round-robin": routers.ROUND_ROBIN,
    "least-loaded": routers.LEAST_LOADED,
    "sticky": routers.STICKY,
    "prefix": routers.PREFIX,
}
MOST = 100_000
"""Replicas beyond which a number is a slip."""
DRAWN = 64
"""Failures of a replica that are drawn at once."""


class PrefillPool(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Replicas that compute prompts, and the link over which each sends their caches."""

    replicas: int
    law: StepLaw
    engine: Engine
    seconds: np.ndarray
    """float64[n]: how long each request's prompt takes on the link of its replica."""
    delay: float = 0.0
    """Seconds that a message takes beyond that."""


class Upkeep(msgspec.Struct, frozen=True, kw_only=True):
    """How replicas fail and how many are on; times in seconds.

    Raises
    ------
    InputError
        For a time or a count below its least.
    """

    between_failures: float = 0.0
    """Mean time of a replica from its repair to its next failure, which is exponential; 0: none fails."""
    repair: float = 300.0
    """From a failure until the replica is up again."""
    retry: float = 0.0
    """From a failure until the replica's requests arrive anew."""
    seed: int = 0
    fewest: int = 0
    """Replicas that are on at least; 0: all are, always."""
    target: int = 0
    """Open requests per replica that are aimed at."""
    every: float = 15.0
    """Between two looks at the load."""
    start: float = 120.0
    """Until a replica that is started is up: a machine, the weights, the graphs."""
    keep: float = 300.0
    """For which fewer replicas must be enough before any is drained."""

    def __post_init__(self) -> None:
        for name in ("between_failures", "repair", "retry", "fewest", "target", "every", "start", "keep"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError(f"{name.replace('_', ' ')} {getattr(self, name)}", "0 or more")
        if self.fewest and not (self.target and self.every):
            raise InputError("replicas that follow the load", "open requests per replica, and a time between looks")

    @property
    def fixed(self) -> bool:
        """Whether all replicas are always up."""
        return not (self.between_failures or self.fewest)


ALWAYS_UP = Upkeep()


class Fleet:
    """Arrays of all replicas; `refused` are the requests that fit into none."""

    def __init__(
        self,
        requests: Requests,
        law: StepLaw,
        settings: Engine,
        replicas: int,
        router: str,
        *,
        prefill: PrefillPool | None = None,
        keeping: Upkeep = ALWAYS_UP,
    ) -> None:
        first = prefill.replicas if prefill else 0
        _check(requests, law, settings, replicas, router, prefill, keeping)
        if settings.tiers and prefill:
            raise InputError("KV tiers with prefill apart", "replicas that do both", "--replicas")
        if settings.seatwise and (prefill or not keeping.fixed):
            expected = "equal replicas that are always up"
            raise InputError("priorities or drafts with prefill apart, failures or autoscaling", expected)
        tick = min(law.tick, prefill.law.tick) if prefill else law.tick
        self.router, self.law, self.settings, self.keeping = ROUTERS[router], law.in_ticks(tick), settings, keeping
        self.first_law = prefill.law.in_ticks(tick) if prefill else self.law
        self.modules = (*settings.modules(), upkeep, routers, routing)
        total = replicas + first
        largest, fewest = _largest(settings, prefill.engine) if prefill else (settings, 0)
        self.moved = prefill is not None or not keeping.fixed
        asked = router == "prefix"
        self.base = base = Replica(
            requests, self.law, largest, fewest=fewest, again=self.moved, replicas=total, routed=asked
        )
        self.refused = base.refused
        base.board[[engine.HEAD, engine.TAIL]] = -1
        base.board[engine.ROUTED] = 1
        base.board[engine.TAKES] = first > 0
        self.boards, self.seats, self.calendars = (_copies(a, total) for a in (base.board, base.seats, base.calendar))
        self.boards[:, pool.NUMBER] = np.arange(total)
        cache = base.cache
        self.nodes = np.zeros((len(cache.nodes), total, cache.nodes.shape[1]), np.int32)
        self.tables = np.zeros((total, len(cache.table)), np.int32)
        self.nodes[:2] = cache.nodes[:2, None]  # the run of all blocks; the rest is memory that was never touched
        self.held = _copies(cache.held, 2) if first else cache.held[None]
        if settings.tiers:
            given = settings.tiers, settings.path, settings.fetch, self.law.tick, len(requests)
            base.cache = tiered(base.cache, *given, total)
        n, kept = len(requests), np.delete(np.arange(len(requests)), base.refused)
        self.kept = np.zeros(0, np.int64) if base.chained else kept
        if self.moved:
            moved = np.full((engine.MOVED_ROWS - engine.JOB_ROWS, n), -1)
            moved[engine.LOADED - engine.JOB_ROWS] = 0
            if prefill:
                moved[engine.SEND - engine.JOB_ROWS] = np.rint(prefill.seconds / tick)
            base.jobs = np.concatenate([base.jobs, moved])
            base.heap = base.heap if base.chained else np.zeros(n, np.int64)
        self.session = np.zeros(n, np.int64)
        if requests.session is not None:
            _, self.session = np.unique(requests.session, return_inverse=True)
        self.home = np.full(int(self.session.max()) + 1, -1)
        self.replica = np.full(n, -1, np.int32)
        self.fleet = np.zeros((abreast.FLEET_ROWS, total), np.int64)
        self.fleet[[abreast.DUE, abreast.READY]] = FAR
        self.fleet[abreast.LEAST_STEP] = _shortest(self.law)
        steps = 1 + -(-(requests.output.min() - 1) // (1 + settings.drafts))
        self.fleet[abreast.LEAST_OUTPUT] = max(steps - (first > 0), 1)
        self.fleet[abreast.LEAST_STEP, :first] = _shortest(self.first_law)
        self.fleet[abreast.LEAST_OUTPUT, :first] = 1
        if prefill:
            self._divide(settings, prefill)
        self.policy = self._policy(first)
        self.failures = np.zeros((3, 0), np.int64)
        self.until = np.zeros(total)
        self.rng = [np.random.default_rng([keeping.seed, r]) for r in range(total if keeping.between_failures else 0)]

    def _divide(self, settings: Engine, prefill: PrefillPool) -> None:
        """Give the replicas of both pools their limits."""
        b, n = self.boards, prefill.replicas
        for which, mine in ((slice(n), prefill.engine), (slice(n, None), settings)):
            b[which, engine.TOKENS], b[which, engine.SEATS] = mine.max_num_batched_tokens, mine.max_num_seqs
            b[which, engine.BLOCKS], b[which, engine.ASYNC] = mine.blocks or NO_LIMIT, mine.async_scheduling
            b[which, engine.RESERVE] = mine.reserve_full_input
        b[:n, engine.SENDS], b[:n, engine.TAKES] = 1, 0
        b[:n, engine.DELAY] = round(prefill.delay / self.law.tick)
        for r in range(len(b)):
            assembled(*self.modules).clear(self.seats[r], abreast.memory_of(self._side(), r), b[r])

    def _policy(self, first: int) -> np.ndarray:
        """What `upkeep.py` reads."""
        u, tick = self.keeping, self.law.tick
        made = np.zeros(upkeep.POLICY, np.int64)
        made[upkeep.PREFILLS], made[upkeep.MOVED] = first, self.moved
        made[upkeep.TOGETHER] = any(tier.shared for tier in self.settings.tiers)
        made[upkeep.RETRY] = round(u.retry / tick)
        if u.fewest:
            made[upkeep.FEWEST], made[upkeep.TARGET] = u.fewest, u.target
            for place, seconds in ((upkeep.EVERY, u.every), (upkeep.START, u.start), (upkeep.KEEP, u.keep)):
                made[place] = round(seconds / tick)
            arrival = self.base.jobs[engine.ARRIVAL]
            made[upkeep.LOOK] = made[upkeep.ENOUGH] = arrival[0]
            self.fleet[abreast.STATE, u.fewest :] = upkeep.OFF
            self.fleet[abreast.SINCE_ON] = arrival[0]
        return made

    def _side(self) -> abreast.Replicas:
        """All arrays, as compiled code takes them."""
        base = self.base
        return abreast.Replicas(
            base.jobs, self.seats, self.calendars, base.links, base.heap, base.gaps, base.counts, base.samples,
            base.cache, self.held, self.nodes, self.tables, base.shared, self.boards, self.fleet,
        )  # fmt: skip

    def serve(self, told: Callable[[float], None] | None = None) -> None:
        """Serve all requests; `told` is told the share that was dealt out, from time to time."""
        base = self.base
        total = (len(base.requests) - len(self.refused)) * (2 if self.policy[upkeep.PREFILLS] else 1)
        portion = -(-total // PORTIONS)
        self.policy[upkeep.STOP] = portion if told else 0
        while True:
            made = (compiled if base.quick else assembled)(*self.modules)
            code = made.route(
                self.law.tables,
                self.first_law.tables,
                self._side(),
                self.policy,
                self.failures,
                self.kept,
                self.session,
                self.home,
                np.zeros(len(self.boards), np.int64),
                self.replica,
                self.router,
                self.keeping.between_failures > 0,
                True,
            )
            if code == engine.FULL:
                base.widen()
            elif code == upkeep.SHORT:
                self._draw()
            elif code == engine.PAUSED:
                self.policy[upkeep.STOP] += portion
                if told and base.shared[engine.DEALT] < total:
                    told(float(base.shared[engine.DEALT]) / total)
            else:
                break
        if self.settings.tiers:
            self._settle()

    def _settle(self) -> None:
        """Let replicas make the last plan, which gives back what ended, so that tiers have all that is written."""
        made = assembled(*self.modules)
        for r in np.argsort(self.fleet[abreast.PLANS], kind="stable").tolist():
            while made.go(self.law.tables, self._side(), abreast.PLANS, r, r + 1, FAR, True) == engine.FULL:
                self.base.widen()

    def _draw(self) -> None:
        """More failures: each replica's are a renewal process; all are known up to the earliest of the last drawn."""
        u, tick = self.keeping, self.law.tick
        drawn = [rng.exponential(u.between_failures, DRAWN) for rng in self.rng]
        times = [at + np.cumsum(gaps) + u.repair * np.arange(DRAWN) for at, gaps in zip(self.until, drawn, strict=True)]
        self.until = np.array([each[-1] + u.repair for each in times])
        new = np.concatenate(times), np.repeat(np.arange(len(times)), DRAWN)
        waiting = self.failures[:, self.policy[upkeep.FAILURE] :]
        rows = np.array([np.rint(new[0] / tick).astype(np.int64), new[1], np.full(len(new[0]), round(u.repair / tick))])
        rows = np.concatenate([waiting, rows], axis=1)
        self.failures = np.ascontiguousarray(rows[:, np.lexsort((rows[1], rows[0]))])
        self.policy[upkeep.FAILURE] = 0

    def sofar(self) -> Run:
        """What has been simulated until now, with what is still under way as not served; the run can go on."""
        base = self.base
        open_now = [base.heap[: base.shared[engine.COMING]]]
        open_now += [under_way(base.jobs, s, b) for s, b in zip(self.seats, self.boards, strict=True)]
        jobs = base.jobs.copy()
        found = self.result()
        base.jobs = jobs
        found.finish[np.concatenate(open_now)] = np.nan
        return found

    def result(self) -> Run:
        """What was simulated; can be asked once."""
        base, b, tick = self.base, self.base.board, self.law.tick
        for total in (engine.STEPS, *range(engine.BUSY, engine.RATIO)):
            b[total] = self.boards[:, total].sum()
        for most in (engine.LAST, engine.PEAK):
            b[most] = self.boards[:, most].max()
        arrival = base.jobs[engine.ARRIVAL]
        if self.moved:
            came = base.jobs[engine.CAME]
            arrival[:] = np.where(came >= 0, came, arrival)
        begin, end = int(arrival.min()), int(b[engine.LAST])
        on = self.fleet[abreast.STATE] != upkeep.OFF
        since = np.where(self.keeping.fewest, self.fleet[abreast.SINCE_ON], begin)
        paid = self.fleet[abreast.PAID] + np.where(on, np.maximum(end - since, 0), 0)
        done = Operation(
            paid=float(paid.sum()) * tick,
            failures=int(self.policy[upkeep.FAILURES]),
            retried=int(self.policy[upkeep.RETRIED]),
        )
        return msgspec.structs.replace(base.result(), replica=self.replica, operation=done)


def _check(
    requests: Requests,
    law: StepLaw,
    settings: Engine,
    replicas: int,
    router: str,
    prefill: PrefillPool | None,
    keeping: Upkeep,
) -> None:
    """Refuse fleets that are none."""
    check_law(law, settings)
    for name, count in (("--replicas", replicas), ("--prefill-replicas", prefill.replicas if prefill else 1)):
        if not 1 <= count <= MOST:
            raise InputError(f"{name} {count}", f"1 to {MOST:,}")
    if router not in ROUTERS:
        raise UnknownNameError("router", router, ROUTERS)
    if router == "sticky" and requests.session is None:
        raise InputError("--router sticky", "requests with sessions", "such as --turns 4")
    if keeping.fewest > replicas:
        raise InputError(f"at least {keeping.fewest} replicas", f"at most all {replicas}")
    if prefill and keeping.fewest:
        raise InputError("two pools that follow the load", "one pool, or a fixed number of replicas in each")
    if not (prefill or keeping.between_failures):
        return
    if prefill:
        check_law(prefill.law, prefill.engine)
    for mine in (settings, prefill.engine if prefill else settings):
        what = "two pools" if prefill else "replicas that fail"
        if mine.scheduler != "vllm" or mine.static_batching:
            raise InputError(f"{what} with {mine.scheduler}'s scheduler", "that of vllm", "--scheduler vllm")
        if mine.block_size != settings.block_size:
            raise InputError(f"blocks of {settings.block_size} and {mine.block_size} tokens", "the same in both pools")


def _largest(one: Engine, other: Engine) -> tuple[Engine, int]:
    """Limits that neither exceeds, and the fewer blocks, into which each request must fit."""
    largest = msgspec.structs.replace(
        one,
        max_num_batched_tokens=max(one.max_num_batched_tokens, other.max_num_batched_tokens),
        max_num_seqs=max(one.max_num_seqs, other.max_num_seqs),
        blocks=max(one.blocks, other.blocks) if one.blocks and other.blocks else 0,
    )
    return largest, min(one.blocks or NO_LIMIT, other.blocks or NO_LIMIT)


def _shortest(law: StepLaw) -> int:
    """Ticks of the shortest step."""
    alone = law.tables.tokens[0, 1] + law.tables.sequences[1]
    return int(max(min(alone, law.tables.pieces[1:, 0, 1].min()), 1))


def _copies(array: np.ndarray, replicas: int) -> np.ndarray:
    return np.repeat(array[None], replicas, axis=0)


def serve_fleet(
    requests: Requests,
    law: StepLaw,
    settings: Engine,
    replicas: int,
    router: str,
    *,
    prefill: PrefillPool | None = None,
    keeping: Upkeep = ALWAYS_UP,
) -> Run:
    """Simulate a fleet until every request is served or refused.

    Raises
    ------
    InputError
        For a number of replicas or a router that is none, a sticky router without sessions, and pools or failures with
        a scheduler that does not know them.
    """
    made = Fleet(requests, law, settings, replicas, router, prefill=prefill, keeping=keeping)
    made.serve()
    return made.result()
