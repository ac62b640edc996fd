"""Requests are checked once, where they enter; the engine trusts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ridgeline.errors import InputError
from ridgeline.workload import Requests

GOOD: dict[str, Any] = {"arrival": [0.5, 0.5, 2.0], "prompt": [10, 20, 30], "output": [1, 2, 3]}
FOLLOW: dict[str, Any] = {"after": [-1, 0, 1], "think": [0, 1, 2]}
HASHES: dict[str, Any] = {"hash_offsets": [0, 1, 1, 3], "hash_ids": [7, 7, 8], "hash_block": 16}


def test_lists_become_arrays_that_a_compiled_engine_takes() -> None:
    made = Requests(**(GOOD | FOLLOW | HASHES))
    assert (made.arrival.dtype, made.prompt.dtype, made.think is not None and made.think.dtype) == (
        np.float64,
        np.int64,
        np.float64,
    )
    assert len(made) == 3


def test_arrays_of_the_right_type_are_not_copied() -> None:
    """A million requests enter without a second copy."""
    prompt = np.array([10, 20, 30])
    made = Requests(arrival=np.zeros(3), prompt=prompt, output=np.ones(3, np.int64))
    assert made.prompt is prompt
    assert made.nbytes == 3 * 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arrival": [0, 2, 1]}, "request 2: arrival 1 s: not before the one before it, 2 s; sort by arrival"),
        ({"arrival": [0, -1, 1]}, "request 1: arrival -1: a time in s from 0"),
        ({"arrival": [0, np.nan, 1]}, "request 1: arrival nan"),
        ({"arrival": [0, 1, np.inf]}, "request 2: arrival inf"),
        ({"prompt": [1, 0, 1]}, "request 1: prompt 0: 1 to 1,000,000,000 tokens"),
        ({"prompt": [1, 10**12, 1]}, "request 1: prompt 1e+12"),
        ({"prompt": [1, 1.5, 1]}, "request 1: prompt 1.5: a whole number"),
        ({"prompt": [1, np.nan, 1]}, "request 1: prompt nan: a whole number"),
        ({"output": [1, 1, -3]}, "request 2: output -3"),
        ({"output": [1, 1]}, "output: 2 values: 3, for 3 requests"),
        ({"output": ["1", "1", "1"]}, "output of shape (3,) and type"),
        ({"arrival": [], "prompt": [], "output": []}, "at least one request"),
        ({"concurrency": -1}, "concurrency -1"),
        ({"after": [-1, 1, 0], "think": [0, 0, 0]}, "request 1: after 1: an earlier request, or -1"),
        ({"after": [-1, 0, 0]}, "after, think: both or neither"),
        ({"after": [-1, 0, 0], "think": [0, 0, -2]}, "request 2: think -2"),
        (HASHES | {"hash_block": 0}, "hash_block 0"),
        (HASHES | {"hash_offsets": [0, 1, 1, 2]}, "hash_offsets: from 0 to the number of ids, 3"),
        (HASHES | {"hash_offsets": [0, 3, 1, 3]}, "hash_offsets"),
        (HASHES | {"hash_offsets": [0, 3, 3, 3]}, "request 0: hash ids: 3: no more than it has tokens"),
        ({"hash_block": 16}, "all three or none"),
    ],
)
def test_what_is_wrong_is_named_with_its_request(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        Requests(**(GOOD | change))
    assert message in str(error.value)
