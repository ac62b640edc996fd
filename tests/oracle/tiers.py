"""KV tiers, slow and obvious: one ordered dictionary of names for each. Shares only the step law with the engine."""

from __future__ import annotations

from dataclasses import dataclass, field

from ridgeline.simulate.hierarchy import KvTier
from ridgeline.simulate.law import StepLaw
from ridgeline.simulate.ticks import chunk_ticks, mixed_ticks


@dataclass
class Level:
    """One tier: when each block was used last, and from when it is there; oldest first."""

    setting: KvTier
    tick: float
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)
    read_free: int = 0
    write_free: int = 0
    fetched: int = 0
    written: int = 0

    def ticks(self, seconds: float) -> float:
        return seconds if seconds == float("inf") else round(seconds / self.tick)

    def late(self, name: int, now: int) -> bool:
        return now - self.blocks[name][0] > self.ticks(self.setting.ttl)

    def use(self, name: int, now: int) -> None:
        self.blocks[name] = (now, self.blocks.pop(name)[1])


class Tiers:
    """All tiers below a pool."""

    def __init__(
        self,
        settings: tuple[KvTier, ...],
        path: float,
        policy: str,
        law: StepLaw,
        chunk: int,
        shared: list[Level] | None = None,
    ) -> None:
        """`shared`: the levels that others have too."""
        own = [setting for setting in settings if shared is None or not setting.shared]
        self.levels = [Level(setting, law.tick) for setting in own] + (shared or [])
        self.path, self.policy, self.law, self.chunk = round(path / law.tick), policy, law, chunk
        self.path_free = 0

    def lose(self) -> None:
        """Whoever has these fails: what others do not have too is empty."""
        for level in self.levels:
            if not level.setting.shared:
                level.blocks.clear()
                level.read_free = level.write_free = 0
        self.path_free = 0

    def remembered(self, name: int, now: int) -> None:
        """The pool has a block that it did not have."""
        if self.levels and self.levels[0].setting.write_through:
            self.write(0, name, now)

    def forgotten(self, name: int, now: int) -> None:
        """The pool gives a block up."""
        if self.levels and not self.levels[0].setting.write_through:
            self.write(0, name, now)

    def write(self, at: int, name: int, now: int) -> None:
        level = self.levels[at]
        if name in level.blocks:
            level.use(name, now)
            return
        evicted = None
        if len(level.blocks) == level.setting.blocks:
            oldest = next(iter(level.blocks))
            evicted = None if level.late(oldest, now) else oldest
            del level.blocks[oldest]
        level.written += 1
        level.write_free = max(level.write_free, now) + int(level.ticks(level.setting.write))
        level.blocks[name] = (now, level.write_free + int(level.ticks(level.setting.latency)))
        if at + 1 < len(self.levels):
            if self.levels[at + 1].setting.write_through:
                self.write(at + 1, name, now)
            elif evicted is not None:
                self.write(at + 1, evicted, now)

    def find(self, name: int, now: int) -> Level | None:
        for level in self.levels:
            if name in level.blocks and level.blocks[name][1] <= now and not level.late(name, now):
                return level
        return None

    def done(self, sources: list[Level], now: int) -> int:
        done = max(self.path_free, now) + len(sources) * self.path
        for level in self.levels:
            count = sum(source is level for source in sources)
            if count:
                each = int(level.ticks(level.setting.read))
                done = max(done, max(level.read_free, now) + count * each + int(level.ticks(level.setting.latency)))
        return max(done, now + 1)

    def alone(self, past: int, total: int) -> int:
        ticks = 0
        while past < total:
            new = min(total - past, self.chunk)
            cost = chunk_ticks(self.law.tables.chunk, new, past)
            ticks += int(mixed_ticks(self.law.tables, 0, 0, 0, new, 1, cost, past + new))
            past += new
        return ticks

    def choose(self, names: list[int], past: int, block: int, total: int, now: int) -> list[Level]:
        """Where the blocks to fetch lie, of those whose names follow what the pool has."""
        sources: list[Level] = []
        for name in names:
            level = self.find(name, now)
            if level is None:
                break
            sources.append(level)
        if self.policy == "always":
            return sources
        if self.policy == "never":
            return []
        depth = [self.levels.index(source) for source in sources]
        cuts = [k for k in range(len(sources)) if all(d < depth[k] for d in depth[:k])] + [len(sources)]

        def ready(cut: int) -> int:
            wait = self.done(sources[:cut], now) - now if cut else 0
            return wait + self.alone(past + cut * block, total)

        return sources[: min(cuts, key=lambda cut: (ready(cut), cut))]

    def fetch(self, names: list[int], sources: list[Level], now: int) -> int:
        """Begin to fetch; when it is done."""
        for name, level in zip(names, sources, strict=True):
            level.use(name, now)
        done = self.done(sources, now)
        for level in self.levels:
            count = sum(source is level for source in sources)
            if count:
                level.read_free = max(level.read_free, now) + count * int(level.ticks(level.setting.read))
                level.fetched += count
        self.path_free = max(self.path_free, now) + len(sources) * self.path
        return done
