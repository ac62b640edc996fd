"""Prints the figure to quote: points per second."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """One line per benchmark that counts points."""
    session = getattr(config, "_benchmarksession", None)
    for bench in session.benchmarks if session else []:
        if rate := bench.extra_info.get("points_per_s"):
            terminalreporter.write_line(f"{bench.name:45} {rate:12,.0f} points/s")
