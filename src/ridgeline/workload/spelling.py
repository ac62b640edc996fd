"""How a distribution is spelled: a name and its parameters, "lognormal:mean=512,cv=1.5".

    text = name [":" key "=" quantity {"," key "=" quantity}]

A quantity has the unit that its reader asks for ("8k" tokens, "20 ms"). Knows no distribution.
"""

from __future__ import annotations

from collections.abc import Mapping

from ridgeline.errors import InputError, UnknownNameError
from ridgeline.units import parse


def split(text: str, what: str, known: Mapping[str, Mapping[str, str]]) -> tuple[str, dict[str, float]]:
    """Name and parameters of a spelling.

    Parameters
    ----------
    text
        "lognormal:mean=512,cv=1.5".
    what
        What is spelled, for messages ("--isl").
    known
        Of each name the keys it may have, each with its unit.

    Raises
    ------
    InputError
        For an unknown name or key, a key given twice, and a quantity that cannot be read.

    Examples
    --------
    >>> split("lognormal:mean=8k,cv=1.5", "--isl", {"lognormal": {"mean": "tok", "cv": "1"}})
    ('lognormal', {'mean': 8000.0, 'cv': 1.5})
    """
    name, _, rest = text.strip().partition(":")
    if name not in known:
        raise UnknownNameError(f"distribution of {what}", name, known, f"{what} takes {', '.join(known)}")
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise InputError(f"{what} {text!r}", "parameters as key=value", f"such as {example(name, known[name])!r}")
        if key not in known[name]:
            raise UnknownNameError(f"parameter of {name} in {what}", key, known[name])
        if key in found:
            raise InputError(f"{what} {text!r}", f"{key} once")
        found[key] = parse(value, known[name][key], f"{what} {name}: {key}")
    return name, found


def need(text: str, what: str, given: Mapping[str, float], *keys: str) -> None:
    """Refuse (InputError) a spelling that lacks one of `keys`, or has a zero there."""
    for key in keys:
        if not given.get(key):
            raise InputError(f"{what} {text!r}", f"a {key} above 0", f"such as {text.partition(':')[0]}:{key}=2")


def example(name: str, keys: Mapping[str, str]) -> str:
    """A spelling with every parameter."""
    return f"{name}:{','.join(f'{key}=2' for key in keys)}"
