"""Micro-benchmarks of the machine at hand, the constants fitted to them, and a small transformer to check them with."""

from ridgeline.validate.measure.device import open_device
from ridgeline.validate.measure.measurement import Measurement, measure

__all__ = ["Measurement", "measure", "open_device"]
