"""How sheets are built: counted by hand on a few, and on a public sheet held against statistics made by other code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ridgeline.pricing.history import days, distinct, ratios, steps
from ridgeline.pricing.litellm import load_litellm, priced, read_all, read_litellm
from ridgeline.pricing.sheet import Mode, Sheet, Step, Write

MTOK = 1e-6
SHEETS = [
    Sheet(name="a", provider="p", date="2025-06", input=2 * MTOK, output=8 * MTOK, cached=1 * MTOK),
    Sheet(name="b", provider="p", date="2025-06", input=2 * MTOK, output=8 * MTOK, cached=1 * MTOK),
    Sheet(name="b", provider="q", date="2026-06", input=2 * MTOK, output=12 * MTOK, cached=0.2 * MTOK,
          writes=(Write(hold=300, price=2.5 * MTOK),), modes=(Mode(name="batch", input=MTOK, output=6 * MTOK),),
          steps=(Step(above=200e3, input=4 * MTOK, output=18 * MTOK),)),
]  # fmt: skip


def test_ratios_are_counted_once_per_price() -> None:
    """What one provider asks for two models alike is one price."""
    found = ratios(distinct(SHEETS))
    assert found["output / input"].sheets == 2
    assert found["output / input"].quantiles[2] == 5.0
    assert found["cached / input"].quantiles[2] == pytest.approx(0.3)
    assert found["write 5 min / input"].mode == 1.25
    assert found["batch output / output"].mode == 0.5
    assert "priority input / input" not in found
    assert steps(SHEETS) == {(200e3, 2.0, 1.5): 1}


def test_medians_move_with_the_date() -> None:
    """Cached input fell from a half to a tenth."""
    old, new = days(SHEETS)
    assert (old.date, old.output, old.cached, old.stepped) == ("2025-06", 4.0, 0.5, 0)
    assert (new.date, new.output, new.stepped) == ("2026-06", 6.0, 1)
    assert new.cached == pytest.approx(0.1)


def test_a_fast_mode_may_be_a_factor() -> None:
    """Anthropic's fast mode stands in litellm's file as one factor on all lines."""
    entry = {"mode": "chat", "input_cost_per_token": 5e-6, "output_cost_per_token": 25e-6,
             "provider_specific_entry": {"us": 1.1, "fast": 2}}  # fmt: skip
    assert read_litellm("opus", entry).modes == (Mode(name="fast", input=10e-6, output=50e-6),)


def test_statistics_of_a_public_sheet(shared: Path) -> None:
    """Counts, quantiles and steps of the raw file, as an independent script found them (ratio_stats.txt).

    Batch and flex have one to two sheets more there: a price of input without one of output is no mode here.
    """
    folder = shared / "facts" / "prices"
    raw, stated = folder / "litellm_1.109.1_model_prices.json", folder / "ratio_stats.txt"
    if not (raw.is_file() and stated.is_file()):
        pytest.skip("no public sheet")
    entries = load_litellm(raw)
    sheets, refused = read_all(entries, priced(entries))
    text = stated.read_text().split("\n\n## ")[0]
    rows, unique = (int(n) for n in re.findall(r"rows=(\d+), unique price tuples=(\d+)", text)[0])
    kinds = distinct(sheets)
    assert (len(sheets), len(kinds), refused) == (rows, unique, [])
    found = ratios(kinds)
    names = {
        "output/input": "output / input", "cache_read/input": "cached / input",
        "cachewrite5m/input": "write 5 min / input", "cachewrite1h/input": "write 1 h / input",
        "cachewrite12h/input": "write 12 h / input", "priority/std in": "priority input / input",
        "fast/std out": "fast output / output", "ultrafast/std out": "ultrafast output / output",
        "above_in/in": "step input / input", "above_out/out": "step output / output",
        "above_cache/cache": "step cached / cached",
    }  # fmt: skip
    for theirs, ours in names.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(theirs)).split("|")[0]
        count, *quantiles = re.findall(r"(?:n|p10|p25|median|p75|p90)= ?([\d.]+)", line)
        assert found[ours].sheets == int(count), theirs
        assert found[ours].quantiles == pytest.approx([float(q) for q in quantiles], rel=5e-3), theirs
        assert found[ours].mode == pytest.approx(float(re.findall(r"mode=([\d.]+)", line)[0])), theirs
    pairs = dict(re.findall(r"(\([\d.]+, [\d.]+, [\d.]+\)): (\d+)", text))
    assert {str(key): str(count) for key, count in steps(kinds).items()} == pairs
