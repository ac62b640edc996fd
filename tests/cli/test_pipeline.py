"""`pipeline`: its forms agree, its pictures are whole files, and mistakes are one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from .conftest import Runner


def test_simulation_and_closed_form_agree_in_the_answer(run: Runner) -> None:
    found = run("pipeline dualpipe --micro-batches 32 --json").json
    assert len(found["schedules"]) == 10
    for each in found["schedules"]:
        assert each["schedule"].startswith("v-") or each["idle_s"] == pytest.approx(
            each["idle_closed_form_s"], abs=1e-12
        )
    assert run(f"{found['line']} --json").json == found


def test_a_rack_replaces_stages_in_the_answer(run: Runner) -> None:
    found = run("pipeline --model deepseek-v3 --system gb200-nvl72 --domains 8,72 --json").json
    assert {each["domain_chips"]: each["stages"] for each in found["racks"] if each["best"]} == {8: 16, 72: 1}
    assert {each["cache_bytes_per_chip"] for each in found["decode"]} == {found["decode"][0]["cache_bytes_per_chip"]}


@pytest.mark.parametrize("micro", [12, 2000])
def test_pictures_are_whole_whatever_the_length(run: Runner, tmp_path: Path, micro: int) -> None:
    """Few micro-batches are drawn one by one, many as pixels: the file stays small."""
    svg, page = tmp_path / "a.svg", tmp_path / "a.html"
    assert run(f"pipeline zb-h1 --stages 6 --micro-batches {micro} --plot {svg}").code == 0
    assert run(f"pipeline zb-h1 --stages 6 --micro-batches {micro} --plot {page}").code == 0
    text = svg.read_text()
    drawn = ElementTree.fromstring(text)
    assert drawn.tag.endswith("svg")
    assert text in page.read_text()
    assert text.count("micro-batch") >= 3 * 6 * micro if micro == 12 else len(text) < 1_000_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("gpip", "did you mean gpipe"),
        ("--stages 0", "1 or more"),
        ("--micro-batches 0", "1 or more"),
        ("interleaved --micro-batches 33", "a multiple of the stages"),
        ("interleaved --virtual 0", "1 or more"),
        ("dualpipe --stages 7", "an even number"),
        ("zb-v --micro-batches 9", "16 or more"),
        ("--forward 1", "no unit"),
        ("--forward 0s", "times above 0"),
        ("--kept 2", "a share from 0 to 1"),
        ("--model llama-3-8b", "both or none"),
        ("--model llama-3-8b --system hgx-h100 --chips 12", "chips that a domain of"),
        ("--model llama-3-8b --system hgx-h100 --tokens 0", "chips that a domain of"),
        ("--model llama-3-8b --system hgx-h100 --domains 8,x", "--domains"),
        ("--plot x.png", "ends in .svg or .html"),
    ],
)
def test_mistakes_are_one_line(run: Runner, more: str, message: str) -> None:
    result = run(f"pipeline {more}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
