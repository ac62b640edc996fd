"""All-reduce between all devices of the machine, timed by size: the bandwidth of their links.

    bus bandwidth = 2 (n - 1) / n * bytes / seconds        what a ring sends over each link, one way

One process per device (NCCL on GPUs). The processes meet in a file. Knows no topology.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import msgspec
import numpy as np

from ridgeline.validate.measure.device import Device, open_device
from ridgeline.validate.measure.reading import Reading, bare

SIZES = tuple(1 << bits for bits in range(12, 29, 2))
"""Bytes, 4 KiB to 256 MiB."""
REPEATS = 10


def all_reduce_readings(device: Device, ranks: int, sizes: tuple[int, ...] = SIZES) -> list[Reading]:
    """Times of an all-reduce of `sizes` bytes among `ranks` processes, one per device."""
    spawn = device.torch.multiprocessing.spawn

    with TemporaryDirectory() as folder:
        spawn(_rank, args=(ranks, device.kind, folder, sizes), nprocs=ranks)
        return msgspec.json.decode(Path(folder, "readings").read_bytes(), type=list[Reading])


def bus_bandwidth(reading: Reading) -> float:
    """Bytes per second that each device sends in an all-reduce."""
    ranks, size = reading.shape["ranks"], reading.shape["bytes"]
    return 2 * (ranks - 1) / ranks * size / reading.seconds


def _rank(rank: int, ranks: int, kind: str, folder: str, sizes: tuple[int, ...]) -> None:
    """One process: takes part in every all-reduce; the first one notes the times."""
    torch = open_device(kind).torch
    backend = "nccl" if kind == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=ranks)
    place = f"cuda:{rank}" if kind == "cuda" else "cpu"
    if kind == "cuda":
        torch.cuda.set_device(place)
    readings = []
    for size in sizes:
        data = torch.zeros(size // 2, dtype=torch.bfloat16, device=place)
        samples = []
        for _ in range(REPEATS + 2):
            torch.distributed.barrier()
            start = perf_counter()
            torch.distributed.all_reduce(data)
            if kind == "cuda":
                torch.cuda.synchronize(place)
            samples.append(perf_counter() - start)
        low, median, high = np.percentile(samples[2:], (25, 50, 75)).tolist()  # the first two open connections
        shape = {"ranks": float(ranks), "bytes": float(size)}
        found = Reading(operation=bare("all_reduce"), shape=shape, seconds=median, low=low, high=high, samples=REPEATS)
        readings.append(found)
    if rank == 0:
        Path(folder, "readings").write_bytes(msgspec.json.encode(readings))
    torch.distributed.destroy_process_group()
