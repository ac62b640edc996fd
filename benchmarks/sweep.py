"""Executors of a large sweep beside each other, in one run: points per second and the ratio of each to the pool's.

    python benchmarks/sweep.py [million points] [--ray]

The grid is dense: Llama 3 70B on H100, prefill and decode, floors and estimates with intervals, to Parquet. Processor
time per point is the figure that other work on the machine does not change. Targets on two cores: 100 million points
in 3 minutes (0.56 million/s); Ray at least 0.7 of the pool. Ray's own start is left out of its rate, not of its wall
time; its chunks are the pool's (500,000 points).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from ridgeline.sweep import Grid, Progress, run
from ridgeline.sweep.cluster import on_ray
from ridgeline.sweep.executor import Executor, pool, processors, serial

GRID = """
model = "llama-3-70b"
system = "hgx-h100"
[axes]
weights = ["bf16", "fp8"]
tp = [1, 2, 4, 8]
batch = "1:250:+1"
osl = "100:{most}:+100"
isl = "100:50k:+100"
"""


def measured(grid: Grid, executor: Executor) -> tuple[float, float, float]:
    """Points per second between the first chunk and the last, processor microseconds per point, wall seconds."""
    seen: list[tuple[float, Progress]] = []
    with tempfile.TemporaryDirectory() as folder:
        before, began = _processor(), time.perf_counter()
        run(grid, str(Path(folder) / "sweep"), executor, lambda now: seen.append((time.perf_counter(), now)))
        wall = time.perf_counter() - began
    (first, start), (last, end) = seen[1], seen[-1]
    return (end.points - start.points) / (last - first), (_processor() - before) / grid.points * 1e6, wall


def _processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    """Print the rates."""
    numbers = [float(word) for word in sys.argv[1:] if not word.startswith("--")]
    grid = Grid.from_toml(GRID.format(most=round(100 * (numbers or [10])[0])), "grid")
    cores = processors()
    executors = {f"pool of {cores}": pool(cores), "serial": serial}
    if "--ray" in sys.argv:
        executors["ray"] = on_ray(cores)
    rates: list[float] = []
    for name, executor in executors.items():
        rate, each, wall = measured(grid, executor)
        rates.append(rate)
        cost = "" if name == "ray" else f"{each:6.2f} us of processor each"
        print(f"{name:10} {grid.points / 1e6:6.0f} million points {rate / 1e6:6.2f} million/s", end="")
        print(f"  {rate / rates[0]:5.2f} of the pool  {wall:6.1f} s  {cost}", flush=True)


if __name__ == "__main__":
    main()
