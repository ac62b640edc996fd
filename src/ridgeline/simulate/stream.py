"""Replicas that get their requests in turn, served while they are drawn: memory for live requests only, on all cores.

Nothing that a replica does reaches another when requests are dealt out in turn, so that replicas are simulated apart
from each other, each by one of several processes. All processes draw the same requests, in pieces, and keep those of
their replicas; a request is counted when it ends (`tally.py`) and forgotten. The requests are those of the workload
drawn at once, to a tick. Knows no session, no prefix and no trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.roofline import TERMS
from ridgeline.simulate import abreast, engine, tally
from ridgeline.simulate.compiled import compiled
from ridgeline.simulate.deployment import Deployment
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.metrics import Metrics
from ridgeline.simulate.replica import NO_LIMIT, Replica
from ridgeline.simulate.run import Run
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.simulation import Simulation
from ridgeline.simulate.spread import SHARES, Spread
from ridgeline.simulate.ticks import FAR
from ridgeline.workload import Requests, Workload

PIECE = 128
"""Requests of a replica that are drawn at once."""
ROWS = 1 << 14
"""Rows of gaps after which they are counted."""
LEAST = 1 << 16
"""Requests drawn at once, if there are few replicas."""
RENEWALS = ("poisson", "gamma", "fixed")
"""Arrivals that can be drawn in pieces."""


class Streamed(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of a stream."""

    metrics: Metrics
    steps: int
    peak_blocks: int
    refused: int
    overloaded: bool
    cpu: float
    """CPU seconds of all processes."""

    def simulation(self, deployment: Deployment, sample: Requests, replicas: int) -> Simulation:
        """The same as other simulations are given, with no request in it but a sample."""
        none = np.zeros(0, np.int64)
        run = Run(
            arrival=np.array([0.0]), start=none, first_token=none, finish=none, preemptions=none, cached=none,
            gaps=Gaps(first=none, rise=none, steps=none, weight=none, tick=deployment.law.tick), busy={},
            steps=self.steps, end=self.metrics.duration, blocks=deployment.engine.blocks, peak_blocks=self.peak_blocks,
        )  # fmt: skip
        return Simulation(
            deployment=deployment, requests=sample, run=run, metrics=self.metrics, refused=none,
            overloaded=self.overloaded, cpu=self.cpu, replicas=replicas,
        )  # fmt: skip


class Share(msgspec.Struct, kw_only=True):
    """What one process found; sums of two are the sums of their parts."""

    moments: np.ndarray
    bins: np.ndarray
    totals: np.ndarray
    busy: np.ndarray
    steps: int
    peak: int
    first: float
    last: float
    late: int
    """Requests that waited for their start when the last one arrived."""
    cpu: float

    def add(self, other: Share) -> None:
        """Join another's."""
        columns = [tally.COUNT, tally.SUM, tally.SQUARES]
        self.moments[:, columns] += other.moments[:, columns]
        self.moments[:, tally.LEAST] = np.minimum(self.moments[:, tally.LEAST], other.moments[:, tally.LEAST])
        self.moments[:, tally.MOST] = np.maximum(self.moments[:, tally.MOST], other.moments[:, tally.MOST])
        self.bins += other.bins
        self.totals += other.totals
        self.busy += other.busy
        self.steps += other.steps
        self.peak, self.last = max(self.peak, other.peak), max(self.last, other.last)
        self.late += other.late
        self.cpu += other.cpu


def stream(
    deployment: Deployment,
    workload: Workload,
    seed: int,
    replicas: int,
    *,
    workers: int = 1,
    objectives: Mapping[str, float] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Streamed:
    """Serve a workload on replicas that get its requests in turn.

    Raises
    ------
    InputError
        For a workload whose requests depend on each other, and a number of replicas or workers that is none.
    """
    _check(deployment.engine, workload, replicas, workers)
    limits = np.array([(objectives or {}).get(name, np.inf) for name in ("ttft", "tpot", "e2e")])
    parts = [(deployment.law, deployment.engine, workload, seed, replicas, k, workers, limits) for k in range(workers)]
    if workers == 1:
        whole = _share(*parts[0], progress)
    else:
        _share(deployment.law, deployment.engine, msgspec.structs.replace(workload, requests=1), seed, 1, 0, 1, limits)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            waiting = [pool.submit(_share, *part) for part in parts]
            shares = []
            for done in as_completed(waiting):
                shares.append(done.result())
                if progress is not None:
                    progress(len(shares) / workers)
        whole = shares[0]
        for other in shares[1:]:
            whole.add(other)
    return _streamed(whole, deployment, workload, replicas)


def _check(settings: Engine, workload: Workload, replicas: int, workers: int) -> None:
    """Refuse what cannot be streamed."""
    for name, count in (("--replicas", replicas), ("--workers", workers)):
        if not 1 <= count <= 100_000:
            raise InputError(f"{name} {count}", "1 to 100,000")
    turns = workload.turns
    for wrong, given in (
        (workload.concurrency > 0, "a closed loop"),
        (not (turns.kind == "fixed" and turns.mean == 1), "sessions of several turns"),
        (workload.prefix > 0, "shared prefixes"),
        (workload.arrivals.kind not in RENEWALS, f"{workload.arrivals.kind} arrivals"),
        (settings.scheduler != "vllm", f"{settings.scheduler}'s scheduler"),
        (bool(settings.tiers), "KV tiers, in which nobody finds anything"),
        (settings.seatwise, "priorities or drafts"),
    ):
        if wrong:
            raise InputError(
                f"--stream with {given}", "independent requests for vLLM's scheduler", "leave out --stream"
            )


def pieces(workload: Workload, seed: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Times, prompts and answers of successive requests, `size` at a time: those of `Workload.draw`, to rounding."""
    rng = workload.streams(seed)
    last, left = 0.0, workload.requests
    first = True
    while left:
        count = min(size, left)
        times = workload.arrivals.draw(rng["arrivals"], count, workload.rate) + last
        if workload.arrivals.kind == "fixed" and not first:
            times += 1.0 / workload.rate
        first, last, left = False, float(times[-1]), left - count
        yield times, *workload.lengths(rng, count)


def _share(
    law: StepLaw,
    settings: Engine,
    workload: Workload,
    seed: int,
    replicas: int,
    worker: int,
    workers: int,
    limits: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> Share:
    """Serve every `workers`-th replica from `worker` on."""
    begun = time.process_time()
    mine = np.arange(worker, replicas, workers)
    rows = max(PIECE, LEAST // replicas)
    size = rows * replicas
    longest = int(workload.osl.mean)
    if workload.osl.kind != "fixed":
        longest = max(int(output.max()) for _, _, output in pieces(workload, seed, size))
    one = Requests(arrival=np.zeros(1), prompt=np.ones(1), output=np.array([longest]))
    base = Replica(one, law, settings)
    blocks, block = settings.blocks or NO_LIMIT, settings.block_size
    base.board[[engine.HEAD, engine.TAIL]] = -1
    base.board[engine.ROUTED], base.board[engine.BLOCKS] = 1, blocks
    boards, seats, calendars = (
        np.repeat(each[None], len(mine), axis=0) for each in (base.board, base.seats, base.calendar)
    )
    nodes = np.zeros((len(base.cache.nodes), len(mine), base.cache.nodes.shape[1]), np.int32)
    tables = np.zeros((len(mine), len(base.cache.table)), np.int32)
    fleet = np.zeros((abreast.FLEET_ROWS, len(mine)), np.int64)
    jobs = np.zeros((len(mine), engine.JOB_ROWS, 2 * rows), np.int64)
    used = np.zeros((len(mine), 2 * rows), np.uint8)
    room = ROWS + 4 * settings.max_num_seqs
    gaps, counts = np.empty((2, room), np.int64), np.empty((2, room), np.int32)
    moments, bins = np.zeros((7, 5)), np.zeros((7, tally.BINS), np.int64)
    moments[:, tally.LEAST] = np.inf
    totals = np.zeros(6, np.int64)
    code = compiled(*base.modules, tally)
    side = abreast.Replicas(
        base.jobs, seats, calendars, base.links, base.heap, gaps, counts, base.samples, base.cache,
        base.cache.held[None], nodes, tables, base.shared, boards, fleet,
    )  # fmt: skip
    made, begin = 0, float("nan")

    def serve(arrival: np.ndarray, prompt: np.ndarray, output: np.ndarray, until: int) -> None:
        nonlocal jobs, used
        at = 0
        while at >= 0:
            at = code.stream(
                law.tables, side, jobs, used, arrival, prompt, output, blocks * block, until, at,
                moments, bins, totals, limits, law.tick, True,
            )  # fmt: skip
            if at >= 0:
                jobs = np.concatenate([jobs, np.zeros_like(jobs)], axis=2)
                used = np.concatenate([used, np.zeros_like(used)], axis=1)

    for times, prompt, output in pieces(workload, seed, size):
        ticks = np.rint(times / law.tick).astype(np.int64)
        begin = float(times[0]) if made == 0 else begin
        short = -len(ticks) % replicas  # the last round is not full: requests without an answer
        columns = [np.append(each, np.zeros(short, np.int64)).reshape(-1, replicas) for each in (ticks, prompt, output)]
        arrival, prompt, output = (np.ascontiguousarray(each[:, mine]) for each in columns)
        made += len(ticks)
        serve(arrival, prompt, output, int(ticks[-1]))
        if progress is not None:
            progress(made / workload.requests)
    started = jobs[:, engine.START] >= 0
    late = int(((used == 1) & ~started).sum())
    empty = np.zeros((0, len(mine)), np.int64)
    serve(empty, empty, empty, FAR)
    return Share(
        moments=moments,
        bins=bins,
        totals=totals,
        busy=boards[:, engine.BUSY : engine.RATIO].sum(axis=0) * law.tick,
        steps=int(boards[:, engine.STEPS].sum()),
        peak=int(boards[:, engine.PEAK].max()),
        first=begin,
        last=float(boards[:, engine.LAST].max()) * law.tick,
        late=late,
        cpu=time.process_time() - begun,
    )


def _streamed(share: Share, deployment: Deployment, workload: Workload, replicas: int) -> Streamed:
    """Metrics of sums and histograms."""
    totals, span = share.totals, share.last - share.first
    done = int(totals[tally.ENDED])
    if not done:
        held = deployment.engine.blocks * deployment.engine.block_size
        expected = f"at most the {held:,} tokens that the cache holds"
        raise InputError(f"{workload.requests:,} requests, all larger", expected, "more chips per replica (--tp)")
    e2e = share.moments[tally.E2E, tally.SUM]
    busy = {name: float(spent) / (replicas * span) for name, spent in zip(TERMS, share.busy, strict=True)}
    spreads = {
        name: _spread(share, row)
        for name, row in (
            ("ttft", tally.TTFT), ("tpot", tally.TPOT), ("itl", tally.ITL), ("e2e", tally.E2E), ("wait", tally.WAIT),
            ("normalised", tally.NORMALISED), ("speed", tally.SPEED),
        )
    }  # fmt: skip
    found = Metrics(
        requests=workload.requests,
        completed=done,
        failed=workload.requests - done,
        duration=span,
        input_tokens=int(totals[tally.TOKENS_IN]),
        output_tokens=int(totals[tally.TOKENS_OUT]),
        cached_tokens=0,
        preemptions=int(totals[tally.THROWN]),
        **spreads,
        request_rate=done / span,
        input_rate=float(totals[tally.TOKENS_IN]) / span,
        output_rate=float(totals[tally.TOKENS_OUT]) / span,
        concurrency=float(e2e) / span,
        goodput=float(totals[tally.MET]) / span,
        attained=float(totals[tally.MET]) / workload.requests,
        bound={**busy, "idle": max(0.0, 1.0 - sum(busy.values()))},
    )
    seats = deployment.engine.max_num_seqs * replicas
    return Streamed(
        metrics=found,
        steps=share.steps,
        peak_blocks=share.peak,
        refused=int(totals[tally.REFUSED]),
        overloaded=share.late > seats and share.late > 0.05 * workload.requests,
        cpu=share.cpu,
    )


def _spread(share: Share, row: int) -> Spread:
    """A distribution from its moments and its histogram."""
    count, total, squares, least, most = share.moments[row]
    n, scale = int(count), 1e3 if row == tally.SPEED else 1e6
    if not n:
        nan = float("nan")
        return Spread(count=0, mean=nan, std=nan, least=nan, most=nan, percentiles={f"p{s:g}": nan for s in SHARES})
    below = np.cumsum(share.bins[row])
    ranks = np.array(SHARES) / 100.0 * (n - 1)
    low, high = (value_of(np.searchsorted(below, side(ranks), side="right")) / scale for side in (np.floor, np.ceil))
    values = np.clip(low + (high - low) * (ranks - np.floor(ranks)), least, most)
    return Spread(
        count=n,
        mean=total / n,
        std=float(np.sqrt(max(squares / n - (total / n) ** 2, 0.0))),
        least=least,
        most=most,
        percentiles={f"p{s:g}": float(v) for s, v in zip(SHARES, values, strict=True)},
    )


def value_of(place: np.ndarray) -> np.ndarray:
    """The middle of a bin, in units of the smallest."""
    over = np.maximum(place - (1 << tally.FINE), 0)
    octave, rest = over >> (tally.FINE - 1), over & ((1 << (tally.FINE - 1)) - 1)
    width = 2.0 ** (octave + 1)
    large = (2.0 ** (tally.FINE + octave)) + (rest + 0.5) * width - 0.5
    return np.where(place < 1 << tally.FINE, place.astype(float), large)
