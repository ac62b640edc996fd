"""The folder of a sweep survives kills, full disks and other sweeps: no point is lost, doubled or half-written."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ridgeline import InputError
from ridgeline.sweep import Grid, run, table, terms
from ridgeline.sweep.block import KEPT
from ridgeline.sweep.cluster import on_ray
from ridgeline.sweep.executor import pool, serial
from ridgeline.sweep.store import answered

pytest.importorskip("duckdb")

GRID = """
model = "llama-3-8b"
system = "hgx-h100"
file_points = 1000
filters = ["batch * tp <= 300"]

[axes]
weights = ["bf16", "fp8"]
tp = [1, 3, 8]
batch = "1:100:+1"
context = "1k:100k:+1k"
"""


@pytest.fixture(scope="module")
def grid() -> Grid:
    return Grid.from_toml(GRID, "grid.toml")


@pytest.fixture(scope="module")
def whole(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted sweep in this process."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    run(grid, str(folder), serial)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _started(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, in a session of its own."""
    file = folder.parent / "grid.toml"
    file.write_text(GRID)
    command = [sys.executable, "-m", "ridgeline", "sweep", str(file), "-o", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def _wait_for(folder: Path, files: int) -> None:
    """Wait until so many chunks are finished."""
    until = time.monotonic() + 60
    while len(list(folder.glob("*.parquet"))) < files:
        assert time.monotonic() < until, "the sweep does not get on"
        time.sleep(0.005)


def _children(process: int) -> Iterator[int]:
    """Processes whose parent is `process`."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == process:
            yield int(entry.name)


def test_rows_are_those_of_the_table(grid: Grid, whole: Path) -> None:
    """Parquet holds what the table holds, in its order, to the seven digits of its floats; null for what is refused."""
    blocks = list(table(grid))
    answer = answered(str(whole), "SELECT * FROM sweep")
    assert len(answer.rows) == sum(len(block["refused"]) for block in blocks)
    for i, name in enumerate(answer.names):
        mine = np.concatenate([block[name] for block in blocks])
        theirs = [row[i] for row in answer.rows]
        if name == "binding":
            assert [text or "" for text in theirs] == terms(mine).tolist()
        elif mine.dtype.kind == "f":
            np.testing.assert_allclose([np.nan if v is None else v for v in theirs], mine, rtol=1e-6)
        else:
            assert theirs == mine.tolist()
    assert answer.names == [*grid.axes, *KEPT]


def test_a_pool_writes_the_same_bytes(grid: Grid, whole: Path, tmp_path: Path) -> None:
    """Who computes a chunk must not matter."""
    run(grid, str(tmp_path / "pool"), pool(2))
    assert _files(tmp_path / "pool") == _files(whole)


@pytest.mark.parametrize("how", [("--executor", "serial"), ("--workers", "2")])
def test_killed_and_resumed(whole: Path, tmp_path: Path, how: tuple[str, ...]) -> None:
    """SIGKILL in the middle, three times: the folder ends as if nothing had happened, and what was there is kept."""
    folder = tmp_path / "sweep"
    ends: list[int] = []
    for goal in (2, 12, 25):
        process = _started(folder, *how)
        _wait_for(folder, goal)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        ends.append(process.returncode)  # 0 only if it was faster than its killer
    assert ends[0] == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    process = _started(folder, *how)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert f"({len(kept)} of them from an earlier run)" in out.decode()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert _files(folder) == _files(whole)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells which process is a worker")
def test_a_killed_worker_costs_only_its_chunk(whole: Path, tmp_path: Path) -> None:
    """The parent goes on with another worker, and the folder is complete."""
    folder = tmp_path / "sweep"
    process = _started(folder, "--workers", "2")
    _wait_for(folder, 2)
    os.kill(next(_children(process.pid)), signal.SIGKILL)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert _files(folder) == _files(whole)


def test_a_chunk_that_kills_every_worker_is_given_up(
    grid: Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk too large for the memory must not be tried for ever."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="ended its worker 3 times"):
        run(grid, str(tmp_path / "sweep"), pool(1))


def test_orphans_end(tmp_path: Path) -> None:
    """Workers whose parent was killed end by themselves."""
    folder = tmp_path / "sweep"
    process = _started(folder, "--workers", "2")
    _wait_for(folder, 1)
    workers = list(_children(process.pid))
    process.kill()
    process.communicate()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() and "Z" not in _state(worker) for worker in workers):
        assert time.monotonic() < until, "a worker outlives its parent"
        time.sleep(0.02)


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_full_disk(grid: Grid, whole: Path, tmp_path: Path) -> None:
    """A file that may not grow stands for a disk that is full: no scrap is left, and what was finished can be read."""
    folder = tmp_path / "sweep"
    largest = max(path.stat().st_size for path in whole.glob("*.parquet"))
    enough = (whole / "000000.parquet").stat().st_size
    assert enough < largest, "the first chunk is to be finished, and a later one not"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (enough, before[1]))
        with pytest.raises(InputError, match="chunks are finished and readable; the same command goes on"):
            run(grid, str(folder), serial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(folder.glob(".*"))
    answer = answered(str(folder), "SELECT count(*) FROM sweep")
    assert 0 < answer.finished < answer.chunks == grid.chunks
    assert answer.rows[0][0] > 0
    run(grid, str(folder), serial)
    assert _files(folder) == _files(whole)


def test_a_torn_file_is_computed_again(grid: Grid, whole: Path, tmp_path: Path) -> None:
    """A machine that lost power may have kept half of a file that was already in its place."""
    folder = tmp_path / "sweep"
    run(grid, str(folder), serial)
    first = folder / "000000.parquet"
    first.write_bytes(first.read_bytes()[:100])
    assert run(grid, str(folder), serial).found == grid.chunks - 1
    assert _files(folder) == _files(whole)


def test_folder_of_another_grid(grid: Grid, whole: Path) -> None:
    """Mixed rows would be worse than none: both grids are named, and nothing is touched."""
    before = _files(whole)
    other = Grid.from_toml(GRID.replace("1:100:+1", "1:50:+1"), "grid.toml")
    with pytest.raises(InputError, match=r"another grid: llama-3-8b .* 100 batch .*; asked: .* 50 batch .* in batch"):
        run(other, str(whole), serial)
    assert _files(whole) == before


def test_folder_of_other_laws(grid: Grid, tmp_path: Path) -> None:
    """Numbers of two versions must not stand in one table."""
    run(grid, str(tmp_path / "sweep"), serial)
    file = tmp_path / "sweep/grid.toml"
    file.write_text(file.read_text().replace('laws = "', 'laws = "0'))
    with pytest.raises(InputError, match="another version"):
        run(grid, str(tmp_path / "sweep"), serial)


def test_folder_of_something_else(grid: Grid, tmp_path: Path) -> None:
    """A slip in the name must not fill somebody's folder."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        run(grid, str(tmp_path), serial)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_one_sweep_at_a_time(grid: Grid, tmp_path: Path) -> None:
    """A second run of the same folder is told of the first."""
    pytest.importorskip("fcntl")
    process = _started(tmp_path / "sweep", "--workers", "1")
    try:
        _wait_for(tmp_path / "sweep", 1)
        with pytest.raises(InputError, match="another sweep"):
            run(grid, str(tmp_path / "sweep"), serial)
    finally:
        process.communicate()
    assert process.returncode == 0


def test_ray_writes_the_same_bytes_though_a_worker_is_killed(whole: Path, tmp_path: Path) -> None:
    """Who computes a chunk must not matter, on Ray either, and a worker that dies costs its chunk."""
    pytest.importorskip("ray")
    folder = tmp_path / "sweep"
    process = _started(folder, "--executor", "ray", "--workers", "2")
    _wait_for(folder, 1)
    workers = [entry for entry in Path("/proc").glob("[0-9]*") if _command(entry).startswith("ray::content")]
    if workers:
        os.kill(int(workers[0].name), signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert b"worker" not in out
    assert _files(folder) == _files(whole)


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


ADDRESSES = {
    "no port": ("somewhere", "HOST:PORT"),
    "nobody listens": ("127.0.0.1:1", "nobody answers"),
    "no such host": ("nowhere.invalid:6379", "nobody answers"),
}


@pytest.mark.parametrize("what", ADDRESSES)
def test_unreachable_cluster(grid: Grid, tmp_path: Path, what: str) -> None:
    """Ray itself waits for minutes; this must be said within ten seconds."""
    address, told = ADDRESSES[what]
    began = time.monotonic()
    with pytest.raises(InputError, match=told):
        run(grid, str(tmp_path / "sweep"), on_ray(1, address))
    assert time.monotonic() - began < 10


def test_an_address_where_something_else_listens(grid: Grid, tmp_path: Path) -> None:
    """A port that accepts and says nothing must not hold up the program either."""
    pytest.importorskip("ray")
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        with pytest.raises(InputError, match="no Ray cluster could be joined"):
            run(grid, str(tmp_path / "sweep"), on_ray(1, f"127.0.0.1:{server.getsockname()[1]}"))
        assert time.monotonic() - began < 10
