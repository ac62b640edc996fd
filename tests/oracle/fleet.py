"""A fleet, slow and obvious: servers with lists, one step at a time, and everything in the order of time.

Two pools with a link that queues, failures and repairs, replicas that follow the load, four routers, KV tiers. Written
from the descriptions in `routing.py` and `upkeep.py`, not from their code. Shares with it only the step law.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.settings import Engine
from ridgeline.simulate.ticks import chunk_ticks, mixed_ticks

from .tiers import Tiers
from .vllm import Block, Pool


@dataclass(eq=False)
class Job:
    name: int
    arrival: int
    prompt: int
    output: int
    names: list[int] = field(default_factory=list)
    came: int = -1
    start: int = -1
    cached: int = 0
    tokens: list[int] = field(default_factory=list)
    """When each was passed on."""
    given: int = 0
    """Computed, of which the last may not have been passed on."""
    computed: int = 0
    prefilling: bool = True
    loaded: bool = False
    named: int = 0
    """Tokens of which the full blocks are known by their names, once it gives them back."""
    loading: int = -1
    """When the fetch of its blocks is done."""
    thrown: int = 0
    retried: int = 0
    server: int = -1


@dataclass(eq=False)
class Server:
    number: int
    law: StepLaw
    engine: Engine
    sends: bool = False
    takes: bool = False
    delay: int = 0
    up: bool = True
    state: str = "up"
    ready: int = -1
    on_since: int = 0
    paid: int = 0
    now: int = 0
    seen: int = 0
    wake: int | None = None
    """When it plans again."""
    idle: bool = True
    """Whether nothing runs until then."""
    link: int = 0
    waiting: deque[Job] = field(default_factory=deque)
    running: list[Job] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    sending: deque[tuple[int, Job, list[Block], list[int]]] = field(default_factory=deque)
    blocks: dict[Job, list[Block]] = field(default_factory=dict)
    tiers: Tiers | None = None
    finishing: list[tuple[int, Job]] = field(default_factory=list)
    """Who has ended or left, and when: open until then."""
    steps: int = 0

    def __post_init__(self) -> None:
        self.total = self.engine.blocks or 1 << 50
        self.empty()

    def empty(self) -> None:
        """Nothing is remembered."""
        self.pool = Pool(self.total)
        self.pool.tiers = self.tiers
        if self.tiers:
            self.tiers.lose()

    def blocks_for(self, tokens: int) -> int:
        return -(-tokens // self.engine.block_size)

    def open(self, when: int) -> int:
        still = sum(at > when for at, _ in self.finishing)
        return len(self.waiting) + len(self.running) + still

    def found(self, job: Job, tokens: int) -> list[Block]:
        hit: list[Block] = []
        for name in job.names[: (tokens - 1) // self.engine.block_size]:
            if name not in self.pool.known:
                break
            hit.append(self.pool.known[name])
        return hit

    def burden(self, job: Job, when: int) -> int:
        held = [*self.blocks.values(), *(mine for at, _, mine, _ in self.sending if at > when)]
        used = len({id(block) for mine in held for block in mine})
        queue = sum(self.blocks_for(other.prompt) for other in self.waiting)
        return self.blocks_for(job.prompt) - len(self.found(job, job.prompt)) + used + queue

    def fill(self, job: Job, upto: int) -> None:
        mine = self.blocks[job]
        while len(mine) < self.blocks_for(upto):
            mine.append(self.pool.take())
        if job.prefilling:  # what it generates is found when it gives its blocks back
            full = slice(job.named // self.engine.block_size, upto // self.engine.block_size)
            for block, name in zip(mine[full], job.names[full], strict=False):
                self.pool.name(block, name)
        job.named = upto

    def known(self, job: Job) -> list[int]:
        """Names of the full blocks that it holds here."""
        return job.names[: job.named // self.engine.block_size]

    def needed(self, hit: list[Block], tokens: int) -> int:
        return self.blocks_for(tokens) - len(hit) + sum(block.users == 0 for block in hit)

    def admit(self, job: Job, hit: list[Block], upto: int) -> None:
        """Of a job that holds blocks already these are what it hit."""
        self.waiting.remove(job)
        self.running.append(job)
        for block in () if job in self.blocks else hit:
            self.pool.use(block)
        self.blocks[job], job.named = list(hit), len(hit) * self.engine.block_size
        self.fill(job, upto)

    def make_room(self, job: Job) -> None:
        """While nobody runs: take the room that a waiting job lacks from the last ones that were fetched."""
        known = job.prompt + job.given
        while True:
            mine = self.blocks.get(job)
            if (self.blocks_for(known) - len(mine) if mine else self.needed(self.found(job, known), known)) <= (
                self.pool.room()
            ):
                return
            holders = [r for r in self.waiting if r in self.blocks and r.loading < 0 and r is not job]
            if not holders:
                return
            holders[-1].named = len(self.blocks[holders[-1]]) * self.engine.block_size
            self.pool.give(self.blocks.pop(holders[-1]), self.known(holders[-1]))

    def fetches(self, job: Job, hit: list[Block], past: int) -> bool:
        """Begin to fetch what lies below of a waiting job's blocks, if that is wanted."""
        known, size = job.prompt + job.given, self.engine.block_size
        more = job.names[len(hit) : (known - 1) // size]
        sources = self.tiers.choose(more, past, size, known, self.now) if self.tiers else []
        if not self.tiers or not sources:
            return False
        job.loading = self.tiers.fetch(more[: len(sources)], sources, self.now)
        for block in hit:
            self.pool.use(block)
        self.blocks[job] = hit + [self.pool.take() for _ in sources]
        return True

    def plan(self, fleet: Fleet) -> None:
        """Plan and make the step that begins now, or find out when to try again."""
        assert self.wake is not None
        if self.idle:
            self.now = self.seen = self.wake
        e, now, self.idle = self.engine, self.now, False
        self.pool.now = now
        while self.sending and self.sending[0][0] <= now:
            _, _, mine, names = self.sending.popleft()
            self.pool.give(mine, names)
        for job in self.waiting:
            if 0 <= job.loading <= self.seen:
                job.loading = -1
                for block, name in zip(self.blocks[job], job.names, strict=False):
                    self.pool.name(block, name)
        # those that came with their cache
        while self.takes and self.waiting and not any(r.prefilling for r in self.running):
            job = self.waiting[0]
            places = min(e.max_num_seqs, e.max_num_batched_tokens)
            if not job.loaded or job.arrival > self.seen or len(self.running) + len(self.ended) >= places:
                break
            cached = job.prompt + job.given - 1
            hit = self.found(job, cached + 1)
            growing = sum(len(self.blocks[r]) < self.blocks_for(r.computed + 1) for r in self.running)
            if self.needed(hit, cached + 1) > self.pool.room() - growing:
                break
            self.admit(job, hit, cached)
            job.loaded, job.prefilling, job.computed = False, False, cached
            job.tokens.append(now)
        budget, plan, thrown = e.max_num_batched_tokens, [], False
        i = 0
        while i < len(self.running) and budget > 0:
            job = self.running[i]
            new = min(job.prompt + job.given - job.computed, budget)
            while self.blocks_for(job.computed + new) - len(self.blocks[job]) > self.pool.room():
                victim = self.running.pop()
                self.drop(victim)
                victim.thrown += 1
                self.waiting.appendleft(victim)
                thrown = True
                if victim is job:
                    break
            else:
                self.fill(job, job.computed + new)
                plan.append((job, new, job.computed))
                budget -= new
                i += 1
                continue
            break
        while self.waiting and not thrown and budget > 0:
            job = next((r for r in self.waiting if r.loading < 0), None)
            if job is None:
                break
            if len(self.running) + len(self.ended) + len(self.sending) >= e.max_num_seqs:
                break
            if job.arrival > self.seen or job.loaded:
                break
            known = job.prompt + job.given
            if self.tiers and not self.running and not self.ended:
                self.make_room(job)
            holds = self.blocks.get(job)
            hit = holds or self.found(job, known)
            past = len(hit) * e.block_size
            new = min(known - past, budget)
            whole = known if e.reserve_full_input else past + new
            if (self.blocks_for(whole) - len(hit) if holds else self.needed(hit, whole)) > self.pool.room():
                break
            if not holds and self.fetches(job, hit, past):
                continue
            self.admit(job, hit, past + new)
            if job.start < 0:
                job.start, job.cached = now, past
            plan.append((job, new, past))
            budget -= new
        freed = thrown or bool(self.ended)
        for job in self.ended:
            self.pool.give(self.blocks.pop(job), self.known(job))
        self.ended.clear()
        if not plan:
            if not self.waiting:
                self.wake = None
                return
            head = next((r for r in self.waiting if r.loading < 0), None)
            self.idle, self.wake = True, now
            loads = [r.loading for r in self.waiting if r.loading >= 0]
            if head is None or head.arrival > self.seen:
                self.wake = max(now, min([*loads, *([head.arrival] if head else [])]))
            elif not freed:
                self.wake = max(now, min(loads + [at for at, *_ in self.sending]))
            return
        ticks = self.ticks(plan)
        self.seen = now if e.async_scheduling else now + ticks
        self.now = self.wake = self.pool.now = end = now + ticks
        self.steps += 1
        for job, new, past in plan:
            job.computed = past + new
            if job.computed < job.prompt + job.given:
                continue
            job.given += 1
            job.prefilling = False
            if self.sends and job.given < job.output:
                self.running.remove(job)
                self.finishing.append((end, job))
                whole = fleet.send[job.name]
                self.link = max(self.link, end) + whole + whole * (job.computed - job.prompt) // job.prompt
                self.sending.append((self.link, job, self.blocks.pop(job), self.known(job)))
                job.loaded, job.arrival = True, self.link + self.delay
                fleet.coming.append(job)
                continue
            job.tokens.append(end)
            if job.given == job.output:
                self.running.remove(job)
                self.finishing.append((end, job))
                if e.async_scheduling:
                    self.ended.append(job)
                else:
                    self.pool.give(self.blocks.pop(job), self.known(job))
                fleet.ends.append((end, job))

    def drop(self, job: Job) -> None:
        if job in self.blocks:
            self.pool.give(self.blocks.pop(job), self.known(job))
        job.computed, job.prefilling = 0, True

    def ticks(self, plan: list[tuple[Job, int, int]]) -> int:
        decodes = [past for r, _, past in plan if not r.prefilling]
        chunks = [(new, past) for r, new, past in plan if r.prefilling]
        if not chunks:
            return round(self.law.seconds(len(decodes), sum(decodes), []) / self.law.tick)
        cost, longest = 0.0, max(new + past for new, past in chunks)
        for new, past in chunks:
            cost += chunk_ticks(self.law.tables.chunk, new, past)
        n, total = len(decodes), len(decodes) + sum(new for new, _ in chunks)
        return int(mixed_ticks(self.law.tables, n, sum(decodes), n, total, len(chunks), cost, longest))


@dataclass(eq=False)
class Fleet:
    servers: list[Server]
    jobs: list[Job]
    router: str
    prefills: int = 0
    after: list[int] | None = None
    think: list[int] | None = None
    concurrency: int = 0
    session: list[int] = field(default_factory=list)
    send: list[int] = field(default_factory=list)
    failures: list[tuple[int, int, int]] = field(default_factory=list)
    """Time, replica, ticks of repair; sorted."""
    retry: int = 0
    every: int = 0
    target: int = 1
    fewest: int = 0
    begin: int = 0
    start: int = 0
    keep: int = 0
    coming: list[Job] = field(default_factory=list)
    ends: list[tuple[int, Job]] = field(default_factory=list)
    turns: list[int] = field(default_factory=lambda: [0, 0])
    home: dict[int, int] = field(default_factory=dict)
    failed: int = 0

    def run(self) -> None:
        """Serve everything."""
        parents = self.after or [-1] * len(self.jobs)
        roots = deque(job for job in self.jobs if parents[job.name] < 0)
        if self.concurrency:
            for job in self.jobs:
                job.arrival = 0
            self.coming += [roots.popleft() for _ in range(min(self.concurrency, len(roots)))]
        else:
            self.coming += roots
        look = enough = self.begin
        for server in self.servers if self.fewest else []:
            server.on_since = self.begin
            if server.number >= self.fewest:
                server.state = "off"
        left = len(self.jobs)
        while left:
            times: list[tuple[int, int, int]] = []  # time, kind, number
            if self.failures:
                times.append((self.failures[0][0], 0, 0))
            if self.fewest:
                times.append((look, 0, 0))
            times += [(s.ready, 0, 0) for s in self.servers if s.state in ("starting", "failed")]
            times += [(at, 1, job.name) for at, job in self.ends]
            times += [(job.arrival, 2, job.name) for job in self.coming]
            times += [(s.wake, 3, s.number) for s in self.servers if s.wake is not None]
            when, kind, number = min(times)
            if kind == 3:
                self.servers[number].plan(self)
            elif kind == 1:
                end = next(pair for pair in self.ends if pair[0] == when and pair[1].name == number)
                self.ends.remove(end)
                left -= 1
                children = [job for job in self.jobs if parents[job.name] == number]
                for child in children:
                    child.arrival = when + (self.think[child.name] if self.think else 0)
                    self.coming.append(child)
                if self.concurrency and not children and roots:
                    roots[0].arrival = when
                    self.coming.append(roots.popleft())
            elif kind == 2:
                self.hand_out(self.jobs[number], when)
            else:
                for s in self.servers:
                    if s.state in ("starting", "failed") and s.ready <= when:
                        if s.state == "starting":
                            s.ended.clear()
                            s.blocks.clear()
                            s.empty()
                        s.state = "up"
                        s.now = s.seen = max(s.now, when)
                while self.failures and self.failures[0][0] <= when:
                    _, which, repair = self.failures.pop(0)
                    self.fail(self.servers[which], when, repair)
                if self.fewest and look <= when:
                    enough = self.scale(when, enough)
                    look = when + self.every
        while plans := [(s.wake, s.number) for s in self.servers if s.wake is not None]:
            self.servers[min(plans)[1]].plan(self)  # gives back what the last ones held

    def hand_out(self, job: Job, when: int) -> None:
        self.coming.remove(job)
        if job.came < 0:
            job.came = when
        pool = self.servers[self.prefills :] if job.loaded else self.servers[: self.prefills or None]
        server = self.choose(job, pool, when)
        if server is None:
            job.arrival = min(s.ready for s in pool if s.state in ("starting", "failed"))
            self.coming.append(job)
            return
        job.server = server.number
        server.waiting.append(job)
        if server.wake is None:
            server.wake, server.idle = max(server.now, when), True
        elif server.idle and server.tiers:  # it waits for a fetch
            server.wake = min(server.wake, max(server.now, when))

    def choose(self, job: Job, pool: list[Server], when: int) -> Server | None:
        up = [s for s in pool if s.state == "up"]
        router = self.router
        if job.loaded and router != "round-robin":
            router = "least-loaded"
        if router == "round-robin":
            for _ in pool:
                server = pool[self.turns[job.loaded] % len(pool)]
                self.turns[job.loaded] += 1
                if server.state == "up":
                    return server
            return None
        if router == "sticky":
            home = self.home.get(self.session[job.name])
            if home is not None and self.servers[home].state == "up":
                return self.servers[home]
        if not up:
            return None
        best = min(up, key=lambda s: s.burden(job, when) if router == "prefix" else s.open(when))
        if router == "sticky":
            self.home[self.session[job.name]] = best.number
        return best

    def fail(self, s: Server, when: int, repair: int) -> None:
        if s.state not in ("up", "draining"):
            return
        end = max(when, s.now)
        self.failed += 1
        lost = [*s.running, *s.waiting]
        for job in s.running:
            job.thrown += 1
        for job in lost:
            job.arrival = end + self.retry
            self.coming.append(job)
        lost += [job for at, job, *_ in s.sending if at > end]
        for job in lost:
            job.given, job.loaded = len(job.tokens), False
            job.computed, job.prefilling, job.loading = 0, True, -1
            job.retried += 1
        s.waiting.clear()
        s.running.clear()
        s.ended.clear()
        s.sending.clear()
        s.blocks.clear()
        s.empty()
        s.link, s.wake, s.now, s.seen = 0, None, end, end
        s.state, s.ready = "failed", end + repair

    def scale(self, when: int, enough: int) -> int:
        for s in self.servers:
            if s.state == "draining" and not s.open(when):
                self.off(s, when)
        on = sum(s.state in ("up", "starting", "failed") for s in self.servers)
        total = sum(s.open(when) for s in self.servers)
        wanted = min(max(-(-total // self.target), self.fewest), len(self.servers))
        if wanted >= on:
            enough = when
        for s in sorted(self.servers, key=lambda s: (s.state != "draining", s.number)):
            if on < wanted and s.state in ("draining", "off"):
                on += 1
                if s.state == "off":
                    s.state, s.ready, s.on_since = "starting", when + self.start, when
                else:
                    s.state = "up"
        if when - enough >= self.keep:
            for s in reversed(self.servers):
                if on > wanted and s.state in ("up", "starting"):
                    on -= 1
                    if s.state == "starting" or not s.open(when):
                        self.off(s, when)
                    else:
                        s.state = "draining"
        return enough

    def off(self, s: Server, when: int) -> None:
        s.state = "off"
        s.paid += when - s.on_since

    @property
    def end(self) -> int:
        return max(job.tokens[-1] for job in self.jobs)

    def gaps(self) -> Counter[int]:
        return Counter(b - a for job in self.jobs for a, b in zip(job.tokens, job.tokens[1:], strict=False))
