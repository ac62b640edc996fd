"""`ridgeline scaling`: all scaling laws on a budget, a model, its inference, repeated data or experts; fits."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from msgspec.structs import asdict

from ridgeline.catalog import BUILT_IN, Catalog
from ridgeline.cli.counts import parameters_of
from ridgeline.cli.options import CatalogFolder, command
from ridgeline.cli.report import Report, Rows
from ridgeline.cli.table import NONE, copied, footnotes, heading, plain, table
from ridgeline.errors import InputError
from ridgeline.training.scaling import fit as fitting
from ridgeline.training.scaling.law import FORMS, Beyond, entry, every
from ridgeline.training.scaling.question import (
    Budget,
    Mixture,
    Model,
    Served,
    budgets,
    constants,
    mixtures,
    models,
    repeated,
    served,
)
from ridgeline.training.scaling.table import read
from ridgeline.units import parse, show

if TYPE_CHECKING:
    from rich.console import RenderableType


def _option(text: str, group: str) -> Parameter:
    return Parameter(help=text, group=group)


Compute = Annotated[str, _option("FLOP of pre-training, such as 5.76e23: how would each law spend them?", "Question")]
Params = Annotated[str, _option("Parameters, such as 70B; active ones of a mixture.", "Question")]
TokensOf = Annotated[str, _option("Tokens of pre-training, such as 15T.", "Question")]
Inference = Annotated[str, _option("Tokens served over its life: what is the cheapest model as good?", "Question")]
Unique = Annotated[str, _option("Tokens that are new; the others repeat them.", "Question")]
Experts = Annotated[float, _option("Experts per layer, of which one is used.", "Mixture")]
Granularity = Annotated[float, _option("Fine experts that one of full width is divided into.", "Mixture")]
Activation = Annotated[str, _option("Active over all experts, such as 3.1%.", "Mixture")]
Law = Annotated[str, _option("One law: its constants, range and source.", "Question")]
FitFile = Annotated[str, _option("Fit the additive law to a CSV with parameters, tokens or FLOP, and loss.", "Fit")]
Bootstrap = Annotated[int, _option("Resampled tables for the errors \\[200].", "Fit")]
Seed = Annotated[int, _option("Of the resampling \\[0].", "Fit")]
Drop = Annotated[float, _option("Leave out runs of fewer tokens per parameter \\[0].", "Fit")]

_DEFAULTS: dict[str, Any] = {
    "compute": "", "parameters": "", "tokens": "", "inference": "", "unique": "", "experts": 0.0, "granularity": 0.0,
    "activation": "", "law": "", "fit": "", "bootstrap": 200, "seed": 0, "drop_below": 0.0, "catalog": "",
}  # fmt: skip


@command()
def scaling(
    *,
    compute: Compute = "",
    parameters: Params = "",
    tokens: TokensOf = "",
    inference: Inference = "",
    unique: Unique = "",
    experts: Experts = 0.0,
    granularity: Granularity = 0.0,
    activation: Activation = "",
    law: Law = "",
    fit: FitFile = "",
    bootstrap: Bootstrap = 200,
    seed: Seed = 0,
    drop_below: Drop = 0.0,
    catalog: CatalogFolder = "",
) -> Report:
    """What all scaling laws say of a budget, a model, its inference, repeated data, experts; or a fit of your own runs.

    Without a question: the laws with their constants. A law that leaves the range of its experiments says so.
    """
    given = {name: value for name, value in locals().items() if name in _DEFAULTS}
    again = " ".join(
        ["ridgeline scaling", *(f"--{n.replace('_', '-')} {shlex.quote(f'{v:g}' if isinstance(v, float) else str(v))}"
                                for n, v in given.items() if v != _DEFAULTS[n])]
    )  # fmt: skip
    folders = BUILT_IN.under(catalog) if catalog else BUILT_IN
    if fit:
        return _fitted(fit, bootstrap, seed, drop_below, again)
    if law:
        return _law(law, folders, again)
    spent = budgets(_flop(compute), folders) if compute else []
    if bool(parameters) != bool(tokens):
        raise InputError("--parameters and --tokens", "both", "or --compute alone")
    if (inference or unique or experts or granularity or activation) and not parameters:
        raise InputError("--inference, --unique and experts", "a model too", "such as --parameters 70B --tokens 15T")
    found: list[Model] = []
    lives: list[Served] = []
    again_seen: list[Mixture] = []
    mixed: list[Mixture] = []
    if parameters:
        n, d = parameters_of(parameters, "--parameters"), parse(tokens, "tok", "--tokens")
        if not d:
            raise InputError(f"--tokens {tokens}", "above 0")
        found = models(n, d, folders)
        lives = served(n, d, _above(inference, "--inference"), folders) if inference else []
        again_seen = repeated(n, d, _above(unique, "--unique"), folders) if unique else []
        mixed = _mixed(n, d, experts, granularity, activation, folders)
    if not (spent or found):
        return _list(folders, again)
    rows: list[dict[str, Any]] = [
        *({"question": "budget"} | _row(each) for each in spent),
        *({"question": "model"} | _row(each) for each in found),
        *({"question": "served"} | _row(each) for each in lives),
        *({"question": "repeated"} | _row(each) for each in again_seen),
        *({"question": "mixture"} | _row(each) for each in mixed),
    ]
    return Report(
        document=lambda: {
            "command": "scaling",
            "budgets": [_row(each) for each in spent],
            "models": [_row(each) for each in found],
            "served": [_row(each) for each in lives],
            "repeated": [_row(each) for each in again_seen],
            "mixtures": [_row(each) for each in mixed],
            "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: _text(given, spent, found, lives, [*again_seen, *mixed], again),
    )


def _flop(text: str) -> float:
    """FLOP, the unit of which may be left out."""
    bare = text.replace(".", "").replace("e", "").replace("+", "").replace(",", "").isdigit()
    value = parse(f"{text} FLOP" if bare else text, "FLOP", "--compute")
    if not value:
        raise InputError(f"--compute {text}", "above 0")
    return value


def _above(text: str, what: str) -> float:
    value = parse(text, "tok", what)
    if not value:
        raise InputError(f"{what} {text}", "above 0")
    return value


def _mixed(n: float, d: float, experts: float, granularity: float, activation: str, folders: Catalog) -> list[Mixture]:
    if not (experts or granularity or activation):
        return []
    if experts and experts < 1:
        raise InputError(f"--experts {experts:g}", "1 or more")
    if granularity and granularity < 1:
        raise InputError(f"--granularity {granularity:g}", "1 or more")
    share = parse(activation, "1", "--activation") if activation else 0.0
    if activation and not 0 < share <= 1:
        raise InputError(f"--activation {activation}", "a share above 0 and at most 1")
    if bool(granularity) != bool(activation) and not experts:
        raise InputError("--granularity and --activation", "both")
    return mixtures(n, d, experts=experts, granularity=granularity, activation=share, catalog=folders)


_UNITS = {
    "tokens": "tokens_tok", "least_compute": "least_compute_flop", "optimal_tokens": "optimal_tokens_tok",
    "implied_inference": "implied_inference_tok", "own_tokens": "own_tokens_tok", "loss": "loss_nats",
}  # fmt: skip


def _row(each: Budget | Model | Served | Mixture) -> dict[str, Any]:
    """In SI units; what is beyond a law's range in words."""
    found = {_UNITS.get(name, name): value for name, value in asdict(each).items()}
    return found | {"warnings": [warning.long for warning in each.warnings]}


def _text(
    given: dict[str, Any], spent: list[Budget], found: list[Model], lives: list[Served], told: list[Mixture], again: str
) -> list[RenderableType]:
    asked: list[Any] = [*spent, *found, *lives, *told]
    out: list[RenderableType] = []
    if spent:
        rows = [
            (
                each.law, _big(each.parameters), show(each.tokens, "tok"), plain(each.tokens / each.parameters),
                _opt(each.loss, lambda x: f"{x:.3f}"), _span(each.low, each.high, _big), _beyond(each.warnings),
            )
            for each in spent
        ]  # fmt: skip
        head = ["<law", "parameters", "tokens", "tokens per\nparameter", "loss", "<80% of the\nparameters", "<beyond"]
        out += [heading(f"{given['compute']} FLOP of pre-training, best spent"), table(head, rows)]
    if found:
        rows = [
            (
                each.law, f"{each.loss:.3f}", _span(each.low, each.high, lambda x: f"{x:.3f}"),
                _opt(each.least_compute, lambda x: f"{x:.3g}"), _opt(each.over, lambda x: f"{x:.3g}x"),
                _opt(each.optimal_tokens, lambda x: show(x, "tok")), _opt(each.wedge, lambda x: f"{x:.3g}"),
                _span(each.wedge_low, each.wedge_high, lambda x: f"{x:.3g}"),
                _opt(each.implied_inference, lambda x: show(x, "tok") if x > 0 else "none"), _beyond(each.warnings),
            )
            for each in found
        ]  # fmt: skip
        head = [
            "<law", "loss", "<80%", "of least\ncompute", "wedge w", "<80%", "inference\nthat explains it", "<beyond",
        ]  # fmt: skip
        title = f"{given['parameters']} parameters on {given['tokens']} tokens"
        out += [heading(title), table(head, rows)]
    if lives:
        rows = [
            (
                each.law, f"{each.loss:.3f}", f"{_big(each.own_parameters)} on {show(each.own_tokens, 'tok')}",
                f"{_big(each.parameters)} on {show(each.tokens, 'tok')}", f"{each.saved:.1%}", _beyond(each.warnings),
            )
            for each in lives
        ]  # fmt: skip
        head = ["<law", "loss", "<cheapest to train", "<cheapest with inference", "FLOP\nsaved", "<beyond"]
        out += [heading(f"As good, with {given['inference']} tokens served at 2 N FLOP each"), table(head, rows)]
    if told:
        rows = [
            (each.law, each.what, _big(each.value) if each.value >= 1e6 and each.unit == "1" else
             show(each.value, "tok") if each.unit == "tok" else plain(each.value, 4), _beyond(each.warnings))
            for each in told
        ]  # fmt: skip
        out += [heading("Repeated data and mixtures of experts"), table(["<law", "<", "", "<beyond"], rows)]
    if any(each.warnings for each in asked):
        out += [
            "",
            "beyond: how far outside the experiments of a law this lies (N parameters, D tokens, C FLOP, E experts,"
            " G granularity); --json has the ranges",
        ]
    return [*out, "", copied(f"again: {again}")]


def _beyond(warnings: tuple[Beyond, ...]) -> str:
    return ", ".join(each.short for each in warnings)


def _opt(value: float | None, text: Any) -> str:
    return NONE if value is None else text(value)


def _span(low: float | None, high: float | None, text: Any) -> str:
    return NONE if low is None or high is None else f"{text(low)} to {text(high)}"


def _big(value: float) -> str:
    """A number of parameters."""
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= scale:
            return f"{plain(value / scale)}{letter}"
    return plain(value)


def _list(folders: Catalog, again: str) -> Report:
    laws = every(folders, *FORMS)
    rows = [
        {"law": law.name, "title": law.title, "form": law.form, **constants(law), "source": law.source} for law in laws
    ]
    marks, notes = footnotes(folders.citations(law.source) for law in laws)
    texts = [(law.name, law.form, law.title, f"[{mark}]") for law, mark in zip(laws, marks, strict=True)]
    return Report(
        document=lambda: {"command": "scaling", "laws": rows, "line": again},
        rows=lambda: Rows.of(rows),
        text=lambda: [
            table(["<law", "<form", "<title", "<source"], texts),
            "",
            *notes,
            "",
            "ask with --compute, or --parameters and --tokens; --law NAME has constants and range; --fit FILE fits",
        ],
    )


def _law(name: str, folders: Catalog, again: str) -> Report:
    found = entry(name, folders)
    law = found.value
    errors = getattr(law, "error", {})
    spans = {key: span for key in _SPANS if (span := getattr(law, key))[1] < float("inf")}
    rows = [{"constant": key, "value": value, "error": errors.get(key)} for key, value in constants(law).items()]
    return Report(
        document=lambda: {
            "command": "scaling", "law": law.name, "title": law.title, "form": law.form, "constants": rows,
            "range": spans, "note": law.note, "source": folders.citations(law.source), "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: [
            f"{law.name}: {law.title}",
            (FORMS[law.form].__doc__ or "").strip(),
            "",
            table(["<constant", "value", "error"], [
                (str(row["constant"]), f"{row['value']:.8g}", NONE if row["error"] is None else f"{row['error']:.3g}")
                for row in rows
            ]),
            "",
            *(f"{key}: {low:.3g} to {high:.3g}" for key, (low, high) in spans.items()),
            *_wrapped(law.note, folders.citations(law.source)),
        ],
    )  # fmt: skip


_SPANS = ("parameters", "tokens", "ratio", "epochs", "experts", "granularity", "activation", "compute")


def _wrapped(note: str, citations: Iterable[str]) -> Sequence[str]:
    return [*([f"note: {note}"] if note else []), *citations]


def _fitted(path: str, bootstrap: int, seed: int, drop: float, again: str) -> Report:
    runs = read(path, least_ratio=drop)
    found = fitting.fit(runs.parameters, runs.tokens, runs.losses, resamples=bootstrap, seed=seed)
    errors = found.error
    values = {name: getattr(found, name) for name in ("E", "A", "B", "alpha", "beta")}
    share = found.beta / (found.alpha + found.beta)
    rows = [{"constant": name, "value": value, "error": errors.get(name)} for name, value in values.items()]
    return Report(
        document=lambda: {
            "command": "scaling", "fit": path, "runs": found.runs, "left_out": runs.left_out, "huber": found.huber,
            "constants": rows, "exponent_of_parameters": share, "covariance": found.covariance, "line": again,
        },
        rows=lambda: Rows.of(rows),
        text=lambda: [
            f"E + A N^-alpha + B D^-beta, fitted to {found.runs} runs of {path}"
            + (f" ({runs.left_out} left out: fewer than {drop:g} tokens per parameter)" if runs.left_out else ""),
            "",
            table(["<constant", "value", "error"], [
                (str(row["constant"]), f"{row['value']:.6g}", NONE if row["error"] is None else f"{row['error']:.3g}")
                for row in rows
            ]),
            "",
            f"Huber sum {found.huber:.8f}; best parameters grow as compute to the power {share:.4f}",
            copied(f"again: {again}"),
        ],
    )  # fmt: skip
