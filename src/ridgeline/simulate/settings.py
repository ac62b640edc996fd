"""How an engine batches: its scheduler, what a step may hold, the cache and the tiers below it, and drafts.

Settings are the engines' own, under vLLM's names. Knows no request and no array.
"""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import msgspec
import numpy as np

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.simulate import (
    abreast,
    caching,
    engine,
    following,
    pool,
    radix,
    retraction,
    seatwise,
    sending,
    sglang,
    ticks,
    tiers,
    waiting,
)
from ridgeline.simulate.hierarchy import FETCHES, KvTier
from ridgeline.simulate.law import StepLaw

SCHEDULERS = ("vllm", "sglang")
POLICIES = {"vllm": ("fcfs", "priority"), "sglang": ("fcfs", "lpm")}
MOST_DRAFTS = 64


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """How an engine batches; defaults are vLLM's for an API server on a large device.

    Raises
    ------
    InputError
        For a count below its least.
    """

    max_num_batched_tokens: int = 8192
    """Tokens of a step at most."""
    max_num_seqs: int = 1024
    """Requests in the batch at most."""
    block_size: int = 16
    """Tokens per KV block."""
    blocks: int = 0
    """KV blocks of the replica; 0: no limit."""
    reserve_full_input: bool = True
    """Admit a request only if all its tokens so far fit, not only its first chunk (scheduler_reserve_full_isl)."""
    prefix_caching: bool = True
    """Remember the blocks of prompts and answers that have hash ids (enable_prefix_caching)."""
    static_batching: bool = False
    """Begin a batch, of those who wait and fit into one step, only when all of the one before have ended."""
    async_scheduling: bool = True
    """Plan a step while the one before it runs: an arrival and an end are seen one step late."""
    scheduler: str = "vllm"
    """One of `SCHEDULERS`. Of sglang, max_num_batched_tokens is chunked_prefill_size, max_num_seqs is
    max_running_requests, block_size is page_size, async_scheduling is its overlap."""
    max_prefill_tokens: int = 16384
    """Of sglang: tokens of a batch of prompts at which it is closed."""
    schedule_conservativeness: float = 1.0
    """Of sglang: times 0.7, at most 1, the share of answers still to come that memory is kept for at first."""
    retract_decode_steps: int = 20
    """Of sglang: decode steps for which a retraction makes room."""
    mixed_chunk: bool = False
    """Of sglang: decoding requests get a token also from a step that computes prompts (enable_mixed_chunk)."""
    policy: str = "fcfs"
    """Order of the queue, and of vllm who is preempted: one of `POLICIES` of the scheduler (scheduling_policy,
    schedule_policy)."""
    drafts: int = 0
    """Tokens drafted for each decoding request and step (num_speculative_tokens)."""
    acceptance: tuple[float, ...] = ()
    """Chance that each further draft is accepted if all before it are; the last holds for those behind it."""
    lookahead: int | None = None
    """KV positions held behind the drafts, for the drafter; None: as many as drafts, as for EAGLE and MTP."""
    draft_seed: int = 0
    """Seed of the draws of acceptance."""
    tiers: tuple[KvTier, ...] = ()
    """Where blocks of the prefix cache are kept below HBM, nearest first."""
    path: float = 0.0
    """Seconds per block on the link over which all tiers are read."""
    fetch: str = "sooner"
    """Which blocks are fetched from tiers: one of `FETCHES`."""

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise UnknownNameError("scheduler", self.scheduler, SCHEDULERS)
        least = {"max_num_batched_tokens": self.max_num_seqs, "max_num_seqs": 1, "block_size": 1, "blocks": 0}
        least |= {"max_prefill_tokens": 1, "retract_decode_steps": 1, "schedule_conservativeness": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                note = "max_num_seqs, so that every sequence gets its token" if name == "max_num_batched_tokens" else ""
                raise InputError(f"{name} {getattr(self, name)}", f"at least {low}", note and f"that is {note}")
        if self.policy not in POLICIES[self.scheduler]:
            raise UnknownNameError(f"policy of {self.scheduler}", self.policy, POLICIES[self.scheduler])
        if self.mixed_chunk and self.scheduler != "sglang":
            raise InputError(f"mixed_chunk with the scheduler of {self.scheduler}", "that of sglang; vllm always mixes")
        if not 0 <= self.drafts <= MOST_DRAFTS or self.draft_seed < 0 or (self.lookahead or 0) < 0:
            given = f"drafts {self.drafts}, lookahead {self.lookahead}, draft_seed {self.draft_seed}"
            raise InputError(given, f"whole numbers from 0, at most {MOST_DRAFTS} drafts")
        if bool(self.drafts) != bool(self.acceptance) or not all(0 <= chance <= 1 for chance in self.acceptance):
            given = f"{self.drafts} drafts, acceptance {', '.join(map(str, self.acceptance)) or 'none'}"
            raise InputError(given, "drafts, and chances from 0 to 1 that they are accepted; or neither")
        if self.fetch not in FETCHES:
            raise UnknownNameError("fetch policy", self.fetch, FETCHES)
        if not self.path >= 0:
            raise InputError(f"path {self.path}", "seconds per block, from 0")
        if self.tiers:
            for name, usual in (
                ("scheduler", "vllm"), ("reserve_full_input", True), ("prefix_caching", True), ("policy", "fcfs"),
                ("drafts", 0),
            ):  # fmt: skip
                if getattr(self, name) != usual:
                    raise InputError(f"KV tiers with {name} {getattr(self, name)}", f"{name} {usual}")
        for above, below in pairwise(self.tiers):
            if above.shared and not below.shared:
                given = f"KV tier {below.name}, of each replica, below {above.name}, which all share"
                raise InputError(given, "what is shared below all else")
        if self.scheduler == "sglang":
            if self.block_size > self.max_num_batched_tokens:
                raise InputError(f"block_size {self.block_size}", f"at most the chunk, {self.max_num_batched_tokens}")
            for name, usual in (
                ("static_batching", False), ("reserve_full_input", True), ("drafts", 0),
            ):  # fmt: skip
                if getattr(self, name) != usual:
                    raise InputError(f"{name} with the scheduler of sglang", "the scheduler of vllm")

    @property
    def first_ratio(self) -> float:
        """Of sglang: share of answers still to come that memory is kept for at first."""
        return min(0.7 * self.schedule_conservativeness, 1.0)

    @property
    def seatwise(self) -> bool:
        """Whether the requests of a batch go ahead differently."""
        return self.policy == "priority" or self.drafts > 0

    def modules(self, simple: bool = False) -> tuple[ModuleType, ...]:
        """What the scheduler is made of; of functions of one name that of the last module counts.

        `simple`: of one replica, whose requests have no ids, and none of which arrives when another ends. There is
        less to compile then, by half, and to do in each step.
        """
        if self.scheduler == "sglang":
            return (pool, ticks, engine, caching, following, radix, waiting, retraction, sglang, abreast)
        more = () if simple and not self.tiers else (caching, following, sending)
        own = (seatwise,) if self.seatwise else (tiers,) if self.tiers else ()
        return (pool, ticks, engine, *more, *own, abreast)

    @property
    def beyond(self) -> int:
        """KV positions that a decoding request may hold beyond its tokens."""
        return self.drafts + self.held_ahead

    @property
    def held_ahead(self) -> int:
        """KV positions held behind the drafts."""
        return self.drafts if self.lookahead is None else self.lookahead

    def thresholds(self) -> np.ndarray:
        """Draws below which so many drafts and one more are accepted: c_1 c_2 ... of all of them."""
        chances = [self.acceptance[min(i, len(self.acceptance) - 1)] for i in range(self.drafts)]
        return np.ceil(np.cumprod(chances) * seatwise.MODULUS).astype(np.int64)


def check_law(law: StepLaw, settings: Engine) -> None:
    """Refuse (InputError) a law that does not know the largest step."""
    if settings.max_num_batched_tokens > law.most_tokens or settings.max_num_seqs > law.most_sequences:
        raise InputError(
            f"a law of {law.most_tokens} tokens and {law.most_sequences} sequences",
            f"one for steps of {settings.max_num_batched_tokens} tokens and {settings.max_num_seqs} sequences",
        )
