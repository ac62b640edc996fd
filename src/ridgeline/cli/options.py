"""How a function becomes a command: the options of a scenario, made from `Scenario` itself, and --json and --csv.

Each field of `Scenario` is an option of its name; its docstring is the help, and `Scenario` reads its text and unit, so
there is no second list. A command is a function that gets a scenario (if it asks for fields) and gives a `Report`.
Knows no number.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from cyclopts import Group, Parameter

from ridgeline.cli.report import Report
from ridgeline.errors import InputError
from ridgeline.scenario import Scenario, units_of
from ridgeline.units import QUANTITIES, show

GROUPS = {
    "Layout": ("tp", "pp", "dp", "ep", "cp", "redundant"),
    "Workload": (
        "phase",
        "batch",
        "context",
        "isl",
        "osl",
        "cached",
        "hit",
        "chunk",
        "verify",
        "accepted",
        "acceptance",
        "skew",
    ),
    "Formats": ("weights", "kv", "activations"),
    "Engine": ("engine", "overlap"),
    "Limits": ("tpot", "ttft", "e2e", "user_rate", "budget", "power"),
    "Search": ("pools", "objective", "prefill_system", "prefill_chips"),
    "Money": ("price", "utilisation"),
    "System": ("chips", "memory_utilisation", "set", "catalog"),
}
"""Headings of the help, each with its options."""
SEARCHED = (*GROUPS["Layout"], "phase", "batch")
"""Fields that a plan finds by itself."""
STEP = tuple(name for group, names in GROUPS.items() for name in names if group not in ("Limits", "Search"))
"""Options of a single point."""
PLAN = tuple(name for names in GROUPS.values() for name in names if name not in SEARCHED)
"""Options of a search."""

LIMITS = ("tpot", "ttft", "e2e", "user_rate", "budget", "power", "chips", "prefill_chips")
"""Options of which a zero that is spelt out is a slip: an empty variable of a script, not "no limit"."""

OUTPUT = Group("Output", sort_key=99)
_EMPTY = inspect.Parameter.empty

PointsFile = Annotated[
    str, Parameter(help="Measured points, one number per row, or a folder of runs; docs/accuracy.md has the columns.")
]
Strict = Annotated[bool, Parameter(help="Exit with code 1 if any row was refused.")]
CatalogFolder = Annotated[str, Parameter(help="Folder of a catalogue of one's own.", group="System")]
PlotFile = Annotated[
    str, Parameter(name="--plot", help="Draw roofline, time and cost to this .svg, .png or .html.", group=OUTPUT)
]
Over = Annotated[
    list[str] | None,
    Parameter(help="Search this option too: weights=any, kv=bf16,fp8, verify=1:4:+1. Once for each.", group="Search"),
]
OutputFile = Annotated[
    str, Parameter(name=("--output", "-o"), help="Write to this .csv or .parquet instead.", group=OUTPUT)
]


def scenario(texts: dict[str, str]) -> Scenario:
    """The scenario of a command line's words and options."""
    found = Scenario.read(texts, "command line")
    for name in LIMITS:
        if texts.get(name) and not getattr(found, name):
            raise InputError(f"--{name.replace('_', '-')} {texts[name]}", "above 0", "leave it out for no limit")
    return found


def command(
    *fields: str,
    read: Callable[[dict[str, str]], Any] = scenario,
    model: str = "",
    system: bool = True,
    of: type = Scenario,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    shared: tuple[Callable[..., None], ...] = (),
) -> Callable[[Callable[..., Report]], Callable[..., int]]:
    """A command with --json and --csv that gives its exit code; with `fields` also with MODEL, SYSTEM and these
    options, which come to it as `read` makes of their texts: a scenario. Its `report` answers without printing.

    `model` is the help of MODEL if that may be something else; without `system`, SYSTEM may be left out. `of` is the
    kind of question whose fields they are, `groups` their headings. `shared` are functions whose keywords are options
    of this command too, and come to it as further keywords.
    """

    def wrap(answer: Callable[..., Report]) -> Callable[..., int]:
        own = [p for p in _parameters(answer) if p.kind is not p.VAR_KEYWORD]
        own += [p for each in shared for p in _parameters(each)]
        head, tail = own[:1] if fields else [], own[1:] if fields else own
        asked = [_argument("model", model, of), _argument("system", "", of, needed=system)] if head else []
        given = [_option(name, of, groups) for name in fields]
        flags = [_flag("json", "Print one JSON object, in SI units."), _flag("csv", "Print the rows as CSV.")]
        keywords = [p for p in tail if p.kind is p.KEYWORD_ONLY]
        positional = [p for p in tail if p.kind is not p.KEYWORD_ONLY]
        named = {p.name for p in keywords}

        def reported(*arguments: Any, **options: Any) -> Report:
            mine = {name: options.pop(name) for name in tuple(options) if name in named}
            if head:
                words = dict(zip(("model", "system"), arguments[:2], strict=False)) | options
                question = read({name: text for name, text in words.items() if text is not None})
                arguments = (question, *arguments[2:])
            return answer(*arguments, **mine)

        def run(*arguments: Any, json: bool = False, csv: bool = False, **options: Any) -> int:
            if json and csv:
                raise InputError("--json --csv", "one of them")
            report = reported(*arguments, **options)
            report.show(json=json, csv=csv)
            return report.code

        signature = inspect.Signature([*asked, *positional, *given, *keywords, *flags])
        command: Any = run
        command.__signature__ = signature
        command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
        command.__name__, command.__doc__ = answer.__name__, answer.__doc__
        command.report = reported
        return command

    return wrap


def defaults(command: Callable[..., int]) -> dict[str, Any]:
    """Default of each option of a command."""
    return {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _argument(name: str, text: str, of: type, *, needed: bool = True) -> inspect.Parameter:
    note = Parameter(help=text or _documentation(of)[name])
    hint, default = (Annotated[str, note], _EMPTY) if needed else (Annotated[str | None, note], None)
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY, default=default, annotation=hint)


def _option(name: str, of: type, groups: Mapping[str, Sequence[str]]) -> inspect.Parameter:
    note = Parameter(
        help=_help(name, of),
        group=next(Group(group, sort_key=i) for i, group in enumerate(groups) if name in groups[group]),
        allow_leading_hyphen=True,
    )
    hint = Annotated[str | None, note]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)


def described(parameter: inspect.Parameter) -> str:
    """The help of a command's parameter."""
    notes = getattr(parameter.annotation, "__metadata__", ())
    return next((note.help for note in notes if isinstance(note, Parameter) and note.help), "")


def _flag(name: str, text: str) -> inspect.Parameter:
    hint = Annotated[bool, Parameter(help=text, group=OUTPUT)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=hint)


def _help(name: str, of: type) -> str:
    """What a field means, its default, and an example of its unit."""
    unit, default = units_of(of).get(name, "1"), _defaults(of)[name]
    default = show(default, unit) if unit != "1" and isinstance(default, float) and default else default
    notes = [f"default {default}"] if default else []
    notes += [f"such as {QUANTITIES[unit].example}"] if unit != "1" else []
    text = _documentation(of)[name]
    return f"{text} \\[{'; '.join(notes)}]" if notes else text


@lru_cache(maxsize=8)
def _defaults(of: Any) -> dict[str, Any]:
    fields, defaults = of.__struct_fields__, of.__struct_defaults__
    return dict(zip(fields[-len(defaults) :], defaults, strict=True))


@lru_cache(maxsize=8)
def _documentation(of: type) -> dict[str, str]:
    """Docstring of each field of a kind of question: the text that follows it in the source."""
    source = ast.parse(inspect.getsource(sys.modules[of.__module__]))  # sooner read as a whole than cut to the class
    body = next(each for each in source.body if isinstance(each, ast.ClassDef) and each.name == of.__name__)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            found[field.target.id] = ""
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found
