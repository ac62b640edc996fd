"""Training: what a step takes, whether it fits, which layout to run, and what a model costs over its life."""
