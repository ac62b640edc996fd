"""Numbers and instants read a column at a time are those that Python reads one by one."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ridgeline.workload.decimals import NO_INSTANT, instants, numbers


def fields(texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fields of one text, with something between them."""
    joined = ",".join(texts)
    lengths = np.array([len(text) for text in texts])
    start = np.cumsum(lengths + 1) - lengths - 1
    return np.frombuffer(joined.encode("ascii"), np.uint8), start, start + lengths


NUMBER = (
    st.integers(0, 10**18).map(str)
    | st.decimals(0, 10**6, places=9).map(lambda d: f"{d:f}")
    | st.floats(0, 1e20).map(repr)
    | st.sampled_from(["0.5", ".5", "5.", "007", "1e3", "-2.5", "+3", "-0", " 7 ", "0.0000001", "123456789012345.5"])
)


@given(st.lists(NUMBER, min_size=1, max_size=20))
def test_numbers_are_those_of_python(texts: list[str]) -> None:
    assert numbers(*fields(texts)).tolist() == [float(text) for text in texts]


@pytest.mark.parametrize("text", ["", ".", "1.2.3", "1,2"[:1] + "x", "--1", "nan", "inf", "1_000", "0x10", "..", "1 2"])
def test_what_is_no_number_is_nan(text: str) -> None:
    assert math.isnan(numbers(*fields([text, "1"]))[0])
    assert numbers(*fields([text, "1"]))[1] == 1


@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31)),
            st.integers(0, 7),
            st.sampled_from(["", "Z", "+00:00", "-08:00", "+05:30"]),
            st.sampled_from(" T"),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_instants_are_those_of_python(moments: list[tuple[datetime, int, str, str]]) -> None:
    texts, expected = [], []
    for moment, digits, zone, between in moments:
        fraction = f"{moment.microsecond:06d}0"[:digits]
        texts.append(moment.strftime(f"%Y-%m-%d{between}%H:%M:%S") + (f".{fraction}" if digits else "") + zone)
        hours, minutes = (int(zone[0] + part) for part in zone[1:].split(":")) if ":" in zone else (0, 0)
        whole = moment.replace(microsecond=0, tzinfo=timezone(timedelta(hours=hours, minutes=minutes)))
        seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        expected.append(seconds * 10**9 + int(f"{fraction:0<9}"))
    assert instants(*fields(texts)).tolist() == expected


@pytest.mark.parametrize(
    "text",
    ["", "2023-11-16", "2023-13-16 18:15:46", "2023-11-16 18:15:4x", "2023-11-16 18:15:46,5", "2023-11-16 18:15:46.1x",
     "2023-11-16 18:15:46 +00", "16/11/2023 18:15:46.0", "2023-11-16 18:15:46.12345678901"],
)  # fmt: skip
def test_what_is_no_instant_is_marked(text: str) -> None:
    assert instants(*fields([text, "2023-11-16 18:15:46"])).tolist() == [NO_INSTANT, 1700158546 * 10**9]
