"""What the explorer takes: start and memory of the server, the page, slider to redraw, requests per second.

`make bench-web` runs it on this machine alone (loopback) and prints one line to each target; it is no test, since the
wall clock of a shared machine is noisy. CPU seconds of the server stand beside it where they say more.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

STEP = "/api/step?model=llama-3-70b&system=hgx-h100&tp=8&batch={}&context=8k"
MIXED = (
    STEP,
    "/api/board?model=llama-3-8b&system=hgx-h100&batch={}&context=4k",
    "/api/explain?model=llama-3-70b&system=hgx-h100&tp=8&batch={}&numbers=tpot_s",
    "/api/catalog?kind=systems",
    "/api/step?model=llama-3-70b&system=hgx-h100&tp=7&batch={}",
    "/static/main.js",
    "/",
)
CONNECTIONS = 8
STEPS = 1500


@contextmanager
def server() -> Iterator[tuple[int, int, float]]:
    """Port, process and seconds until the first answer."""
    began = time.perf_counter()
    line = [sys.executable, "-m", "ridgeline", "web", "--port", "0", "--no-browser"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found is not None
            asyncio.run(asked(int(found[1]), ["/"]))
            yield int(found[1]), process.pid, time.perf_counter() - began
        finally:
            process.terminate()


def memory(process: int) -> float:
    """Resident MB."""
    text = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def cpu(process: int) -> float:
    """Seconds of the processor."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def asked(port: int, paths: list[str]) -> tuple[list[float], int]:
    """Ask all on a few connections that are kept: milliseconds of each, and how many failed."""
    waiting, took, failed = iter(paths), list[float](), [0]

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in waiting:
            began = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.split("content-length: ")[1].split("\r")[0]))
            took.append(1e3 * (time.perf_counter() - began))
            failed[0] += head.split()[1] not in ("200", "422")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return took, failed[0]


def quantiles(values: list[float]) -> str:
    p50, p90, p99 = np.percentile(values, (50, 90, 99))
    return f"p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f} ms"


def drawn(port: int, process: int) -> None:
    """The page in Chromium: ready, bytes, slider to redraw."""
    from playwright.sync_api import Response, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        answers: list[Response] = []
        page.on("response", lambda answer: answers.append(answer))
        began = time.perf_counter()
        page.goto(f"http://127.0.0.1:{port}/board")
        page.wait_for_selector(".facts")
        ready = time.perf_counter() - began
        page.wait_for_load_state("networkidle")
        size = sum(len(each.body()) for each in answers) / 1e3
        print(f"page ready         {ready:.2f} s, {size:.0f} kB   (1 s, 250 kB)")
        before = cpu(process)
        took = page.evaluate(
            """async () => {
                const slider = document.querySelector("[data-name=batch]"), out = [];
                for (let i = 0; i < 60; i++) {
                    const place = document.querySelector("[data-drawn]");
                    const drawn = new Promise((resolve) => {
                        new MutationObserver(resolve).observe(place, { attributeFilter: ["data-drawn"] });
                    });
                    const began = performance.now();
                    slider.value = 4 + (i % 20);
                    slider.dispatchEvent(new Event("input", { bubbles: true }));
                    await drawn;
                    await new Promise(requestAnimationFrame);
                    out.push(performance.now() - began);
                }
                return out;
            }"""
        )
        each = 1e3 * (cpu(process) - before) / len(took)
        print(f"slider to redraw   {quantiles(took)}, {each:.1f} CPU ms of the server   (p50 35, p90 60 ms)")
        browser.close()


def main() -> None:
    """Print what was measured, and each target."""
    with server() as (port, process, seconds):
        print(f"server start       {seconds:.2f} s, {cpu(process):.2f} CPU s, {memory(process):.0f} MB   (2 s, 150 MB)")
        if shutil.which("chromium"):
            drawn(port, process)
        asyncio.run(asked(port, [STEP.format(1 + i) for i in range(50)]))
        began, before = time.perf_counter(), cpu(process)
        took, failed = asyncio.run(asked(port, [STEP.format(1 + i % 97) for i in range(STEPS)]))
        rate, busy = STEPS / (time.perf_counter() - began), STEPS / (cpu(process) - before)
        print(
            f"step               {rate:.0f}/s, {busy:.0f} per CPU s, {quantiles(took)}, {failed} failed   (300/s, 100)"
        )
        paths = [MIXED[i % len(MIXED)].format(1 + i % 64) for i in range(10_000)]
        asyncio.run(asked(port, paths[:1000]))
        before = memory(process)
        _, failed = asyncio.run(asked(port, paths))
        print(f"10,000 mixed       {failed} failed, {before:.0f} to {memory(process):.0f} MB   (0, no growth)")


if __name__ == "__main__":
    main()
