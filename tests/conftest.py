"""What all tests share: deterministic property tests, and the measured data when it is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=2000)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of facts and measurements beside the repository; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("RIDGELINE_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no data folder {folder.name!r}: set RIDGELINE_SHARED")
    return folder
