"""The scheduler of SGLang, slow and obvious: one step at a time, one object per request, lists.

Written from the description of the scheduler, not from the engine that it checks. Shares with it only the step law.
Tokens are real here: equal where ids say so.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.ticks import chunk_ticks, mixed_ticks

from . import vllm
from .radix import Node, Tree

UNIT = 2**30


@dataclass(eq=False)
class Request(vllm.Request):
    """One request and how far it is."""

    contents: list[Any] = field(default_factory=list)
    """Of prompt and answer."""
    node: Node | None = None
    """Down to which the tree is locked for it."""
    depth: int = 0
    """Tokens down to there."""
    own: int = 0
    """Pages behind those."""


@dataclass
class Adder:
    """What a batch of prompts may still take."""

    page: int
    chunk: int
    rest: int
    free: int
    owed: int
    """Tokens that running requests are expected to need, in UNITs."""
    taken: int = 0
    pledged: int = 0

    def memory(self) -> int:
        return (self.free - self.taken - self.pledged) * UNIT - self.owed

    def charge(self, request: Request, new: int, whole: bool) -> None:
        tokens = -(-new // self.page) * self.page
        self.chunk, self.rest, self.taken = self.chunk - tokens, self.rest - tokens, self.taken + tokens + self.page
        self.pledged += min(request.output, 4096) if whole else 0


def served(fast: Replica) -> vllm.Outcome:
    """What a replica was prepared for, served slowly."""
    requests, law, engine = fast.requests, fast.law, fast.settings
    place, ids, each = requests.hash_offsets, requests.hash_ids, requests.hash_block
    after, think = requests.after, requests.think
    names = None
    if place is not None and ids is not None and engine.prefix_caching:
        mine = [ids[begin:end].tolist() for begin, end in pairwise(place.tolist())]
        full = [len(row) * each // engine.block_size * engine.block_size for row in mine]
        names = [[(row[i // each], i % each) for i in range(length)] for row, length in zip(mine, full, strict=True)]
    return simulate(
        np.rint(requests.arrival / law.tick).astype(int).tolist(),
        requests.prompt.tolist(),
        requests.output.tolist(),
        law,
        engine,
        None if after is None else after.tolist(),
        None if think is None else np.rint(think / law.tick).astype(int).tolist(),
        requests.concurrency,
        names,
    )


def simulate(
    arrivals: list[int],
    prompts: list[int],
    outputs: list[int],
    law: StepLaw,
    engine: Engine,
    after: list[int] | None = None,
    think: list[int] | None = None,
    concurrency: int = 0,
    names: list[list[Any]] | None = None,
) -> vllm.Outcome:
    """Serve all requests; requests that can never fit, and those that follow them, are left out.

    `names`: of each request's first tokens; without, nothing is remembered.
    """
    total, page = engine.blocks or 1 << 50, engine.block_size

    def pages(tokens: int) -> int:
        return -(-tokens // page)

    everyone = [Request(*row) for row in zip(range(len(arrivals)), arrivals, prompts, outputs, strict=True)]
    for request in everyone:
        mine = names[request.name] if names else []
        last = request.prompt + request.output
        request.contents = (mine + [(-1, request.name, i) for i in range(len(mine), last)])[:last]
    tree = Tree(page, total * page)
    fits = [r.prompt + r.output + page < total * page for r in everyone]
    parents = after or [-1] * len(everyone)
    roots = deque(r for r in everyone if parents[r.name] < 0 and fits[r.name])
    coming: list[Request] = []
    if concurrency:
        for r in everyone:
            r.arrival = 0
        while roots and len(coming) < concurrency:
            coming.append(roots.popleft())
    else:
        coming = list(roots)
    first = round(min(0.7 * engine.schedule_conservativeness, 1.0) * UNIT)
    lowest = round(0.14 * min(0.7 * engine.schedule_conservativeness, 1.0) * UNIT)
    decay = round(0.86 / 600 * min(0.7 * engine.schedule_conservativeness, 1.0) * UNIT)
    ratio = first
    waiting: list[Request] = []
    running: list[Request] = []  # whose prompt is computed, also those that ended and were not taken out yet
    reported: dict[int, int] = {}  # output tokens of each request that the scheduler knows of
    unseen: list[Request] = []  # requests whose end the scheduler has not seen
    fresh: list[tuple[Request, int]] = []  # the last batch of prompts, with its tokens, if its results are not known
    chunked: Request | None = None
    full = False
    now = seen = steps = end = peak = 0

    def room() -> float:
        return (tree.free + tree.evictable()) // page

    def fill(request: Request, upto: int) -> None:
        """Take pages up to a number of tokens."""
        more = pages(upto) - request.depth // page - request.own
        assert more * page <= tree.free
        tree.free -= more * page
        request.own += more

    def keep(request: Request, upto: int) -> None:
        """Insert what is computed, and lock it."""
        if not names:
            return
        tokens = tree.aligned(request.contents[:upto])
        there = tree.insert(tokens)
        tree.free += there - request.depth
        request.own -= (len(tokens) - request.depth) // page
        node = tree.match(tokens)
        if request.node:
            tree.lock(request.node, -1)
        tree.lock(node, 1)
        request.node, request.depth = node, len(tokens)

    def leave_pool(request: Request, remember: bool) -> None:
        """Give everything back."""
        if remember:
            keep(request, request.computed)
        if request.node:
            tree.lock(request.node, -1)
        tree.free += request.own * page
        request.node, request.depth, request.own = None, 0, 0

    def results() -> None:
        """The results of the last step become known."""
        for request, upto in fresh:
            if request in unseen:
                unseen.remove(request)
                leave_pool(request, True)
                reported[request.name] = request.output
            else:
                keep(request, upto)
        for request in unseen:
            leave_pool(request, True)
            reported[request.name] = request.output
        fresh.clear()
        unseen.clear()

    def prefix(request: Request) -> Node:
        """What is remembered of a waiting request; its last token must be computed."""
        return tree.match(request.contents[: request.known - 1]) if names else tree.root

    def sort() -> dict[int, Node]:
        """The queue by longest matches; those last whose beginning one before them computes."""
        nodes: dict[int, Node] = {}
        late: set[int] = set()
        others: list[list[Any]] = []
        for request in waiting:
            nodes[request.name] = prefix(request)
            if nodes[request.name].depth <= 32:
                start = request.contents[: request.known][:32]
                if len(start) == 32 and start in others:
                    late.add(request.name)
                else:
                    others.append(start)
        waiting.sort(key=lambda r: 1 if r.name in late else -nodes[r.name].depth)
        return nodes

    def over(request: Request) -> bool:
        return len(request.tokens) == request.output

    def short(requests: list[Request], count: int) -> int:
        """Pages that some decode steps of some requests take."""
        return sum(pages(r.computed + count) - pages(r.computed) for r in requests)

    def locked() -> float:
        """Pages in use."""
        return total - room()

    def leave(request: Request) -> None:
        nonlocal end
        end = now
        children = [r for r in everyone if parents[r.name] == request.name and fits[r.name]]
        for child in children:
            child.arrival = now + (think[child.name] if think else 0)
            coming.append(child)
        if concurrency and not children and roots:
            roots[0].arrival = now
            coming.append(roots.popleft())
        unseen.append(request)

    while coming or waiting or running or chunked:
        coming.sort(key=lambda r: (r.arrival, r.name))
        while coming and coming[0].arrival <= seen:
            waiting.append(coming.pop(0))

        # A batch of prompts.
        batch: list[tuple[Request, int, int]] = []
        if not running:
            full = False
        occupied = len(running)
        mixed = occupied if engine.mixed_chunk else 0
        stuck = False
        if chunked:
            keep(chunked, chunked.computed)
        if chunked or (waiting and not full):
            adder = Adder(
                page=page,
                chunk=engine.max_num_batched_tokens - mixed,
                rest=engine.max_prefill_tokens - mixed,
                free=int(min(room() * page, 2**31)) - mixed,
                owed=sum(min(r.output - reported[r.name], 4096) for r in running if r in unseen or not over(r)) * ratio,
            )
            nodes: dict[int, Node] = {}
            if engine.policy == "lpm" and names and len(waiting) <= 128 and (chunked or occupied < engine.max_num_seqs):
                nodes = sort()
            if chunked:
                request, left = chunked, chunked.known - chunked.computed
                most = min(adder.chunk, adder.memory() // UNIT)
                new = min(left, most if most > 0 else adder.chunk)
                if mixed:
                    new = min(new, int(min(room() * page, 2**31)) + -request.computed % page)
                if new > 0:
                    batch.append((request, new, request.computed))
                    adder.charge(request, new, new == left)
                    chunked = None if new == left else request
                else:
                    stuck = True
            while waiting and not full and not stuck:
                if len(batch) >= engine.max_num_seqs - occupied:
                    full = True
                    break
                request = waiting[0]
                node = nodes[request.name] if nodes else prefix(request)
                past = node.depth
                new = request.known - past
                idle = tree.unlocked(node)
                asked = new + min(request.output - len(request.tokens), 4096) + page
                if asked * UNIT >= adder.memory() - idle * UNIT:
                    full = True
                    break
                if pages(new) * page > adder.chunk:
                    new = adder.chunk // page * page
                    if new <= 0:
                        break
                waiting.pop(0)
                adder.free -= idle
                tree.lock(node, 1)
                request.node, request.depth = node, past
                if request.start < 0:
                    request.start, request.cached = now, past
                batch.append((request, new, past))
                whole = past + new == request.known
                adder.charge(request, new, whole)
                if not whole:
                    chunked = request
                if adder.memory() <= 0 or adder.free - adder.taken <= 0:
                    full = True
                elif adder.chunk <= 0 or adder.rest <= 0:
                    break
        if batch:
            tree.evict(sum(new for _, new, _ in batch) + (len(batch) * page if page > 1 else 0))
            for request, new, past in batch:
                request.computed = past
                fill(request, past + new)
            peak = max(peak, locked())
            rows: list[Request] = []
            if mixed and short([r for r in running if r in unseen or not over(r)], 1) <= room():
                running = rows = [r for r in running if r in unseen or not over(r)]
            live = [r for r in rows if r not in unseen]
            if rows:
                tree.evict(len(rows) * page)
                peak = max(peak, locked() + min(short(rows, 1), room()))
                for request in live:
                    fill(request, request.computed + 1)
            contexts = sum(r.computed for r in rows)
            for request in live:
                request.computed += 1
            results()
            for r in running:
                reported[r.name] = len(r.tokens)
            running = [] if rows else running
            cost = 0.0
            for _, new, past in batch:
                cost += chunk_ticks(law.tables.chunk, new, past)
            longest = max(new + past for _, new, past in batch)
            new = sum(new for _, new, _ in batch)
            n = len(rows)
            ticks = int(mixed_ticks(law.tables, n, contexts, n, n + new, len(batch), cost, longest))
            seen = now if engine.async_scheduling else now + ticks
            now += ticks
            steps += 1
            if not running or chunked:
                full = False
            for request, new, past in batch:
                request.computed = past + new
                if request is chunked:
                    continue
                fresh.append((request, request.computed))
                reported[request.name] = len(request.tokens) + (not engine.async_scheduling)
                request.tokens.append(now)
                if over(request):
                    leave(request)
                    if not engine.async_scheduling:
                        full = False
                        continue
                running.append(request)
            for request in live:
                request.tokens.append(now)
                reported[request.name] += not engine.async_scheduling
                if over(request):
                    leave(request)
                    if not engine.async_scheduling:
                        continue
                running.append(request)
            if not engine.async_scheduling:
                results()
            continue

        # A decode step.
        known = [r for r in running if over(r) and r not in unseen]
        if known:
            full = False
            running = [r for r in running if r not in known]
        if running:
            if unseen and short(running, 1) > room():
                running = [r for r in running if r not in unseen]
                results()
                full = False
            live = [r for r in running if r not in unseen]
            if short(running, 1) <= room():
                ratio = max(ratio - decay, lowest)
            else:
                tree.evict(total * page)
                peak = total
                thrown = False
                while len(live) > 1 and (not thrown or short(live, engine.retract_decode_steps) > room()):
                    live.sort(key=lambda r: r.name)
                    order = {r.name: i for i, r in enumerate(running)}
                    victim = min(live, key=lambda r: (reported[r.name], -r.prompt, -order[r.name]))
                    live.remove(victim)
                    running.remove(victim)
                    fresh = [row for row in fresh if row[0] is not victim]
                    leave_pool(victim, False)
                    victim.computed = 0
                    victim.preemptions += 1
                    waiting.append(victim)
                    tree.evict(len(live) * engine.retract_decode_steps)
                    thrown = True
                given = sum(reported[r.name] for r in live) + engine.retract_decode_steps * len(live)
                ratio = min(UNIT, given * UNIT // (sum(r.output for r in live) + 1))
                full = False
            tree.evict(len(running) * page)
            peak = max(peak, locked() + min(short(running, 1), room()))
        if not running:
            if not waiting and not chunked:
                ratio = first
                if coming:
                    now = max(now, coming[0].arrival)
            seen = now
            continue
        contexts = sum(r.computed for r in running)
        ticks = round(law.seconds(len(running), contexts, []) / law.tick)
        live = [r for r in running if r not in unseen]
        for request in live:
            fill(request, request.computed + 1)
            request.computed += 1
        results()
        seen = now if engine.async_scheduling else now + ticks
        now += ticks
        steps += 1
        for request in live:
            reported[request.name] = len(request.tokens)
            request.tokens.append(now)
            if not engine.async_scheduling:
                reported[request.name] += 1
            if over(request):
                leave(request)
        if not engine.async_scheduling:
            results()

    gaps = Counter(b - a for r in everyone for a, b in zip(r.tokens, r.tokens[1:], strict=False))
    return vllm.Outcome([*everyone], gaps, steps, end, int(peak))
