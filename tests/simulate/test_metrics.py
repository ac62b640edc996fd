"""Metrics are what the benchmark clients' definitions say, written out request by request."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.simulate.clients import CLIENTS, results
from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.metrics import Metrics, Window, metrics
from ridgeline.simulate.objectives import objectives
from ridgeline.simulate.run import Run
from ridgeline.workload import Requests

TICK = 2.0**-20


def made(n: int, seed: int, *, refuse: bool = False) -> tuple[Run, Requests, list[list[int]]]:
    """A run with gaps drawn at random, and the gaps of each request in ticks."""
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.integers(0, 50 << 20, n)) * TICK
    arrival[0] = 0.0
    output = rng.integers(1, 6, n)
    listed = [rng.integers(1, 5 << 18, k - 1).tolist() for k in output]
    start = arrival + rng.integers(0, 1 << 20, n) * TICK
    first = start + rng.integers(1, 1 << 20, n) * TICK
    finish = first + np.array([sum(gaps) for gaps in listed]) * TICK
    if refuse:
        refused = rng.random(n) < 0.3
        listed = [[] if out else gaps for gaps, out in zip(listed, refused, strict=True)]
        start, first, finish = (np.where(refused, np.nan, times) for times in (start, first, finish))
    pool = np.array([gap for gaps in listed for gap in gaps], dtype=np.int64)
    ones = np.ones_like(pool)
    run = Run(
        arrival=arrival,
        start=start,
        first_token=first,
        finish=finish,
        preemptions=rng.integers(0, 3, n).astype(np.int32),
        cached=rng.integers(0, 5, n),
        gaps=Gaps(first=pool, rise=0 * ones, steps=ones, weight=ones, tick=TICK),
        busy={"math": 10.0, "memory": 20.0},
        steps=7,
        end=float(np.nanmax(finish, initial=60.0)),
        blocks=0,
        peak_blocks=0,
    )
    return run, Requests(arrival=arrival, prompt=rng.integers(10, 99, n), output=output), listed


@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 10_000),
    refuse=st.booleans(),
    window=st.sampled_from([None, Window(begin=10.0, end=40.0), Window(begin=5.0)]),
)
def test_each_number_is_its_definition_written_out(n: int, seed: int, refuse: bool, window: Window | None) -> None:
    run, requests, listed = made(n, seed, refuse=refuse)
    limits = {"ttft": 1.2, "tpot": 0.6}
    got = metrics(run, requests, objectives=limits, window=window)
    begin, end = (-1.0, math.inf) if window is None else (window.begin, window.end)
    inside = [i for i in range(n) if begin <= run.arrival[i] < end]
    counted = [i for i in inside if not math.isnan(run.finish[i])]
    ended = [i for i in range(n) if begin <= run.finish[i] < end]
    ttft = {i: run.first_token[i] - run.arrival[i] for i in counted}
    e2e = {i: run.finish[i] - run.arrival[i] for i in counted}
    tpot = {i: (e2e[i] - ttft[i]) / (len(listed[i])) for i in counted if listed[i]}
    duration = min(run.end, end) - max(run.arrival.min(), begin)
    assert (got.requests, got.completed, got.failed) == (len(inside), len(counted), len(inside) - len(counted))
    assert got.duration == pytest.approx(duration)
    assert got.input_tokens == sum(requests.prompt[i] for i in ended)
    assert got.output_rate == pytest.approx(sum(requests.output[i] for i in ended) / duration)
    assert got.request_rate == pytest.approx(len(ended) / duration)
    assert got.cached_tokens == sum(run.cached[i] for i in ended)
    assert got.preemptions == sum(run.preemptions[i] for i in inside)
    good = sum(ttft[i] <= 1.2 and tpot.get(i, 0.0) <= 0.6 for i in counted)
    assert got.goodput == pytest.approx(good / duration)
    assert got.attained == (pytest.approx(good / len(inside)) if inside else pytest.approx(math.nan, nan_ok=True))
    for spread, values in (
        (got.ttft, ttft),
        (got.e2e, e2e),
        (got.tpot, tpot),
        (got.speed, {i: 1 / value for i, value in tpot.items()}),
        (got.wait, {i: run.start[i] - run.arrival[i] for i in counted}),
        (got.normalised, {i: e2e[i] / requests.output[i] for i in counted}),
    ):
        assert spread.count == len(values)
        if values:
            numbers = list(values.values())
            assert spread.mean == pytest.approx(statistics.fmean(numbers))
            assert spread.std == pytest.approx(statistics.pstdev(numbers), abs=1e-9)
            assert (spread.least, spread.most) == pytest.approx((min(numbers), max(numbers)))
            assert spread["p99"] == pytest.approx(np.percentile(numbers, 99))
        else:
            assert math.isnan(spread["p50"])
    pool = [gap * TICK for i in counted for gap in listed[i]]
    assert got.itl.count == len(pool)
    if pool:
        assert got.itl.mean == pytest.approx(statistics.fmean(pool))
        if window is None:
            assert got.itl.std == pytest.approx(statistics.pstdev(pool), abs=1e-9)
            assert got.itl["p90"] == pytest.approx(np.percentile(pool, 90))
            assert (got.itl.least, got.itl.most) == (min(pool), max(pool))
        else:
            assert math.isnan(got.itl["p90"])


def whole() -> Metrics:
    run, requests, _ = made(200, 1)
    return metrics(run, requests)


def test_means_of_gaps_and_of_requests_differ() -> None:
    """The pool weights long answers; users confuse the two because they are called the same by some clients."""
    got = whole()
    assert got.itl.mean != pytest.approx(got.tpot.mean, rel=1e-4)
    assert got.itl.count == got.output_tokens - got.completed


def test_open_requests_follow_littles_law() -> None:
    got = whole()
    assert got.concurrency == pytest.approx(got.request_rate * got.e2e.mean)


def test_the_machine_is_bound_by_something_or_idle() -> None:
    got = whole()
    assert sum(got.bound.values()) == pytest.approx(1)
    assert got.bound["memory"] == pytest.approx(20 / got.duration)
    run, requests, _ = made(200, 1)
    assert metrics(run, requests, replicas=2).bound["memory"] == pytest.approx(10 / got.duration)


def test_money_and_energy_are_spread_over_tokens() -> None:
    got = whole()
    assert got.cost(2 / 3600)["usd_per_output_token"] * got.output_tokens == pytest.approx(2 / 3600 * got.duration)
    assert got.energy(700)["joules_per_token"] * (got.input_tokens + got.output_tokens) == pytest.approx(
        700 * got.duration
    )


def test_clients_see_the_same_numbers_under_their_names() -> None:
    got = whole()
    vllm, sglang, aiperf = (results(got, client) for client in CLIENTS)
    assert vllm["p99_e2el_ms"] == sglang["p99_e2e_latency_ms"] == aiperf["request_latency"]["p99"]
    assert vllm["mean_tpot_ms"] == aiperf["inter_token_latency"]["avg"] == 1e3 * got.tpot.mean
    assert vllm["median_itl_ms"] == aiperf["inter_chunk_latency"]["p50"]
    assert vllm["total_token_throughput"] == sglang["total_throughput"] == got.input_rate + got.output_rate
    assert aiperf["output_token_throughput_per_user"]["avg"] == got.speed.mean


def test_a_window_leaves_out_ramp_up_and_drain() -> None:
    run, _, _ = made(50, 3)
    window = Window.of(run, 5.0, 10.0)
    assert window.begin == run.arrival[0] + 5
    assert window.end == run.arrival[-1] - 10
    with pytest.raises(InputError, match="--warm-up 30 s, --cool-down 30 s: less than the time of arrivals"):
        Window.of(run, 30.0, 30.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "limits as name=time"),
        ("ttft", "limits as name=time; such as ttft=1s,tpot=25ms"),
        ("ttft=1", "no unit"),
        ("ttft=0s", "a ttft above 0"),
        ("tftt=1s", "did you mean ttft"),
        ("itl=1s", "one of 3 known names"),
        ("ttft=1s,ttft=2s", "ttft once"),
    ],
)
def test_a_wrong_objective_says_what_is_right(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        objectives(text)
    assert message in str(error.value)
