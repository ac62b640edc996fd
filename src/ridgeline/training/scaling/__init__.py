"""Scaling laws: constants from the catalogue, equations as functions, fits, and warnings outside their range."""
