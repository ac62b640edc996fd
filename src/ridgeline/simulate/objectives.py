"""What a service level asks of every request: the longest TTFT, TPOT and E2E."""

from __future__ import annotations

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.units import parse

OBJECTIVES = ("ttft", "tpot", "e2e")
"""Times of a single request; an ITL is of no request."""


def objectives(text: str, what: str = "--slo") -> dict[str, float]:
    """Read service-level objectives, in seconds.

    Raises
    ------
    InputError
        For an unknown name, one given twice, and a time that cannot be read or is 0.

    Examples
    --------
    >>> objectives("ttft=1s, tpot=25ms")
    {'ttft': 1.0, 'tpot': 0.025}
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise InputError(f"{what} {text!r}", "limits as name=time", "such as ttft=1s,tpot=25ms")
        if name not in OBJECTIVES:
            raise UnknownNameError(f"objective in {what}", name, OBJECTIVES)
        if name in found:
            raise InputError(f"{what} {text!r}", f"{name} once")
        found[name] = parse(value, "s", f"{what} {name}")
        if not found[name]:
            raise InputError(f"{what} {text!r}", f"a {name} above 0")
    return found
