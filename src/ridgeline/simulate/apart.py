"""Prefill and decode on replicas of their own: what a scenario's names mean to both pools and to the link between them.

    seconds of a prompt on the link = cache bytes of the prompt / (bandwidth per chip * chips that hold a sequence)

the chips being those of the smaller side, as a plan counts them. The bandwidth is that of the scale-up domain if all
chips fit into one, else of the network between domains, of two systems that of the slower. Knows no queue.
"""

from __future__ import annotations

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.hardware import System
from ridgeline.layout import Layout
from ridgeline.model import kv
from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import Deployment, deployment
from ridgeline.simulate.fleet import PrefillPool
from ridgeline.subject import Subject
from ridgeline.workload import Requests


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """Prefill replicas of one kind."""

    replica: Deployment
    replicas: int
    bandwidth: float
    """Bytes per second of the link of each of them."""
    delay: float

    @property
    def chips(self) -> int:
        """Of all of them."""
        return self.replicas * self.replica.chips

    def of(self, requests: Requests) -> PrefillPool:
        """The pool as a fleet wants it: with the time of each request's cache on the link."""
        return PrefillPool(
            replicas=self.replicas,
            law=self.replica.law,
            engine=self.replica.engine,
            seconds=cache_bytes(self.replica.subject, requests.prompt) / self.bandwidth,
            delay=self.delay,
        )


def cache_bytes(found: Subject, tokens: np.ndarray) -> np.ndarray:
    """Bytes of the cache of prompts, each once."""
    sizes = np.zeros(len(tokens))
    for layer, count in found.model.kinds:
        for mixer in layer.mixers:
            sizes += count * kv.stored(mixer, tokens, found.precision.kv_bytes, found.precision.activation_bytes)
    return sizes


def prefill_pool(scenario: Scenario, decode: Deployment, replicas: int, decodes: int, *, tokens: int = 0) -> Pool:
    """The pool that prefills for `decodes` replicas of another.

    Parameters
    ----------
    scenario
        That of the prefill replicas: their layout, and their system.
    tokens
        max_num_batched_tokens of a replica; 0: the engine's default.

    Raises
    ------
    InputError
        For what `deployment` refuses, and a network whose bandwidth is not known.
    """
    if replicas < 1 or decodes < 1:
        raise InputError(f"--prefill-replicas {replicas}, --decode-replicas {decodes}", "1 or more in each pool")
    engine = decode.engine
    mine = deployment(
        scenario,
        tokens=tokens,
        block=engine.block_size,
        scheduler=engine.scheduler,
        prefix_caching=engine.prefix_caching,
        async_scheduling=engine.async_scheduling,
        reserve_full_input=engine.reserve_full_input,
    )
    other, own = decode.subject.system, mine.subject.system
    inside = own.name == other.name and replicas * mine.chips + decodes * decode.chips <= own.domain.size
    bandwidth, delay = _link(own, other, inside)
    holders = min(_holders(mine.scenario.layout), _holders(decode.scenario.layout))
    return Pool(replica=mine, replicas=replicas, bandwidth=bandwidth * holders, delay=delay)


def _holders(layout: Layout) -> int:
    """Chips that share one sequence's cache."""
    return int(layout.tp * layout.cp * layout.pp)


def _link(one: System, other: System, inside: bool) -> tuple[float, float]:
    """Bandwidth per chip in bytes per second, and latency."""
    links = [one.domain] if inside else [one.network, other.network]
    known = [link.bandwidth for link in links if link.bandwidth]
    if len(known) < len(links):
        what = "scale-up" if inside else "scale-out"
        raise InputError(
            f"two pools of {one.name} and {other.name}", f"a known {what} bandwidth", "--set system.network.bandwidth"
        )
    return min(known), max(link.latency for link in links)
