"""What is drawn has the moments that its spelling names, and the shared parts that its sessions repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.workload import Requests, Workload
from ridgeline.workload.arrivals import arrivals
from ridgeline.workload.lengths import empirical, lengths

N = 200_000


@pytest.mark.parametrize(
    ("text", "cv"),
    [
        ("poisson", 1.0),
        ("gamma:cv=2", 2.0),
        ("gamma:cv=0.5", 0.5),
        ("gamma:burstiness=0.25", 2.0),
        ("fixed", 0.0),
        ("burst:size=10", math.sqrt(19)),  # gap of 10 units with probability 1/10: E[x^2] = 200 / 10
    ],
)
def test_gaps_have_the_rate_and_the_variation_that_was_asked(text: str, cv: float) -> None:
    """Theory of renewal processes: five standard errors."""
    times = arrivals(text).draw(np.random.default_rng(1), N, 20.0)
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1 / 20, rel=5 * max(cv, 1e-9) / math.sqrt(N / 10))
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.05, abs=1e-9)
    assert (gaps >= 0).all()
    assert len(times) == N


def test_all_at_once_is_at_zero() -> None:
    assert not arrivals("at-once").draw(np.random.default_rng(0), 5, 0.0).any()


@pytest.mark.parametrize(
    ("text", "mean", "cv"),
    [
        ("512", 512, 0.0),
        ("8k", 8000, 0.0),
        ("fixed:mean=8Ki", 8192, 0.0),
        ("lognormal:mean=512,cv=1.5", 512, 1.5),
        ("uniform:mean=512,ratio=0.5", 512, 0.5 / math.sqrt(3)),
        ("uniform:low=100,high=900", 500, 400 / 500 / math.sqrt(3)),
        ("exponential:mean=512", 512, math.sqrt(1 - 1 / 512)),
        ("exponential:mean=4", 4, math.sqrt(1 - 1 / 4)),
    ],
)
def test_lengths_have_the_moments_that_were_asked(text: str, mean: float, cv: float) -> None:
    drawn = lengths(text, "--isl").whole(np.random.default_rng(2), N)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 1
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    assert drawn.std() / drawn.mean() == pytest.approx(cv, rel=0.05, abs=1e-9)


def test_a_maximum_cuts_lengths_off() -> None:
    for name in ("lognormal:mean=512,cv=1.5", "uniform:mean=512,ratio=1", "exponential:mean=512"):
        drawn = lengths(f"{name},max=600", "--isl").whole(np.random.default_rng(2), N)
        assert drawn.max() == 600


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lognormal:mean=512", "--isl 'lognormal:mean=512': a cv above 0"),
        ("lognormal", "a mean above 0"),
        ("lognormal:mean", "parameters as key=value"),
        ("lognormal:mean=1,mean=2,cv=1", "mean once"),
        ("lognormal:mu=512", "unknown parameter of lognormal in --isl 'mu'"),
        ("lognorml:mean=512", "did you mean lognormal"),
        ("uniform:mean=512,ratio=2", "a ratio from 0 to 1"),
        ("uniform:low=9,high=5", "low not above high"),
        ("uniform:low=9", "a high above 0"),
        ("0", "a whole number from 1"),
        ("1.5", "a whole number from 1"),
        ("-3", "negative"),
        ("8 kB", "is a size in bytes"),
    ],
)
def test_a_wrong_spelling_says_what_is_right(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        lengths(text, "--isl")
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["gamma", "gamma:cv=0", "gamma:cv=1,burstiness=1", "burst:size=1.5", "possion", ""])
def test_a_wrong_process_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        arrivals(text)


def test_one_seed_is_one_workload() -> None:
    workload = Workload.read(requests=100, isl="lognormal:mean=512,cv=1", turns=3, think="exponential:mean=5s")
    one, same, other = workload.draw(1), workload.draw(1), workload.draw(1, replication=1)
    assert (one.arrival == same.arrival).all()
    assert one.hash_ids is not None
    assert same.hash_ids is not None
    assert (one.hash_ids == same.hash_ids).all()
    assert (one.prompt != other.prompt).any()


def test_rates_share_their_random_numbers() -> None:
    """Common random numbers: twice the rate is the same workload played twice as fast."""
    slow, fast = (Workload.read(requests=500, rate=rate, isl="lognormal:mean=9,cv=1").draw(3) for rate in (5, 10))
    np.testing.assert_allclose(slow.arrival, 2 * fast.arrival, rtol=1e-12)
    assert (slow.prompt == fast.prompt).all()


def test_rows_of_a_trace_keep_prompt_and_answer_together() -> None:
    prompt, output = empirical(np.array([10, 2000])), empirical(np.array([7, 90]))
    drawn = Workload.read(requests=100, isl=prompt, osl=output).draw(0)
    assert {*zip(drawn.prompt.tolist(), drawn.output.tolist(), strict=True)} == {(10, 7), (2000, 90)}


def _ids(drawn: Requests, i: int) -> list[int]:
    assert drawn.hash_offsets is not None
    assert drawn.hash_ids is not None
    return drawn.hash_ids[drawn.hash_offsets[i] : drawn.hash_offsets[i + 1]].tolist()


@given(
    requests=st.integers(1, 60),
    turns=st.sampled_from(["1", "2", "5", "exponential:mean=3"]),
    isl=st.sampled_from(["1", "16", "33", "lognormal:mean=40,cv=1"]),
    prefix=st.sampled_from([0, 15, 16, 100]),
    groups=st.integers(1, 3),
    concurrency=st.integers(0, 3),
    seed=st.integers(0, 5),
)
def test_sessions_repeat_their_history(
    requests: int, turns: str, isl: str, prefix: int, groups: int, concurrency: int, seed: int
) -> None:
    """A prompt is what was said before and something new; its ids begin with those of all that was said."""
    drawn = Workload.read(
        requests=requests,
        turns=turns,
        isl=isl,
        osl=20,
        prefix=prefix,
        groups=groups,
        concurrency=concurrency,
        think="2 s",
    ).draw(seed)
    assert len(drawn) == requests
    for i in range(requests):
        follows = -1 if drawn.after is None else int(drawn.after[i])
        if follows >= 0:
            said = int(drawn.prompt[follows] + drawn.output[follows])
            assert drawn.prompt[i] > said
            assert _ids(drawn, i)[: said // 16] == _ids(drawn, follows)[: said // 16]
            assert drawn.session is not None
            assert drawn.session[i] == drawn.session[follows]
            assert drawn.think is not None
            assert drawn.think[i] == 2.0
        else:
            assert drawn.prompt[i] > prefix
    if drawn.hash_ids is not None:
        heads = {tuple(_ids(drawn, i)[: prefix // 16]) for i in range(requests)}
        assert len(heads) <= groups
        assert drawn.session is not None
        own = {(int(drawn.session[i]), block) for i in range(requests) for block in _ids(drawn, i)[prefix // 16 :]}
        assert len({block for _, block in own}) == len(own)


def test_sessions_start_so_that_requests_come_at_the_rate() -> None:
    drawn = Workload.read(requests=20_000, rate=10, turns="exponential:mean=4").draw(0)
    assert drawn.after is not None
    starts = drawn.arrival[drawn.after < 0]
    assert len(starts) / starts[-1] == pytest.approx(10 / 4, rel=0.05)


def test_an_absurd_workload_is_refused_before_memory_is() -> None:
    with pytest.raises(InputError, match="fewer --requests"):
        Workload.read(requests=1_000_000, isl="1M", turns=2).draw(0)
