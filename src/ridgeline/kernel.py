"""The measured constants of a family of kernels on one chip, as a chip's file holds them.

`efficiency.py` has their law. A chip of one's own carries them (`ridgeline measure` writes such a file), and they come
before all that is shipped. Knows no law and no chip.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from ridgeline.units import Seconds

Share = Annotated[float, Meta(gt=0, le=1)]
Count = Annotated[float, Meta(ge=0)]
Duration = Annotated[Seconds, Meta(ge=0)]


class Kernel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constants of kernels of one family and format: times, shares of a peak, and numbers of passes over memory.

    `rows` measured times; `error`: 80% of |ln(measured / law)| are below it.
    """

    family: str
    format: str
    rows: int
    error: Count
    fixed: Duration
    serial: Duration
    """Per unit of depth."""
    passes: Count
    compute: Share
    bandwidth: Share
    overlap: Annotated[float, Meta(ge=0, le=1)]
    softmax: Duration
    """Per query-key pair and head."""
