"""A file of requests and how to play it."""

from __future__ import annotations

import msgspec

from ridgeline.errors import InputError
from ridgeline.workload.arrivals import Arrivals


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A file of requests and how to play it."""

    path: str
    format: str = ""
    """Name of its format; empty: told by its columns."""
    begin: float = 0.0
    """Seconds of the trace that are left out at its beginning."""
    length: float = float("inf")
    """Seconds of the trace that are played, before `speed`."""
    requests: int = 0
    """At most this many; 0: all."""
    speed: float = 1.0
    """How many times faster it is played; ignored where `rate` is given."""
    rate: float = 0.0
    """Mean requests per second that it is played at; 0: as recorded."""
    prompt_scale: float = 1.0
    output_scale: float = 1.0
    concurrency: int = 0
    """0: at its times; otherwise a closed loop, in its order."""
    arrivals: Arrivals | None = None
    """A process to take times from instead of the trace, at `rate`."""
    skip_empty: bool = False
    """Leave out (and count) requests with no prompt or no answer, rather than refuse them."""
    hash_block: int = 0
    """Tokens that a hash id stands for; 0: as in its format."""

    def __post_init__(self) -> None:
        """Refuse scales and rates that play nothing.

        Raises
        ------
        InputError
            For a scale, speed or length that is not above 0, and a rate or beginning below 0.
        """
        for name in ("length", "speed", "prompt_scale", "output_scale"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name.replace('_', ' ')} {getattr(self, name):g}", "above 0")
        for name in ("begin", "rate", "requests", "concurrency", "hash_block"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name.replace('_', ' ')} {getattr(self, name):g}", "not negative")
