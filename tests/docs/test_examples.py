"""The notebooks of examples/ run from top to bottom, their assertions included.

As scripts, but in this process: PyTest turns their warnings into errors, and nothing is imported again for each.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path) -> None:
    pytest.importorskip("marimo")
    runpy.run_path(str(example), run_name="__main__")


def test_an_example_that_is_wrong_fails(tmp_path: Path) -> None:
    """Else the test above would say nothing."""
    pytest.importorskip("marimo")
    (tmp_path / "wrong.py").write_text(EXAMPLES[0].read_text("utf-8").replace("assert ", "assert not "), "utf-8")
    with pytest.raises(AssertionError):
        runpy.run_path(str(tmp_path / "wrong.py"), run_name="__main__")
