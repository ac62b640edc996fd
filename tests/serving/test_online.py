"""Mean-field serving: what always holds, and its limits."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.engines import Client
from ridgeline.serving.disaggregated import Disaggregated, disaggregated
from ridgeline.serving.online import Online, met, online, ranks_apart
from ridgeline.simulate import replica
from ridgeline.simulate.law import affine
from ridgeline.simulate.settings import Engine
from ridgeline.workload import Requests

STEADY = Client(frontend=0.0, per_request=0.0, first=1.0, burst=0.0)

seconds = st.floats(1e-4, 1.0)
counts = st.integers(1, 2000)


def served(client: Client = STEADY, **values: Any) -> Online:
    base: dict[str, Any] = {
        "decode": 0.02,
        "prefill": 0.05,
        "alone": 0.06,
        "concurrency": 32,
        "capacity": 1e6,
        "osl": 512,
    }
    return online(**{**base, **values}, client=client)


def test_one_request_waits_for_nothing() -> None:
    alone = served(concurrency=1)
    assert (alone.ttft, alone.tpot) == (0.06, 0.02)


def load(decode: float, prefill: float, concurrency: int, osl: int) -> dict[str, Any]:
    """Arguments of `online`; a prompt that is alone takes what one of many does."""
    return {"decode": decode, "prefill": prefill, "alone": prefill, "concurrency": concurrency, "osl": osl}


@given(burst=st.floats(0, 1), decode=seconds, prefill=seconds, concurrency=counts, osl=st.integers(2, 5000))
def test_what_enters_the_first_token_leaves_the_others(
    burst: float, decode: float, prefill: float, concurrency: int, osl: int
) -> None:
    """The sum ttft + osl * tpot does not depend on how prompts arrive: prefills are moved, not lost."""
    client = Client(frontend=0.0, per_request=0.0, first=1.0, burst=burst)
    values = load(decode, prefill, concurrency, osl)
    burst_sum = served(client, **values).ttft + osl * served(client, **values).tpot
    steady_sum = served(**values).ttft + osl * served(**values).tpot
    assert burst_sum == pytest.approx(steady_sum)


@given(concurrency=counts, capacity=counts, decode=seconds, prefill=seconds)
def test_latencies_do_not_fall_when_more_requests_are_open(
    concurrency: int, capacity: int, decode: float, prefill: float
) -> None:
    less = served(concurrency=concurrency, capacity=capacity, decode=decode, prefill=prefill)
    more = served(concurrency=concurrency + 1, capacity=capacity, decode=decode, prefill=prefill)
    assert more.ttft >= less.ttft * (1 - 1e-12)
    assert more.tpot >= less.tpot * (1 - 1e-12)


@given(concurrency=st.integers(2, 2000), decode=seconds, prefill=seconds)
def test_a_missing_place_is_waited_for_as_one_that_memory_lacks(
    concurrency: int, decode: float, prefill: float
) -> None:
    """With one place less than requests, one of them waits until the next ends, an e2e / B away, at any time."""
    client = Client(frontend=0.0, per_request=0.0, first=1.0, burst=0.0, missing=1.0)
    values = {"decode": decode, "prefill": prefill, "concurrency": concurrency, "osl": 512}
    waited = served(client, **values).ttft - served(**values).ttft
    assert waited == pytest.approx(1 / served(**values, requests=1e9).request_rate, rel=1e-6)


@pytest.mark.parametrize("concurrency", [16, 64, 256])
def test_equal_requests_stay_together_where_prompts_go_first(concurrency: int) -> None:
    """Ten waves through the simulation of SGLang: each is like the first. vLLM, which mixes, parts them."""
    law = affine(step=8e-3, token=2e-5, sequence=1e-4, most_sequences=512)
    waves, isl, osl, together = 10, 1024, 256, 8
    lengths = np.full(waves * concurrency, isl), np.full(waves * concurrency, osl)
    sent = Requests(
        arrival=np.zeros(waves * concurrency), prompt=lengths[0], output=lengths[1], concurrency=concurrency
    )
    first: dict[str, float] = {}
    between: dict[str, float] = {}
    for scheduler in ("sglang", "vllm"):
        run = replica.serve(sent, law, Engine(scheduler=scheduler, max_num_seqs=512))
        first[scheduler] = float((run.first_token - run.arrival).mean())
        between[scheduler] = float(((run.finish - run.first_token) / (osl - 1)).mean())
    prefill = law.seconds(0, 0, [(isl, 0)] * together) / together
    found = served(
        Client(frontend=0.0, per_request=0.0, first=1.0, burst=0.03),
        decode=law.seconds(concurrency, 0, []),
        prefill=prefill,
        alone=0.5 * (together + 1) * prefill,
        concurrency=concurrency,
        osl=osl,
        waves=waves,
    )
    assert first["sglang"] == pytest.approx(found.ttft, rel=0.05)
    assert between["sglang"] == pytest.approx(found.tpot, rel=0.05)
    assert first["vllm"] < 0.9 * first["sglang"]


@pytest.mark.parametrize("concurrency", [4, 64, 512])
def test_prompts_that_an_engine_gathers(concurrency: int) -> None:
    """The first of a batch waits all steps, those that come meanwhile what is left: drawn prompt by prompt."""
    steps, osl, waits, close = 20, 1024, list[float](), -1.0
    for came in np.cumsum(np.random.default_rng(1).exponential(osl / concurrency, 20_000)):
        close = came + steps if came > close else close
        waits.append(close - came)
    values = {"decode": 1e-3, "prefill": 0.0, "alone": 0.0, "concurrency": concurrency, "osl": osl}
    assert served(**values, gather=steps).ttft == pytest.approx(1e-3 * np.mean(waits), rel=0.05)


@pytest.mark.parametrize("concurrency", [4, 64, 512])
def test_prompts_of_an_engine_that_looks_for_them_now_and_then(concurrency: int) -> None:
    """Each waits half of the steps between two looks and is computed with all that came meanwhile: drawn one by one."""
    steps, osl, decode, prefill = 30, 1024, 1e-3, 2e-3
    came = np.cumsum(np.random.default_rng(1).exponential(osl / concurrency, 20_000))
    looks = np.ceil(came / steps)
    with_it = np.bincount(looks.astype(int))[looks.astype(int)] - 1
    waits = decode * (looks * steps - came) + prefill * with_it
    values = load(decode, prefill, concurrency, osl)
    assert served(**values, poll=steps).ttft - served(**values).ttft == pytest.approx(waits.mean(), rel=0.05)


def test_a_step_with_prompts_takes_at_least_what_the_host_needs_to_launch_it() -> None:
    """However fast the device: the own first token waits for it, and so do the next ones of who share the step."""
    host = msgspec.structs.replace(STEADY, launch=1e-3)
    slow, fast = served(), served(host, prefill=1e-4, alone=1e-4, layers=80, shared=1, apart=(1.0, 0.0))
    assert fast.ttft == pytest.approx(80e-3)
    assert fast.tpot == pytest.approx(0.02 + 31 * (80e-3 - 0.02) / 512)
    assert served(host, layers=1) == slow


@given(group=st.floats(1.5, 64), decode=seconds, prefill=seconds, alone=seconds)
def test_equal_requests_that_come_back_together_share_their_steps(
    group: float, decode: float, prefill: float, alone: float
) -> None:
    """They take no longer than prompts in steps of their own, and no shorter than in full ones."""
    values: dict[str, Any] = {"decode": decode, "prefill": prefill, "alone": max(alone, prefill)}
    found = served(**values, group=group).tpot
    assert served(**values).tpot * (1 - 1e-12) <= found <= served(**values, apart=(1.0, 0.0)).tpot * (1 + 1e-12)


@pytest.mark.parametrize(("come", "ranks"), [(0.02, 8), (0.4, 1), (0.4, 4), (3.0, 8), (80.0, 16)])
def test_ranks_that_wait_for_the_busiest(come: float, ranks: int) -> None:
    """Prompts drawn step by step: the first of the busiest rank takes a step alone, each further one its rank."""
    prefill, alone = 1.0, 3.0
    drawn = np.random.default_rng(1).poisson(come, (40_000, ranks))
    most = drawn.max(axis=1)
    spent = ((most > 0) * alone + np.maximum(most - 1, 0) * ranks * prefill).sum() / drawn.sum()
    one, full = ranks_apart(come, float(ranks))
    assert one * alone + full * prefill == pytest.approx(spent, rel=0.02 if come < 50 else 0.06)


@given(come=st.floats(1e-6, 40), ranks=st.integers(1, 256), prefill=seconds)
def test_ranks_apart_take_no_less_than_ranks_filled_alike(come: float, ranks: int, prefill: float) -> None:
    """Nor more than if every prompt came to a step of its own."""
    apart, alone = ranks_apart(come, float(ranks)), ranks * prefill
    many = served(prefill=prefill, alone=alone, apart=apart)
    assert many.request_rate <= served(prefill=prefill, alone=alone).request_rate * (1 + 1e-12)
    assert many.request_rate >= served(prefill=alone, alone=alone).request_rate * (1 - 1e-9)


@given(rate=st.floats(0.5, 1e4), prefill=seconds, requests=st.integers(2, 300))
def test_a_queue_of_regular_arrivals(rate: float, prefill: float, requests: int) -> None:
    """One prefill after another, worked out request by request; Poisson arrivals add at most a random walk's queue."""
    free, waited = 0.0, 0.0
    for i in range(requests):
        begin = max(i / rate, free)
        waited, free = waited + begin - i / rate, begin + prefill
    values = {"decode": 1e-9, "prefill": prefill, "alone": 0.0, "concurrency": requests, "requests": requests}
    found = served(**values, rate=rate).ttft - waited / requests
    assert -1e-6 <= found <= (0.54 * requests**0.5 + 1e-6) * prefill


@pytest.mark.parametrize("rate", [3.0, 20.0, 1e9])
def test_a_queue_for_places(rate: float) -> None:
    """Places one after another, worked out request by request, where service is spread evenly over them."""
    places, requests, osl, decode = 32, 960, 100, 0.02
    each, ends, waited = osl * decode, [k * osl * decode / 32 - osl * decode for k in range(32)], 0.0
    for i in range(requests):
        begin = max(i / rate, ends[i % places])
        waited, ends[i % places] = waited + begin - i / rate, begin + each
    found = served(decode=decode, prefill=0.0, alone=0.0, osl=osl, concurrency=places, capacity=places,
                   requests=requests, rate=rate)  # fmt: skip
    assert found.ttft == pytest.approx(waited / requests, rel=0.05, abs=0.02)


@given(rate=st.floats(0.1, 1e3), more=st.floats(1.0, 10.0), concurrency=counts, capacity=counts)
def test_who_come_faster_wait_longer(rate: float, more: float, concurrency: int, capacity: int) -> None:
    """Waiting grows with the rate towards a burst's, and a run is not over before its last request."""
    slow, fast, burst = (
        served(concurrency=concurrency, capacity=capacity, requests=2000, rate=r) for r in (rate, rate * more, 1e9)
    )
    assert slow.ttft <= fast.ttft * (1 + 1e-9) <= burst.ttft * (1 + 2e-9)
    assert 2000 / burst.request_rate >= burst.ttft
    assert slow.request_rate <= rate


@given(stay=st.floats(0.01, 100.0), within=st.floats(0.01, 100.0))
def test_what_a_request_meets(stay: float, within: float) -> None:
    """Against the open requests over time: each meets the mean of them while it stays."""
    end, requests = stay + within, 500.0
    t = (np.arange(20000) + 0.5) * end / 20000
    open_ = requests / within * (np.minimum(t, within) - np.maximum(t - stay, 0.0))
    mean = requests * stay / end
    assert open_.mean() == pytest.approx(mean, rel=1e-3)
    assert met(mean, requests) == pytest.approx((open_**2).sum() * end / 20000 / (requests * stay), rel=1e-3)


@given(concurrency=counts, capacity=counts)
def test_littles_law_in_a_full_engine(concurrency: int, capacity: int) -> None:
    """Open requests = rate x (ttft + osl tpot), for a steady stream whose own prefill is one of the engine's."""
    out = served(concurrency=concurrency, capacity=capacity, alone=0.05)
    assert out.request_rate * (out.ttft + 512 * out.tpot) == pytest.approx(concurrency, rel=1e-6)


def test_arrays_give_what_numbers_give() -> None:
    many = online(
        decode=np.full(3, 0.02),
        prefill=0.05,
        alone=0.06,
        concurrency=np.array([1.0, 8.0, 64.0]),
        capacity=32.0,
        osl=512.0,
        client=STEADY,
    )
    for i, n in enumerate((1, 8, 64)):
        one = served(concurrency=n, capacity=32)
        assert (many.ttft[i], many.tpot[i]) == pytest.approx((one.ttft, one.tpot))


def pools(**values: float) -> Disaggregated:
    base: dict[str, Any] = {
        "prefill": 0.1,
        "step": 0.1,
        "alone": 0.1,
        "prefill_workers": 4,
        "decode_workers": 2,
        "places": 256,
    }
    decode = values.pop("decode", 0.02)
    return disaggregated(**{**base, "osl": 500, "concurrency": 256, **values}, decode=[decode], batches=[1.0])


@given(workers=st.integers(1, 64), decoders=st.integers(1, 64), concurrency=counts)
def test_the_slower_pool_sets_the_rate(workers: int, decoders: int, concurrency: int) -> None:
    out = pools(prefill_workers=workers, decode_workers=decoders, concurrency=concurrency)
    assert out.request_rate <= workers / 0.1 * (1 + 1e-12)
    assert out.request_rate <= decoders * 256 / (500 * 0.02) * (1 + 1e-12)
    assert out.prefill_use <= 1 + 1e-12
    assert out.decode_use <= 1 + 1e-12


@given(workers=st.integers(1, 16), decoders=st.integers(1, 16), concurrency=counts, burst=st.floats(0, 0.5))
def test_littles_law_of_two_pools(workers: int, decoders: int, concurrency: int, burst: float) -> None:
    """Open requests = rate x time per request, whichever pool is slower."""
    out = pools(prefill_workers=workers, decode_workers=decoders, concurrency=concurrency, burst=burst)
    assert out.request_rate * (out.ttft + 500 * out.tpot) == pytest.approx(concurrency, rel=1e-6)


def test_overloaded_prefill_pool_waits_in_proportion_to_the_clients() -> None:
    """Prefill of 1 s on one worker, decode of 10 s: all but 10 of C requests wait, C - 10 seconds."""
    for clients in (40, 80, 160):
        out = pools(prefill=1.0, step=1.0, alone=1.0, prefill_workers=1, concurrency=clients)
        assert out.request_rate == pytest.approx(1.0, rel=0.05)
        assert out.ttft == pytest.approx(clients - 10.0, rel=0.05)


def test_a_network_of_two_stations_simulated() -> None:
    """Against a slow simulation: deterministic prefills, first come first served, and a delay for decode."""
    clients, prefill, delay, workers = 12, 0.5, 4.0, 2
    free, ready, waits, done = [0.0] * workers, [i * delay / clients for i in range(clients)], [], 0.0
    for _ in range(4000):
        arrived = min(ready)
        ready.remove(arrived)
        worker = min(range(workers), key=free.__getitem__)
        done = max(arrived, free[worker]) + prefill
        free[worker] = done
        waits.append(done - arrived)
        ready.append(done + delay)
    out = pools(
        prefill=prefill, step=prefill, alone=prefill, prefill_workers=workers, decode=delay / 500, concurrency=clients
    )
    assert out.request_rate == pytest.approx(len(waits) / done, rel=0.12)
    assert out.ttft + delay == pytest.approx(sum(waits) / len(waits) + delay, rel=0.15)


def test_a_slower_step_with_more_sequences_is_looked_up_between_batches() -> None:
    out = disaggregated(
        prefill=0.001, step=0.001, alone=0.001, decode=[0.01, 0.02, 0.06], batches=[1.0, 11.0, 51.0],
        prefill_workers=8, decode_workers=1, places=1000, osl=100, concurrency=31,
    )  # fmt: skip
    assert out.tpot == pytest.approx(0.04, rel=0.01)  # nearly all 31 decode: halfway between 11 and 51


def test_decode_on_its_own_pool_has_no_prefill_between_tokens() -> None:
    assert pools().tpot == pytest.approx(0.02)
    assert pools(accepted=2.0).tpot == pytest.approx(0.01)


def test_the_cache_on_its_way_is_part_of_the_first_token() -> None:
    assert pools(transfer=0.05, concurrency=1).ttft == pytest.approx(pools(concurrency=1).ttft + 0.05, rel=0.02)


def test_more_clients_than_places_wait_for_the_first_token() -> None:
    """1,000 open requests on 100 places: what does not fit shows up before the first token (Little's law)."""
    out = pools(concurrency=1000, prefill_workers=8, decode_workers=1, places=100)
    assert out.ttft > 800 / out.request_rate
    assert out.decode_use == pytest.approx(1.0)


@given(requests=st.integers(1, 5000), capacity=st.integers(1, 500))
def test_a_short_run_is_never_faster_than_a_long_one(requests: int, capacity: int) -> None:
    """Its last round is not full; a run of whole rounds, or of very many, has the steady rate."""
    long, short = (
        served(concurrency=10**6, capacity=capacity),
        served(concurrency=10**6, capacity=min(capacity, requests), requests=requests),
    )
    assert short.request_rate <= long.request_rate * (1 + 1e-9)
    whole = served(concurrency=10**6, capacity=capacity, requests=3 * capacity)
    assert whole.request_rate == pytest.approx(long.request_rate)
