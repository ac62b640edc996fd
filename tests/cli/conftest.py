"""Running the program as a user does, in this process."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from ridgeline.cli.app import main


class Run(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


Runner = Callable[[str], Run]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Run `ridgeline ...` given as one text, on a terminal of 110 columns."""
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setenv("NO_COLOR", "1")

    def runner(words: str) -> Run:
        code = main(shlex.split(words.removeprefix("ridgeline ")))
        captured = capsys.readouterr()
        return Run(code, captured.out, captured.err)

    return runner
