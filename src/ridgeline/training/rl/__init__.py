"""Reinforcement learning: what one step of rollouts, log-probabilities, training and refit takes."""

from ridgeline.training.rl.framework import Framework, load_framework
from ridgeline.training.rl.policies import policies
from ridgeline.training.rl.rollout import Rollout, quantiles, rollout
from ridgeline.training.rl.step import Recipe, RLStep, rl_step

__all__ = ["Framework", "RLStep", "Recipe", "Rollout", "load_framework", "policies", "quantiles", "rl_step", "rollout"]
