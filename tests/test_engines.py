"""Constants of engines as a file: what is stored is what differs from the level above, and nothing is lost."""

from __future__ import annotations

from importlib.resources import files

import msgspec

from ridgeline.engines import engines, read_engines, write_engines


def test_what_is_stored_reads_back() -> None:
    assert read_engines(write_engines(engines()).encode()) == engines()


def test_the_shipped_file_is_as_it_is_written() -> None:
    """Edits by hand keep the form in which a new calibration is compared with the old one, line by line."""
    shipped = files("ridgeline.catalog").joinpath("engines.json").read_text(encoding="utf-8")
    assert shipped == write_engines(engines())


def test_a_level_says_only_what_it_changes() -> None:
    """A place that equals its engine is a line with its name."""
    found = engines()
    parent = next(each for each in found.engines if each.engine == "vllm" and not each.generation)
    twin = msgspec.structs.replace(parent, place="vllm, a model, a system")
    text = write_engines(msgspec.structs.replace(found, engines=(*found.engines, twin)))
    assert '{"place":"vllm, a model, a system"}' in text
