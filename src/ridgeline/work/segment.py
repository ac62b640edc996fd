"""A group of like sequences in one step: how many, how many new tokens each, how many already in the cache.

Decode is `new` = 1 (1 + drafts with speculation), prefill is `new` = the prompt or a chunk of it; a mixed step is a
list of both. Everything attention needs to know about a step follows from these three numbers:

    pairs(w) = sum over i = 1..new of min(past + i, w)        query-key pairs per sequence, causal, window w
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """`seqs` sequences that each add `new` tokens to `past` cached ones and need logits for `sampled` of them."""

    seqs: Array
    new: Array = 1
    past: Array = 0
    sampled: Array = 1
    prefill: bool = False
    """Prompts, which other kernels serve than decoding sequences."""

    @property
    def phase(self) -> str:
        """Prefill or decode."""
        return "prefill" if self.prefill else "decode"

    @property
    def tokens(self) -> Array:
        """New tokens of the group."""
        return self.seqs * self.new

    def pairs(self, window: float = 0) -> Array:
        """Query-key pairs of one sequence, causal, each query looking back at most `window` tokens (0: all).

        With n1 = clip(window - past, 0, new) queries that still see everything:
        pairs = n1 * past + n1 (n1 + 1) / 2 + (new - n1) * window.
        """
        if not window:
            return self.new * (self.past + (self.new + 1) / 2)
        xp = namespace(self.past, self.new)
        whole = xp.minimum(xp.maximum(window - self.past, 0 * self.past), self.new + 0 * self.past)
        return whole * self.past + whole * (whole + 1) / 2 + (self.new - whole) * window

    def block_pairs(self, picks: float) -> Array:
        """Query-key pairs of one sequence whose query at position x reads min(x, 2 sqrt(picks x)) entries.

        Summaries and picked blocks as of `Attention.blocks`; the sum over the new tokens as an integral.
        """
        all_of = 4.0 * picks  # positions below read everything
        xp = namespace(self.past, self.new)

        def upto(x: Array) -> Array:
            short = xp.minimum(x, all_of + 0 * x)
            return short**2 / 2 + 4 / 3 * picks**0.5 * (xp.maximum(x, all_of + 0 * x) ** 1.5 - all_of**1.5)

        return upto(1.0 * (self.past + self.new)) - upto(1.0 * self.past + 0 * self.new)

    def block_entries(self, picks: float) -> Array:
        """Cached entries of one sequence that must be read where each query picks its own blocks."""
        each = self.new * 2 * (picks * self.past) ** 0.5
        return namespace(self.past, each).minimum(self.past + 0 * each, each)

    def entries(self, window: float = 0) -> Array:
        """Cached entries of one sequence that must be read: each once, however many queries use it."""
        if not window:
            return self.past
        return namespace(self.past).minimum(self.past, window + 0 * self.past)

    def selected(self, topk: float = 0) -> Array:
        """The same where each query picks its own `topk` entries (0: all): all picks, as far as there are entries."""
        if not topk:
            return self.past
        picks = topk * self.new
        return namespace(self.past, picks).minimum(self.past + 0 * picks, picks + 0 * self.past)
