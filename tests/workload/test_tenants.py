"""Tenants: what each sends is its own, whoever sends beside it."""

from __future__ import annotations

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.workload import Mixture, Workload, tenant

USUAL = {
    "arrive": "poisson", "isl": "512", "osl": "128", "turns": "1", "think": "0 s", "prefix": 0, "groups": 1,
}  # fmt: skip
CHAT = "chat: rate=20; isl=lognormal:mean=512,cv=1; turns=4; think=2 s; priority=0; ttft=1s"
BATCH = "batch: rate=5; isl=8k; osl=20; prefix=64; groups=2; priority=3"


def test_each_tenant_sends_what_it_would_alone() -> None:
    """Lengths, times and order of a tenant's requests are those of its own workload; turns still follow each other."""
    mixture = Mixture.of([tenant(CHAT), tenant(BATCH)], 1000, USUAL)
    found = mixture.draw(7)
    assert found.tenant is not None
    assert found.priority is not None
    for number, workload in enumerate(mixture.workloads):
        alone, mine = workload.draw(7, 0, number + 1), found.tenant == number
        assert len(alone) == (800, 200)[number]
        for name in ("arrival", "prompt", "output"):
            assert np.array_equal(getattr(found, name)[mine], getattr(alone, name))
        assert set(found.priority[mine].tolist()) == {(0, 3)[number]}
    assert found.after is not None
    follows = np.flatnonzero(found.after >= 0)
    assert len(follows) > 400
    assert (found.tenant[follows] == found.tenant[found.after[follows]]).all()
    assert found.session is not None
    assert (found.session[follows] == found.session[found.after[follows]]).all()


def test_tenants_share_no_tokens() -> None:
    """Hash ids of one tenant are not those of another, and stay with their requests."""
    mixture = Mixture.of([tenant(CHAT), tenant(BATCH)], 500, USUAL)
    found = mixture.draw(1)
    assert found.hash_offsets is not None
    assert found.hash_ids is not None
    assert found.tenant is not None
    owner = np.repeat(found.tenant, np.diff(found.hash_offsets))
    assert not set(found.hash_ids[owner == 0].tolist()) & set(found.hash_ids[owner == 1].tolist())
    alone, row = mixture.workloads[1].draw(1, 0, 2), int(np.flatnonzero(found.tenant == 1)[5])
    assert alone.hash_offsets is not None
    assert alone.hash_ids is not None
    mine = found.hash_ids[found.hash_offsets[row] : found.hash_offsets[row + 1]]
    theirs = alone.hash_ids[alone.hash_offsets[5] : alone.hash_offsets[6]]
    assert np.array_equal(mine - mine[0], theirs - theirs[0])


def test_a_tenant_changes_nothing_of_another() -> None:
    """With other rates and lengths beside it, a tenant draws the same lengths."""
    one = Mixture.of([tenant(CHAT), tenant(BATCH)], 1000, USUAL).workloads[0]
    lone = Workload.read(
        **{**USUAL, "isl": "lognormal:mean=512,cv=1", "turns": "4", "think": "2 s"}, requests=800, rate=20
    )
    assert np.array_equal(one.draw(3, 0, 1).output, lone.draw(3, 0, 1).output)
    assert not np.array_equal(lone.draw(3, 0, 1).prompt, lone.draw(3, 0, 2).prompt)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chat", "a name and options"),
        ("chat: rate", "key=value"),
        ("chat: speed=2", "unknown option of tenant chat"),
        ("chat: rate=2; rate=3", "rate once"),
        ("chat: rate=2; priority=high", "a whole number"),
        ("chat: rate=2; ttft=0 s", "above 0"),
    ],
)
def test_what_is_no_tenant_is_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        tenant(text)


@pytest.mark.parametrize(
    ("texts", "requests", "told"),
    [
        (["a: rate=1", "a: rate=2"], 10, "names of their own"),
        (["a: isl=5"], 10, "without a rate"),
        (["a: rate=1", "b: rate=1000"], 10, "at least one of each"),
        (["a: rate=1; isl=many"], 10, "isl"),
    ],
)
def test_mixtures_that_are_none_are_refused(texts: list[str], requests: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Mixture.of([tenant(text) for text in texts], requests, USUAL)
