"""One step of reinforcement learning: rollouts, log-probabilities, training, new weights into the engines.

    rollout    R replicas decode G answers until the longest is done (`rollout.py`); with a lag of k steps or partial
               rollouts the tail is hidden, and k G answers are under way:  G mean / (R b) T(b),  b = k G / R
    log-probs  forward of all tokens by the policy (and a reference): 2 N each, one sequence at a time through p stages
    training   8 N per token (recomputation), (m + p - 1) / m for the bubble of m micro-batches per update
    refit      weights / bandwidth
    on-policy, chips shared:   step = rollout + log-probs + training + refit + fixed
    lag of k, chips apart:     step = max(rollout, log-probs + training) + share of refit + fixed

Utilisation is what a step needs at least (2 N per token generated, 6 N per token trained) over what all chips could do.
Knows no environment (tools, judges): `judge` adds parameters that read every token. Constants: `framework.py`.
"""

from __future__ import annotations

from functools import partial
from math import log2

import msgspec
import numpy as np

from ridgeline.errors import InputError
from ridgeline.estimate import estimate
from ridgeline.hardware import System
from ridgeline.layout import Layout
from ridgeline.model import Architecture
from ridgeline.precision import Precision
from ridgeline.timing import step as make_step
from ridgeline.training.rl.framework import Framework
from ridgeline.training.rl.rollout import Rollout, rollout
from ridgeline.work import Segment


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """What a step does, and on what."""

    chips: int
    generators: int = 0
    """Of them, chips of the engines; 0: all of them on-policy, half with a lag."""
    lag: int = 0
    """k: steps by which rollouts may be older than the weights; 0: on-policy."""
    partial: bool = False
    """Whether unfinished answers are continued in the next step."""
    sequences: int = 512
    """G, answers per step."""
    batch: int = 512
    """Answers per update of the weights."""
    prompt: float = 150.0
    mean: float = 3000.0
    """Tokens of an answer."""
    most: float = 8192.0
    cv: float = 0.6
    """Standard deviation over mean of answers' lengths, before the cut."""
    tp: int = 8
    """Of a replica that generates."""
    train_tp: int = 1
    train_cp: int = 1
    train_pp: int = 1
    epochs: float = 1.0
    """Passes of training over the answers."""
    kept: float = 1.0
    """Share of the answers that is trained on."""
    reference: bool = True
    """Whether a reference policy reads every answer too."""
    judge: float = 0.0
    """Active parameters of a model that reads every answer."""
    recompute: bool = True

    @property
    def engines(self) -> int:
        """Chips that generate."""
        return self.generators or (self.chips // 2 if self.lag else self.chips)

    @property
    def trainers(self) -> int:
        """Chips that train."""
        return self.chips - self.engines if self.lag else self.chips

    def __post_init__(self) -> None:
        for name in ("chips", "sequences", "batch", "tp", "train_tp", "train_cp", "train_pp"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}", "1 or more")
        if self.lag < 0:
            raise InputError(f"--lag {self.lag}", "0 (on-policy) or more steps")
        if self.generators and not self.lag:
            raise InputError(
                f"--generators {self.generators} on-policy", "none: the same chips generate and train", "or --lag 1"
            )
        if self.lag and not 0 < self.engines < self.chips:
            raise InputError(f"--generators {self.engines} of {self.chips} chips", "some, and some left to train")
        if self.engines % self.tp:
            raise InputError(f"--tp {self.tp} on {self.engines} chips that generate", "a divisor", _near(self.engines))
        own = self.train_tp * self.train_cp * self.train_pp
        if self.trainers % own:
            raise InputError(f"a training layout of {own} chips on {self.trainers}", "a divisor", _near(self.trainers))
        if self.sequences % self.batch:
            raise InputError(
                f"--batch {self.batch} of --sequences {self.sequences}", "a divisor", _near(self.sequences)
            )
        if not 0 <= self.kept <= 1:
            raise InputError(f"--kept {self.kept:g}", "a share from 0 to 1")
        if not (self.epochs >= 0 and self.judge >= 0 and self.prompt >= 0):
            raise InputError("--epochs, --judge and --prompt", "0 or more")


class RLStep(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of a step and its parts."""

    rollout: Rollout
    generate: float
    """Seconds of rollouts as the recipe has them, tail or not."""
    log_probs: float
    training: float
    refit: float
    fixed: float
    step: float
    floor: float
    """Seconds with decode at the engine's estimate, math at the bf16 peak and nothing else: no stack's overhead."""
    tokens: float
    """Generated and prompt tokens of a step."""
    utilisation: float
    """Useful FLOP over the bf16 peak of all chips."""
    waiting: float
    """Share of the chips' time in which they wait for the other pool, or for the longest answers."""
    cost: float
    """FLOP at the training rate per parameter and generated token that all of the step's chip time is worth."""


def rl_step(model: Architecture, system: System, formats: Precision, recipe: Recipe, stack: Framework) -> RLStep:
    """One step.

    Parameters
    ----------
    formats
        Of the weights and caches that generate; training is in bf16.

    Raises
    ------
    InputError
        For layouts that do not divide the model, or answers that cannot be.
    """
    if recipe.train_pp > len(model.layers):
        raise InputError(f"--train-pp {recipe.train_pp}", f"at most the {len(model.layers)} layers of {model.name}")
    layout, replicas = Layout(tp=recipe.tp), recipe.engines // recipe.tp
    domains = recipe.tp / system.domain.size
    added = stack.per_token + (2 * len(model.layers) * stack.all_reduce * log2(domains) if domains > 1 else 0.0)

    def bare(batch: np.ndarray, context: np.ndarray) -> np.ndarray:
        segment = Segment(seqs=batch, new=1, past=context, sampled=1)
        made = make_step(model, system, layout, [segment], formats)
        return np.asarray(estimate(made, model, system, layout, "vllm").seconds)

    def real(batch: np.ndarray, context: np.ndarray) -> np.ndarray:
        return stack.slower * bare(batch, context) + added

    answers = partial(
        rollout, sequences=recipe.sequences, replicas=replicas, prompt=recipe.prompt, mean=recipe.mean,
        most=recipe.most, cv=recipe.cv, flights=max(recipe.lag, 1),
    )  # fmt: skip
    found = answers(real)
    hidden = recipe.partial or recipe.lag > 0
    generate = found.steady if hidden else found.seconds
    length = recipe.prompt + recipe.mean
    tokens = recipe.sequences * length
    work = _train(model, system, recipe, stack, length)
    log_probs, training = work
    refit = model.parameters * 2.0 / stack.refit * (stack.refit_apart if recipe.lag else 1.0)
    together = log_probs + training
    step = (max(generate, together) if recipe.lag else generate + together) + refit + stack.fixed
    peak = system.chip.math_rate("bf16")
    useful = model.active_parameters * tokens * (2.0 + 6.0 * recipe.kept * recipe.epochs)
    ideal = answers(bare)
    best = ideal.steady if hidden else ideal.seconds
    math = model.active_parameters * tokens * _passes(recipe) / (recipe.trainers * peak)
    idle = abs(generate - together) * (recipe.engines if generate < together else recipe.trainers) / recipe.chips
    tail = max(found.seconds - found.steady, 0.0)
    return RLStep(
        rollout=found,
        generate=generate,
        log_probs=log_probs,
        training=training,
        refit=refit,
        fixed=stack.fixed,
        step=step,
        floor=max(best, math) if recipe.lag else best + math,
        tokens=tokens,
        utilisation=useful / (recipe.chips * peak * step),
        waiting=(idle if recipe.lag else 0.0 if hidden else tail) / step,
        cost=step * recipe.chips * peak * stack.reached / (model.active_parameters * recipe.sequences * recipe.mean),
    )


def _passes(recipe: Recipe) -> float:
    """FLOP per parameter and token of log-probabilities and training."""
    return 2.0 * (1 + recipe.reference) + 6.0 * recipe.epochs * recipe.kept


def _train(model: Architecture, system: System, recipe: Recipe, stack: Framework, length: float) -> tuple[float, float]:
    """Seconds of log-probabilities and of training."""
    p = recipe.train_pp
    ranks = recipe.trainers / (p * recipe.train_tp * recipe.train_cp)
    peak = system.chip.math_rate("bf16") * stack.reached
    share = length / (recipe.train_tp * recipe.train_cp * p * peak)
    layers = len(model.layers) / p
    once = 2.0 * model.active_parameters * share + layers * stack.per_layer
    judge = 2.0 * recipe.judge * length * recipe.sequences / (recipe.trainers * peak)
    slots = max(recipe.sequences / ranks, 1.0) + p - 1
    log_probs = (1 + recipe.reference) * slots * once + judge
    passes = 4.0 if recipe.recompute else 3.0
    updates = recipe.sequences / recipe.batch
    per_update = max(recipe.batch * recipe.kept / ranks, 1.0) + p - 1 if recipe.kept else 0.0
    return log_probs, recipe.epochs * updates * per_update * passes * once


def _near(number: int) -> str:
    """Some divisors of a number."""
    found = [d for d in range(1, min(number, 4096) + 1) if number % d == 0]
    return f"such as {', '.join(map(str, found[-4:]))}"
