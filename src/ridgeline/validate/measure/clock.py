"""How long one call takes: warm up, repeat until the samples agree or the time is spent, take the median.

A sample is a group of calls, long enough that reading the clock does not count. On a GPU the group is recorded as one
graph and replayed, as serving engines do, so that kernels are timed and not their launches. A call gets its number, so
that it can take its operands from memory that no earlier call has left in a cache.

Knows nothing of what is called.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import msgspec
import numpy as np

from ridgeline.validate.measure.device import Device

Call = Callable[[int], object]

SHORTEST = 2e-3
"""Seconds of a sample, if one call takes less."""
LEAST, AGREED = 5, 0.03
"""Samples before they may be called in agreement: quartiles within this share of the median."""
MOST_CALLS = 200
"""Calls in one sample."""


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Median seconds of a call, quartiles, samples."""

    seconds: float
    low: float
    high: float
    samples: int


class Clock(msgspec.Struct, frozen=True, kw_only=True):
    """Times calls on one device, each for at most about `budget` seconds (one warm-up and one sample at least)."""

    device: Device
    budget: float

    def time(self, call: Call, *, recorded: bool = True) -> Timing:
        """Time `call`, as a recorded graph where the device has such."""
        stop = perf_counter() + self.budget
        first = self._once(call)  # libraries load, kernels are picked
        first = min(first, self._once(call)) if first < self.budget else first
        record = recorded and self.device.kind == "cuda"
        aim = self.budget / 4 if record else SHORTEST  # replays repeat their operands: many, lest the cache hold them
        group = int(min(max(aim / first, 1), MOST_CALLS))
        sample = (self._recorded if record else self._called)(call, group)
        samples = [sample()]
        while perf_counter() < stop:
            samples.append(sample())
            low, median, high = np.percentile(samples, (25, 50, 75))
            if len(samples) >= LEAST and high - low <= AGREED * median:
                break
        low, median, high = np.percentile(samples, (25, 50, 75)) / group
        return Timing(seconds=float(median), low=float(low), high=float(high), samples=len(samples))

    def _once(self, call: Call) -> float:
        return self._called(call, 1)()

    def _called(self, call: Call, group: int) -> Callable[[], float]:
        """Seconds of `group` calls, one after another, until the device has done them."""
        torch, on_gpu, turn = self.device.torch, self.device.kind == "cuda", iter(range(2**62))

        def sample() -> float:
            start = perf_counter()
            for _ in range(group):
                call(next(turn))
            if on_gpu:
                torch.cuda.synchronize()
            return perf_counter() - start

        return sample

    def _recorded(self, call: Call, group: int) -> Callable[[], float]:
        """Seconds that the GPU takes for a graph of `group` calls."""
        torch = self.device.torch
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call(0)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            for i in range(group):
                call(i)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def sample() -> float:
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            return start.elapsed_time(end) * 1e-3

        return sample
