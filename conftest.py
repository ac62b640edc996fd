"""The documentation is tested: Python blocks run, terminal transcripts are replayed and compared."""

from __future__ import annotations

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser
from transcript import replay


def _replayed(example: Example) -> str | None:
    shown, now = str(example.parsed), replay(str(example.parsed))
    return None if now == shown else f"shown:\n{shown}\nprinted now (`make readme` writes it down):\n{now}"


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser("console", _replayed), SkipParser()],
    pattern="*.md",
).pytest()
