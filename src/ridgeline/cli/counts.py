"""Numbers of parameters as people write them: "70B", "1.5T", "405e9"."""

from __future__ import annotations

import re

from ridgeline.errors import InputError
from ridgeline.units import parse

_LETTERS = {"b": "e9", "g": "e9", "m": "e6", "k": "e3", "t": "e12"}


def parameters_of(text: str, what: str) -> float:
    """A number of parameters above 0; B is a billion here, not a byte.

    Raises
    ------
    InputError
        If it is no such number.
    """
    match = re.fullmatch(r"\s*([0-9][0-9.,]*)\s*([bgmktBGMKT])\s*", text)
    value = parse(f"{match[1]}{_LETTERS[match[2].lower()]}" if match else text, "1", what)
    if not value:
        raise InputError(f"{what} {text}", "above 0", "such as 70B")
    return value
