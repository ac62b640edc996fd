"""Seconds of work: how long the math, the memory traffic and the messages each take, and which one binds.

    math = sum over formats of FLOP / peak        memory = bytes / bandwidth        comms = sum of messages

Nothing can be faster than the largest of them (`lower`: perfect overlap), and a machine that overlaps nothing takes
their sum (`upper`). A memory traffic equals the math at the *ridge point*: peak / bandwidth, in FLOP per byte.

    ridge in tokens per weight     r  = peak * bytes per weight / (2 bandwidth)         (the lecture's "300")
    balance batch                  B* = r * N_total / N_active                          weights' reading = math
    balance context                L* = 2 N_active * bandwidth / (peak * KV bytes read per token)     KV reading = math
    drain                          D  = HBM capacity / HBM bandwidth

Knows neither models nor efficiencies.
"""

from __future__ import annotations

import msgspec

from ridgeline.arrays import Array, namespace
from ridgeline.hardware import Chip
from ridgeline.work import Operation, Work

TERMS = ("math", "memory", "comms", "overhead")


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of math, memory traffic, messages and fixed overhead; numbers or arrays. Times add."""

    math: Array = 0.0
    memory: Array = 0.0
    comms: Array = 0.0
    overhead: Array = 0.0

    @property
    def lower(self) -> Array:
        """The floor: everything overlaps perfectly, so the longest term, plus overhead, which nothing hides."""
        xp = namespace(self.math, self.memory, self.comms)
        return xp.maximum(xp.maximum(self.math, self.memory), self.comms) + self.overhead

    @property
    def upper(self) -> Array:
        """Nothing overlaps: the sum of all terms."""
        return self.math + self.memory + self.comms + self.overhead

    @property
    def binding(self) -> Array:
        """Index into `TERMS` of the longest term: 0 math, 1 memory, 2 comms, 3 overhead."""
        xp = namespace(self.math, self.memory, self.comms, self.overhead)
        best, index = self.math + 0.0 * self.memory, 0 * (self.math > 0)
        for i, term in enumerate((self.memory, self.comms, self.overhead), start=1):
            index = xp.where(term > best, i, index)
            best = xp.maximum(best, term + 0.0 * best)
        return index

    def __add__(self, other: Time) -> Time:
        return Time(
            math=self.math + other.math,
            memory=self.memory + other.memory,
            comms=self.comms + other.comms,
            overhead=self.overhead + other.overhead,
        )

    def __mul__(self, count: Array) -> Time:
        return Time(
            math=self.math * count,
            memory=self.memory * count,
            comms=self.comms * count,
            overhead=self.overhead * count,
        )

    __rmul__ = __mul__


def work_time(work: Work | Operation, chip: Chip) -> Time:
    """Seconds of `work` at the chip's peak rates; messages and overhead are not in it."""
    if isinstance(work, Operation):
        return Time(math=work.flop / chip.math_rate(work.math), memory=work.memory / chip.hbm_bandwidth)
    math: Array = 0.0
    for number, flop in work.flop.items():
        math = math + flop / chip.math_rate(number)
    return Time(math=math, memory=work.memory / chip.hbm_bandwidth)


def ridge(peak: Array, bandwidth: Array) -> Array:
    """Ridge point in FLOP per byte: peak / bandwidth."""
    return peak / bandwidth


def ridge_tokens(peak: Array, bandwidth: Array, weight_bytes: Array) -> Array:
    """Tokens per read weight at which math takes as long as reading: peak * weight_bytes / (2 * bandwidth).

    Examples
    --------
    >>> round(ridge_tokens(10e15, 8e12, 0.5), 1)  # GB200, FP4, as the lecture has it
    312.5
    """
    return peak * weight_bytes / (2.0 * bandwidth)


def balance_batch(ridge_in_tokens: Array, parameters: Array, active_parameters: Array) -> Array:
    """B*: the batch at which reading all weights takes as long as the math: r * N_total / N_active.

    Examples
    --------
    >>> balance_batch(300, 256, 32)
    2400.0
    """
    return ridge_in_tokens * parameters / active_parameters


def balance_context(active_parameters: Array, peak: Array, bandwidth: Array, kv_bytes_per_token: Array) -> Array:
    """L*: the context at which reading one sequence's cache takes as long as one token's math, in tokens.

    2 N_active / peak = L* k / bandwidth.
    """
    return 2.0 * active_parameters * bandwidth / (peak * kv_bytes_per_token)


def drain_time(capacity: Array, bandwidth: Array) -> Array:
    """Seconds to read a memory once: capacity / bandwidth."""
    return capacity / bandwidth
