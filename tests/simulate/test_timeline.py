"""A timeline of few marks is exact: the same numbers as counting at every moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.simulate.gaps import Gaps
from ridgeline.simulate.run import Run, Series
from ridgeline.simulate.timeline import BANDS, INTERVALS, ROWS, timeline


def made(n: int, seed: int, samples: int = 0, *, refuse: bool = False) -> Run:
    rng = np.random.default_rng(seed)
    arrival = np.sort(rng.uniform(0, 10, n))
    start = arrival + rng.exponential(1, n)
    first = start + rng.exponential(0.5, n)
    finish = first + rng.exponential(3, n)
    if refuse:
        out = rng.random(n) < 0.5
        start, first, finish = (np.where(out, np.nan, times) for times in (start, first, finish))
    none = np.empty(0, dtype=np.int64)
    series = None
    if samples:
        time = np.sort(rng.uniform(0, 20, samples))
        states = {name: rng.integers(0, 9, samples) for name in ("running", "waiting", "blocks")}
        series = Series(time=time, **states)
    return Run(
        arrival=arrival,
        start=start,
        first_token=first,
        finish=finish,
        preemptions=rng.integers(0, 2, n).astype(np.int32),
        cached=np.zeros(n, dtype=np.int64),
        gaps=Gaps(first=none, rise=none, steps=none, weight=none, tick=1.0),
        busy={},
        steps=0,
        end=float(np.nanmax(finish, initial=0.0)),
        blocks=9,
        peak_blocks=9,
        series=series,
    )


@given(n=st.integers(1, 300), seed=st.integers(0, 100), refuse=st.booleans())
def test_time_in_phases_is_that_of_the_requests(n: int, seed: int, refuse: bool) -> None:
    """Conservation: the area under each phase is the requests' time in it."""
    run = made(n, seed, refuse=refuse)
    found = timeline(run)
    width = np.diff(found.edges)
    for phase, begin, end in (
        ("waiting", run.arrival, run.start),
        ("prefill", run.start, run.first_token),
        ("decode", run.first_token, run.finish),
    ):
        assert found.phases[phase] @ width == pytest.approx(np.nansum(end - begin), rel=1e-9, abs=1e-9)
    assert found.refused == int(np.isnan(run.finish).sum())


def test_a_phase_is_counted_exactly_in_each_interval() -> None:
    run = made(50, 1)
    found = timeline(run)
    low, high = found.edges[100:102]
    inside = np.clip(np.minimum(run.start, high) - np.maximum(run.arrival, low), 0, None)
    assert found.phases["waiting"][100] == pytest.approx(inside.sum() / (high - low))


@given(samples=st.integers(1, 2000), seed=st.integers(0, 100))
def test_levels_are_those_of_every_moment(samples: int, seed: int) -> None:
    """Oracle: mean and most over the pieces of each interval, one by one."""
    run = made(20, seed, samples)
    assert run.series is not None
    found = timeline(run)
    mean, most = found.states["running"]
    time, value = run.series.time, run.series.running
    for i in (0, 7, INTERVALS // 2, INTERVALS - 1):
        low, high = found.edges[i : i + 2]
        bounds = [low, *time[(time > low) & (time < high)], high]
        held = [value[k - 1] if (k := int(np.searchsorted(time, at, side="right"))) else 0 for at in bounds[:-1]]
        assert mean[i] == pytest.approx(np.array(held) @ np.diff(bounds) / (high - low))
        assert most[i] == max(held)


def test_times_to_first_token_stand_where_requests_arrive() -> None:
    run = made(300, 4)
    mean, most = timeline(run).ttft
    edges = timeline(run).edges
    i = int(np.searchsorted(edges, run.arrival[150], side="right")) - 1
    here = (run.arrival >= edges[i]) & (run.arrival < edges[i + 1])
    ttft = (run.first_token - run.arrival)[here]
    assert (mean[i], most[i]) == (pytest.approx(ttft.mean()), ttft.max())
    assert most.max() == (run.first_token - run.arrival).max()


def test_the_number_of_marks_is_bounded() -> None:
    found = timeline(made(5000, 2))
    assert len(found.bands.number) == BANDS
    assert found.bands.count.sum() == 5000
    assert len(found.closeup.number) == ROWS
    few = timeline(made(3, 2))
    assert few.bands.count.tolist() == few.closeup.count.tolist() == [1, 1, 1]


def test_the_closeup_shows_the_longest_wait() -> None:
    run = made(1000, 3)
    assert np.argmax(run.first_token - run.arrival) in timeline(run).closeup.number
