"""`ridgeline rl`: one step of reinforcement learning, where its time goes, and what policies of lag would change."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ridgeline.cli.counts import parameters_of
from ridgeline.cli.options import command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, bar, copied, counted, heading, plain, shown, table
from ridgeline.scenario import Scenario
from ridgeline.serving.point import chip_price
from ridgeline.subject import subject
from ridgeline.training.rl import Recipe, RLStep, load_framework, policies, rl_step
from ridgeline.units import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = ("tp", "weights", "kv", "price", "chips", "set", "catalog")
_DEFAULTS: dict[str, Any] = {
    "stack": "nemo-rl", "sequences": 512, "batch": 0, "prompt": "150", "mean": "3000", "most": "8192", "cv": 0.6,
    "lag": 0, "generators": 0, "partial": False, "train_tp": 1, "train_cp": 1, "train_pp": 1, "epochs": 1.0,
    "kept": "100%", "no_reference": False, "judge": "", "no_recompute": False,
}  # fmt: skip


def _option(text: str, group: str = "Step") -> Parameter:
    return Parameter(help=text, group=group)


Stack = Annotated[str, _option("Constants of a software stack: nemo-rl, or ideal \\[nemo-rl].")]
Sequences = Annotated[int, _option("Answers per step \\[512].")]
Batch = Annotated[int, _option("Answers per update of the weights \\[all].")]
Prompt = Annotated[str, _option("Tokens of a prompt \\[150].")]
Mean = Annotated[str, _option("Tokens of an answer, mean \\[3000].")]
Most = Annotated[str, _option("Tokens at which answers are cut \\[8192].")]
Spread = Annotated[float, _option("Standard deviation over mean of the lengths, log-normal \\[0.6].")]
Lag = Annotated[int, _option("Steps that answers may be older than the weights: 0 is on-policy \\[0].")]
Generators = Annotated[int, _option("Chips that generate, with a lag \\[half].")]
Partial = Annotated[bool, _option("Continue unfinished answers in the next step.")]
TrainTp = Annotated[int, _option("Tensor parallelism of training \\[1].", "Training")]
TrainCp = Annotated[int, _option("Context parallelism of training \\[1].", "Training")]
TrainPp = Annotated[int, _option("Pipeline stages of training \\[1].", "Training")]
Epochs = Annotated[float, _option("Passes of training over the answers \\[1].", "Training")]
Kept = Annotated[str, _option("Share of the answers that is trained on \\[100%].", "Training")]
NoReference = Annotated[bool, _option("No reference policy reads the answers.", "Training")]
Judge = Annotated[str, _option("Active parameters of a model that reads every answer.", "Training")]
NoRecompute = Annotated[bool, _option("Activations are kept, not computed again.", "Training")]


@command(*_FIELDS)
def rl(
    scenario: Scenario,
    *,
    stack: Stack = "nemo-rl",
    sequences: Sequences = 512,
    batch: Batch = 0,
    prompt: Prompt = "150",
    mean: Mean = "3000",
    most: Most = "8192",
    cv: Spread = 0.6,
    lag: Lag = 0,
    generators: Generators = 0,
    partial: Partial = False,
    train_tp: TrainTp = 1,
    train_cp: TrainCp = 1,
    train_pp: TrainPp = 1,
    epochs: Epochs = 1.0,
    kept: Kept = "100%",
    no_reference: NoReference = False,
    judge: Judge = "",
    no_recompute: NoRecompute = False,
) -> Report:
    """One step of reinforcement learning: rollouts with a long tail, log-probabilities, training, refit.

    --tp is that of a replica that generates; training is in bf16.
    """
    given = {name: value for name, value in locals().items() if name in _DEFAULTS}
    found = subject(scenario)
    recipe = Recipe(
        chips=found.chips, generators=generators, lag=lag, partial=partial, sequences=sequences,
        batch=batch or sequences, prompt=parse(prompt, "tok", "--prompt"), mean=parse(mean, "tok", "--mean"),
        most=parse(most, "tok", "--most"), cv=cv, tp=int(scenario.tp), train_tp=train_tp, train_cp=train_cp,
        train_pp=train_pp, epochs=epochs, kept=parse(kept, "1", "--kept"), reference=not no_reference,
        judge=parameters_of(judge, "--judge") if judge else 0.0, recompute=not no_recompute,
    )  # fmt: skip
    constants = load_framework(stack, found.catalog).value

    def solve(one: Recipe) -> RLStep:
        return rl_step(found.model, found.system, found.precision, one, constants)

    made = solve(recipe)
    others = policies(recipe, solve)
    price = chip_price(scenario, found)
    again = " ".join([scenario.to_cli("rl"), *_own(given)])
    rows = [
        {"policy": name, "generators": one.engines if one.lag else one.chips} | _record(each, one.chips, price, one)
        for name, (one, each) in others.items()
    ]
    head = [
        f"{found.model.name} on {counted(found.chips, 'chip')} of {found.system.name}; {constants.title}",
        f"{sequences:,} answers of {plain(recipe.mean)} tokens on average, at most {plain(recipe.most)}, updates of"
        f" {recipe.batch:,}; {_pools(recipe)}",
    ]
    return Report(
        document=lambda: {
            "command": "rl", "model": found.model.name, "system": found.system.name, "chips": found.chips,
            "stack": stack, **_record(made, recipe.chips, price, recipe), "policies": rows, "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: [*head, *_text(made, recipe, price, others), "", copied(f"again: {again}")],
    )  # fmt: skip


def _own(given: dict[str, Any]) -> list[str]:
    """The options that differ from their defaults."""
    out: list[str] = []
    for name, value in given.items():
        if value != _DEFAULTS[name]:
            flag = f"--{name.replace('_', '-')}"
            out.append(flag if value is True else f"{flag} {shlex.quote(str(value))}")
    return out


def _pools(recipe: Recipe) -> str:
    each = f"{recipe.engines // recipe.tp} replicas of tp{recipe.tp}"
    if not recipe.lag:
        return f"{each} on all chips, then training on all" + (", partial rollouts" if recipe.partial else "")
    return f"{each} on {recipe.engines} chips beside training on {recipe.trainers}, a lag of {recipe.lag}"


def _record(made: RLStep, chips: int, price: float | None, recipe: Recipe) -> dict[str, Any]:
    money = {} if price is None else {"usd_per_generated_tok": _usd(made, recipe, price)}
    return {
        "step_s": made.step, "generate_s": made.generate, "tail_s": max(made.generate - made.rollout.steady, 0.0),
        "log_probs_s": made.log_probs, "training_s": made.training, "refit_s": made.refit, "fixed_s": made.fixed,
        "floor_s": made.floor, "tokens_tok": made.tokens, "tokens_per_s_per_chip": made.tokens / made.step / chips,
        "utilisation": made.utilisation, "waiting_share": made.waiting, "batch_per_replica": made.rollout.batch,
        "mean_batch_per_replica": made.rollout.mean_batch, "decode_step_s": made.rollout.first_step,
        "last_decode_step_s": made.rollout.last_step, "flop_per_parameter_and_tok": made.cost, **money,
    }  # fmt: skip


def _usd(made: RLStep, recipe: Recipe, price: float) -> float:
    """Dollars per generated token."""
    return price * recipe.chips * made.step / (recipe.sequences * recipe.mean)


def _text(
    made: RLStep, recipe: Recipe, price: float | None, others: dict[str, tuple[Recipe, RLStep]]
) -> list[RenderableType]:
    tail = max(made.generate - made.rollout.steady, 0.0)
    parts = [
        ("rollouts, batch full", made.generate - tail), ("rollouts, tail", tail), ("log-probabilities", made.log_probs),
        ("training", made.training), ("refit", made.refit), ("other", made.fixed),
    ]  # fmt: skip
    times = [(name, shown(t, "s"), f"{t / made.step:.1%}", bar(t / made.step)) for name, t in parts]
    rows = [
        (
            name, f"{one.engines} + {one.trainers}" if one.lag else "all", shown(each.step, "s"),
            plain(each.tokens / each.step / recipe.chips), f"{each.utilisation:.2%}", f"{each.waiting:.0%}",
            plain(each.cost), NONE if price is None else shown(_usd(each, one, price), "USD/tok"),
        )
        for name, (one, each) in others.items()
    ]  # fmt: skip
    head = [
        "<", "generate\n+ train", "step", "tok/s\n/chip", "utilisation", "waiting", "FLOP per N\nand token",
        "per generated\ntoken",
    ]  # fmt: skip
    together = "" if not recipe.lag else "; rollouts and training run side by side, the longer counts"
    found = made.rollout
    return [
        heading(f"A step of {shown(made.step, 's')} (floor {shown(made.floor, 's')}){together}"),
        table(["<", "", "of it", "<"], times),
        "",
        f"{plain(found.batch)} sequences per replica at first, {plain(found.mean_batch)} on average; a decode step"
        f" takes {shown(found.first_step, 's')} at first, {shown(found.last_step, 's')} for the last sequence",
        f"utilisation {made.utilisation:.2%}: 2 FLOP per parameter and token generated, 6 trained, over the bf16 peak",
        heading("The same chips under other policies, divided as is fastest"),
        table(head, rows),
        "",
        "FLOP per N and token: chip time of a generated token at training's rate; 2 to 6 over 30%, as in the lecture, "
        "is 7 to 20",
    ]
