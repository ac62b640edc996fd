"""Models: what they are made of (architecture), how they are written down (spec, config) and found (store)."""

from ridgeline.model.architecture import Architecture
from ridgeline.model.store import load as load_model

__all__ = ["Architecture", "load_model"]
