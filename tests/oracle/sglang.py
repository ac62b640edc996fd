"""The scheduler of SGLang, slow and obvious: one step at a time, one object per request, lists.

Written from the description of the scheduler, not from the engine that it checks. Shares with it only the step law, and
with the other oracle requests and blocks.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

from ridgeline.simulate.engine import chunk_ticks, mixed_ticks
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.replica import Engine

from .vllm import Block, Outcome, Pool, Request

UNIT = 2**30


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
    total, page = engine.blocks or 1 << 50, engine.block_size

    def pages(tokens: int) -> int:
        return -(-tokens // page)

    everyone = [Request(*row) for row in zip(range(len(arrivals)), arrivals, prompts, outputs, strict=True)]
    for request, mine in zip(everyone, names or [], strict=False):
        request.names = mine
    pool = Pool(total)
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
    chunked: Request | None = None
    full = False
    now = seen = steps = end = peak = 0

    def fill(request: Request, upto: int) -> None:
        while len(request.blocks) < pages(upto):
            request.blocks.append(pool.take())
        for block, name in zip(request.blocks[: upto // page], request.names, strict=False):
            pool.name(block, name)

    def found(request: Request) -> list[Block]:
        hit: list[Block] = []
        for name in request.names[: (request.known - 1) // page]:
            if name not in pool.known:
                break
            hit.append(pool.known[name])
        return hit

    def over(request: Request) -> bool:
        return len(request.tokens) == request.output

    def short(requests: list[Request], count: int) -> int:
        """Pages that some decode steps of some requests take."""
        return sum(pages(r.computed + count) - len(r.blocks) for r in requests)

    def used() -> int:
        holders = [*running, *unseen, *([chunked] if chunked else [])]
        return len({id(block) for r in holders for block in r.blocks})

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
        if engine.async_scheduling:
            unseen.append(request)
        else:
            pool.give(request.blocks)

    while coming or waiting or running or chunked:
        coming.sort(key=lambda r: (r.arrival, r.name))
        while coming and coming[0].arrival <= seen:
            waiting.append(coming.pop(0))

        # A batch of prompts.
        batch: list[tuple[Request, int, int]] = []
        if not running:
            full = False
        occupied = len(running)
        if chunked or (waiting and not full):
            adder = Adder(
                page=page,
                chunk=engine.max_num_batched_tokens,
                rest=engine.max_prefill_tokens,
                free=min(pool.room() * page, 2**31),
                owed=sum(min(r.output - reported[r.name], 4096) for r in running if r in unseen or not over(r)) * ratio,
            )
            if chunked:
                request, left = chunked, chunked.known - chunked.computed
                most = min(adder.chunk, adder.memory() // UNIT)
                new = min(left, most if most > 0 else adder.chunk)
                batch.append((request, new, request.computed))
                assert pages(request.computed + new) - len(request.blocks) <= pool.room()
                fill(request, request.computed + new)
                adder.charge(request, new, new == left)
                chunked = None if new == left else request
            while waiting and not full:
                if len(batch) >= engine.max_num_seqs - occupied:
                    full = True
                    break
                request = waiting[0]
                hit = found(request)
                past = len(hit) * page
                new = request.known - past
                idle = sum(block.users == 0 for block in hit) * page if pool.limited or hit else 0
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
                for block in hit:
                    pool.use(block)
                request.blocks = hit
                assert pages(past + new) - len(hit) <= pool.room()
                fill(request, past + new)
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
            holders = [r for r, _, _ in batch] + running + unseen
            peak = max(peak, len({id(block) for r in holders for block in r.blocks}))
            for request in unseen:
                pool.give(request.blocks)
                reported[request.name] = request.output
            unseen.clear()
            for r in running:
                reported[r.name] = len(r.tokens)
            cost = 0.0
            for _, new, past in batch:
                cost += chunk_ticks(law.tables.chunk, new, past)
            longest = max(new + past for _, new, past in batch)
            new = sum(new for _, new, _ in batch)
            ticks = int(mixed_ticks(law.tables, 0, 0, 0, new, len(batch), cost, longest))
            seen = now if engine.async_scheduling else now + ticks
            now += ticks
            steps += 1
            if not occupied or chunked:
                full = False
            for request, new, past in batch:
                request.computed = past + new
                if request is chunked:
                    continue
                reported[request.name] = len(request.tokens) + (not engine.async_scheduling)
                request.tokens.append(now)
                if over(request):
                    leave(request)
                    if not engine.async_scheduling:
                        full = False
                        continue
                running.append(request)
            continue

        # A decode step.
        known = [r for r in running if over(r) and r not in unseen]
        if known:
            full = False
            running = [r for r in running if r not in known]
        if running:
            if unseen and short(running, 1) > pool.room():
                running = [r for r in running if r not in unseen]
                for request in unseen:
                    pool.give(request.blocks)
                unseen.clear()
                full = False
            live = [r for r in running if r not in unseen]
            peak = max(peak, used() + min(short(running, 1), pool.room()))
            if short(running, 1) <= pool.room():
                ratio = max(ratio - decay, lowest)
            else:
                thrown = False
                while len(live) > 1 and (not thrown or short(live, engine.retract_decode_steps) > pool.room()):
                    live.sort(key=lambda r: r.name)
                    order = {r.name: i for i, r in enumerate(running)}
                    victim = min(live, key=lambda r: (reported[r.name], -r.prompt, -order[r.name]))
                    live.remove(victim)
                    running.remove(victim)
                    pool.give(victim.blocks)
                    victim.computed = 0
                    victim.preemptions += 1
                    waiting.append(victim)
                    thrown = True
                given = sum(reported[r.name] for r in live) + engine.retract_decode_steps * len(live)
                ratio = min(UNIT, given * UNIT // (sum(r.output for r in live) + 1))
                full = False
        if not running:
            if not waiting:
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
        for request in unseen:
            pool.give(request.blocks)
            reported[request.name] = request.output
        unseen.clear()
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

    gaps = Counter(b - a for r in everyone for a, b in zip(r.tokens, r.tokens[1:], strict=False))
    return Outcome(everyone, gaps, steps, end, int(peak))
