"""A workload drawn from distributions: arrivals, lengths, shared prefixes and sessions of several turns.

    turn 1 of a session    prompt = prefix + isl                         answer = osl
    turn k                 prompt = prompt(k-1) + answer(k-1) + isl      starts `think` after the end of turn k-1

Each part has a random stream of its own, so that changing the rate, or one distribution, leaves all else as it was.
Requests share what they repeat by hash ids: a prefix among the sessions of a group, a history among the turns of a
session. Knows no engine.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.workload.arrivals import Arrivals, arrivals
from ridgeline.workload.lengths import EMPIRICAL, Lengths, lengths
from ridgeline.workload.reading import lengths_of
from ridgeline.workload.requests import Requests

STREAMS = ("arrivals", "isl", "osl", "turns", "think", "group")
"""Random streams, in the order in which they are split off the seed."""
MOST_REQUESTS = 1_000_000_000
BLOCK = 16
"""Tokens of a hash id of what is drawn here: the block size of vLLM's cache by default."""
MOST_IDS = 500_000_000
"""Hash ids beyond which a workload would not fit into a common memory: 4 GB."""


class Streams(dict[str, np.random.Generator]):
    """Random numbers of each of STREAMS, made when first asked for, which takes longer than drawing a hundred."""

    def __init__(self, seed: int, key: tuple[int, ...]) -> None:
        """`key`: what of the same seed must differ."""
        self.seed, self.key = seed, key

    def __missing__(self, name: str) -> np.random.Generator:
        child = np.random.SeedSequence(entropy=self.seed, spawn_key=(*self.key, STREAMS.index(name)))
        self[name] = np.random.Generator(np.random.SFC64(child))
        return self[name]


class Workload(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What is drawn. `Workload.read` makes it from text."""

    requests: int = 1000
    """How many, turns of sessions counted one by one."""
    rate: float = 1.0
    """Requests per second in the long run; sessions start at rate / mean turns. Ignored by at-once and closed loops."""
    concurrency: int = 0
    """0: open loop; otherwise sessions kept open, each started as another ends."""
    arrivals: Arrivals
    isl: Lengths
    """New prompt tokens of each turn."""
    osl: Lengths
    """Output tokens of each turn."""
    turns: Lengths
    """Turns of a session."""
    think: Lengths
    """Seconds between the end of a turn and the start of the next."""
    prefix: int = 0
    """Tokens at the beginning of each session's first prompt, before isl, that others of its group have too."""
    groups: int = 1
    """Different prefixes, drawn with equal probability."""

    @classmethod
    def read(
        cls,
        *,
        requests: int = 1000,
        rate: float = 1.0,
        concurrency: int = 0,
        arrive: str = "poisson",
        isl: str | float | Lengths = 512,
        osl: str | float | Lengths = 128,
        turns: str | float = 1,
        think: str | float = 0.0,
        prefix: int = 0,
        groups: int = 1,
    ) -> Workload:
        """A workload from its spellings, which `arrivals` and `lengths` define.

        Raises
        ------
        InputError
            For a spelling that cannot be read, or a count out of its range.
        """
        for name, value, least in (
            ("--requests", requests, 1),
            ("--concurrency", concurrency, 0),
            ("--prefix", prefix, 0),
            ("--groups", groups, 1),
        ):
            if not least <= value <= MOST_REQUESTS:
                raise InputError(f"{name} {value}", f"a whole number from {least} to {MOST_REQUESTS:,}")
        if not 0 < rate < np.inf:
            raise InputError(f"--rate {rate:g}", "requests per second, above 0", "--arrivals at-once needs none")
        prompts, answers = _both(isl, osl)
        return cls(
            requests=requests,
            rate=rate,
            concurrency=concurrency,
            arrivals=arrivals(arrive),
            isl=prompts,
            osl=answers,
            turns=lengths(turns, "--turns", "1"),
            think=lengths(think, "--think", "s"),
            prefix=prefix,
            groups=groups,
        )

    def streams(self, seed: int, replication: int = 0, tenant: int = 0) -> Streams:
        """Random numbers of each part, by its name in STREAMS."""
        return Streams(seed, (replication, len(STREAMS), tenant) if tenant else (replication,))

    def draw(self, seed: int, replication: int = 0, tenant: int = 0) -> Requests:
        """The requests of one replication, and of one tenant of several; equal numbers give equal requests.

        Raises
        ------
        InputError
            For more shared tokens than memory holds.
        """
        rng, n = self.streams(seed, replication, tenant), self.requests
        prompt, output = self.lengths(rng, n)
        if self.turns.kind == "fixed" and self.turns.mean == 1:
            first = np.arange(n)
            session = first
        else:
            counts = self._turns(rng["turns"])
            session = np.repeat(np.arange(len(counts)), counts)[:n]
            first = np.repeat(np.cumsum(counts) - counts, counts)[:n]
        starts = int(session[-1]) + 1
        if self.concurrency:
            arrival = np.zeros(n)
        else:
            rate = self.rate * starts / n
            arrival = self.arrivals.draw(rng["arrivals"], starts, rate)
            arrival = arrival[session] if starts < n else arrival
        prompt += self.prefix
        if starts == n and not self.prefix:
            return Requests(arrival=arrival, prompt=prompt, output=output, concurrency=self.concurrency)
        if starts < n:
            prompt = _histories(prompt - self.prefix, output, first) + self.prefix
        after = np.where(np.arange(n) > first, np.arange(n) - 1, -1)
        think = np.where(after >= 0, self.think.draw(rng["think"], n), 0.0)
        ids = self._ids(prompt + output, session, rng["group"])
        return Requests(
            arrival=arrival,
            prompt=prompt,
            output=output,
            concurrency=self.concurrency,
            session=session,
            hash_offsets=ids[0],
            hash_ids=ids[1],
            hash_block=BLOCK,
            after=after if starts < n else None,
            think=think if starts < n else None,
        )

    def lengths(self, rng: Streams, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Prompt and output tokens; rows of one trace are drawn together, so that long prompts keep their answers."""
        if self.isl.values is not None and self.osl.values is not None and len(self.isl.values) == len(self.osl.values):
            rows = rng["isl"].integers(0, len(self.isl.values), count)
            return self.isl.values[rows].astype(np.int64), self.osl.values[rows].astype(np.int64)
        given = ((self.isl, "isl"), (self.osl, "osl"))
        drawn = [each.fixed(count) if each.kind == "fixed" else each.whole(rng[name], count) for each, name in given]
        return drawn[0], drawn[1]

    def _turns(self, rng: np.random.Generator) -> np.ndarray:
        """Turns of successive sessions, enough for all requests."""
        counts = self.turns.whole(rng, int(self.requests / max(self.turns.mean, 1.0)) + 1)
        while (total := int(counts.sum())) < self.requests:
            more = int((self.requests - total) / max(self.turns.mean, 1.0)) + 1
            counts = np.concatenate([counts, self.turns.whole(rng, more)])
        return counts

    def _ids(self, tokens: np.ndarray, session: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and ids: block b of a session is its own, except blocks that lie within the prefix of its group."""
        counts = -(-tokens // BLOCK)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        if offsets[-1] > MOST_IDS:
            raise InputError(
                f"{offsets[-1]:,} blocks of {BLOCK} tokens", f"at most {MOST_IDS:,} in a workload", "fewer --requests"
            )
        shared = self.prefix // BLOCK
        last = np.flatnonzero(np.append(session[1:] != session[:-1], True))
        longest = counts[last]
        base = self.groups * shared + np.cumsum(longest) - longest
        ids = np.repeat(base[session] - offsets[:-1], counts)
        ids += np.arange(offsets[-1])
        if shared:
            places = offsets[:-1, None] + np.arange(shared)
            group = rng.integers(0, self.groups, len(last))
            ids[places] = group[session][:, None] * shared + np.arange(shared)
        return offsets, ids


def _both(isl: str | float | Lengths, osl: str | float | Lengths) -> tuple[Lengths, Lengths]:
    """Both distributions; a trace that both are drawn from is read once."""
    read: dict[str, tuple[Lengths, Lengths]] = {}
    found: list[Lengths] = []
    for i, (what, given) in enumerate((("--isl", isl), ("--osl", osl))):
        if isinstance(given, str) and given.startswith(EMPIRICAL):
            path = given.removeprefix(EMPIRICAL)
            if path not in read:
                read[path] = lengths_of(path)
            found.append(read[path][i])
        else:
            found.append(given if isinstance(given, Lengths) else lengths(given, what))
    return found[0], found[1]


def _histories(isl: np.ndarray, osl: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Prompt of each turn: what its session said before, and its own new tokens."""
    said = np.cumsum(isl + osl)
    before = said - isl - osl
    return before - before[first] + isl
