"""No measured decode step is faster than the floor: public measurements of whole engines, where the data are at hand.

One row of grade A that beats the floor means that the floor counts something that need not happen, or that the row is
wrong; either is explained in EXPLAINED, by its id.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ridgeline import InputError, Scenario
from ridgeline.layout import Layout
from ridgeline.subject import subject
from ridgeline.timing import step
from ridgeline.work import Segment

EXPLAINED: dict[str, str] = {}


def rows(shared: Path, mode: str) -> list[dict[str, str]]:
    with (shared / "measured" / "points_dev.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["mode"] == mode and row["mtp"] == "0" and row["batch"]]


def layout(row: dict[str, str]) -> Layout:
    tp, pp, dp, ep, cp = (int(row[name] or 1) for name in ("tp", "pp", "dp", "ep", "cp"))
    return Layout(tp=tp if tp * pp * dp * cp == int(row["chips"]) else int(row["chips"]), pp=pp, dp=dp, ep=ep, cp=cp)


def floor_and_value(row: dict[str, str]) -> tuple[float, float] | None:
    """Floor and measured seconds of a row; None if its metric is no time of a step, or nobody has its config."""
    isl, osl, batch = (float(row[name] or 0) for name in ("isl", "osl", "batch"))
    scenario = Scenario.read(
        {
            "model": row["model"],
            "system": row["chip"],
            "chips": int(row["chips"]),
            "weights": row["weight_dtype"],
            "kv": row["kv_dtype"],
        }
    )
    try:
        found = subject(scenario)
    except InputError:
        found = None
    if found is None:
        assert "0" in (row["has_config"], row["has_chip"]), f"{row['id']}: model or chip should be in the catalogue"
        return None
    if row["mode"] == "prefill":
        segment = Segment(seqs=batch, new=isl, past=0.0)
    else:
        segment = Segment(seqs=batch, new=1, past=float(row["context"] or isl + osl / 2 or 1))
    floor = step(found.model, found.system, layout(row), [segment], found.precision).floor
    value = float(row["value"])
    if row["metric"] in ("tpot_s", "ttft_s"):
        return floor, value
    if row["metric"] == "out_tok_s" and row["mode"] == "decode_step":
        return floor, batch / value
    if row["metric"] == "in_tok_s":
        return floor, batch * isl / value
    return None


@pytest.mark.parametrize(("mode", "least"), [("decode_step", 120), ("prefill", 60)])
def test_nothing_is_faster_than_the_floor(shared: Path, mode: str, least: int) -> None:
    held = {row["id"]: floor_and_value(row) for row in rows(shared, mode)}
    compared = {name: pair for name, pair in held.items() if pair is not None}
    assert len(compared) >= least
    faster = {name: value / floor for name, (floor, value) in compared.items() if value < floor}
    assert faster.keys() == EXPLAINED.keys(), faster
