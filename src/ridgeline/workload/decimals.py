"""Numbers and instants out of the bytes of a text file, a whole column at a time.

    number     mantissa / 10^digits, both exact below 2^53 and 10^22: the float that Python reads from the same text
    instant    "2023-11-16 18:15:46.6805900", with or without fraction and "+00:00" or "Z": nanoseconds since 1970, UTC

A field is given by the places of its first byte and of the one behind its last. What the fast way does not take is read
by Python, so that any spelling of a number works and costs a microsecond.
"""

from __future__ import annotations

import math

import numpy as np

NO_INSTANT = np.iinfo(np.int64).min
"""What stands for an instant that cannot be read."""
_DIGITS = 15
"""Digits of a mantissa that is exact in any case."""
_POWERS = 10.0 ** np.arange(_DIGITS + 1)
_DAY = 86_400_000_000_000


def numbers(text: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """float64[n] of fields of uint8[m]; NaN for what is no number.

    Examples
    --------
    >>> text = np.frombuffer(b"374,4.25,x", np.uint8)
    >>> numbers(text, np.array([0, 4, 9]), np.array([3, 8, 10]))
    array([374.  ,   4.25,    nan])
    """
    width = stop - start
    widest = int(width.max(initial=0))
    mantissa, scale = np.zeros(len(start)), np.zeros(len(start), dtype=np.int64)
    odd = (width < 1) | (width > _DIGITS)
    dotted = False
    seen = np.zeros(len(start), dtype=np.int64)
    for back in range(min(widest, _DIGITS)):
        inside = width > back
        digit = text[np.where(inside, stop - 1 - back, 0)].astype(np.int64) - 48
        good = (digit >= 0) & (digit <= 9) & inside
        mantissa += np.where(good, digit, 0) * _POWERS[seen if dotted else back]
        other = inside & ~good
        if dotted:
            seen += good
        if other.any():
            dot = other & (digit == 46 - 48) & (scale == 0) & ~odd
            odd |= other & ~dot
            if dot.any():
                if not dotted:
                    seen, dotted = np.where(inside & ~dot, back + 1, back), True
                scale = np.where(dot, back + 1, scale)
    odd |= (scale > 0) & (width == 1)
    found = mantissa / _POWERS[np.maximum(scale - 1, 0)] if dotted else mantissa
    for i in np.flatnonzero(odd):
        found[i] = _number(text[start[i] : stop[i]].tobytes())
    return found


def instants(text: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """int64[n] nanoseconds since 1970 of fields of uint8[m]; `NO_INSTANT` for what is no instant."""
    if not len(start):
        return np.empty(0, dtype=np.int64)
    bad = stop - start < 19
    safe = np.where(bad, 0, start)
    if len(text) < 19:
        return np.full(len(start), NO_INSTANT)

    def two(at: int) -> np.ndarray:
        nonlocal bad
        tens, ones = (text[safe + at + i].astype(np.int64) - 48 for i in (0, 1))
        bad = bad | (tens < 0) | (tens > 9) | (ones < 0) | (ones > 9)
        return tens * 10 + ones

    year, month, day = two(0) * 100 + two(2), two(5), two(8)
    hour, minute, second = two(11), two(14), two(17)
    for at, marks in ((4, b"-"), (7, b"-"), (10, b" T"), (13, b":"), (16, b":")):
        bad = bad | ~np.isin(text[safe + at], list(marks))
    bad |= (month < 1) | (month > 12) | (day < 1) | (day > 31) | (hour > 23) | (minute > 59) | (second > 60)
    days = _days(year, month, day)
    nanoseconds = days * _DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000_000
    rest = np.where(bad, 0, stop - start - 19)
    place, last = safe + 19, np.where(bad, safe + 19, stop)
    zulu = (rest > 0) & (text[np.maximum(last - 1, 0)] == ord("Z"))
    sign = text[np.maximum(last - 6, 0)]
    offset = (rest >= 6) & np.isin(sign, list(b"+-"))
    if offset.any():
        at = np.where(offset, last - 6, 0)
        shift = [text[at + i].astype(np.int64) - 48 for i in (1, 2, 4, 5)]
        minutes = (shift[0] * 10 + shift[1]) * 60 + shift[2] * 10 + shift[3]
        bad |= offset & (np.min(shift, axis=0) < 0) | offset & (np.max(shift, axis=0) > 9)
        nanoseconds -= np.where(offset, np.where(sign == ord("-"), -minutes, minutes), 0) * 60_000_000_000
    length = rest - zulu - 6 * offset
    dot = length > 0
    bad |= dot & ((text[np.where(dot, place, 0)] != ord(".")) | (length > 10))
    for i in range(1, min(int(length.max(initial=0)), 10)):
        inside = dot & (i < length) & ~bad
        digit = text[np.where(inside, place + i, 0)].astype(np.int64) - 48
        bad |= inside & ((digit < 0) | (digit > 9))
        nanoseconds += np.where(inside, digit, 0) * 10 ** (9 - i)
    return np.where(bad, NO_INSTANT, nanoseconds)


def _number(field: bytes) -> float:
    """One field, by Python; NaN if it is no finite number."""
    try:
        value = float(field)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) and b"_" not in field else math.nan


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day is the last."""
    late = month <= 2
    year = year - late
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + np.where(late, 9, -3)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
