"""Predictions held against measurements, and the constants fitted to measurements."""
