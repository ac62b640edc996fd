"""Facts with their sources, as small data files, and the one strict reader of them."""

from ridgeline.catalog.entry import Entry, Provenance
from ridgeline.catalog.loader import BUILT_IN, Catalog, references

__all__ = ["BUILT_IN", "Catalog", "Entry", "Provenance", "references"]
