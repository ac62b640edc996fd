"""What a prefix cache finds in Mooncake's conversation trace, against a replay of its block ids by hand.

The trace's statistics: with a cache without end, 36.6% of its 512-token blocks were seen before; with one of 10,000
blocks that forgets the least recently used, 21.1%.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest

from ridgeline.scenario import Scenario
from ridgeline.simulate.deployment import deployment
from ridgeline.simulate.simulation import simulate
from ridgeline.workload import Requests, Trace, read


@pytest.fixture(scope="module")
def conversation(shared: Path) -> Requests:
    path = shared / "traces" / "mooncake_conversation_trace.jsonl"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    return read(Trace(path=str(path), speed=0.2)).requests


def replayed(requests: Requests, room: int) -> float:
    """Share of blocks found when each request's are looked up and kept, one request after the other."""
    assert requests.hash_ids is not None
    cache: OrderedDict[int, None] = OrderedDict()
    hits = 0
    for block in requests.hash_ids.tolist():
        hits += block in cache
        cache[block] = None
        cache.move_to_end(block)
        if len(cache) > room:
            cache.popitem(last=False)
    return hits / len(requests.hash_ids)


@pytest.mark.parametrize(("room", "published"), [(10_000, 0.211), (1_000_000, 0.366)])
def test_hits_are_those_of_a_replay(conversation: Requests, room: int, published: float) -> None:
    """Within two points: the simulator counts tokens, not blocks, and live requests share the memory."""
    assert replayed(conversation, room) == pytest.approx(published, abs=0.005)
    scenario = Scenario(model="llama-3-8b", system="hgx-h100")
    made = simulate(deployment(scenario, blocks=min(room * 32, 10_000_000)), conversation)
    assert made.metrics.cached_tokens / made.metrics.input_tokens == pytest.approx(published, abs=0.02)
