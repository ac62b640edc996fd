"""Many points at once: a grid of scenarios, as a table or as a folder of Parquet files, on one process or many."""

from ridgeline.sweep.block import RESULTS, table, terms
from ridgeline.sweep.grid import Grid, load
from ridgeline.sweep.run import Progress, run

__all__ = ["RESULTS", "Grid", "Progress", "load", "run", "table", "terms"]
