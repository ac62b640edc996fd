"""What the documentation shows of a terminal is what the terminal shows.

A fenced block in the language `console` is a transcript: lines `$ ridgeline ...`, each with what the command prints,
some with a filter of its answer (`| sed -n 4,7p`). The tests replay each one and compare; `python docs/transcript.py
FILE ...` replays each one and writes down what it saw. Commands run in this process: most take less time than Python
and the package need to start. Blocks in another shell language (`sh`) are shown and not run. Knows nothing about what
the commands mean.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from ridgeline.cli.app import main

BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.MULTILINE | re.DOTALL)
WIDTH = 110
PROMPT = "$ ridgeline"


def replay(transcript: str) -> str:
    """Run the commands of a transcript in one empty folder; the transcript with what they print now."""
    lines: list[str] = []
    terminal = {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory() as folder, chdir(folder), patch.dict(os.environ, terminal):
        for command in (line for line in transcript.splitlines() if line.startswith(PROMPT)):
            lines += [command, *(line.rstrip() for line in _printed(command).rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def _printed(command: str) -> str:
    """What a command prints: its mistakes, then its answer, which the filter after a pipe has seen."""
    words = shlex.split(command.removeprefix(PROMPT), comments=True)
    pipe = words.index("|") if "|" in words else len(words)
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        main(words[:pipe])
    answer, sieve = out.getvalue(), words[pipe + 1 :]
    if sieve:
        answer = subprocess.run(sieve, input=answer, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
    return err.getvalue() + answer


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        text = page.read_text(encoding="utf-8")
        page.write_text(BLOCK.sub(lambda block: replay(block[0]), text), encoding="utf-8")
