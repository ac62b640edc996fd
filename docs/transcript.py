"""What the documentation shows of a terminal is what the terminal shows.

A fenced block in the language `console` is a transcript: a line `$ ridgeline ...`, then what the command prints. The
tests replay each one and compare; `python docs/transcript.py FILE ...` replays each one and writes down what it saw.
Blocks in another shell language (`sh`) are shown and not run. Knows nothing about what the commands mean.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
WIDTH = 110
PROMPT = "$ ridgeline"


def replay(transcript: str) -> str:
    """Run the commands of a transcript in one empty folder; the transcript with what they print now."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    terminal = {**os.environ, "PATH": path, "COLUMNS": str(WIDTH), "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for command in (line for line in transcript.splitlines() if line.startswith(PROMPT)):
            printed = subprocess.run(
                command.removeprefix("$ "),
                shell=True,
                cwd=folder,
                env=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                check=False,
            ).stdout
            lines += [command, *(line.rstrip() for line in printed.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        text = page.read_text(encoding="utf-8")
        page.write_text(BLOCK.sub(lambda block: replay(block[0]), text), encoding="utf-8")
