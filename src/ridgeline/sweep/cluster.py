"""Chunks of a sweep on Ray, on this machine or on a cluster that is there already.

A task gets the text of the grid and the number of a chunk and gives back the bytes of its file; this process writes
them. Ray repeats the task of a worker that dies. Knows no pool.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from importlib import import_module
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any

from ridgeline.errors import InputError
from ridgeline.sweep.executor import Executor, Finished
from ridgeline.sweep.grid import Grid
from ridgeline.sweep.store import laws, pack, put

PATIENCE = 5.0
"""Seconds that an address is given to answer."""
JOIN = 4.0
"""Further seconds that Ray is given to join the cluster there."""
RETRIES = 2
"""Times that Ray repeats the task of a worker that died."""


def on_ray(workers: int, address: str = "") -> Executor:
    """Compute the chunks on Ray: at `address`, or with no address on `workers` processors of this machine.

    Raises
    ------
    InputError
        If Ray is not installed, nobody answers at the address (within PATIENCE + JOIN seconds), or a node has another
        version of Ridgeline.
    """

    def execute(grid: Grid, path: str, chunks: Iterable[int]) -> Finished:
        with redirect_stdout(sys.stderr):  # Ray tells of dead workers there, among what a sweep prints
            ray = _connected(address, workers)
            try:
                yield from _finished(ray, grid, path, iter(chunks), address)
            finally:
                ray.shutdown()

    return execute


def _finished(ray: Any, grid: Grid, path: str, waiting: Iterator[int], address: str) -> Finished:
    """Keep every processor busy with a task, and one more waiting."""
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(content)
    text, version = grid.to_toml(), laws(grid)
    ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
    running: dict[Any, int] = {remote.remote(text, version, chunk): chunk for chunk in islice(waiting, ahead)}
    while running:
        (done, *_), _ = ray.wait(list(running))
        chunk = running.pop(done)
        rows, data = ray.get(done)
        if data is None:
            raise InputError(f"--address {address}", "a node has another version of Ridgeline, or other data")
        put(path, chunk, data)
        yield chunk, rows
        running |= {remote.remote(text, version, other): other for other in islice(waiting, 1)}


def content(text: str, version: str, chunk: int) -> tuple[int, bytes | None]:
    """Rows and bytes of a chunk's file; None where laws and data are not those of `version`."""
    grid = Grid.from_toml(text, "grid")
    if laws(grid) != version:
        return 0, None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chunk.parquet"
        return pack(grid, chunk, file), file.read_bytes()


def _connected(address: str, workers: int) -> Any:
    """Ray, joined."""
    if address and address != "auto":
        _reach(address)
    try:
        ray = import_module("ray")
    except ImportError:
        raise InputError("--executor ray", "needs Ray", "pip install 'ridgeline[ray]'") from None
    quiet = {"log_to_driver": False, "configure_logging": True, "logging_level": "ERROR"}
    if not address:
        ray.init(num_cpus=workers, include_dashboard=False, **quiet)
        return ray
    failed: list[BaseException] = []

    def join() -> None:
        try:
            ray.init(address=address, **quiet)
        except BaseException as error:
            failed.append(error)

    joining = Thread(target=join, daemon=True)
    joining.start()
    joining.join(JOIN if address != "auto" else PATIENCE + JOIN)
    if failed or joining.is_alive():
        reason = " ".join(str(failed[0]).split())[:120] if failed else "no answer"
        raise InputError(f"--address {address}", f"no Ray cluster could be joined there ({reason})", "ray status")
    return ray


def _reach(address: str) -> None:
    """Refuse an address at which nobody listens."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not host or not port.isdigit():
        raise InputError(f"--address {address!r:.80}", "HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "timed out"
        raise InputError(
            f"--address {address}", f"nobody answers there ({reason})", "ray start --head prints the address"
        ) from None
