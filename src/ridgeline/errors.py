"""The one error a user can cause: what was given, what was expected, the likely fix.

Faces print it as one line on stderr and leave with exit code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave cannot be used.

    Parameters
    ----------
    given
        What was given, named so that the user finds it ("--tp 7", "file.json: key `hidden_size`").
    expected
        What would have been accepted.
    fix
        The likely fix, if there is one.
    """

    def __init__(self, given: str, expected: str, fix: str = "") -> None:
        self.given, self.expected, self.fix = given, expected, fix
        super().__init__(f"{given}: {expected}" + (f"; {fix}" if fix else ""))


class UnknownNameError(InputError):
    """A name that is not in a list of names, with the closest ones that are."""

    def __init__(self, kind: str, name: str, known: Iterable[str], fix: str = "") -> None:
        known = sorted(set(known))
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else fix or f"known: {', '.join(known[:12])}"
        if near and fix:
            hint += f" ({fix})"
        super().__init__(f"unknown {kind} {name!r}", f"one of {len(known)} known names", hint)
