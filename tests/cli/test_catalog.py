"""`catalog` and `cite`: what there is, and who says so."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest

from ridgeline.catalog import BUILT_IN

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Runner

KINDS = ("chips", "systems", "media", "models")


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_listed(run: Runner, kind: str) -> None:
    """As text, rows and document."""
    names = BUILT_IN.names(kind)
    assert [each["name"] for each in run(f"catalog {kind} --json").json["entries"]] == names
    assert [row["name"] for row in csv.DictReader(io.StringIO(run(f"catalog {kind} --csv").out))] == names
    out = run(f"catalog {kind}").out
    assert all(name in out for name in names)


def test_kinds_are_counted(run: Runner) -> None:
    kinds = {each["kind"]: each["entries"] for each in run("catalog --json").json["kinds"]}
    assert kinds.keys() == {*KINDS, "prices", "sheets", "scaling", "rl"}
    assert kinds["models"] >= 45


@pytest.mark.parametrize(
    ("kind", "name"), [("chips", "h100"), ("systems", "gb200"), ("media", "nvme"), ("models", "gpt-oss-20b")]
)
def test_every_value_has_a_source(run: Runner, kind: str, name: str) -> None:
    """An entry is shown value by value, each with a citation."""
    entries = run(f"catalog {kind} {name} --json").json["entries"]
    assert entries
    assert all(each["value"] and each["source"] for each in entries)
    assert "[1] " in run(f"catalog {kind} {name}").out


def test_prices(run: Runner, tmp_path: Path) -> None:
    """A price of one's own takes the place of the built-in one of its kind, in the list and in the cost."""
    (tmp_path / "prices").mkdir()
    text = '[[prices]]\nkind = "rented"\nrate = "$9/h"\ndate = "2026-01"\nsource = "https://example.org"\n'
    (tmp_path / "prices/hgx-h100.toml").write_text(text)
    listed = run(f"catalog prices hgx-h100 --catalog {tmp_path} --json").json["entries"]
    assert {each["usd_per_chip_s"] * 3600 for each in listed if each["kind"] == "rented"} == {9.0}
    assert run(f"step llama-3-8b hgx-h100 --catalog {tmp_path} --json").json["usd_per_chip_s"] * 3600 == 9.0


def test_cite(run: Runner) -> None:
    """Each source once, with the values it stands behind; a price from the command line needs none."""
    sources = run("cite deepseek-v3 gb200-nvl72 --json").json["sources"]
    citations = [each["citation"] for each in sources]
    assert len(citations) == len(set(citations))
    values = [value for each in sources for value in each["values"]]
    assert {"deepseek-v3", "chip.hbm_bandwidth", "chip.peak.fp8", "price", "constants of kernels"} <= set(values)
    assert "chip.peak.int8" not in values
    given = run("cite deepseek-v3 gb200-nvl72 --price $2/h --json").json["sources"]
    assert "price" not in [value for each in given for value in each["values"]]
    assert "http" in run("cite deepseek-v3 gb200-nvl72").out
