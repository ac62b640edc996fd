"""`menu`: its forms agree, its lines reproduce it, mistakes are one line, and it draws."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Runner

ASKED = "menu llama-3-70b hgx-h100 --tpot 50ms --margin 60% --utilisation 50%"
MIX = "--isl lognormal:mean=6k,cv=2,max=64k --osl exponential:mean=300"


@pytest.mark.parametrize(
    "more",
    [
        "",
        MIX,
        f"{MIX} --tp 8 --fast 1.5,3 --tiers 2 --beside gpt-5,claude-opus-4.5",
        f"{MIX} --reuse exponential:mean=10min,returns=60% --ttl 1h",
    ],
)
def test_forms_agree_and_lines_reproduce(run: Runner, more: str) -> None:
    document = run(f"{ASKED} {more} --json").json
    assert run(f"{document['line']} --json").json == document
    rows = list(csv.DictReader(io.StringIO(run(f"{ASKED} {more} --csv").out)))
    assert [row["line"] for row in rows] == [line["line"] for line in document["lines"]]
    out = run(f"{ASKED} {more}").out
    assert out.splitlines()[-1] == f"again: {document['line']}"
    assert "…" not in out
    assert max(len(line) for line in out.splitlines() if not line.startswith("again:")) <= 110
    for line in document["lines"]:
        assert line["cost_usd_per_tok"] == pytest.approx(0.4 * line["price_usd_per_tok"])
    assert ("lognormal" in more) == (len(document["steps"]) > 1)


def test_lengths_of_a_trace(run: Runner, tmp_path: Path) -> None:
    """A trace's own lengths; of two requests the dearer is the second tier."""
    trace = tmp_path / "trace.csv"
    trace.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,1000,100\n1,50000,100\n")
    found = run(f"menu llama-3-70b hgx-h100 --trace {trace} --json").json
    assert found["isl_mean_tok"] == 25_500
    assert [tier["above_tok"] for tier in found["steps"][1]["tiers"]] == [0, 1000]
    assert found["steps"][1]["moved"] == pytest.approx(0)


def test_it_draws(run: Runner, tmp_path: Path) -> None:
    assert run(f"{ASKED} {MIX} --plot {tmp_path / 'menu.svg'}").code == 0
    assert "3 tiers" in (tmp_path / "menu.svg").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--beside nosuch", "unknown price sheet"),
        ("--beside nosuch.toml", "nosuch.toml"),
        ("--margin 100%", "below 1"),
        ("--margin -5%", "negative"),
        ("--tiers 0", "from 1 to 16"),
        ("--fast 0.5", "speeds above that of standard"),
        ("--fast quick", "not a number"),
        ("--ttl 5", "no unit"),
        ("--ttl 0s", "times above 0"),
        ("--isl zipf:mean=3", "unknown distribution of --isl"),
        ("--trace nosuch.csv", "nosuch.csv"),
        ("--trace x.csv --isl 8k", "one of them"),
        ("--batch-utilisation 20%", "from --utilisation"),
        ("--medium nosuch", "unknown storage medium"),
        ("--tp 8 --tpot 1ms", "a TPOT of 1 ms"),
        ("--tpot 1ms", "--tpot 1 ms"),
        ("--isl 100M", "a shorter context"),
        ("--price nosuch", "nosuch price of hgx-h100"),
    ],
)
def test_mistakes_are_one_line(run: Runner, more: str, message: str) -> None:
    base = ["menu", "llama-3-70b", "hgx-h100", "--utilisation", "50%"]
    result = run(" ".join([*base, *([] if "tpot" in more else ["--tpot", "50ms"]), more]))
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
