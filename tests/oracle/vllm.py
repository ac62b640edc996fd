"""The scheduler of vLLM v1, slow and obvious: one step at a time, one object per request, lists.

Written from the description of the scheduler, not from the engine that it checks. Shares with it only the step law.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from ridgeline.simulate.engine import chunk_ticks, mixed_ticks
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import Engine


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

    def room(self) -> float:
        return len(self.free) if self.limited else float("inf")

    def take(self) -> Block:
        block = self.free.popleft() if self.limited else Block()
        if block.name is not None:
            del self.known[block.name]
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

    def give(self, blocks: list[Block]) -> None:
        for block in reversed(blocks):
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

    @property
    def known(self) -> int:
        return self.prompt + len(self.tokens)


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
) -> Outcome:
    """Serve all requests; requests that can never fit, and those that follow them, are left out."""
    total = engine.blocks or 1 << 50

    def blocks_for(tokens: int) -> int:
        return -(-tokens // engine.block_size)

    everyone = [Request(*row) for row in zip(range(len(arrivals)), arrivals, prompts, outputs, strict=True)]
    for request, mine in zip(everyone, names or [], strict=False):
        request.names = mine
    pool = Pool(total)
    fits = [blocks_for(r.prompt + r.output - 1) <= total for r in everyone]
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

        def fill(request: Request, upto: int) -> None:
            """Allocate blocks up to a number of tokens, and name those that are full then."""
            while len(request.blocks) < blocks_for(upto):
                request.blocks.append(pool.take())
            for block, name in zip(request.blocks[: upto // engine.block_size], request.names, strict=False):
                pool.name(block, name)

        def found(request: Request) -> list[Block]:
            """Blocks at its beginning that are known; not the one of its last token."""
            hit: list[Block] = []
            for name in request.names[: (request.known - 1) // engine.block_size]:
                if name not in pool.known:
                    break
                hit.append(pool.known[name])
            return hit

        def used() -> int:
            return len({id(block) for r in (*running, *ended) for block in r.blocks})

        budget, plan, preempted = engine.max_num_batched_tokens, [], False
        i = 0
        while i < len(running) and budget > 0:
            request = running[i]
            new = min(request.known - request.computed, budget)
            need = blocks_for(request.computed + new) - len(request.blocks)
            while need > pool.room():
                victim = running.pop()
                pool.give(victim.blocks)
                victim.computed = 0
                victim.prefilling = True
                victim.preemptions += 1
                waiting.appendleft(victim)
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
            request = waiting[0]
            hit = found(request)
            past = len(hit) * engine.block_size
            new = min(request.known - past, budget)
            need = blocks_for(request.known if engine.reserve_full_input else past + new) - len(hit)
            if need + sum(block.users == 0 for block in hit) > pool.room():
                break
            waiting.popleft()
            running.append(request)
            for block in hit:
                pool.use(block)
            request.blocks = hit
            fill(request, past + new)
            if request.start < 0:
                request.start, request.cached = now, past
            plan.append((request, new, past))
            budget -= new
        peak = max(peak, used())
        for request in ended:
            pool.give(request.blocks)
        ended.clear()
        if not plan:
            if not waiting and coming:
                now = max(now, coming[0].arrival)
            seen = now
            continue

        decodes = [past for r, _, past in plan if not r.prefilling]
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
            ticks = int(mixed_ticks(law.tables, len(decodes), contexts, new, len(chunks), cost, longest))
        else:
            ticks = round(law.seconds(len(decodes), contexts, []) / law.tick)
        seen = now if engine.async_scheduling else now + ticks
        now += ticks
        steps += 1
        for request, new, past in plan:
            request.computed = past + new
            if request.computed == request.known:
                request.tokens.append(now)
                request.prefilling = False
                if len(request.tokens) == request.output:
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
                        pool.give(request.blocks)

    gaps = Counter(b - a for r in everyone for a, b in zip(r.tokens, r.tokens[1:], strict=False))
    return Outcome(everyone, gaps, steps, end, peak)
