"""The scheduler of vLLM v1, slow and obvious: one step at a time, one object per request, lists.

Written from the description of the scheduler, not from the engine that it checks. Shares with it only the step law.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ridgeline.simulate import seatwise
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import Replica
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.ticks import chunk_ticks, mixed_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .tiers import Tiers


@dataclass(eq=False)
class Block:
    """One KV block."""

    name: int | None = None
    """Hash of its tokens and of all before, once it is full."""
    users: int = 0


class Pool:
    """Free blocks, longest unused first, and those that can be found by name."""

    def __init__(self, count: int) -> None:
        self.limited = count < 1 << 40
        self.free: deque[Block] = deque(Block() for _ in range(count if self.limited else 0))
        self.known: dict[int, Block] = {}
        self.tiers: Tiers | None = None
        self.now = 0

    def room(self) -> float:
        return len(self.free) if self.limited else float("inf")

    def take(self) -> Block:
        block = self.free.popleft() if self.limited else Block()
        if block.name is not None:
            del self.known[block.name]
            if self.tiers:
                self.tiers.forgotten(block.name, self.now)
            block.name = None
        block.users = 1
        return block

    def use(self, block: Block) -> None:
        if block.users == 0 and block in self.free:
            self.free.remove(block)
        block.users += 1

    def name(self, block: Block, name: int) -> None:
        """Let a full block be found, unless another one is known by this name."""
        if block.name is None and name not in self.known:
            block.name = name
            self.known[name] = block
            if self.tiers:
                self.tiers.remembered(name, self.now)

    def give(self, blocks: list[Block], names: list[int] | None = None) -> None:
        """Free blocks, of which the first are full and may be found by their names from now on."""
        known = dict(enumerate(names or []))
        for k, block in reversed(list(enumerate(blocks))):
            if k in known:
                self.name(block, known[k])
            block.users -= 1
            if block.users == 0:
                self.free.append(block)
        blocks.clear()


@dataclass
class Request:
    """One request and how far it is."""

    name: int
    arrival: int
    prompt: int
    output: int
    tokens: list[int] = field(default_factory=list)
    """When each output token came."""
    computed: int = 0
    """Tokens whose keys and values are in the cache."""
    names: list[int] = field(default_factory=list)
    """Of its successive blocks, as far as they are known."""
    blocks: list[Block] = field(default_factory=list)
    cached: int = 0
    prefilling: bool = True
    """Whether its prompt, or after a preemption all it has, is still being computed."""
    start: int = -1
    preemptions: int = 0
    priority: int = 0
    state: int = 0
    named: int = 0
    """Tokens of which the full blocks are known by their names, once it gives them back."""
    loading: int = -1
    """When the fetch of its blocks is done."""
    """Of the draws of acceptance."""

    @property
    def known(self) -> int:
        return self.prompt + len(self.tokens)


def served(fast: Replica, tiers: Tiers | None = None) -> Outcome:
    """What a replica was prepared for, served slowly."""
    requests, law, engine = fast.requests, fast.law, fast.settings
    place, ids = fast.cache.place.tolist(), fast.cache.ids.tolist()
    after, think = requests.after, requests.think
    return simulate(
        np.rint(requests.arrival / law.tick).astype(int).tolist(),
        requests.prompt.tolist(),
        requests.output.tolist(),
        law,
        engine,
        None if after is None else after.tolist(),
        None if think is None else np.rint(think / law.tick).astype(int).tolist(),
        requests.concurrency,
        [ids[begin:end] for begin, end in pairwise(place)] if ids else None,
        None if requests.priority is None else requests.priority.tolist(),
        fast.jobs[seatwise.DRAW].tolist() if engine.drafts else None,
        tiers,
    )


@dataclass
class Outcome:
    requests: list[Request]
    gaps: Counter[int]
    steps: int
    end: int
    peak: int


def simulate(
    arrivals: list[int],
    prompts: list[int],
    outputs: list[int],
    law: StepLaw,
    engine: Engine,
    after: list[int] | None = None,
    think: list[int] | None = None,
    concurrency: int = 0,
    names: list[list[int]] | None = None,
    priorities: list[int] | None = None,
    states: list[int] | None = None,
    tiers: Tiers | None = None,
) -> Outcome:
    """Serve all requests; requests that can never fit, and those that follow them, are left out."""
    total, drafts, ahead = engine.blocks or 1 << 50, engine.drafts, engine.held_ahead
    ranked = engine.policy == "priority"

    def blocks_for(tokens: int) -> int:
        return -(-tokens // engine.block_size)

    everyone = [Request(*row) for row in zip(range(len(arrivals)), arrivals, prompts, outputs, strict=True)]
    for request, mine in zip(everyone, names or [], strict=False):
        request.names = mine
    for request in everyone:
        request.priority = priorities[request.name] if priorities else 0
        request.state = states[request.name] if states else 0
    pool = Pool(total)
    pool.tiers = tiers
    fits = [blocks_for(r.prompt + r.output - 1 + drafts + ahead) <= total for r in everyone]
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
    waiting: deque[Request] = deque()
    running: list[Request] = []
    ended: list[Request] = []  # requests whose end the scheduler has not seen yet
    now = seen = steps = end = peak = 0

    while coming or waiting or running:
        coming.sort(key=lambda r: (r.arrival, r.name))
        while coming and coming[0].arrival <= seen:
            waiting.append(coming.pop(0))
        if ranked:
            waiting = deque(sorted(waiting, key=lambda r: (r.priority, r.arrival, r.name)))

        pool.now = now
        for request in waiting:
            if 0 <= request.loading <= seen:
                request.loading = -1
                for block, name in zip(request.blocks, request.names, strict=False):
                    pool.name(block, name)

        def fill(request: Request, upto: int) -> None:
            """Allocate blocks up to a number of tokens and what lies ahead; name those that become full of known ones.

            A block whose name another one had when it became full gets it only when it is given back, as in `pool.py`.
            """
            while len(request.blocks) < blocks_for(upto + ahead):
                request.blocks.append(pool.take())
            if request.prefilling:  # what it generates is found when it gives its blocks back
                full = slice(request.named // engine.block_size, upto // engine.block_size)
                for block, name in zip(request.blocks[full], request.names[full], strict=False):
                    pool.name(block, name)
            request.named = min(upto, request.known)

        def give(request: Request) -> None:
            pool.give(request.blocks, request.names[: request.named // engine.block_size])

        def found(request: Request) -> list[Block]:
            """Blocks at its beginning that are known; not the one of its last token."""
            hit: list[Block] = []
            for name in request.names[: (request.known - 1) // engine.block_size]:
                if name not in pool.known:
                    break
                hit.append(pool.known[name])
            return hit

        def used(holders: Iterable[Request]) -> int:
            return len({id(block) for r in (*running, *ended, *holders) for block in r.blocks})

        budget, plan, preempted = engine.max_num_batched_tokens, [], False
        i = 0
        while i < len(running) and budget > 0:
            request = running[i]
            new = min(request.known - request.computed + (0 if request.prefilling else drafts), budget)
            need = blocks_for(request.computed + new + ahead) - len(request.blocks)
            while need > pool.room():
                victim = max(running, key=lambda r: (r.priority, r.arrival)) if ranked else running[-1]
                running.remove(victim)
                for row in [row for row in plan if row[0] is victim]:
                    plan.remove(row)
                    budget += row[1]
                    i -= 1
                give(victim)
                victim.computed = 0
                victim.prefilling = True
                victim.preemptions += 1
                waiting.appendleft(victim)
                if ranked:
                    waiting = deque(sorted(waiting, key=lambda r: (r.priority, r.arrival, r.name)))
                preempted = True
                if victim is request:
                    break
            else:
                fill(request, request.computed + new)
                plan.append((request, new, request.computed))
                budget -= new
                i += 1
                continue
            break
        shut = preempted or (engine.static_batching and bool(plan))
        while waiting and not shut and budget > 0 and len(running) + len(ended) < engine.max_num_seqs:
            request = next((r for r in waiting if r.loading < 0), None)
            if request is None:
                break
            if tiers and not running and not ended:
                while (
                    blocks_for(request.known)
                    - len(request.blocks or found(request))
                    + (0 if request.blocks else sum(block.users == 0 for block in found(request)))
                    > pool.room()
                ):
                    holders = [r for r in waiting if r.blocks and r.loading < 0 and r is not request]
                    if not holders:
                        break
                    holders[-1].named = len(holders[-1].blocks) * engine.block_size
                    give(holders[-1])
            holds = list(request.blocks)
            hit = holds or found(request)
            past = len(hit) * engine.block_size
            new = min(request.known - past, budget)
            need = blocks_for(max(request.known if engine.reserve_full_input else 0, past + new + ahead)) - len(hit)
            if need + (0 if holds else sum(block.users == 0 for block in hit)) > pool.room():
                break
            if tiers and not holds:
                more = request.names[len(hit) : (request.known - 1) // engine.block_size]
                sources = tiers.choose(more, past, engine.block_size, request.known, now)
                if sources:
                    request.loading = tiers.fetch(more[: len(sources)], sources, now)
                    for block in hit:
                        pool.use(block)
                    request.blocks = hit + [pool.take() for _ in sources]
                    continue
            waiting.remove(request)
            running.append(request)
            for block in () if holds else hit:
                pool.use(block)
            request.blocks, request.named = hit, past
            fill(request, past + new)
            if request.start < 0:
                request.start, request.cached = now, past
            plan.append((request, new, past))
            budget -= new
        peak = max(peak, used(waiting))
        freed = preempted or bool(ended)
        for request in ended:
            give(request)
        ended.clear()
        if not plan:
            loads = [r.loading for r in waiting if r.loading >= 0]
            if loads and (not freed or len(loads) == len(waiting)):
                now = max(now, min([*loads, *(r.arrival for r in coming[:1])]))
            elif not waiting and coming:
                now = max(now, coming[0].arrival)
            seen = now
            continue

        decodes = [past for r, _, past in plan if not r.prefilling]
        checked = sum(new for r, new, _ in plan if not r.prefilling)
        usual = min(len(decodes) * (1 + drafts), law.most_tokens)
        chunks = [(new, past) for r, new, past in plan if r.prefilling]
        contexts = sum(decodes)
        if chunks:
            cost = 0.0
            for new, past in chunks:
                cost += chunk_ticks(law.tables.chunk, new, past)
            longest = max(new + past for new, past in chunks)
            new = sum(new for new, _ in chunks)
        else:
            cost, longest, new = 0.0, 0, 0
        if chunks:
            total_new = checked + new
            ticks = int(mixed_ticks(law.tables, len(decodes), contexts, usual, total_new, len(chunks), cost, longest))
        else:
            ticks = round(law.seconds(len(decodes), contexts, []) / law.tick)
            ticks += int(law.tables.tokens[0, checked] - law.tables.tokens[0, usual])
        seen = now if engine.async_scheduling else now + ticks
        now += ticks
        pool.now = now
        steps += 1
        for request, new, past in plan:
            request.computed = past + new
            if not request.prefilling:
                accepted = 0
                if drafts:
                    request.state = request.state * 48271 % (2**31 - 1)
                    accepted = sum(request.state < limit for limit in engine.thresholds().tolist())
                accepted = min(accepted, new - 1)
                request.computed = past + 1 + accepted
                request.tokens += [now] * min(accepted + 1, request.output - len(request.tokens))
            elif request.computed == request.known:
                request.tokens.append(now)
                request.prefilling = False
            if not request.prefilling and len(request.tokens) == request.output:
                running.remove(request)
                end = now
                children = [r for r in everyone if parents[r.name] == request.name and fits[r.name]]
                for child in children:
                    child.arrival = now + (think[child.name] if think else 0)
                    coming.append(child)
                if concurrency and not children and roots:
                    roots[0].arrival = now
                    coming.append(roots.popleft())
                if engine.async_scheduling:
                    ended.append(request)
                else:
                    give(request)

    for request in ended:
        pool.give(request.blocks, request.names[: request.named // engine.block_size])
    gaps = Counter(b - a for r in everyone for a, b in zip(r.tokens, r.tokens[1:], strict=False) if b > a)
    return Outcome(everyone, gaps, steps, end, peak)
