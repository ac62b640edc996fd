"""Queues and percentiles: continuous batching as an exact event simulation that skips what cannot change."""
