"""What a run means to a user and to a buyer: latencies, rates, goodput, cost, and what the machine was busy with.

    TTFT = first token - arrival          E2E  = finish - arrival         wait = start - arrival
    TPOT = (finish - first token) / (output - 1), one value per request with more than one token
    ITL  = gaps between successive tokens of a request, pooled over all requests
    E2E  = TTFT + (output - 1) TPOT;      mean ITL weights long answers, mean TPOT weights requests equally

Rates are over the duration: first arrival to last finish, ramp-up and drain included, as the benchmark clients do it;
with a window they are over the window: requests that finish in it, latencies of those that arrive in it. Gaps carry no
times, so that with a window only their mean is known. A refused or unfinished request counts in no latency; it is
counted, and misses every objective. Knows no scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.simulate.quantile import SHORT
from ridgeline.simulate.run import Run
from ridgeline.simulate.spread import SHARES, Spread, of_means, pooled, spreads
from ridgeline.workload import Requests


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a run that counts: from `begin` up to `end`, on the engine's clock."""

    begin: float = 0.0
    end: float = float("inf")

    @classmethod
    def of(cls, run: Run, warm_up: float, cool_down: float) -> Window:
        """The time of arrivals, less `warm_up` seconds at its beginning and `cool_down` at its end.

        Raises
        ------
        InputError
            If nothing is left.
        """
        first, last = float(run.arrival.min()), float(run.arrival.max())
        if not warm_up + cool_down < last - first:
            given = f"--warm-up {warm_up:g} s, --cool-down {cool_down:g} s"
            raise InputError(given, f"less than the time of arrivals, {last - first:.4g} s")
        return cls(begin=first + warm_up, end=last - cool_down)


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """One run in numbers: times in seconds, rates per second."""

    requests: int
    """In the window, served or not."""
    completed: int
    failed: int
    """Refused, or not finished when the run ended."""
    duration: float
    input_tokens: int
    """Of completed requests."""
    output_tokens: int
    cached_tokens: int
    """Prompt tokens that a cache held at first admission, of completed requests."""
    preemptions: int
    ttft: Spread
    tpot: Spread
    itl: Spread
    e2e: Spread
    wait: Spread
    """From arrival to the first step that computes something for the request."""
    normalised: Spread
    """E2E / output tokens: the normalised latency of Orca and Vidur."""
    speed: Spread
    """Tokens per second of a user: 1 / TPOT of each request, AIPerf's output token throughput per user."""
    request_rate: float
    input_rate: float
    output_rate: float
    concurrency: float
    """Mean number of open requests: sum of E2E / duration (Little's law)."""
    goodput: float
    """Requests per second that meet all objectives; without objectives, the request rate."""
    attained: float
    """Share of all requests, failed ones included, that meet all objectives."""
    bound: dict[str, float]
    """Share of the duration in which steps are bound by each resource; "idle" is the rest."""

    @property
    def total_rate(self) -> float:
        """Tokens in and out per second."""
        return self.input_rate + self.output_rate

    def cost(self, usd_per_second: float) -> dict[str, float]:
        """Price of the whole deployment spread over tokens: USD per token of output, and of input and output alike."""
        return {
            "usd_per_output_token": _ratio(usd_per_second, self.output_rate),
            "usd_per_token": _ratio(usd_per_second, self.total_rate),
        }

    def energy(self, watts: float) -> dict[str, float]:
        """Power of the whole deployment spread over tokens, in joules per token of output, and of input and output."""
        return {
            "joules_per_output_token": _ratio(watts, self.output_rate),
            "joules_per_token": _ratio(watts, self.total_rate),
        }


def metrics(
    run: Run,
    requests: Requests,
    *,
    objectives: Mapping[str, float] | None = None,
    window: Window | None = None,
    replicas: int = 1,
    only: np.ndarray | None = None,
    shares: Sequence[float] = SHARES,
) -> Metrics:
    """The metrics of one run.

    Parameters
    ----------
    run
        What the simulation gave.
    requests
        What it was given; lengths are taken from here.
    objectives
        Longest allowed "ttft", "tpot", "e2e" of a request, in seconds. As in vLLM, the TPOT of a request with one
        token is 0.
    window
        The part of the run that counts; all of it if not given.
    replicas
        How many machines the busy time is of.
    only
        bool[n]: the requests that count, such as those of a tenant. Of the pool of gaps only the mean is known then.
    shares
        Percentiles, from 0 to 100.
    """
    arrival, finish, served = run.arrival, run.finish, run.served
    counted = served
    inside, ended = None, served
    if window is not None:
        inside = (arrival >= window.begin) & (arrival < window.end)
        counted = served & inside
        ended = served & (finish >= window.begin) & (finish < window.end)
    if only is not None:
        inside = only if inside is None else inside & only
        counted, ended = served & inside, ended & only
    everything = inside is None and bool(served.all())
    pick = slice(None) if everything else np.flatnonzero(counted)
    columns = [c[pick][None] for c in (run.arrival, run.start, run.first_token, run.finish, requests.output)]
    latencies, good = _latencies(columns, objectives or {}, shares)
    after_first = columns[4][0] - 1
    itl = pooled(run.gaps, shares) if inside is None else of_means((columns[3] - columns[2])[0], after_first, shares)
    return _metrics(
        run,
        requests,
        [*(each[0] for each in latencies), itl],
        total=len(run.arrival) if inside is None else int(np.count_nonzero(inside)),
        done=pick if ended is counted else np.flatnonzero(ended),
        good=int(good[0]),
        duration=_duration(run, window),
        preemptions=int(run.preemptions[slice(None) if inside is None else inside].sum()),
        replicas=replicas,
    )


def metrics_of(
    runs: Sequence[Run],
    batch: Sequence[Requests],
    itl: Sequence[Spread],
    *,
    objectives: Mapping[str, float] | None = None,
    shares: Sequence[float] = SHARES,
) -> list[Metrics]:
    """The metrics of several runs, each of one replica, all of it: sooner than one by one where they are short.

    `itl`: of each the spread of its gaps, with the same shares.
    """
    n = len(runs[0].arrival)
    alike = all(len(run.arrival) == n and not np.isnan(run.finish).any() for run in runs)
    if not alike or n > SHORT or any(requests.output.min() == 1 for requests in batch):
        return [metrics(r, q, objectives=objectives, shares=shares) for r, q in zip(runs, batch, strict=True)]
    columns = [
        np.array([getattr(run, name) for run in runs]) for name in ("arrival", "start", "first_token", "finish")
    ] + [np.array([requests.output for requests in batch])]
    latencies, good = _latencies(columns, objectives or {}, shares)
    return [
        _metrics(
            run,
            requests,
            [*(each[k] for each in latencies), itl[k]],
            total=n,
            done=slice(None),
            good=int(good[k]),
            duration=_duration(run, None),
            preemptions=int(run.preemptions.sum()),
            replicas=1,
        )
        for k, (run, requests) in enumerate(zip(runs, batch, strict=True))
    ]


def _latencies(
    columns: Sequence[np.ndarray], objectives: Mapping[str, float], shares: Sequence[float]
) -> tuple[list[list[Spread]], np.ndarray]:
    """Spreads of TTFT, wait, normalised latency, E2E, TPOT and speed, each by run; how many requests meet objectives.

    `columns`: arrival, start, first token, finish and output tokens, [runs, requests]; several runs only if all
    answers have more than one token: those of one have no TPOT.
    """
    arrival, start, first, finish, output = columns
    after_first = output - 1
    met = np.ones(output.shape, dtype=bool)

    def held(name: str, times: np.ndarray) -> np.ndarray:
        if name in objectives:
            np.logical_and(met, times <= objectives[name], out=met)
        return times

    def made() -> Iterator[np.ndarray]:
        """Times of the requests; one array lives at a time: fresh memory costs more than arithmetic."""
        yield held("ttft", first - arrival)
        yield np.maximum(start - arrival, 0.0)  # the engine's clock ticks
        times = held("e2e", finish - arrival)
        yield times / output
        yield times
        times = finish - first
        held("tpot", np.divide(times, np.maximum(after_first, 1), out=times))
        times = times if after_first.all() else times[after_first > 0][None]
        yield times
        times = times if times.all() else times[times > 0][None]
        yield np.divide(1.0, times, out=times)

    found = spreads(made(), shares)
    return found, np.count_nonzero(met, axis=1)


def _metrics(
    run: Run,
    requests: Requests,
    found: Sequence[Spread],
    *,
    total: int,
    done: slice | np.ndarray,
    good: int,
    duration: float,
    preemptions: int,
    replicas: int,
) -> Metrics:
    """Metrics of `total` requests in the window, of which those of `done` finished in it and `good` met objectives."""
    ttft, wait, normalised, e2e, tpot, speed, itl = found
    tokens_in, tokens_out = int(requests.prompt[done].sum()), int(requests.output[done].sum())
    return Metrics(
        requests=total,
        completed=ttft.count,
        failed=total - ttft.count,
        duration=duration,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cached_tokens=int(run.cached[done].sum()),
        preemptions=preemptions,
        ttft=ttft,
        tpot=tpot,
        itl=itl,
        e2e=e2e,
        wait=wait,
        normalised=normalised,
        speed=speed,
        request_rate=_ratio(len(run.arrival[done]), duration),
        input_rate=_ratio(tokens_in, duration),
        output_rate=_ratio(tokens_out, duration),
        concurrency=_ratio(e2e.mean * e2e.count if e2e.count else 0.0, duration),
        goodput=_ratio(good, duration),
        attained=_ratio(good, total),
        bound=_bound(run, replicas),
    )


def _duration(run: Run, window: Window | None) -> float:
    """Seconds from the first arrival to the last finish, or of the window's part of them."""
    begin, end = float(run.arrival.min()), run.end
    if window is not None:
        begin, end = max(begin, window.begin), min(end, window.end)
    return max(end - begin, 0.0)


def _bound(run: Run, replicas: int) -> dict[str, float]:
    """Shares of the whole run by what binds, and idle."""
    whole = replicas * _duration(run, None)
    shares = {name: _ratio(seconds, whole) for name, seconds in run.busy.items()}
    return {**shares, "idle": max(0.0, 1.0 - sum(shares.values())) if whole else float("nan")}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
