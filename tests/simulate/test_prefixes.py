"""Ids of blocks: two are equal only if all before them are, whatever a trace calls them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ridgeline.errors import InputError
from ridgeline.simulate import numbering, prefixes
from ridgeline.simulate.hashes import Ids, chained, named, numbered
from ridgeline.simulate.prefixes import cache_of, watched
from ridgeline.workload import Requests

PROMPTS = st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=8).filter(lambda prompts: any(prompts))


def in_order(prompts: list[list[int]]) -> list[int]:
    """Prefixes, numbered in the order in which they first come."""
    known: dict[tuple[int, ...], int] = {}
    return [known.setdefault(tuple(ids[: k + 1]), len(known)) for ids in prompts for k in range(len(ids))]


def asked(prompts: list[list[int]]) -> Requests:
    n, counts = len(prompts), [len(ids) for ids in prompts]
    return Requests(
        arrival=np.arange(n, dtype=float),
        prompt=np.full(n, 16 * 9),
        output=np.ones(n, np.int64),
        hash_offsets=np.concatenate([[0], np.cumsum(counts)]),
        hash_ids=np.array([name for ids in prompts for name in ids]),
        hash_block=16,
    )


def blocks(prompts: list[list[int]]) -> list[int]:
    """The same, as the simulator has it."""
    return named(asked(prompts), 16).ids.tolist()


@given(prompts=PROMPTS)
@example(prompts=[[1, 2], [2]])
def test_ids_are_of_all_that_is_before_them(prompts: list[list[int]]) -> None:
    assert blocks(prompts) == in_order(prompts)


@given(prompts=PROMPTS, far=st.booleans(), apart=st.sampled_from((1, 3)))
@example(prompts=[[0, 1], [0, 2], [3]], far=True, apart=3)
def test_names_that_are_prefixes_already_are_as_good(prompts: list[list[int]], far: bool, apart: int) -> None:
    """As in Mooncake's traces, which are in order, also where they are large numbers."""
    names, at = in_order(prompts), 0
    named: list[list[int]] = []
    for ids in prompts:
        named.append([10**15 * far + apart * name for name in names[at : at + len(ids)]])
        at += len(ids)
    assert blocks(named) == names


@given(prompts=PROMPTS, at=st.integers(0, 30), other=st.integers(0, 30))
@example(prompts=[[0, 1, 2], [0, 1, 2]], at=4, other=2)
def test_one_name_that_is_wrong_is_seen(prompts: list[list[int]], at: int, other: int) -> None:
    """Names in order are asked of a few only."""
    names = in_order(prompts)
    names[at % len(names)] = other % (len(names) + 1)
    rest = iter(names)
    changed = [[next(rest) for _ in ids] for ids in prompts]
    assert blocks(changed) == in_order(changed)


def test_ids_from_another_process_are_of_the_same_types() -> None:
    """Memory that processes share is read-only, which would have the engine compiled anew."""
    given = asked([[0, 1], [0, 2]])
    assert given.hash_offsets is not None
    given.hash_offsets.flags.writeable = False
    assert named(given, 16).place.flags.writeable


def test_more_blocks_than_numbers_are_refused() -> None:
    """In 32 bits they would be others' blocks."""
    found = named(asked([[0, 1], [0, 2]]), 4)._replace(known=1 << 29)
    assert found.parts == 4
    with pytest.raises(InputError, match="536,870,912 hash ids of 4 blocks each: at most"):
        found.cut()


def both(prompts: list[list[int]]) -> Ids:
    """Ids numbered by NumPy, after a look whether those of the one pass are the same."""
    slow, fast = chained(*placed(prompts), 1), numbered(numbering, *placed(prompts), 1)
    if fast:
        assert (fast.known, fast.parts) == (slow.known, slow.parts)
        assert (fast.requests is None) == (slow.requests is None)
        for one, other in zip(fast, slow, strict=True):
            if isinstance(one, np.ndarray):
                assert isinstance(other, np.ndarray)
                assert np.array_equal(one, other)
    return slow


@given(prompts=PROMPTS)
def test_one_pass_numbers_as_numpy_does_what_is_of_prefixes(prompts: list[list[int]]) -> None:
    both(prompts)
    names = iter(in_order(prompts))
    ordered = [[next(names) for _ in ids] for ids in prompts]
    assert numbered(numbering, *placed(ordered), 1)
    both(ordered)
    last = max(map(max, filter(None, ordered)))
    backwards = [[last - name for name in ids] for ids in ordered]
    assert numbered(numbering, *placed(backwards), 1)
    both(backwards)
    assert numbered(numbering, *placed([[name - 1 for name in ids] for ids in ordered]), 1) is None


def placed(prompts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Where each request's ids begin, and the ids."""
    given = asked(prompts)
    assert given.hash_offsets is not None
    assert given.hash_ids is not None
    return given.hash_offsets, given.hash_ids


TREES = st.lists(st.lists(st.integers(0, 1), max_size=5), min_size=1, max_size=30).filter(any)


@given(prompts=TREES)
def test_ids_that_nobody_else_has_are_not_asked_for(prompts: list[list[int]]) -> None:
    found = both(prompts)
    cache = cache_of(found, 1000, again=False)
    names = cache.ids.tolist()
    for begin, end, last in zip(cache.place[:-1].tolist(), cache.ends.tolist(), cache.place[1:].tolist(), strict=True):
        assert [k < end for k in range(begin, last)] == [names.count(names[k]) > 1 for k in range(begin, last)]
    assert cache_of(found, 1000, again=True).ends.tolist() == cache.place[1:].tolist()


@given(prompts=TREES, again=st.booleans())
def test_a_router_watches_what_many_have_and_one_id_behind(prompts: list[list[int]], again: bool) -> None:
    """Then a prompt's ids are watched up to some depth, and at least one is: the router stops at the first that is not.

    Only the time that it takes depends on which they are; results are compared in `tests/oracle`.
    """
    found = both(prompts)
    cache = watched(cache_of(found, 1000, again=again), found, 3)
    names = cache.ids.tolist()
    wanted: set[int] = set()
    for begin, end in zip(cache.place[:-1].tolist(), cache.place[1:].tolist(), strict=True):
        for k in range(begin, end):
            many = names.count(names[k]) >= prefixes.FEW
            behind = k == begin or names.count(names[k - 1]) >= prefixes.FEW
            if (many or behind) and (again or names.count(names[k]) > 1):
                wanted.add(names[k])
    assert {name for name, row in enumerate(cache.rows.tolist()) if row >= 0} == wanted
    assert sorted(row for row in cache.rows.tolist() if row >= 0) == list(range(len(cache.holders)))
