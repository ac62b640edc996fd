"""One replica served to its end: requests and a step law in, times of every request out.

Requests that can never fit are refused before anything runs, as an engine would refuse them: more tokens than the
cache holds. Knows no chip; see `engine.py` for what happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.roofline import TERMS
from ridgeline.simulate import abreast, engine, pool, retraction, seatwise, sglang
from ridgeline.simulate.compiled import assembled, compiled, worthwhile
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.hashes import named
from ridgeline.simulate.hierarchy import tiered, uses
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.prefixes import cache_of, tree_of, watched
from ridgeline.simulate.run import Run, Series
from ridgeline.simulate.settings import Engine, check_law
from ridgeline.simulate.ticks import FAR
from ridgeline.workload import Requests

ROWS = 4
"""Rows of gaps for each request at first; more are made when they are full."""
NO_LIMIT = 1 << 30
"""Blocks of a cache without limit."""
PORTIONS = 100
"""Parts of a long run after which its progress is told."""


NO_HASHES: dict[str, Any] = {"hash_offsets": None, "hash_ids": None, "hash_block": 0}


class Replica:
    """A replica's arrays, and the loop that hands them to the compiled engine."""

    def __init__(
        self,
        requests: Requests,
        law: StepLaw,
        settings: Engine,
        *,
        series: bool = False,
        fewest: int = 0,
        again: bool = False,
        replicas: int = 1,
        routed: bool = False,
    ) -> None:
        """`fewest`: blocks that a request must fit into, of a fleet whose replicas differ; it has checked its laws.

        `again`: requests may come to several replicas of a fleet. `routed`: of one whose router asks what each of
        its `replicas` remembers.
        """
        self.requests, self.law, self.settings = requests, law, settings
        if not fewest:
            check_law(law, settings)
        n, most = len(requests), settings.max_num_seqs
        blocks = settings.blocks or NO_LIMIT
        trees = settings.scheduler == "sglang"
        rows = sglang if trees else seatwise if settings.seatwise else engine
        columns = requests.arrival, requests.prompt, requests.output
        self.jobs, kept = queued(columns, law, settings, fewest or blocks, rows.JOB_ROWS)
        self.refused = np.delete(np.arange(n), kept)
        self.seats = np.full((rows.SEAT_ROWS, most), -1)
        self.seats[engine.EMPTY] = np.arange(most)[::-1]
        self.calendar = calendar(requests.output[kept])
        self.room = ROWS * n + 2 * most + 64
        self.gaps, self.counts = np.empty((2, self.room), np.int64), np.empty((2, self.room), np.int32)
        self.samples = np.empty((self.room if series else 2, 4), np.int64)
        kinds = self._kinds() if settings.seatwise else np.zeros(0, np.int64)
        self.board = b = np.zeros(engine.FILLED + max(settings.block_size, len(kinds) + settings.drafts), np.int64)
        if settings.seatwise:
            b[engine.KINDS], b[engine.DRAFTS], b[engine.LOOKAHEAD] = len(kinds), settings.drafts, settings.held_ahead
            places = seatwise.TABLES + np.array([0, len(kinds), len(kinds) + settings.drafts])
            b[places[0] : places[1]], b[places[1] : places[2]] = -1, settings.thresholds()
        b[engine.HEAD], b[engine.TAIL] = (kept[0], kept[-1]) if len(kept) else (-1, -1)
        b[[engine.OLDEST, engine.NEWEST, engine.PARTIAL, engine.SEEN, engine.SENDING]] = -1
        first = settings.first_ratio
        b[engine.RATIO] = b[engine.FIRST_RATIO] = round(first * retraction.ONE)
        b[engine.LEAST_RATIO] = round(0.14 * first * retraction.ONE)
        b[engine.DECAY] = round(0.86 / 600 * first * retraction.ONE)
        b[engine.RETRACT], b[engine.PREFILL] = settings.retract_decode_steps, settings.max_prefill_tokens
        b[engine.BLOCKS] = blocks
        b[engine.OPEN] = most
        b[pool.BLOCK], b[engine.TOKENS], b[engine.SEATS] = settings.block_size, settings.max_num_batched_tokens, most
        b[engine.RESERVE], b[engine.ASYNC] = settings.reserve_full_input, settings.async_scheduling
        b[engine.SAMPLE], b[engine.STATIC] = series, settings.static_batching
        ids = 0 if requests.hash_ids is None else len(requests.hash_ids)
        self.quick = worthwhile(n + ids)
        given = requests if settings.prefix_caching else msgspec.structs.replace(requests, **NO_HASHES)
        own = named(given, settings.block_size, self.quick)
        b[engine.PARTS] = 1
        if trees:
            b[engine.LPM], b[engine.MIXES] = settings.policy == "lpm", settings.mixed_chunk
            chunk = settings.max_num_batched_tokens
            b[engine.PARTS] = own.parts
            self.cache = tree_of(given, own, settings.block_size, blocks, 1 if settings.mixed_chunk else chunk)
        else:
            own = own.cut()
            self.cache = cache_of(own, blocks, again=again or bool(settings.tiers), replicas=replicas)
        if routed and own.known:
            self.cache = watched(self.cache, own, replicas)
        if settings.tiers:
            self.cache = tiered(self.cache, settings.tiers, settings.path, settings.fetch, law.tick, n)
        self.chained = bool(requests.concurrency or requests.after is not None)
        simple = not (self.chained or len(self.cache.ids))
        self.modules = settings.modules(simple)
        assembled(*self.modules).give_run(self.cache, b, blocks)
        self.shared = np.zeros(engine.SHARED, np.int64)
        self.links, self.heap = np.zeros((4, 0), np.int64), np.zeros(0, np.int64)
        if self.chained:
            self._link(kept)

    def _kinds(self) -> np.ndarray:
        """Rows that only seats one by one need; the priorities that there are."""
        requests, settings, n = self.requests, self.settings, len(self.requests)
        rng = np.random.Generator(np.random.SFC64(settings.draft_seed))
        self.jobs[seatwise.DRAW] = rng.integers(1, seatwise.MODULUS, n) if settings.drafts else 0
        self.jobs[seatwise.KIND] = 0
        if settings.policy == "fcfs":
            return np.zeros(0, np.int64)
        if requests.priority is None:
            raise InputError("policy priority", "requests with priorities", "such as tenants with priorities")
        kinds, self.jobs[seatwise.KIND] = np.unique(requests.priority, return_inverse=True)
        return kinds

    def _link(self, kept: np.ndarray) -> None:
        """Let requests arrive when others end: nobody is queued, and those that come first lie in the heap."""
        n, requests, b = len(self.requests), self.requests, self.board
        self.links, self.heap = np.full((4, n), -1), np.zeros(n, np.int64)
        parent = np.full(n, -1) if requests.after is None else requests.after.copy()
        parent[self.refused] = -2
        child, sibling, think, _ = self.links
        self.links[engine.PARENT] = parent
        followers = np.argsort(parent, kind="stable")[np.count_nonzero(parent < 0) :]
        of = parent[followers]
        first = np.diff(of, prepend=-1) != 0
        child[of[first]] = followers[first]
        sibling[followers[:-1]] = np.where(first[1:], -1, followers[1:])
        think[:] = 0 if requests.think is None else np.rint(requests.think / self.law.tick)
        roots = kept[parent[kept] == -1]
        b[engine.HEAD] = b[engine.TAIL] = -1
        if requests.concurrency:
            roots = roots[: requests.concurrency]
            self.jobs[engine.ARRIVAL] = 0
            b[engine.CLOSED], self.shared[engine.LATER] = 1, roots[-1] + 1 if len(roots) else n
        self.heap[: len(roots)] = roots[np.lexsort((roots, self.jobs[engine.ARRIVAL, roots]))]  # sorted: a heap
        self.shared[engine.COMING] = len(roots)

    def advance(self, until: int = FAR, *, skip: bool = True, quick: bool | None = None) -> bool:
        """Make all steps planned before `until` ticks, in compiled code or plain Python: as suits their number.

        Whether anything is left to do.
        """
        arrays = (self.jobs, self.seats[None], self.calendar[None], self.links, self.heap)
        own = self.cache
        memory = (own, own.held[None], own.nodes[:, None], own.table[None], self.shared, self.board[None])
        alone = np.zeros((abreast.FLEET_ROWS, 1), np.int64)
        while True:
            made = (compiled if (self.quick if quick is None else quick) else assembled)(*self.modules)
            rows = (self.gaps, self.counts, self.samples)
            mine = abreast.Replicas(*arrays, *rows, *memory, alone)
            if made.go(self.law.tables, mine, abreast.PLANS, 0, 1, until, skip) != engine.FULL:
                return bool(alone[abreast.PLANS, 0] < FAR)
            alone[:] = 0
            self.widen()

    def portions(self) -> Iterator[float]:
        """Advance by portions: the share behind, of the arrivals or, where ends start others, of the requests."""
        requests, tick = self.requests, self.law.tick
        if not self.chained:
            last = int(requests.arrival[-1] / tick)
            for portion in range(1, PORTIONS):
                self.advance(last * portion // PORTIONS)
                yield portion / PORTIONS
            return
        total, second, share = len(requests) - len(self.refused), int(1.0 / tick), 0.0
        until = second
        while self.advance(until) and until < FAR:
            done = int(self.board[engine.ENDS])
            until = min(until + max(until * total // (PORTIONS * max(done, 1)), second), FAR)
            if done / total >= share + 1 / PORTIONS:
                share = done / total
                yield share

    def widen(self) -> None:
        """Make room for more gaps and samples, of which there are so many that compiled code is worth its time."""
        self.quick = True
        self.room *= 2
        self.gaps, self.counts = _wider(self.gaps, self.room), _wider(self.counts, self.room)
        if self.board[engine.SAMPLE]:
            self.samples = np.ascontiguousarray(_wider(self.samples.T, self.room).T)

    def result(self) -> Run:
        """What was simulated; its times take the place of the ticks, so that it can be asked only once."""
        series = self._series() if self.board[engine.SAMPLE] else None
        times = seconds(self.jobs, self.law.tick)
        cached = self.cache.hits if len(self.cache.hits) else np.zeros(len(self.requests), np.int64)
        gaps = gaps_of(self.gaps, self.counts, 0, int(self.shared[engine.GAPS]), self.law.tick)
        found = run_of(times, self.jobs[engine.PREEMPTIONS], cached, gaps, self.board, self.settings)
        tiers = uses(self.cache, self.settings.tiers) if self.settings.tiers else ()
        return msgspec.structs.replace(found, series=series, tiers=tiers)

    def sofar(self) -> Run:
        """What has been simulated until now, with what is still under way as not served; the run can go on."""
        jobs, open_now = self.jobs.copy(), under_way(self.jobs, self.seats, self.board)
        found = self.result()
        self.jobs = jobs
        found.finish[open_now] = np.nan
        return found

    def _series(self) -> Series:
        """The samples; who waits has arrived and not started, or was preempted."""
        time, running, thrown, blocks = self.samples[: self.board[engine.SAMPLES]].T
        kept = self.jobs[engine.START] >= 0
        arrived = np.searchsorted(np.sort(self.jobs[engine.ARRIVAL][kept]), time, side="right")
        started = np.searchsorted(np.sort(self.jobs[engine.START][kept]), time, side="left")
        return Series(time=time * self.law.tick, running=running, waiting=arrived - started + thrown, blocks=blocks)


def under_way(jobs: np.ndarray, seats: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Requests of a replica that may have got tokens and have not ended: in the batch, or thrown out and waiting."""
    taken = np.delete(np.arange(b[engine.SEATS]), seats[engine.EMPTY, : b[engine.OPEN]])
    waiting: list[int] = []
    job = int(b[engine.HEAD])
    while len(waiting) < b[engine.QUEUED] and job >= 0:
        if jobs[engine.PREEMPTIONS, job]:
            waiting.append(job)
        job = int(jobs[engine.BEHIND, job])
    return np.concatenate([seats[engine.JOB, taken], np.array(waiting, np.int64)])


def _wider(rows: np.ndarray, room: int) -> np.ndarray:
    """The same rows with room for more columns, which are not touched."""
    made = np.empty((len(rows), room), rows.dtype)
    made[:, : rows.shape[1]] = rows
    return made


def queued(
    columns: tuple[np.ndarray, ...], law: StepLaw, settings: Engine, blocks: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Requests that wait, each behind the one before it, and which those are: of at most as many `blocks`.

    `columns`: arrival in seconds, prompt and answer in tokens.

    Raises
    ------
    InputError
        For an arrival that ticks cannot count.
    """
    arrival, prompt, output = columns
    n, ticks = len(arrival), np.rint(arrival / law.tick)
    if (latest := ticks.max()) >= FAR / 4:
        raise InputError(f"an arrival at {latest * law.tick:g} s", f"at most {FAR / 4 * law.tick:g} s")
    tokens = prompt + output - 1 + settings.beyond
    if settings.scheduler == "sglang":  # it admits only what leaves a page and a token more
        tokens = tokens + 2 + settings.block_size
    kept = np.flatnonzero(-(-tokens // settings.block_size) <= blocks)
    jobs = np.empty((rows, n), np.int64)  # not zeros: those get no huge pages
    jobs[engine.ARRIVAL], jobs[engine.PROMPT], jobs[engine.OUTPUT], jobs[engine.BEHIND] = ticks, prompt, output, -1
    jobs[engine.BEHIND, kept[:-1]] = kept[1:]
    jobs[engine.START : engine.FINISH + 1] = -1
    jobs[engine.GIVEN :] = 0
    return jobs, kept


def calendar(output: np.ndarray) -> np.ndarray:
    """An empty calendar for answers of so many tokens."""
    return np.full(1 << (int(output.max(initial=1)) + 1).bit_length(), -1)


def gaps_of(gaps: np.ndarray, counts: np.ndarray, begin: int, end: int, tick: float) -> Gaps:
    """Some rows of gaps."""
    (first, rise), (steps, weight) = gaps[:, begin:end], counts[:, begin:end]
    return Gaps(first=first, rise=rise, steps=steps, weight=weight, tick=tick)


def run_of(
    times: list[np.ndarray], preemptions: np.ndarray, cached: np.ndarray, gaps: Gaps, b: np.ndarray, settings: Engine
) -> Run:
    """What was simulated, of `seconds` and the scalars of a replica."""
    arrival, start, first, finish = times
    return Run(
        arrival=arrival,
        start=start,
        first_token=first,
        finish=finish,
        preemptions=preemptions,
        cached=cached,
        gaps=gaps,
        busy=dict(zip(TERMS, (b[engine.BUSY : engine.RATIO] * gaps.tick).tolist(), strict=True)),
        steps=int(b[engine.STEPS]),
        end=float(b[engine.LAST]) * gaps.tick,
        blocks=settings.blocks,
        peak_blocks=int(b[engine.PEAK]),
    )


def seconds(jobs: np.ndarray, tick: float) -> list[np.ndarray]:
    """When requests arrived, started, got their first and their last token, in the memory of the ticks; NaN: never."""
    found: list[np.ndarray] = []
    for row in (engine.ARRIVAL, engine.START, engine.FIRST, engine.FINISH):
        ticks, times = jobs[row], jobs[row].view(np.float64)
        none = ticks < 0
        np.multiply(ticks, tick, out=times)
        times[none] = np.nan
        found.append(times)
    return found


def serve(requests: Requests, law: StepLaw, settings: Engine, *, series: bool = False) -> Run:
    """Simulate one replica until every request is served or refused."""
    replica = Replica(requests, law, settings, series=series)
    replica.advance()
    return replica.result()
