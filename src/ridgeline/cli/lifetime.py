"""`ridgeline lifetime`: pre-training, RL and inference of one model: how long to train it, by rule and exactly."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.cli.headline import headline
from ridgeline.cli.options import GROUPS, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, bar, copied, heading, plain, shown, table
from ridgeline.planner.lifetime import Life, Lifetime
from ridgeline.planner.lifetime import lifetime as solve
from ridgeline.scenario import Scenario
from ridgeline.units import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

_FIELDS = (
    "isl", "osl", "hit", "weights", "kv", "engine", "overlap", "tpot", "ttft", "pools", "price", "utilisation", "chips",
    "memory_utilisation", "set", "catalog",
)  # fmt: skip
assert set(_FIELDS) <= {name for names in GROUPS.values() for name in names}
_DEFAULTS: dict[str, Any] = {
    "peak": "50 Mtok/s", "life": "2 months", "ramp": "0 s", "half_life": "", "ship": "100%", "mfu": "40%",
    "rl_tokens": "0", "rl_cost": 0.0, "stack": "nemo-rl", "rl_chips": 256, "rl_sequences": 2048, "rl_mean": "4k",
    "rl_most": "16k", "tokens": "0",
}  # fmt: skip


def _option(text: str, group: str = "Life") -> Parameter:
    return Parameter(help=text, group=group)


Peak = Annotated[str, _option("Tokens served per second at the peak, of all kinds \\[50 Mtok/s].")]
Span = Annotated[str, _option("Time from launch to the end \\[2 months].")]
Ramp = Annotated[str, _option("Time in which traffic rises to the peak \\[none].")]
HalfLife = Annotated[str, _option("Time in which it then halves, again and again \\[never].")]
Ship = Annotated[str, _option("Chance that the model is ever served \\[100%].")]
Mfu = Annotated[str, _option("Share of the bf16 peak that pre-training reaches \\[40%].")]
RlTokens = Annotated[str, _option("Tokens generated in RL \\[none].", "RL")]
RlCost = Annotated[float, _option("FLOP per parameter and RL token \\[from a step of RL].", "RL")]
Stack = Annotated[str, _option("Constants of a software stack: nemo-rl, or ideal \\[nemo-rl].", "RL")]
RlChips = Annotated[int, _option("Chips of a step of RL \\[256].", "RL")]
RlSequences = Annotated[int, _option("Answers per step \\[2048].", "RL")]
RlMean = Annotated[str, _option("Tokens of an answer, mean \\[4k].", "RL")]
RlMost = Annotated[str, _option("Tokens at which answers are cut \\[16k].", "RL")]
Trained = Annotated[str, _option("Tokens it was trained on: what traffic was planned for?", "Backwards")]


@command(*_FIELDS)
def lifetime(
    scenario: Scenario,
    *,
    peak: Peak = "50 Mtok/s",
    life: Span = "2 months",
    ramp: Ramp = "0 s",
    half_life: HalfLife = "",
    ship: Ship = "100%",
    mfu: Mfu = "40%",
    rl_tokens: RlTokens = "0",
    rl_cost: RlCost = 0.0,
    stack: Stack = "nemo-rl",
    rl_chips: RlChips = 256,
    rl_sequences: RlSequences = 2048,
    rl_mean: RlMean = "4k",
    rl_most: RlMost = "16k",
    tokens: Trained = "0",
) -> Report:
    """Pre-training, RL and inference of one model: how long to train it, by the rule of equal costs and exactly.

    Tokens are input, cached and output as --isl, --osl and --hit divide them, priced by the cheapest deployment.
    """
    given = {name: value for name, value in locals().items() if name in _DEFAULTS}
    asked = Life(
        peak=parse(peak, "tok/s", "--peak"), life=parse(life, "s", "--life"), ramp=parse(ramp, "s", "--ramp"),
        half_life=parse(half_life, "s", "--half-life") if half_life else math.inf, ship=parse(ship, "1", "--ship"),
        mfu=parse(mfu, "1", "--mfu"), rl_tokens=parse(rl_tokens, "tok", "--rl-tokens"), rl_cost=rl_cost, stack=stack,
        rl_chips=rl_chips, rl_sequences=rl_sequences, rl_mean=parse(rl_mean, "tok", "--rl-mean"),
        rl_most=parse(rl_most, "tok", "--rl-most"), tokens=parse(tokens, "tok", "--tokens"),
    )  # fmt: skip
    found = solve(scenario, asked)
    own = [f"--{n.replace('_', '-')} {shlex.quote(str(v))}" for n, v in given.items() if v != _DEFAULTS[n]]
    again = " ".join([scenario.to_cli("lifetime"), *own])
    rows = [_record(asdict(each)) for each in found.answers]
    return Report(
        document=lambda: {
            "command": "lifetime", "model": found.subject.model.name, "system": found.subject.system.name,
            "active_parameters": found.parameters, "served_tok": found.served,
            "kinds": [_kind(asdict(each)) for each in found.kinds], "layout": found.layout,
            "rl_flop_per_parameter_and_tok": found.rl_cost, "thirds_tok": found.thirds, "halves_tok": found.halves,
            "lecture_thirds_tok": found.lecture, "laws": rows,
            "over_training": dict(zip(("low", "median", "high"), found.over, strict=True)),
            "tornado": [{"unknown": name, "low": low, "high": high} for name, low, high in found.tornado],
            "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: _text(found, again),
    )  # fmt: skip


_NAMES = {
    "tokens": "tokens_tok", "implied": "implied_served_tok", "implied_peak": "implied_peak_tok_per_s",
    "usd": "usd_per_tok", "cost": "flop_per_parameter_and_tok", "over": "over_training", "low": "over_training_low",
    "high": "over_training_high", "own": "tokens_over_own_optimum", "pre_training": "pre_training_share",
    "rl": "rl_share", "inference": "inference_share",
}  # fmt: skip


def _record(values: dict[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): value for name, value in values.items()}


_kind = _record


def _text(found: Lifetime, again: str) -> list[RenderableType]:
    life = found.life
    kinds = [
        (
            each.name, f"{each.share:.0%}", shown(each.tokens, "tok"),
            NONE if each.usd is None else shown(each.usd, "USD/tok"), f"{each.cost:.3g}",
            f"{each.efficiency:.0%}" if each.efficiency < 10 else f"{each.efficiency:.0f}x",
        )
        for each in found.kinds
    ]  # fmt: skip
    n = found.parameters
    rules = [
        ("lecture: thirds, 2 FLOP a token at 30%", found.lecture), ("thirds, tokens priced here", found.thirds),
        ("halves, tokens priced here", found.halves),
    ]  # fmt: skip
    answers = [
        (
            each.law, shown(each.tokens, "tok"), f"{each.over:.3g}x",
            NONE if each.low is None else f"{each.low:.3g}x to {each.high:.3g}x", f"{each.own:.3g}x",
            f"{each.pre_training:.0%} / {each.rl:.0%} / {each.inference:.0%}",
        )
        for each in found.answers
    ]  # fmt: skip
    low, middle, high = found.over
    top = max(each for _, _, each in found.tornado)
    tornado = [
        (name, f"{a:.3g}x to {b:.3g}x", " " * round(24 * a / top) + bar((b - a) / top)) for name, a, b in found.tornado
    ]
    title, workload, *rest = headline(found.scenario, found.subject)
    fall = "" if math.isinf(life.half_life) else f", halving every {shown(life.half_life, 's')} after"
    rise = f", a rise of {shown(life.ramp, 's')}" if life.ramp else ""
    return [
        title,
        f"{workload}; {found.layout}",
        *rest,
        f"{shown(life.peak, 'tok/s')} at the peak for {shown(life.life, 's')}{rise}{fall}: {shown(found.served, 'tok')}"
        f", served with a chance of {life.ship:.0%}; training at {life.mfu:.0%} of the bf16 peak",
        heading("What a token costs, in chip time at training's rate"),
        table(["<", "share", "tokens", "price", "FLOP per N\nand token", "efficiency\n2 / FLOP"], kinds),
        *_rl(found),
        heading(f"Tokens of pre-training for {plain(n / 1e9)}e9 active parameters, by the rule of equal costs"),
        table(["<", "tokens", "over 20 N"], [(name, shown(d, "tok"), f"{d / 20 / n:.3g}x") for name, d in rules]),
        heading("Exactly: the cheapest model of its loss"),
        table(
            ["<law", "tokens", "over 20 N", "<80%", "over its\nown optimum", "<pre-training / RL / inference"], answers
        ),
        heading(f"Over-training {middle:.3g}x, 80% from {low:.3g}x to {high:.3g}x; what drives it"),
        table(["<", "alone", "<"], tornado),
        *_backwards(found),
        "",
        "extrapolated: laws end at about 340 tokens per parameter and 16e9 parameters; see `ridgeline scaling`",
        copied(f"again: {again}"),
    ]


def _rl(found: Lifetime) -> list[RenderableType]:
    """What a token of RL costs."""
    life, made = found.life, found.rl_step
    if not life.rl_tokens:
        return []
    if made is None:
        return ["", f"RL: {shown(life.rl_tokens, 'tok')} at {plain(found.rl_cost)} FLOP per parameter, as given"]
    return [
        "",
        f"RL: {shown(life.rl_tokens, 'tok')} at {plain(found.rl_cost)} FLOP per parameter: a step of"
        f" {life.rl_sequences:,} answers on {life.rl_chips} chips ({life.stack}) takes {shown(made.step, 's')} at"
        f" {made.utilisation:.2%} of the peak; the lecture's 2 to 6 at 30% are 7 to 20",
    ]


def _backwards(found: Lifetime) -> list[RenderableType]:
    """What traffic makes the given tokens the cheapest."""
    if not found.life.tokens:
        return []
    rows = [
        (
            each.law,
            *(("none", NONE) if each.implied is None or each.implied_peak is None or each.implied <= 0 else
              (shown(each.implied, "tok"), shown(each.implied_peak, "tok/s"))),
        )
        for each in found.answers
    ]  # fmt: skip
    return [
        heading(
            f"Backwards: trained on {shown(found.life.tokens, 'tok')}, it is the cheapest of its loss if it serves"
        ),
        table(["<law", "tokens", "peak rate of\nthe same life"], rows),
    ]
