"""Several equal replicas behind a router, served to the end: `routing.py` says how they are kept in step.

Memory: the arrays of one replica for each, and what all requests share once. Knows no chip.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.simulate import engine, routing
from ridgeline.simulate.compiled import compiled
from ridgeline.simulate.law import FAR, StepLaw
from ridgeline.simulate.replica import Engine, Replica
from ridgeline.simulate.run import Run
from ridgeline.workload import Requests

ROUTERS = {
    "round-robin": routing.ROUND_ROBIN,
    "least-loaded": routing.LEAST_LOADED,
    "sticky": routing.STICKY,
    "prefix": routing.PREFIX,
}
MOST = 100_000
"""Replicas beyond which a number is a slip."""


class Fleet:
    """Arrays of all replicas; `refused` are the requests that fit into none."""

    def __init__(self, requests: Requests, law: StepLaw, settings: Engine, replicas: int, router: str) -> None:
        if not 1 <= replicas <= MOST:
            raise InputError(f"--replicas {replicas}", f"1 to {MOST:,}")
        if router not in ROUTERS:
            raise UnknownNameError("router", router, ROUTERS)
        if router == "sticky" and requests.session is None:
            raise InputError("--router sticky", "requests with sessions", "such as --turns 4")
        self.router, self.law, self.settings = ROUTERS[router], law, settings
        self.base = base = Replica(requests, law, settings)
        self.refused = base.refused
        base.board[[engine.HEAD, engine.TAIL]] = -1
        base.board[engine.ROUTED] = 1
        self.boards, self.seats, self.calendars = (
            _copies(a, replicas) for a in (base.board, base.seats, base.calendar)
        )
        cache = base.cache
        self.refs, self.runs, self.spare = (_copies(a, replicas) for a in (cache.refs, cache.runs, cache.spare))
        self.queues = _copies(np.array([cache.older, cache.younger]), replicas)
        self.kept = np.delete(np.arange(len(requests)), base.refused) if not len(base.heap) else np.zeros(0, np.int64)
        session = np.zeros(len(requests), np.int64) if requests.session is None else requests.session
        _, self.session = np.unique(session, return_inverse=True)
        self.home = np.full(int(self.session.max()) + 1, -1)
        self.replica = np.full(len(requests), -1, np.int32)
        self.fleet = np.zeros((4, replicas), np.int64)
        self.fleet[routing.DUE] = FAR
        tables = law.tables
        alone = tables.tokens[0, 1] + tables.sequences[1]
        self.fleet[routing.LEAST_STEP] = max(min(alone, tables.pieces[1:, 0, 1].min()), 1)
        self.fleet[routing.LEAST_OUTPUT] = requests.output.min()

    def serve(self) -> None:
        """Serve all requests."""
        base = self.base
        plain = not base.quick and self.settings.scheduler == "vllm"
        while (routing if plain else compiled(*base.modules, routing)).route(
            self.law.tables,
            base.jobs,
            self.seats,
            self.calendars,
            base.links,
            base.heap,
            base.gaps,
            base.counts,
            base.samples,
            base.cache,
            self.refs,
            self.queues,
            self.runs,
            self.spare,
            base.shared,
            self.boards,
            self.fleet,
            self.kept,
            self.session,
            self.home,
            self.replica,
            self.router,
        ) == engine.FULL:
            base.widen()

    def result(self) -> Run:
        """What was simulated; can be asked once."""
        b = self.base.board
        for total in (engine.STEPS, *range(engine.BUSY, engine.RATIO)):
            b[total] = self.boards[:, total].sum()
        for most in (engine.LAST, engine.PEAK):
            b[most] = self.boards[:, most].max()
        return msgspec.structs.replace(self.base.result(), replica=self.replica)


def _copies(array: np.ndarray, replicas: int) -> np.ndarray:
    return np.repeat(array[None], replicas, axis=0)


def serve_fleet(requests: Requests, law: StepLaw, settings: Engine, replicas: int, router: str) -> Run:
    """Simulate a fleet until every request is served or refused.

    Raises
    ------
    InputError
        For a number of replicas or a router that is none, and a sticky router without sessions.
    """
    made = Fleet(requests, law, settings, replicas, router)
    made.serve()
    return made.result()
