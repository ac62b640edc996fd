"""What every part of a model file has in common: strict keys, sizes within bounds, the norms it brings.

The tag that names a part's kind in a file is its class name without `Spec`, in lower case.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Size = Annotated[int, msgspec.Meta(ge=1, le=10**8)]
"""A dimension: a positive whole number."""
Count = Annotated[int, msgspec.Meta(ge=0, le=10**8)]
"""A dimension that may be absent (0)."""


class Dimensions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group of dimensions in a model file."""


class Part(Dimensions, frozen=True, kw_only=True, tag=lambda name: name.removesuffix("Spec").lower()):
    """A named part of a model file."""

    norms: Count = 1
    """Vectors of hidden size it brings: a norm's scale, two if it has a shift, none if a neighbour's norm serves."""
