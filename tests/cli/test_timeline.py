"""`--timeline`, `--trace`, `--clients`, `--replications`: what a user gets, and what wrong input does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ridgeline.hardware import load_system

if TYPE_CHECKING:
    from .conftest import Runner

ASK = "simulate llama-3-8b hgx-h100"
TRACE = "arrival,prompt,output\n" + "".join(f"{i / 10},{100 + i},{5 + i % 7}\n" for i in range(50))


class Tags(HTMLParser):
    """Counts elements, and remembers what is open: a page must close what it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in ("meta", "path", "line", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "line", "rect"):
            assert self.open.pop() == tag


def page(run: Runner, folder: Path, words: str) -> tuple[str, Tags]:
    path = folder / "out.html"
    result = run(f"{ASK} {words} --timeline {path}")
    assert (result.code, result.err) == (0, "")
    text = path.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return text, tags


def test_a_page_needs_nothing_else_and_stays_small(run: Runner, tmp_path: Path) -> None:
    """Whatever the run's length: about as many marks, no script, no address, both colour schemes."""
    sizes = []
    for requests in (300, 6000):
        text, tags = page(run, tmp_path, f"--rate 20 --requests {requests}")
        assert not re.search(r"https?://|<script|src=|@import", text)
        assert "prefers-color-scheme: dark" in text
        assert tags.count["rect"] < 1000
        sizes.append(len(text))
    assert max(sizes) < 300_000


def test_a_page_shows_the_numbers_and_how_to_make_it_again(run: Runner, tmp_path: Path) -> None:
    text, tags = page(run, tmp_path, "--rate 30 --requests 40 --slo ttft=1s")
    assert "TTFT" in text
    assert "goodput" in text
    assert "Again: <code>ridgeline simulate llama-3-8b hgx-h100" in text
    assert text.count("<title>request ") == 40
    assert tags.count["svg"] == 5


def test_an_overload_is_seen(run: Runner, tmp_path: Path) -> None:
    """Preemptions and a growing queue have their marks."""
    text, _ = page(run, tmp_path, "--rate 300 --requests 500 --kv-blocks 400")
    assert 'class="preempted"' in text
    assert "All requests" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--timeline a.pdf", "--timeline 'a.pdf': a file name that ends in .html"),
        ("--timeline /no/such/a.html", "cannot be written"),
        ("--speed 2", "--speed: a --trace that it is of"),
        ("--trace none.csv", "none.csv: cannot be read"),
        ("--trace {trace} --isl 5", "--isl beside --trace: one of them"),
        ("--trace {trace} --arrivals poisson", "--arrivals with --trace: a --rate"),
        ("--trace {trace} --replications 3", "a trace is one of its kind"),
        ("--trace {trace} --trace-format azur", "did you mean azure"),
        ("--trace {trace} --speed 0", "speed 0: above 0"),
        ("--trace {trace} --trace-begin 1h", "at least one request; skipped: 50 rows outside the time asked for"),
        ("--replications 0", "--replications 0: 1 or more"),
        ("--warm-up 3h", "less than the time of arrivals"),
        ("--seed -1", "--seed -1: 0 or more"),
        ("--rate 0", "--rate 0: requests per second, above 0"),
    ],
)
def test_what_is_wrong_is_refused(run: Runner, tmp_path: Path, words: str, message: str) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(TRACE, encoding="utf-8")
    result = run(f"{ASK} {words.format(trace=trace)}")
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.glob("*.html"))


def test_a_trace_is_played_as_recorded_or_as_asked(run: Runner, tmp_path: Path) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(TRACE + "6,0,1\n", encoding="utf-8")
    recorded = run(f"{ASK} --trace {trace} --skip-empty --json").json
    assert recorded["requests"] == 50
    assert recorded["input_tokens_per_s"] * recorded["duration_s"] == pytest.approx(sum(range(100, 150)))
    assert "skipped: 1 x requests with no prompt or no answer" in recorded["notes"]
    faster = run(f"{ASK} --trace {trace} --skip-empty --rate 100 --requests 20 --json").json
    assert faster["requests"] == 20
    assert faster["duration_s"] < recorded["duration_s"] / 5
    closed = run(f"{ASK} --trace {trace} --skip-empty --concurrency 1 --json").json
    assert closed["concurrency"] == pytest.approx(1, abs=0.01)
    again = run(f"{ASK} --trace {trace} --skip-empty --rate 100 --requests 20").out.splitlines()[-1]
    assert run(again.removeprefix("again: ") + " --json").json["ttft_s"] == faster["ttft_s"]


def test_energy_is_full_power_over_tokens(run: Runner) -> None:
    found = run(f"{ASK} --rate 20 --requests 200 --json").json
    tokens = found["input_tokens_per_s"] + found["output_tokens_per_s"]
    assert found["joules_per_token"] * tokens == pytest.approx(load_system("hgx-h100").value.chip.power)
    assert "J/tok at full power" in run(f"{ASK} --rate 20 --requests 200").out


def test_clients_and_replications_are_told(run: Runner) -> None:
    words = f"{ASK} --rate 20 --requests 200 --clients --replications 3"
    found = run(f"{words} --json").json
    assert found["clients"]["vllm"]["mean_ttft_ms"] == pytest.approx(1e3 * found["ttft_s"]["mean"])
    one = found["intervals"]["ttft_mean"]
    assert one["low"] < one["mean"] < one["high"]
    assert one["replications"] == 3
    text = run(words).out
    for part in ("inter_chunk_latency", "mean_e2e_latency_ms", "Mean over 3 replications, 95% interval", "±"):
        assert part in text
