"""Several short runs of one deployment in one call, since setting each up takes as long as its steps.

Each has a replica of its own, which knows nothing of the others': they are simulated side by side (`abreast.py`), and
each run is what it is alone. Knows no metric.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ridgeline.simulate import abreast, engine
from ridgeline.simulate.compiled import assembled, compiled
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import NO_LIMIT, ROWS, Replica, calendar, gaps_of, queued, run_of, seconds
from ridgeline.simulate.run import Run
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.ticks import FAR
from ridgeline.workload import Requests


def alike(requests: Requests, settings: Engine) -> bool:
    """Whether requests can be served so: they arrive at their own times, without hash ids, where nobody draws."""
    plain = not requests.concurrency and requests.after is None and requests.hash_ids is None
    return plain and settings.scheduler == "vllm" and not settings.seatwise and not settings.tiers


def words_of(runs: int, requests: int, longest: int, settings: Engine) -> int:
    """Numbers in the arrays of a batch, whose longest answer has so many tokens: seats, calendars, requests, gaps."""
    seats, ends = engine.SEAT_ROWS * settings.max_num_seqs, 4 * longest
    return runs * (seats + ends) + (engine.JOB_ROWS + 3 * ROWS) * requests


def serve_batch(batch: Sequence[Requests], law: StepLaw, settings: Engine) -> tuple[list[Run], Gaps, np.ndarray]:
    """Serve each of several workloads, all `alike`, on a replica of its own; their gaps together, and where they end.

    The gaps of run k are those from the k-th of the last numbers to the next.
    """
    n, most = len(batch), settings.max_num_seqs
    base = Replica(batch[0], law, settings)
    columns = [np.concatenate(each) for each in zip(*((r.arrival, r.prompt, r.output) for r in batch), strict=True)]
    jobs, kept = queued(
        (columns[0], columns[1], columns[2]), law, settings, settings.blocks or NO_LIMIT, len(base.jobs)
    )
    ends = np.cumsum([len(requests) for requests in batch])
    place = np.searchsorted(kept, [0, *ends])
    some = place[:-1] < place[1:]
    boards = np.repeat(base.board[None], n, axis=0)
    boards[:, [engine.HEAD, engine.TAIL]] = -1
    boards[some, engine.HEAD] = kept[place[:-1][some]]
    boards[some, engine.TAIL] = last = kept[place[1:][some] - 1]
    jobs[engine.BEHIND, last] = -1
    seats, table, calendars = (
        np.repeat(each[None], n, axis=0) for each in (base.seats, base.cache.table, calendar(columns[2][kept]))
    )
    nodes = np.repeat(base.cache.nodes[:, None], n, axis=1)
    room = ROWS * jobs.shape[1] + 2 * most + 64
    gaps, counts = np.empty((2, room), np.int64), np.empty((2, room), np.int32)
    fleet = np.zeros((abreast.FLEET_ROWS, n), np.int64)
    begin = 0
    while begin < n:
        side = abreast.Replicas(
            jobs, seats, calendars, base.links, base.heap, gaps, counts, base.samples, base.cache,
            base.cache.held[None], nodes, table, base.shared, boards, fleet,
        )  # fmt: skip
        made = (compiled if base.quick else assembled)(*base.modules)
        if made.go(law.tables, side, abreast.PLANS, begin, n, FAR, True) != engine.FULL:
            break
        begin = int(np.argmax(fleet[abreast.PLANS] < FAR))
        gaps, counts = (np.concatenate([each, np.empty_like(each)], axis=1) for each in (gaps, counts))
    times, tick = seconds(jobs, law.tick), law.tick
    begins, bounds = [0, *ends.tolist()], np.append(0, fleet[abreast.KEPT])
    rows = bounds.tolist()
    found: list[Run] = []
    for k, b in enumerate(boards):
        mine = slice(begins[k], begins[k + 1])
        cached = np.zeros(len(batch[k]), np.int64)
        own = gaps_of(gaps, counts, rows[k], rows[k + 1], tick)
        found.append(run_of([each[mine] for each in times], jobs[engine.PREEMPTIONS, mine], cached, own, b, settings))
    return found, gaps_of(gaps, counts, 0, rows[-1], tick), bounds
